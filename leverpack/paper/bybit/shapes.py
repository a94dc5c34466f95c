"""The JSON shapes of orders, fills, positions and the wallet, as Bybit's v5 documents them."""

from __future__ import annotations

import math
from typing import Any

from leverpack.margin.position import initial_margin_required
from leverpack.paper.binance.shapes import Shapes, plain
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import BOTH, MARKET_KINDS, Algo, Income, Order, Trade

Shape = dict[str, Any]
POSITION_INDEX = {BOTH: 0, "LONG": 1, "SHORT": 2}
STATUS = {
    "NEW": "New", "PARTIALLY_FILLED": "PartiallyFilled", "FILLED": "Filled",
    "CANCELED": "Cancelled", "EXPIRED": "Cancelled", "REJECTED": "Rejected",
}  # fmt: skip
_FORCE = {"GTX": "PostOnly", "GTD": "GTC"}


class BybitShapes:
    """Writes the records of one exchange as Bybit would."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.books = exchange.books
        self.sums = Shapes(exchange).totals
        self.coin = Shapes(exchange).asset

    # -- orders ----------------------------------------------------------------------------------

    def order(self, order: Order) -> Shape:
        """An order; one that a trigger made keeps the id of its conditional order."""
        algo = self.exchange.desk.algos.all.get(order.algo_id) if order.algo_id else None
        shape = self._common(order, order.kind == "MARKET", order.price, order.units)
        size = self.books.instruments[order.symbol].size(order.filled)
        cancelled = order.status in ("CANCELED", "EXPIRED") and order.filled
        return shape | {
            "orderId": str(algo.id if algo else order.id),
            "orderStatus": "PartiallyFilledCanceled" if cancelled else STATUS[order.status],
            "avgPrice": plain(order.quote / size) if size else "",
            "cumExecQty": self._qty(order.symbol, order.filled),
            "cumExecValue": plain(order.quote),
            "cumExecFee": plain(self._fee(order.id)),
            "leavesQty": self._qty(order.symbol, order.left if order.live else 0),
            "triggerPrice": "" if algo is None else self._price(algo.symbol, algo.trigger),
            "triggerDirection": 0 if algo is None else 1 if algo.rises else 2,
            "stopOrderType": "" if algo is None else "Stop",
            "rejectReason": "EC_NoError" if order.status != "REJECTED" else order.reason,
        }

    def algo(self, algo: Algo) -> Shape:
        """A conditional order, or the order that it became."""
        child = self.exchange.desk.orders.all.get(algo.order_id)
        if child is not None:
            return self.order(child)
        shape = self._common(algo, algo.kind in MARKET_KINDS, algo.price, algo.units)
        status = {"NEW": "Untriggered", "REJECTED": "Rejected"}.get(algo.status, "Deactivated")
        return shape | {
            "orderId": str(algo.id),
            "orderStatus": status,
            "avgPrice": "",
            "cumExecQty": self._qty(algo.symbol, 0),
            "cumExecValue": "0",
            "cumExecFee": "0",
            "leavesQty": self._qty(algo.symbol, algo.units),
            "triggerPrice": self._price(algo.symbol, algo.trigger),
            "triggerDirection": 1 if algo.rises else 2,
            "stopOrderType": "Stop",
            "rejectReason": "EC_NoError",
        }

    def _common(self, order: Order | Algo, market: bool, price: float, units: int) -> Shape:
        return {
            "orderLinkId": order.client_id,
            "symbol": order.symbol,
            "side": "Buy" if order.sign > 0 else "Sell",
            "orderType": "Market" if market else "Limit",
            "price": self._price(order.symbol, price),
            "qty": self._qty(order.symbol, units),
            "timeInForce": "IOC" if market else _FORCE.get(order.tif, order.tif),
            "reduceOnly": order.reduce_only,
            "closeOnTrigger": order.close_position,
            "positionIdx": POSITION_INDEX[order.position_side],
            "triggerBy": "MarkPrice" if order.working == "MARK_PRICE" else "LastPrice",
            "takeProfit": "", "stopLoss": "", "tpslMode": "",
            "createdTime": str(order.created),
            "updatedTime": str(order.updated),
        }  # fmt: skip

    def _price(self, symbol: str, price: float) -> str:
        return self.books.instruments[symbol].price_text(price)

    def _qty(self, symbol: str, units: int) -> str:
        return self.books.instruments[symbol].qty_text(units)

    def _fee(self, order_id: int) -> float:
        return math.fsum(t.fee for t in self.books.trades if t.order_id == order_id)

    # -- fills and payments ----------------------------------------------------------------------

    def trade(self, trade: Trade) -> Shape:
        """A fill."""
        order = self.exchange.desk.orders.all.get(trade.order_id)
        value = self.books.instruments[trade.symbol].size(trade.units) * trade.price
        forced = order is not None and order.origin == "LIQUIDATION"
        return {
            "symbol": trade.symbol,
            "orderId": str(order.algo_id or order.id) if order else str(trade.order_id),
            "orderLinkId": order.client_id if order else "",
            "side": "Buy" if trade.sign > 0 else "Sell",
            "orderType": "Limit" if order and order.kind == "LIMIT" else "Market",
            "execId": f"trade-{trade.id}",
            "seq": trade.id,
            "execPrice": self._price(trade.symbol, trade.price),
            "execQty": self._qty(trade.symbol, trade.units),
            "execValue": plain(value),
            "execFee": plain(trade.fee),
            "feeRate": plain(trade.fee / value),
            "execType": "BustTrade" if forced else "Trade",
            "execTime": str(trade.time),
            "isMaker": trade.maker,
            "feeCurrency": self.coin,
            "closedSize": self._qty(trade.symbol, trade.units if trade.realised else 0),
        }

    def funding(self, income: Income) -> Shape:
        """A funding settlement as the executions list it: what was paid counts as a fee."""
        return {
            "symbol": income.symbol, "orderId": "", "orderLinkId": "", "side": "",
            "orderType": "UNKNOWN", "execId": f"funding-{income.id}", "execPrice": "0",
            "execQty": "0", "execValue": "0", "execFee": plain(-income.amount), "feeRate": "0",
            "execType": "Funding", "execTime": str(income.time), "isMaker": False,
            "feeCurrency": self.coin, "closedSize": "",
        }  # fmt: skip

    # -- positions and wallet --------------------------------------------------------------------

    def position(self, key: str) -> Shape:
        """One position; a flat one has no side and no sizes."""
        symbol, _, side = key.partition(":")
        position, mark = self.books.position(key), self.books.marks[key]
        lower, upper = self.books.liquidation_range(key) if position.size else (0.0, math.inf)
        liquidation = lower if lower > 0.0 else upper
        size = abs(position.size)
        initial = initial_margin_required(size, position.entry, position.leverage)
        return {
            "positionIdx": POSITION_INDEX[side or BOTH],
            "riskId": 1,
            "riskLimitValue": "0",
            "symbol": symbol,
            "side": "" if not size else "Buy" if position.size > 0.0 else "Sell",
            "size": self._qty(symbol, abs(self.books.units(key))),
            "avgPrice": plain(position.entry),
            "positionValue": plain(size * position.entry),
            "tradeMode": int(position.isolated),
            "positionStatus": "Normal",
            "autoAddMargin": 0,
            "leverage": f"{position.leverage:g}",
            "markPrice": plain(mark),
            "liqPrice": plain(liquidation) if size and 0.0 < liquidation < math.inf else "",
            "bustPrice": plain(self.books.account.bankruptcy_price(key) or 0.0) if size else "",
            "positionIM": plain(initial),
            "positionMM": plain(position.maintenance(mark) if size else 0.0),
            "positionBalance": plain(position.margin if position.isolated else initial),
            "takeProfit": "", "stopLoss": "", "trailingStop": "0",
            "unrealisedPnl": plain(position.unrealised(mark)) if size else "0",
            "cumRealisedPnl": plain(position.costs.net()),
            "createdTime": str(self.exchange.started),
            "updatedTime": str(self.books.updated[key]),
            "seq": 1, "adlRankIndicator": 0, "isReduceOnly": False,
        }  # fmt: skip

    def legs(self, symbol: str) -> list[str]:
        """The keys that the account's position mode has."""
        hedged = self.exchange.hedged
        return [k for k in self.books.keys(symbol) if hedged == (":" in k)]

    def wallet(self) -> Shape:
        """The unified account."""
        sums = self.sums()
        equity = plain(sums["equity"])
        used = sums["position_margin"] + sums["order_margin"]
        names = {
            "totalEquity": equity,
            "totalWalletBalance": plain(sums["wallet"]),
            "totalMarginBalance": equity,
            "totalAvailableBalance": plain(sums["available"]),
            "totalPerpUPL": plain(sums["unrealised"]),
            "totalInitialMargin": plain(used),
            "totalMaintenanceMargin": plain(sums["maintenance"]),
        }
        coin = {
            "coin": self.coin, "equity": equity, "usdValue": equity,
            "walletBalance": plain(sums["wallet"]), "availableToWithdraw": plain(sums["available"]),
            "unrealisedPnl": plain(sums["unrealised"]), "cumRealisedPnl": "0",
            "totalOrderIM": plain(sums["order_margin"]),
            "totalPositionIM": plain(sums["position_margin"]),
            "totalPositionMM": plain(sums["maintenance"]),
            "locked": "0", "borrowAmount": "0", "accruedInterest": "0", "bonus": "0",
            "collateralSwitch": True, "marginCollateral": True,
        }  # fmt: skip
        return {"accountType": "UNIFIED", **names, "coin": [coin]}


