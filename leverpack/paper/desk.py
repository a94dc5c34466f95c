"""The order desk: what the venue checks before it takes an order, and what it does with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leverpack.paper.instrument import Instrument
from leverpack.paper.orders import (
    LONG,
    MARKET_KINDS,
    SHORT,
    TRAILING,
    Algo,
    Event,
    Order,
    position_key,
)
from leverpack.paper.refusal import Refusal
from leverpack.paper.store import Store

if TYPE_CHECKING:
    from leverpack.paper.exchange import Exchange

PRICE_BAND = 0.05  # PERCENT_PRICE: a limit may lie this far beyond the mark price
FIRST_ORDER_ID, FIRST_ALGO_ID = 1_000_001, 2_000_001


class Desk:
    """Takes, fills, amends and cancels orders of one account; refusals raise :class:`Refusal`."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.orders: Store[Order] = Store(FIRST_ORDER_ID)
        self.algos: Store[Algo] = Store(FIRST_ALGO_ID)
        self._waiting: list[Order] = []  # market orders that came between two candles

    # -- in --------------------------------------------------------------------------------------

    def place(self, order: Order) -> Order:
        """Take an order: check it, match what meets it now, let a limit order's rest wait."""
        self.check(order)
        return self._accept(order, self.exchange.last(order.symbol))

    def check(self, order: Order) -> None:
        """Raise the venue's refusal where it would not take the order."""
        exchange = self.exchange
        self._check_side(order)
        if self.orders.live_client_id(order.symbol, order.client_id):
            raise Refusal(-4116)
        if order.price and self.orders.count(order.symbol) >= self._instrument(order).max_orders:
            raise Refusal(-2025)
        self._check_reducing(order)
        self._check_band(order)
        last = exchange.last(order.symbol)
        depth = exchange.depths[order.symbol]
        at_once = depth.reachable(order.sign, order.units, order.price, last)
        if order.tif == "GTX" and at_once:
            raise Refusal(-5022)
        if order.tif == "FOK" and at_once < order.units:
            raise Refusal(-5021)
        if not order.reduces:
            self._check_size(order, last)
            self._check_margin(order, at_once, last)

    def _instrument(self, order: Order | Algo) -> Instrument:
        return self.exchange.books.instruments[order.symbol]

    def _check_side(self, order: Order | Algo) -> None:
        hedged = self.exchange.hedged
        if hedged != (order.position_side in (LONG, SHORT)):
            raise Refusal(-4061)
        if hedged and order.reduce_only:
            raise Refusal(-1106, name="reduceOnly")

    def _check_reducing(self, order: Order) -> None:
        if order.reduces and not self.room_to_reduce(order):
            raise Refusal(-2022)

    def room_to_reduce(self, order: Order) -> int:
        """How many steps an order that only reduces may still fill."""
        held = self.exchange.books.units(order.key)
        return abs(held) if held * order.sign < 0 else 0

    def _check_band(self, order: Order) -> None:
        if order.symbol in self.exchange.paused:
            return  # inside a candle nobody knows the mark
        mark = self.exchange.books.marks[order.symbol]
        instrument = self._instrument(order)
        if order.price and order.sign > 0 and order.price > mark * (1.0 + PRICE_BAND):
            highest = instrument.price_text(instrument.down_to_tick(mark * (1.0 + PRICE_BAND)))
            raise Refusal(-4016, f"Limit price can't be higher than {highest}.")
        if order.price and order.sign < 0 and order.price < mark * (1.0 - PRICE_BAND):
            lowest = instrument.price_text(instrument.up_to_tick(mark * (1.0 - PRICE_BAND)))
            raise Refusal(-4024, f"Limit price can't be lower than {lowest}.")
        if not order.price:
            last = self.exchange.last(order.symbol)
            best = self.exchange.depths[order.symbol].best(order.sign, last)
            if order.sign * (best - mark) > PRICE_BAND * mark:
                raise Refusal(-4131)

    def _check_size(self, order: Order, last: float) -> None:
        instrument = self._instrument(order)
        price = order.price or self.exchange.depths[order.symbol].best(order.sign, last)
        notional = instrument.size(order.units) * price
        closes = order.units <= self.room_to_reduce(order)
        if notional < float(instrument.min_notional) and not closes:
            raise Refusal(-4164, notional=f"{instrument.min_notional:f}")
        position = self.exchange.books.position(order.key)
        after = abs(position.size + order.sign * instrument.size(order.units)) * price
        if not closes and position.leverage > position.tiers.max_leverage(after):
            raise Refusal(-2027)

    def _check_margin(self, order: Order, at_once: int, last: float) -> None:
        """What fills now must fit with its fee; what rests must be covered beside the others."""
        exchange, instrument = self.exchange, self._instrument(order)
        if order.units <= self.room_to_reduce(order):
            return
        free = exchange.available()
        if at_once or not order.price:
            price = exchange.depths[order.symbol].best(order.sign, last)
            lacking = self.shortfall(order, order.units, price)
            if lacking + exchange.reserved() > exchange.noise:
                raise Refusal(-2019)
            return
        others = self.orders.of(order.symbol)
        added = exchange.books.order_margin(order.symbol, [*others, order])
        added -= exchange.books.order_margin(order.symbol, others)
        fee = instrument.size(order.units) * order.price * exchange.settings.maker
        if added > 0.0 and added + fee > free + exchange.noise:
            raise Refusal(-2019)

    def shortfall(self, order: Order, units: int, price: float) -> float:
        """Margin (quote) that is missing for a fill at ``price`` (<= 0: it fits)."""
        exchange = self.exchange
        size = self._instrument(order).size(units)
        fee = size * price * exchange.settings.taker
        account, marks = exchange.books.account, exchange.books.marks
        return account.margin_shortfall(order.key, order.sign * size, price, fee, marks)

    def _accept(self, order: Order, last: float) -> Order:
        exchange = self.exchange
        order.created = order.updated = exchange.now
        self.orders.add(order)
        exchange.tell(Event("order", order, "NEW"))
        if not exchange.between:
            self._match_now(order, last)
        elif not order.price or order.tif in ("IOC", "FOK"):
            self._waiting.append(order)
        return order

    def _match_now(self, order: Order, last: float) -> None:
        """Match what meets it; nothing of a market order stays."""
        self.match(order, last)
        if order.live and (not order.price or order.tif in ("IOC", "FOK")):
            self.end(order, "EXPIRED", "nothing more to match")

    def take_waiting(self) -> None:
        """The next candle has opened: match the market orders that came before it did."""
        waiting, self._waiting = self._waiting, []
        for order in waiting:
            if order.live:
                self._match_now(order, self.exchange.last(order.symbol))

    # -- matching --------------------------------------------------------------------------------

    def match(self, order: Order, last: float) -> None:
        """Let an order take what the book holds for it with the price at ``last``."""
        depth = self.exchange.depths[order.symbol]
        units = self.exchange.held_back(order)
        if order.reduces:
            units = min(units, self.room_to_reduce(order))
        for price, part in depth.take(order.sign, units, order.price, last):
            if not order.live or not self.fill(order, part, price, maker=False):
                return

    def fill(self, order: Order, units: int, price: float, *, maker: bool) -> bool:
        """Book a fill, or end the order where it may not be filled any more."""
        exchange = self.exchange
        if order.reduces:
            units = min(units, self.room_to_reduce(order))
            if not units:
                self.end(order, "EXPIRED", "reduce-only, and there is nothing left to reduce")
                return False
        objection = self._objection(order, units, price)
        if objection:
            self.end(order, "EXPIRED", objection)
            return False
        trade = exchange.books.fill(order, units, price, maker=maker, time=exchange.now)
        if not order.live:
            self.orders.close(order)
        exchange.tell(Event("order", order, "TRADE", trade))
        exchange.position_changed(order.key)
        self._algo_follows(order)
        return True

    def _objection(self, order: Order, units: int, price: float) -> str:
        """Why the opening part of a fill may not be, in words; empty where it may."""
        if order.reduces or units <= self.room_to_reduce(order):
            return ""
        if self.shortfall(order, units, price) > self.exchange.noise:
            return "Margin is insufficient."
        position = self.exchange.books.position(order.key)
        size = abs(position.size + order.sign * self._instrument(order).size(units))
        if position.leverage > position.tiers.max_leverage(size * price):
            return "Exceeded the maximum allowable position at current leverage."
        return ""

    # -- out -------------------------------------------------------------------------------------

    def cancel(self, order: Order) -> Order:
        """Cancel an open order; -2011 where it is open no more."""
        if not order.live:
            raise Refusal(-2011)
        self.end(order, "CANCELED", "cancelled by its owner")
        return order

    def end(self, order: Order, status: str, reason: str) -> None:
        """End an order without a further fill."""
        order.status, order.reason, order.updated = status, reason, self.exchange.now
        self.orders.close(order)
        self.exchange.tell(Event("order", order, status))
        self._algo_follows(order)

    def amend(self, order: Order, units: int, price: float) -> Order:
        """Change quantity and price of a resting limit order; it goes to the back of the queue."""
        if not order.live:
            raise Refusal(-2013)
        if order.kind != "LIMIT":
            raise Refusal(-5025)
        if (units, price) == (order.units, order.price):
            raise Refusal(-5027)
        if units <= order.filled:
            self.end(order, "CANCELED", "amended to no more than was filled")
            return order
        changed = Order(
            order.id, order.client_id, order.symbol, order.sign, order.kind, units - order.filled,
            price, order.tif, order.position_side, order.reduce_only,
        )  # fmt: skip
        self.orders.close(order)  # so that it does not count against itself
        order.status = "CANCELED"
        try:
            self.check(changed)
        finally:
            order.status = "PARTIALLY_FILLED" if order.filled else "NEW"
            self.orders.open.setdefault(order.symbol, {})[order.id] = order
        order.units, order.price, order.updated = units, price, self.exchange.now
        order.changes += 1
        self.exchange.tell(Event("order", order, "AMENDMENT"))
        self.match(order, self.exchange.last(order.symbol))
        if order.live and order.tif in ("IOC", "FOK"):
            self.end(order, "EXPIRED", "nothing more to match")
        return order

    def cancel_all(self, symbol: str) -> int:
        """Cancel all open orders of a contract; how many there were."""
        orders = self.orders.of(symbol)
        for order in orders:
            self.cancel(order)
        return len(orders)

    # -- conditional orders ----------------------------------------------------------------------

    def place_algo(self, algo: Algo) -> Algo:
        """Take a conditional order: it waits for its trigger."""
        self._check_side(algo)
        if self.algos.live_client_id(algo.symbol, algo.client_id):
            raise Refusal(-4116)
        if self.algos.count(algo.symbol) >= self._instrument(algo).max_algo_orders:
            raise Refusal(-2025)
        if algo.close_position:
            self._check_closing(algo)
        now = self.exchange.working_price(algo)
        if algo.kind == TRAILING:
            self._start_trailing(algo, now)
        elif (algo.trigger <= now) if algo.rises else (algo.trigger >= now):
            raise Refusal(-2021)
        algo.created = algo.updated = self.exchange.now
        self.algos.add(algo)
        self.exchange.tell(Event("algo", algo))
        return algo

    def _check_closing(self, algo: Algo) -> None:
        same = (
            o for o in self.algos.of(algo.symbol)
            if o.close_position and o.sign == algo.sign and o.rises == algo.rises
        )  # fmt: skip
        if next(same, None) is not None:
            raise Refusal(-4130)

    def _start_trailing(self, algo: Algo, now: float) -> None:
        if algo.activation and (algo.activation - now) * algo.sign > 0.0:
            # A sell is activated by a rise, a buy by a fall: what has been passed is refused.
            raise Refusal(-2021)
        if not algo.activation:
            algo.extreme = now

    def cancel_algo(self, algo: Algo, status: str = "CANCELED", reason: str = "") -> Algo:
        """Cancel a waiting conditional order; -2011 where it waits no more."""
        if not algo.live:
            raise Refusal(-2011)
        algo.status, algo.reason, algo.updated = status, reason, self.exchange.now
        self.algos.close(algo)
        self.exchange.tell(Event("algo", algo))
        return algo

    def trigger(self, algo: Algo, price: float) -> Order | None:
        """The trigger is met with the last price at ``price``: the order goes into the book."""
        books = self.exchange.books
        algo.triggered = self.exchange.now
        units = algo.units
        if algo.close_position:
            units = abs(books.units(self.closing_key(algo)))
        order = Order(
            self.orders.new_id(), algo.client_id, algo.symbol, algo.sign,
            "MARKET" if algo.kind in MARKET_KINDS else "LIMIT", units,
            0.0 if algo.kind in MARKET_KINDS else algo.price, algo.tif, algo.position_side,
            algo.reduce_only, algo.close_position, algo.good_till, origin=algo.kind,
            algo_id=algo.id, working=algo.working,
        )  # fmt: skip
        try:
            if not units:
                raise Refusal(-2022)
            self._check_reducing(order)
            if not order.reduces:
                self._check_size(order, price)
                depth = self.exchange.depths[order.symbol]
                at_once = depth.reachable(order.sign, units, order.price, price)
                self._check_margin(order, at_once, price)
        except Refusal as refusal:
            self.cancel_algo(algo, "EXPIRED" if refusal.code == -2022 else "REJECTED", refusal.msg)
            return None
        algo.status, algo.order_id, algo.updated = "TRIGGERED", order.id, self.exchange.now
        self.algos.close(algo)
        self.exchange.tell(Event("algo", algo))
        return self._accept(order, price)

    def closing_key(self, algo: Algo) -> str:
        """The position that a conditional order with closePosition closes."""
        return position_key(algo.symbol, algo.position_side)

    def _algo_follows(self, order: Order) -> None:
        """A conditional order is finished when the order that it became has ended."""
        algo = self.algos.all.get(order.algo_id) if order.algo_id else None
        if algo is not None and not order.live and algo.status == "TRIGGERED":
            algo.status, algo.updated = "FINISHED", self.exchange.now
            self.exchange.tell(Event("algo", algo))
