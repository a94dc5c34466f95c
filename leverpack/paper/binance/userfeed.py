"""The user stream: what happens to orders, positions and settings, as Binance's events."""

from __future__ import annotations

from collections.abc import Callable

from leverpack.paper.binance.shapes import Shape, money, plain
from leverpack.paper.binance.venue import Venue
from leverpack.paper.hub import Hub
from leverpack.paper.orders import BOTH, Algo, Event, Order


class UserFeed:
    """Publishes the exchange's events to the user streams."""

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self.venue = venue
        self.hub = hub
        self._silent_fills = 0
        self._makers: dict[str, Callable[[Event], Shape]] = {
            "order": self._order,
            "algo": self._algo,
            "account": self._account,
            "leverage": self._leverage,
            "call": self._call,
        }
        venue.exchange.listeners.append(self.tell)
        venue.on_key_gone = self._key_gone

    def silence_fills(self, count: int) -> None:
        """A fault: nothing is said of the next ``count`` fills, and of what they do."""
        self._silent_fills += count

    def _silenced(self, event: Event) -> bool:
        if not self._silent_fills:
            return False
        if event.kind == "account" and event.reason == "ORDER":
            self._silent_fills -= 1  # comes after its fill and ends it
            return True
        return event.execution == "TRADE"

    def tell(self, event: Event) -> None:
        """Publish one event."""
        if event.kind == "order" and event.execution == "CALCULATED":
            self._forced(event)
        if self._silenced(event) or not self.hub.users():
            return
        self.hub.publish_user(self._makers[event.kind](event))

    def _head(self, event: str) -> Shape:
        now = self.venue.exchange.now
        return {"e": event, "T": now, "E": now}

    def _order(self, event: Event) -> Shape:
        order, trade = event.subject, event.trade
        assert isinstance(order, Order)
        instrument = self.venue.exchange.books.instruments[order.symbol]
        average = order.quote / instrument.size(order.filled) if order.filled else 0.0
        kind = "LIQUIDATION" if order.origin == "LIQUIDATION" else order.kind
        new = event.execution == "NEW"
        shape: Shape = {
            "s": order.symbol,
            "c": order.client_id,
            "S": "BUY" if order.sign > 0 else "SELL",
            "o": kind,
            "f": order.tif,
            "q": instrument.qty_text(order.units),
            "p": instrument.price_text(order.price),
            "ap": plain(average),
            "sp": "0",
            "x": event.execution,
            "X": order.status,
            "i": order.id,
            "l": instrument.qty_text(trade.units if trade else 0),
            "z": instrument.qty_text(order.filled),
            "L": instrument.price_text(trade.price if trade else 0.0),
            "n": money(trade.fee if trade else 0.0),
            "N": self.venue.shapes.asset,
            "T": order.created if new else order.updated,
            "t": trade.id if trade else 0,
            "b": "0",
            "a": "0",
            "m": bool(trade and trade.maker),
            "R": order.reduce_only,
            "wt": order.working,
            "ot": order.origin or order.kind,
            "ps": order.position_side,
            "cp": order.close_position,
            "rp": money(trade.realised if trade else 0.0),
            "pP": False,
            "si": order.algo_id,
            "ss": 0,
            "V": "EXPIRE_MAKER",
            "pm": "NONE",
            "gtd": order.good_till,
            "er": "0",
        }
        return self._head("ORDER_TRADE_UPDATE") | {"o": shape}

    def _algo(self, event: Event) -> Shape:
        algo = event.subject
        assert isinstance(algo, Algo)
        instrument = self.venue.exchange.books.instruments[algo.symbol]
        child = self.venue.exchange.desk.orders.all.get(algo.order_id)
        filled = child.filled if child is not None else 0
        average = child.quote / instrument.size(filled) if child is not None and filled else 0.0
        return self._head("ALGO_UPDATE") | {
            "o": {
                "caid": algo.client_id,
                "aid": algo.id,
                "at": "CONDITIONAL",
                "o": algo.kind,
                "s": algo.symbol,
                "S": "BUY" if algo.sign > 0 else "SELL",
                "ps": algo.position_side,
                "f": algo.tif,
                "q": instrument.qty_text(algo.units),
                "X": algo.status,
                "ai": str(algo.order_id or ""),
                "ap": plain(average),
                "aq": instrument.qty_text(filled),
                "act": child.kind if child is not None else "0",
                "tp": instrument.price_text(algo.trigger),
                "p": instrument.price_text(algo.price),
                "V": "EXPIRE_MAKER",
                "wt": algo.working,
                "pm": "NONE",
                "cp": algo.close_position,
                "pP": algo.price_protect,
                "R": algo.reduce_only,
                "tt": algo.triggered,
                "gtd": algo.good_till,
                "rm": algo.reason,
            }
        }

    def _account(self, event: Event) -> Shape:
        books, sums = self.venue.exchange.books, self.venue.shapes.totals()
        wallets = [
            {"a": self.venue.shapes.asset, "wb": money(sums["wallet"]),
             "cw": money(sums["cross_wallet"]), "bc": "0"}
        ]  # fmt: skip
        positions = []
        for key in event.keys:
            position = books.position(key)
            figures = self.venue.shapes.figures(key)
            positions.append(
                {"s": figures["symbol"], "pa": figures["positionAmt"], "ep": figures["entryPrice"],
                 "bep": figures["breakEvenPrice"], "cr": money(position.costs.realised),
                 "up": figures["unRealizedProfit"],
                 "mt": "isolated" if position.isolated else "cross",
                 "iw": figures["isolatedWallet"], "ps": figures["positionSide"],
                 "ma": self.venue.shapes.asset}
            )  # fmt: skip
        crossed = not any(books.position(k).isolated for k in event.keys)
        if event.reason == "FUNDING_FEE" and crossed:
            positions = []  # the venue sends only the wallet where a cross position was charged
        return self._head("ACCOUNT_UPDATE") | {
            "a": {"m": event.reason, "B": wallets, "P": positions}
        }

    def _leverage(self, event: Event) -> Shape:
        symbol = str(event.subject)
        leverage = int(self.venue.exchange.books.position(symbol).leverage)
        return self._head("ACCOUNT_CONFIG_UPDATE") | {"ac": {"s": symbol, "l": leverage}}

    def _call(self, event: Event) -> Shape:
        exchange = self.venue.exchange
        rows = []
        for key in event.keys:
            figures, position = self.venue.shapes.figures(key), exchange.books.position(key)
            rows.append(
                {"s": figures["symbol"], "ps": key.partition(":")[2] or BOTH,
                 "pa": figures["positionAmt"], "mt": "ISOLATED" if position.isolated else "CROSSED",
                 "iw": figures["isolatedWallet"], "mp": figures["markPrice"],
                 "up": figures["unRealizedProfit"], "mm": figures["maintMargin"]}
            )  # fmt: skip
        wallet = money(exchange.books.account.cross_wallet())
        return {"e": "MARGIN_CALL", "E": exchange.now, "cw": wallet, "p": rows}

    def _key_gone(self, key: str) -> None:
        self.hub.publish_user(
            {"e": "listenKeyExpired", "E": self.venue.exchange.now, "listenKey": key}
        )
        for listener in self.hub.users():
            if listener.listen_key == key:
                listener.close()

    def _forced(self, event: Event) -> None:
        """The public stream of liquidations hears of it too."""
        order, trade = event.subject, event.trade
        assert isinstance(order, Order) and trade is not None
        instrument = self.venue.exchange.books.instruments[order.symbol]
        payload = {
            "e": "forceOrder", "E": self.venue.exchange.now,
            "o": {
                "s": order.symbol, "S": "BUY" if order.sign > 0 else "SELL", "o": "LIMIT",
                "f": "IOC", "q": instrument.qty_text(order.units),
                "p": instrument.price_text(order.price), "ap": instrument.price_text(trade.price),
                "X": "FILLED", "l": instrument.qty_text(trade.units),
                "z": instrument.qty_text(order.units), "T": trade.time,
            },
        }  # fmt: skip
        for stream in (f"{order.symbol.lower()}@forceOrder", "!forceOrder@arr"):
            if stream in self.hub.streams:
                self.hub.publish(stream, payload)
