"""The bar loop: moves only the buffers that exist and calls only what somebody has overridden.

It stands in for ``Cerebro._runonce`` and, within it, ``Strategy._oncepost``, ``_notify``,
``_next_analyzers`` and ``_next_observers``. Relied on is that a ``LineBuffer`` is at bar n when
``_idx == n - 1`` and ``lencount == n``; tests compare every line with Backtrader's own run and
watch the source of the methods that are stood in for.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
from backtrader.lineiterator import LineIterator
from backtrader.lineseries import LineSeriesStub

from leverpack.backtest import vector

_STOOD_IN_FOR = ("_once", "_oncepost", "_notify", "_next_analyzers", "_next_observers", "clear")
_QUIET_OBSERVERS = (bt.observers.BuySell, bt.observers.Trades, bt.observers.DataTrades)
Call = Callable[[], Any]


def objection(cerebro: Any, strategies: list[Any]) -> str:
    """Why this run is not for the fast loop; "" when it is."""
    if cerebro.p.cheat_on_open:
        return "cheat_on_open is on"
    if cerebro.p.quicknotify:
        return "quicknotify is on"
    if cerebro.runwriters:
        return "a writer is attached"
    for strategy in strategies:
        for name in _STOOD_IN_FOR:
            if getattr(type(strategy), name) is not getattr(bt.Strategy, name):
                return f"{type(strategy).__name__} overrides Backtrader's {name}"
        for indicator in strategy._lineiterators[LineIterator.IndType]:
            if _feed_of(indicator, cerebro.datas) is None:
                return f"the clock of {type(indicator).__name__} is not a feed"
    for data in cerebro.datas:
        times = np.frombuffer(data.lines.datetime.array, dtype=np.float64)[: data.buflen()]
        if not (np.diff(times) > 0.0).all():
            return f"the times of {data._name or 'a feed'} are not strictly ascending"
    return ""


def _feed_of(item: Any, datas: list[Any]) -> Any:
    """The feed whose bars move ``item``, found along its clocks; None when there is none."""
    lines = {id(line): data for data in datas for line in data.lines}
    seen: set[int] = set()
    clock: Any = item
    while clock is not None and id(clock) not in seen:
        seen.add(id(clock))
        for data in datas:
            if clock is data:
                return data
        if id(clock) in lines:
            return lines[id(clock)]
        if isinstance(clock, LineSeriesStub):
            clock = clock.lines[0]
            continue
        # Not "or": the truth of a Backtrader line is the truth of its current value.
        next_clock = getattr(clock, "_clock", None)
        clock = getattr(clock, "_owner", None) if next_clock is None else next_clock
    return None


def run(cerebro: Any, strategies: list[Any]) -> None:
    """Compute the indicators, then walk the bars of all feeds in order of time."""
    for data in cerebro.datas:
        if hasattr(data, "share_buffers"):
            data.share_buffers()
    for strategy in strategies:
        compute_indicators(strategy)
        strategy.reset()
    datas = cerebro.datas
    steps, moves = _timeline(datas)
    for data in datas:
        data._tick_nullify()  # the broker falls back to the bar's own prices
    seats = [_Seat(s, datas, steps) for s in strategies]
    movers = [_Mover(data, strategies, datas) for data in datas]
    _walk(cerebro, seats, movers, steps, moves)


def compute_indicators(strategy: Any) -> None:
    """``LineIterator._once`` of a strategy, with the indicators computed over whole arrays."""
    size = strategy._clock.buflen()
    for indicator in strategy._lineiterators[LineIterator.IndType]:
        vector.compute(indicator)
    for observer in strategy._lineiterators[LineIterator.ObsType]:
        observer.forward(size=size)
        observer.home()
    for data in strategy.datas:
        data.home()
    for indicator in strategy._lineiterators[LineIterator.IndType]:
        indicator.home()


def _timeline(datas: list[Any]) -> tuple[array[float], list[bytes] | None]:
    """Every time at which a feed has a bar, and which feeds move there (None: all, always)."""
    times = [
        np.array(np.frombuffer(d.lines.datetime.array, dtype=np.float64)[: d.buflen()])
        for d in datas
    ]
    steps = times[0] if len(times) == 1 else np.unique(np.concatenate(times))
    if all(len(t) == len(steps) for t in times):
        return array("d", steps.tobytes()), None
    return array("d", steps.tobytes()), [np.isin(steps, t).tobytes() for t in times]


def buffers(item: Any) -> list[Any]:
    """The line buffers of a feed, indicator, observer or strategy (a line operation is its own)."""
    return list(item.lines)


class _Mover:
    """One feed with every line that moves when it does."""

    def __init__(self, data: Any, strategies: list[Any], datas: list[Any]) -> None:
        lines = {id(line): line for line in buffers(data)}
        for strategy in strategies:
            for indicator in strategy._lineiterators[LineIterator.IndType]:
                if _feed_of(indicator, datas) is data:
                    lines.update((id(line), line) for line in buffers(indicator))
        self.lines = list(lines.values())
        self.bar = 0

    def move(self) -> None:
        index = self.bar
        self.bar = count = index + 1
        for line in self.lines:
            line._idx = index
            line.lencount = count


class _Seat:
    """One strategy with what has to be called for it at each bar."""

    def __init__(self, strategy: Any, datas: list[Any], steps: array[float]) -> None:
        self.strategy = strategy
        self.lines = buffers(strategy)
        for line in self.lines:
            vector.fill(line, len(steps))
        strategy.lines.datetime.array = steps  # nobody writes to it
        self.listens = _listens(strategy)
        self.broker_observers: list[_BrokerObserverSeat] = []
        self.observers: list[_ObserverSeat] = []
        self._seat_observers(len(steps))
        self.before = [c for a in strategy.analyzers for c in _analyzer_call(a, "prenext")]
        self.first = [c for a in strategy.analyzers for c in _analyzer_call(a, "nextstart")]
        self.after = [c for a in strategy.analyzers for c in _analyzer_call(a, "next")]


    def _seat_observers(self, steps: int) -> None:
        for observer in self.strategy._lineiterators[LineIterator.ObsType]:
            for line in observer.lines:
                vector.fill(line, steps)
                self.lines.append(line)
            plain = type(observer) is bt.observers.Broker and not observer._analyzers
            if plain and not observer._fundmode:
                self.broker_observers.append(
                    _BrokerObserverSeat(observer, self.strategy.broker)
                )
            else:
                self.observers.append(_ObserverSeat(observer))


def _listens(strategy: Any) -> bool:
    """Whether somebody wants to hear of cash and value at every bar."""
    kind, stock = type(strategy), bt.Strategy
    if (
        kind.notify_cashvalue is not stock.notify_cashvalue
        or kind.notify_fund is not stock.notify_fund
    ):
        return True
    analyzers = [*strategy.analyzers, *strategy._slave_analyzers]
    return any(
        a._children
        or any(
            getattr(type(a), name) is not getattr(bt.Analyzer, name)
            for name in (
                "notify_cashvalue", "notify_fund", "_notify_cashvalue", "_notify_fund"
            )
        )
        for a in analyzers
    )  # fmt: skip


def _analyzer_call(analyzer: Any, name: str) -> list[Call]:
    """The analyzer's method of one phase, or nothing where it would do nothing."""
    kind, stock = type(analyzer), bt.Analyzer
    own = getattr(kind, f"_{name}") is not getattr(stock, f"_{name}")
    # prenext and nextstart end up in next unless they are overridden.
    body = getattr(kind, name) is not getattr(stock, name) or kind.next is not stock.next
    if not (own or body or analyzer._children):
        return []
    return [getattr(analyzer, f"_{name}")]


class _ObserverSeat:
    """One observer that may have something to write at any bar."""

    def __init__(self, observer: Any) -> None:
        self.observer = observer
        self.only_when_told = type(observer) in _QUIET_OBSERVERS

    def at(self, status: int) -> None:
        observer = self.observer
        for analyzer in observer._analyzers:
            if status < 0:
                analyzer._next()
            elif status == 0:
                analyzer._nextstart()
            else:
                analyzer._prenext()
        if status < 0:
            observer.next()
        elif status == 0:
            observer.nextstart()
        else:
            observer.prenext()


class _BrokerObserverSeat:
    """Backtrader's own cash and value observer, written without its twelve calls a bar."""

    def __init__(self, observer: Any, broker: Any) -> None:
        self.broker = broker
        self.cash, self.value = observer.lines.cash.array, observer.lines.value.array
        self.last = (broker.getcash(), broker.getvalue())

    def at(self, index: int, stirred: bool) -> None:
        if stirred:
            self.last = (self.broker.getcash(), self.broker.getvalue())
        self.cash[index], self.value[index] = self.last


def _walk(
    cerebro: Any, seats: list[_Seat], movers: list[_Mover], steps: array[float],
    moves: list[bytes] | None,
) -> None:  # fmt: skip
    broker = cerebro._broker
    kick = cerebro._brokernotify
    can_idle = isinstance(getattr(broker, "idle", None), bool)
    timers = bool(cerebro._timers or cerebro._timerscheat)
    strategies = [seat.strategy for seat in seats]
    stirred = True
    for index, now in enumerate(steps):
        for position, mover in enumerate(movers):
            if moves is None or moves[position][index]:
                mover.move()
        if timers:
            cerebro._check_timers(strategies, now, cheat=True)
        if not can_idle or not broker.idle:
            stirred = True
            kick()
            if cerebro._event_stop:
                return
        if timers:
            cerebro._check_timers(strategies, now, cheat=False)
        for seat in seats:
            _step(seat, index, stirred)
            if cerebro._event_stop:
                return
        stirred = False


def _step(seat: _Seat, index: int, stirred: bool) -> None:
    strategy = seat.strategy
    count = index + 1
    for line in seat.lines:
        line._idx = index
        line.lencount = count
    if seat.listens or strategy._orderspending or strategy._tradespending:
        strategy._notify()
    status = strategy._minperstatus
    if status >= 0:
        status = strategy._getminperstatus()
    if status < 0:
        strategy.next()
        calls = seat.after
    elif status == 0:
        strategy.nextstart()
        calls = seat.first
    else:
        strategy.prenext()
        calls = seat.before
    for call in calls:
        call()
    told = bool(strategy._orderspending or strategy._tradespending)
    for stock in seat.broker_observers:
        stock.at(index, stirred)
    for observer in seat.observers:
        if told or not observer.only_when_told:
            observer.at(status)
    if told:
        strategy.clear()
