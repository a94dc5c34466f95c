"""The walk through a stretch of candle: what rests is met in the order of SEMANTICS section 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from leverpack.margin.inside import (
    first_breach,
    first_event,
    limit_touch,
    stop_touch,
    walks_down_first,
)
from leverpack.paper.orders import TRAILING, Algo, Order
from leverpack.paper.tape import Slice, Tape

if TYPE_CHECKING:
    from leverpack.paper.exchange import Exchange

Action = Callable[[], None]


class Walk:
    """Plays stretches of candles: liquidations, resting orders, triggers, by price and time.

    The same order of events as the margin broker's: at the open liquidation where the mark opens
    beyond its price, then what the open has passed; inside, what the candle meets first on its
    way, against the position where nobody can know; the close. In :meth:`pieces` the client may
    send orders at each stop: they come into being at the price there, and a limit that was made
    inside waits for the next candle, as nobody knows whether the better price came before.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._tried: set[int] = set()
        self._inside_from: dict[str, float] = {}
        self._liquidated_at: dict[str, float] = {}  # where the mark was seen in this stretch
        self._made_at: dict[int, float] = {}  # orders that came inside this stretch, and where
        self._known: set[int] = set()  # those that were there before the last stop

    def play(self, tapes: list[Tape], to: float) -> None:
        """Play the candles of ``tapes`` on to the part ``to`` (0..1) of them."""
        for _ in self.pieces(tapes, to):
            pass

    def pieces(self, tapes: list[Tape], to: float) -> Iterator[None]:
        """The same, with a stop after each thing that befell the account."""
        exchange = self.exchange
        fresh = [tape for tape in tapes if tape.progress == 0.0]
        played = [(tape, tape.play(to)) for tape in tapes]
        self._tried.clear()
        self._inside_from.clear()
        self._liquidated_at.clear()
        self._made_at.clear()
        for tape, part in played:
            exchange.books.set_mark(tape.instrument.symbol, part.mark[0])
            exchange.depths[tape.instrument.symbol].refresh(part.volume)
        for tape, part in played:
            if tape in fresh:
                yield from self._at_open(tape, part)
        for tape, part in played:
            exchange.now = max(exchange.now, _moment(tape, to))
            yield from self._inside(tape, part)
        self._together(played)
        for tape, part in played:
            exchange.books.set_mark(tape.instrument.symbol, part.mark[3])
            self._follow(tape, part)

    def _stop(self, symbol: str, price: float, *, at_open: bool) -> Iterator[None]:
        """Stand still at ``price``, and note what has come meanwhile."""
        exchange = self.exchange
        self._known = {o.id for o in self._resting(symbol)}
        exchange.paused[symbol] = price
        try:
            yield
        finally:
            exchange.paused.pop(symbol, None)
        if at_open:
            return
        for order in self._resting(symbol):
            if order.id not in self._known:
                self._made_at[order.id] = price
                if isinstance(order, Order):
                    self._tried.add(order.id)

    def _resting(self, symbol: str) -> list[Order | Algo]:
        return [*self.exchange.desk.orders.of(symbol), *self.exchange.desk.algos.of(symbol)]

    # -- the open --------------------------------------------------------------------------------

    def _at_open(self, tape: Tape, part: Slice) -> Iterator[None]:
        symbol, start, mark = tape.instrument.symbol, part.trade[0], part.mark[0]
        exchange = self.exchange
        for key in exchange.books.held(symbol):
            lower, upper = exchange.books.liquidation_range(key)
            if (mark <= lower or mark >= upper) and exchange.books.position(key).size:
                exchange.liquidate(key, mark)
                yield from self._stop(symbol, start, at_open=True)
        for order in sorted(self._resting(symbol), key=lambda o: (o.created, o.id)):
            if not order.live:
                continue
            if isinstance(order, Order):
                if limit_touch(order.sign > 0, order.price, start, start, start) is None:
                    continue
                self._fill(order, start)
            elif self._passed(order, start, mark):
                self._tried.add(order.id)
                exchange.desk.trigger(order, start)
            else:
                continue
            yield from self._stop(symbol, start, at_open=True)

    def _passed(self, algo: Algo, last: float, mark: float) -> bool:
        now = mark if algo.working == "MARK_PRICE" else last
        if algo.kind == TRAILING:
            level = trailing_level(algo)
            return level is not None and ((now <= level) if algo.sign < 0 else (now >= level))
        return stop_touch(algo.rises, algo.trigger, now, now, now) is not None

    # -- inside ----------------------------------------------------------------------------------

    def _inside(self, tape: Tape, part: Slice) -> Iterator[None]:
        symbol = tape.instrument.symbol
        down_first: bool | None = None
        while True:
            orders, forced = self._orders_met(symbol, part), self._forced(symbol, part)
            met = orders + forced
            if not met:
                return
            chosen = 0
            size = self._net(symbol)
            if len(met) > 1 and size:
                if down_first is None:
                    down_first = walks_down_first(self.exchange.settings.intrabar, size)
                start = self._inside_from.get(symbol, part.trade[0])
                prices = [price for price, _ in orders]
                at_risk = [price for price, _ in forced]
                chosen = first_event(prices, at_risk, start, down_first)
            price, happen = met[chosen]
            happen()
            yield from self._stop(symbol, price, at_open=False)

    def _net(self, symbol: str) -> float:
        books = self.exchange.books
        return sum(books.position(key).size for key in books.keys(symbol))

    def _orders_met(self, symbol: str, part: Slice) -> list[tuple[float, Action]]:
        found: list[tuple[int, int, float, Action]] = []
        start, high, low, _ = part.trade
        for order in self.exchange.desk.orders.of(symbol):
            if order.id not in self._tried:
                begins = self._made_at.get(order.id, start)
                price = limit_touch(order.sign > 0, order.price, begins, high, low)
                if price is not None:
                    found.append((order.created, order.id, price, self._filling(order, price)))
        for algo in self.exchange.desk.algos.of(symbol):
            if algo.id not in self._tried:
                price = self._trigger_price(algo, part)
                if price is not None:
                    found.append((algo.created, algo.id, price, self._firing(algo, price, part)))
        found.sort(key=lambda f: f[:2])
        return [(price, action) for _, _, price, action in found]

    def _filling(self, order: Order, price: float) -> Action:
        return lambda: self._fill(order, price)

    def _firing(self, algo: Algo, price: float, part: Slice) -> Action:
        def fire() -> None:
            self._tried.add(algo.id)
            was_flat = not self._net(algo.symbol)
            order = self.exchange.desk.trigger(algo, price)
            if was_flat and self._net(algo.symbol):
                self._inside_from[algo.symbol] = price
            if order is not None and order.live:
                # Nobody knows whether the rest of the candle came back to its limit; the close is.
                self._tried.add(order.id)
                close = part.trade[3]
                if limit_touch(order.sign > 0, order.price, close, close, close) is not None:
                    self._fill(order, order.price)

        return fire

    def _fill(self, order: Order, price: float) -> None:
        self._tried.add(order.id)
        exchange = self.exchange
        units = exchange.depths[order.symbol].give(exchange.held_back(order))
        if not units:
            return
        was_flat = not self._net(order.symbol)
        exchange.desk.fill(order, units, price, maker=True)
        if was_flat and self._net(order.symbol):
            self._inside_from[order.symbol] = price

    def _trigger_price(self, algo: Algo, part: Slice) -> float | None:
        """The last price at which a conditional order is triggered in a stretch, or None."""
        by_mark = algo.working == "MARK_PRICE"
        start, high, low, _ = part.mark if by_mark else part.trade
        if not by_mark:
            start = self._made_at.get(algo.id, start)
        level: float | None = algo.trigger
        if algo.kind == TRAILING:
            level = trailing_level(algo, 0.0 if self._by_close else start)
        if level is None:
            return None
        touched = stop_touch(algo.rises, level, start, high, low)
        return _trade_at(touched, part) if by_mark and touched is not None else touched

    # -- liquidation -----------------------------------------------------------------------------

    def _forced(self, symbol: str, part: Slice) -> list[tuple[float, Action]]:
        books = self.exchange.books
        _, high, low, _ = part.mark
        found: list[tuple[float, Action]] = []
        for key in books.held(symbol):
            lower, upper = books.liquidation_range(key)
            seen = self._liquidated_at.get(symbol)
            if seen is not None and (seen <= lower or seen >= upper):
                return [(seen, self._forcing(key, seen))]
            for price, reached in ((lower, low <= lower), (upper, high >= upper)):
                if reached:
                    found.append((price, self._forcing(key, price)))
        return found

    def _forcing(self, key: str, price: float) -> Action:
        def force() -> None:
            self._liquidated_at[key.partition(":")[0]] = price
            self.exchange.liquidate(key, price)

        return force

    def _together(self, played: list[tuple[Tape, Slice]]) -> None:
        """Test the cross account with all contracts falling together, then all rising together.

        Each contract alone was tested on its own extreme; in a crash they move as one.
        """
        books = self.exchange.books
        account = books.account
        for column in (2, 1):
            while True:
                cross = [str(k) for k, p in account.open_positions() if not p.isolated]
                if len({k.partition(":")[0] for k in cross}) < 2:
                    break
                start = dict(books.marks)
                end = start | {
                    key: part.mark[column]
                    for tape, part in played
                    for key in books.keys(tape.instrument.symbol)
                }
                hit = first_breach(account.cross_balance, start, end)
                if hit is None:
                    break
                worst = max(cross, key=lambda k: books.position(k).maintenance(hit[k]))
                books.marks.update(hit)
                self.exchange.liquidate(worst, hit[worst])
                books.marks.update(start)

    # -- the close -------------------------------------------------------------------------------

    def _follow(self, tape: Tape, part: Slice) -> None:
        """Let trailing stops follow the best price, and trigger where the close fell back."""
        for algo in self.exchange.desk.algos.of(tape.instrument.symbol):
            if algo.kind != TRAILING:
                continue
            row = part.mark if algo.working == "MARK_PRICE" else part.trade
            best = row[1] if algo.sign < 0 else row[2]
            if self._by_close:
                best = row[3]
            if not algo.extreme:
                if (best - algo.activation) * -algo.sign < 0.0:
                    continue
                algo.extreme = algo.activation
            algo.extreme = max(algo.extreme, best) if algo.sign < 0 else min(algo.extreme, best)
            level = trailing_level(algo)
            if level is not None and ((row[3] <= level) if algo.sign < 0 else (row[3] >= level)):
                price = level if algo.working != "MARK_PRICE" else part.trade[3]
                self.exchange.desk.trigger(algo, price)


    @property
    def _by_close(self) -> bool:
        return self.exchange.settings.trail_by == "close"


def trailing_level(algo: Algo, now: float = 0.0) -> float | None:
    """Where a trailing stop triggers (quote), ``now`` counted in; None before its activation."""
    if not algo.extreme:
        return None
    if algo.sign < 0:
        return max(algo.extreme, now) * (1.0 - algo.callback)
    return (min(algo.extreme, now) if now else algo.extreme) * (1.0 + algo.callback)


def _trade_at(mark: float, part: Slice) -> float:
    """The last price at the moment when the mark is at ``mark``: as far on its way."""
    low, high = part.mark[2], part.mark[1]
    share = (mark - low) / (high - low) if high > low else 0.5
    return part.trade[2] + min(1.0, max(0.0, share)) * (part.trade[1] - part.trade[2])


def _moment(tape: Tape, to: float) -> int:
    """Epoch ms of a part of the candle; the last millisecond of it for the close."""
    return min(tape.end_ts - 1, tape.open_ts + round(to * tape.step_ms))
