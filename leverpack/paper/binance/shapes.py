"""The JSON shapes of orders, trades, positions and the account, as Binance documents them."""

from __future__ import annotations

import math
from typing import Any

from leverpack.margin.position import initial_margin_required
from leverpack.paper.exchange import Exchange
from leverpack.paper.klines import Bar
from leverpack.paper.orders import BOTH, Algo, Forced, Income, Order, Trade

Shape = dict[str, Any]


def money(amount: float) -> str:
    """An amount as the venue writes it: eight decimals, never a negative zero."""
    text = f"{amount:.8f}"
    return "0.00000000" if text == "-0.00000000" else text


def plain(amount: float) -> str:
    """An amount as short as it can be written without an exponent."""
    text = f"{amount:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class Shapes:
    """Writes the records of one exchange as the venue would."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.books = exchange.books
        self.asset = next(iter(exchange.books.instruments.values())).quote

    # -- orders ----------------------------------------------------------------------------------

    def order(self, order: Order, *, ack: bool = False) -> Shape:
        """An order as the order endpoints answer; ``ack`` as it was taken, before any fill."""
        instrument = self.books.instruments[order.symbol]
        filled = 0 if ack else order.filled
        quote = 0.0 if ack else order.quote
        average = quote / instrument.size(filled) if filled else 0.0
        return {
            "orderId": order.id,
            "symbol": order.symbol,
            "status": "NEW" if ack else order.status,
            "clientOrderId": order.client_id,
            "price": instrument.price_text(order.price),
            "avgPrice": f"{average:.{instrument.price_digits + 4}f}",
            "origQty": instrument.qty_text(order.units),
            "executedQty": instrument.qty_text(filled),
            "cumQty": instrument.qty_text(filled),
            "cumQuote": money(quote),
            "timeInForce": order.tif,
            "type": order.kind,
            "reduceOnly": order.reduce_only,
            "closePosition": order.close_position,
            "side": _side(order.sign),
            "positionSide": order.position_side,
            "stopPrice": "0",
            "workingType": order.working,
            "priceProtect": False,
            "origType": order.origin or order.kind,
            "priceMatch": "NONE",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "goodTillDate": order.good_till,
            "time": order.created,
            "updateTime": order.updated,
        }

    def algo(self, algo: Algo) -> Shape:
        """A conditional order."""
        instrument = self.books.instruments[algo.symbol]
        child = self.exchange.desk.orders.all.get(algo.order_id)
        shape: Shape = {
            "algoId": algo.id,
            "clientAlgoId": algo.client_id,
            "algoType": "CONDITIONAL",
            "orderType": algo.kind,
            "symbol": algo.symbol,
            "side": _side(algo.sign),
            "positionSide": algo.position_side,
            "timeInForce": algo.tif,
            "quantity": instrument.qty_text(algo.units),
            "algoStatus": algo.status,
            "triggerPrice": instrument.price_text(algo.trigger),
            "price": instrument.price_text(algo.price),
            "icebergQuantity": None,
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "workingType": algo.working,
            "priceMatch": "NONE",
            "closePosition": algo.close_position,
            "priceProtect": algo.price_protect,
            "reduceOnly": algo.reduce_only,
            "activatePrice": instrument.price_text(algo.activation),
            "callbackRate": plain(algo.callback * 100.0),
            "createTime": algo.created,
            "updateTime": algo.updated,
            "triggerTime": algo.triggered,
            "goodTillDate": algo.good_till,
            "actualOrderId": str(algo.order_id or ""),
            "actualPrice": "0.00000",
            "actualType": "",
        }
        if child is not None:
            average = child.quote / instrument.size(child.filled) if child.filled else 0.0
            shape["actualPrice"] = instrument.price_text(average)
            shape["actualType"] = child.kind
            shape["actualQty"] = instrument.qty_text(child.filled)
        return shape

    def trade(self, trade: Trade) -> Shape:
        """A fill as userTrades lists it."""
        instrument = self.books.instruments[trade.symbol]
        return {
            "symbol": trade.symbol,
            "id": trade.id,
            "orderId": trade.order_id,
            "side": _side(trade.sign),
            "price": instrument.price_text(trade.price),
            "qty": instrument.qty_text(trade.units),
            "quoteQty": money(instrument.size(trade.units) * trade.price),
            "commission": money(trade.fee),
            "commissionAsset": self.asset,
            "realizedPnl": money(trade.realised),
            "positionSide": trade.position_side,
            "buyer": trade.sign > 0,
            "maker": trade.maker,
            "time": trade.time,
        }

    def income(self, income: Income) -> Shape:
        """One payment."""
        return {
            "symbol": income.symbol,
            "incomeType": income.kind,
            "income": money(income.amount),
            "asset": self.asset,
            "info": str(income.trade_id or income.kind),
            "time": income.time,
            "tranId": income.id,
            "tradeId": str(income.trade_id or ""),
        }

    def forced(self, forced: Forced) -> Shape:
        """A liquidation as forceOrders lists it."""
        return self.order(forced.order) | {"type": "LIMIT", "origType": "LIMIT"}

    # -- positions -------------------------------------------------------------------------------

    def legs(self, symbol: str) -> list[str]:
        """The keys that the venue lists in the account's position mode."""
        return [k for k in self.books.keys(symbol) if self.exchange.hedged == (":" in k)]

    def figures(self, key: str) -> Shape:
        """What both position lists and the account say of one position."""
        instrument = self.books.instruments[key.partition(":")[0]]
        position, mark = self.books.position(key), self.books.marks[key]
        isolated = position.isolated and position.size != 0.0
        unrealised = position.unrealised(mark)
        margin = position.margin + unrealised if isolated else 0.0
        initial = initial_margin_required(position.size, mark, position.leverage)
        return {
            "symbol": instrument.symbol,
            "positionSide": key.partition(":")[2] or BOTH,
            "positionAmt": instrument.qty_text(self.books.units(key)),
            "entryPrice": _entry(position.entry),
            "breakEvenPrice": _entry(self._break_even(key)),
            "markPrice": money(mark),
            "unRealizedProfit": money(unrealised),
            "liquidationPrice": self.liquidation_text(key),
            "isolatedMargin": money(margin),
            "isolatedWallet": money(position.margin if isolated else 0.0),
            "notional": money(position.size * mark),
            "initialMargin": money(initial),
            "maintMargin": money(position.maintenance(mark) if position.size else 0.0),
            "positionInitialMargin": money(initial),
            "updateTime": self.books.updated[key],
        }

    def _break_even(self, key: str) -> float:
        position = self.books.position(key)
        if not position.size:
            return 0.0
        fee = self.books.settings.taker
        return position.entry * (1.0 + position.side * fee)

    def liquidation_text(self, key: str) -> str:
        """The liquidation price of a position; "0" where no price liquidates it."""
        if not self.books.position(key).size:
            return "0"
        lower, upper = self.books.liquidation_range(key)
        price = lower if lower > 0.0 else upper
        return money(price) if 0.0 < price < math.inf else "0"

    def risk_v3(self, key: str) -> Shape:
        """A position as positionRisk v3 lists it."""
        return self.figures(key) | {
            "marginAsset": self.asset,
            "openOrderInitialMargin": "0",
            "adl": 2 if self.books.position(key).size else 0,
            "bidNotional": "0",
            "askNotional": "0",
        }

    def risk_v2(self, key: str) -> Shape:
        """A position as positionRisk v2 lists it."""
        position, figures = self.books.position(key), self.figures(key)
        for name in ("initialMargin", "maintMargin", "positionInitialMargin"):
            del figures[name]
        return figures | {
            "leverage": f"{position.leverage:g}",
            "maxNotionalValue": plain(self.largest_notional(key)),
            "marginType": "isolated" if position.isolated else "cross",
            "isAutoAddMargin": "false",
            "isolated": position.isolated,
            "adlQuantile": 2 if position.size else 0,
        }

    def largest_notional(self, key: str) -> float:
        """The largest notional (quote) that the position's leverage may have."""
        position = self.books.position(key)
        table = position.tiers
        reach = [
            cap for cap, most in zip(table.caps, table.max_leverages, strict=True)
            if most >= position.leverage
        ]  # fmt: skip
        return min(max(reach, default=table.caps[0]), 1e15)

    # -- the account -----------------------------------------------------------------------------

    def totals(self) -> dict[str, float]:
        """The account's sums, quote currency."""
        account, marks = self.books.account, self.books.marks
        opened = [(str(k), p) for k, p in account.open_positions()]
        initial = sum(initial_margin_required(p.size, marks[k], p.leverage) for k, p in opened)
        crossed = sum(p.unrealised(marks[k]) for k, p in opened if not p.isolated)
        return {
            "wallet": account.wallet,
            "unrealised": account.unrealised(marks),
            "equity": account.equity(marks),
            "position_margin": initial,
            "order_margin": self.exchange.reserved(),
            "maintenance": account.maintenance(marks),
            "cross_wallet": account.cross_wallet(),
            "cross_unrealised": crossed,
            "available": max(0.0, self.exchange.available()),
        }

    def account(self, *, v3: bool) -> Shape:
        """The account endpoint: sums, assets, positions (v3: only those that matter)."""
        sums = self.totals()
        names = {
            "totalInitialMargin": sums["position_margin"] + sums["order_margin"],
            "totalMaintMargin": sums["maintenance"],
            "totalWalletBalance": sums["wallet"],
            "totalUnrealizedProfit": sums["unrealised"],
            "totalMarginBalance": sums["equity"],
            "totalPositionInitialMargin": sums["position_margin"],
            "totalOpenOrderInitialMargin": sums["order_margin"],
            "totalCrossWalletBalance": sums["cross_wallet"],
            "totalCrossUnPnl": sums["cross_unrealised"],
            "availableBalance": sums["available"],
            "maxWithdrawAmount": sums["available"],
        }
        shape: Shape = {name: money(value) for name, value in names.items()}
        shape["assets"] = [self._asset(sums)]
        keys = [k for s in self.books.instruments for k in self.legs(s)]
        if v3:
            keys = [k for k in keys if self.books.position(k).size]
        shape["positions"] = [self._account_position(k, v3=v3) for k in keys]
        if not v3:
            shape |= {
                "feeTier": 0, "feeBurn": False, "canTrade": True, "canDeposit": True,
                "canWithdraw": False, "updateTime": 0, "multiAssetsMargin": False,
                "tradeGroupId": -1,
            }  # fmt: skip
        return shape

    def _asset(self, sums: dict[str, float]) -> Shape:
        return {
            "asset": self.asset,
            "walletBalance": money(sums["wallet"]),
            "unrealizedProfit": money(sums["unrealised"]),
            "marginBalance": money(sums["equity"]),
            "maintMargin": money(sums["maintenance"]),
            "initialMargin": money(sums["position_margin"] + sums["order_margin"]),
            "positionInitialMargin": money(sums["position_margin"]),
            "openOrderInitialMargin": money(sums["order_margin"]),
            "crossWalletBalance": money(sums["cross_wallet"]),
            "crossUnPnl": money(sums["cross_unrealised"]),
            "availableBalance": money(sums["available"]),
            "maxWithdrawAmount": money(sums["available"]),
            "marginAvailable": True,
            "updateTime": self.exchange.now,
        }

    def _account_position(self, key: str, *, v3: bool) -> Shape:
        figures = self.figures(key)
        position = self.books.position(key)
        shape = {
            "symbol": figures["symbol"],
            "positionSide": figures["positionSide"],
            "positionAmt": figures["positionAmt"],
            "unrealizedProfit": figures["unRealizedProfit"],
            "isolatedMargin": figures["isolatedMargin"],
            "notional": figures["notional"],
            "isolatedWallet": figures["isolatedWallet"],
            "initialMargin": figures["initialMargin"],
            "maintMargin": figures["maintMargin"],
            "updateTime": figures["updateTime"],
        }
        if not v3:
            shape |= {
                "positionInitialMargin": figures["positionInitialMargin"],
                "openOrderInitialMargin": "0",
                "leverage": f"{position.leverage:g}",
                "isolated": position.isolated,
                "entryPrice": figures["entryPrice"],
                "breakEvenPrice": figures["breakEvenPrice"],
                "maxNotional": plain(self.largest_notional(key)),
                "bidNotional": "0",
                "askNotional": "0",
            }
        return shape

    def balance(self) -> list[Shape]:
        """The balance endpoint."""
        sums = self.totals()
        return [
            {
                "accountAlias": "SgsR",
                "asset": self.asset,
                "balance": money(sums["wallet"]),
                "crossWalletBalance": money(sums["cross_wallet"]),
                "crossUnPnl": money(sums["cross_unrealised"]),
                "availableBalance": money(sums["available"]),
                "maxWithdrawAmount": money(sums["available"]),
                "marginAvailable": True,
                "updateTime": self.exchange.now,
            }
        ]


def kline(bar: Bar, digits: int) -> list[Any]:
    """A candle as the klines endpoints list it; takers' share of the volume is not known."""
    volume = bar.volume
    half, quote = volume / 2.0, volume * bar.close
    return [
        bar.start, *(f"{p:.{digits}f}" for p in (bar.open, bar.high, bar.low, bar.close)),
        f"{volume:.3f}", bar.end - 1, f"{quote:.5f}", max(1, round(volume)), f"{half:.3f}",
        f"{quote / 2.0:.5f}", "0",
    ]  # fmt: skip


def _side(sign: int) -> str:
    return "BUY" if sign > 0 else "SELL"


def _entry(price: float) -> str:
    return f"{price:.8f}".rstrip("0").rstrip(".") if price else "0.0"


