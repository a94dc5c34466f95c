"""Trades from flat to flat, written down by the broker as they happen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from leverpack.backtest.resting import LIMIT, STOP, STOP_LIMIT
from leverpack.margin.books import Costs, MarginPosition
from leverpack.result import TradeRecord

_EXIT_OF_TAG = {
    "stop": "stop", "target": "target", "trail": "trailing", "time": "time",
    "liquidation": "liquidation", "open": "end",
    "emergency": "emergency", "margin": "emergency", "liquidation near": "emergency",
    "cut": "emergency",
}  # fmt: skip


class Traded(Protocol):
    """What the ledger must know of a market: the backtest's, or one replayed from a journal."""

    key: str
    close: float  # of the last candle, quote
    state: MarginPosition
    resting: list[Any]  # of Rested

    @property
    def bar(self) -> int:
        """Candles so far, counted from 1."""

    def time_ms(self) -> int:
        """Now, epoch ms UTC."""


class Rested(Protocol):
    """What the ledger must know of an order: side, kind (of ``resting``), whether it trails."""

    buy: bool
    kind: int
    trailing: bool
    created: Any  # its ``price`` and ``pricelimit``, quote


def exit_reason(tag: str, order: Rested | None) -> str:
    """One of EXIT_REASONS: by the tag that a pack strategy gives, else by the kind of order."""
    known = _EXIT_OF_TAG.get(tag)
    if known is not None or order is None:
        return known or "signal"
    if order.trailing:
        return "trailing"
    if order.kind in (STOP, STOP_LIMIT):
        return "stop"
    return "target" if order.kind == LIMIT else "signal"


@dataclass(slots=True)
class _Open:
    """A trade under way: what it started with and what it has closed so far."""

    side: float
    entry_time: int
    entry_bar: int
    leverage: float
    before: Costs  # the symbol's costs when it started, its own opening fee not included
    entry: float = 0.0
    size: float = 0.0  # largest held
    margin: float = 0.0
    closed: float = 0.0
    closed_value: float = 0.0
    nearest: float | None = None
    worst_ratio: float | None = None
    stop: float | None = None
    target: float | None = None

    def plan(self, order: Rested) -> None:
        """Note the first stop and the first target that rest against the position."""
        if order.buy == (self.side > 0.0):
            return
        if order.kind in (STOP, STOP_LIMIT) and self.stop is None:
            self.stop = order.created.price
        elif order.kind == LIMIT and self.target is None:
            self.target = order.created.price or order.created.pricelimit


class Ledger:
    """One open trade a symbol at most; ``trades`` holds the closed ones in order of their end."""

    def __init__(self) -> None:
        self.trades: list[TradeRecord] = []
        self._open: dict[str, _Open] = {}

    def fill(
        self, m: Traded, closed: float, opened: float, price: float, fee: float, tag: str,
        order: Rested | None = None,
    ) -> None:  # fmt: skip
        """Take in a fill that the account has already booked; sizes signed as the fill."""
        time = m.time_ms()
        total = abs(closed) + abs(opened)
        opening_fee = fee * abs(opened) / total
        if closed:
            # An order that goes on into the other direction is an entry, of whatever kind.
            why = exit_reason(tag, None if opened else order)
            self._close_part(m, abs(closed), price, opening_fee, (tag, why), time)
        if opened:
            trade = self._open.get(m.key)
            if trade is None:
                before = dataclasses.replace(m.state.costs)
                before.fees -= opening_fee
                trade = self._open[m.key] = _Open(
                    1.0 if opened > 0.0 else -1.0, time, m.bar, m.state.leverage, before
                )
                for r in m.resting:  # the children of a bracket rest before their entry fills
                    if r.order.parent is not None and r.order.alive():
                        trade.plan(r)
            trade.entry = m.state.entry
            if abs(m.state.size) > trade.size:
                trade.size = abs(m.state.size)
                trade.margin = trade.size * trade.entry / m.state.leverage

    def rests(self, m: Traded, order: Rested) -> None:
        """An order came to rest: against an open position it is its stop or its target."""
        trade = self._open.get(m.key)
        if trade is not None:
            trade.plan(order)

    def liquidated(self, m: Traded, size: float, price: float) -> None:
        """The venue closed what was left of a position."""
        trade = self._open.get(m.key)
        if trade is not None:
            trade.nearest, trade.worst_ratio = 0.0, max(trade.worst_ratio or 0.0, 1.0)
        why = ("liquidation", "liquidation")
        self._close_part(m, abs(size), price, 0.0, why, m.time_ms())

    def _close_part(
        self, m: Traded, size: float, price: float, fee_not_mine: float, why: tuple[str, str],
        time: int,
    ) -> None:  # fmt: skip
        trade = self._open[m.key]
        trade.closed += size
        trade.closed_value += size * price
        reversed_now = m.state.size * trade.side < 0.0
        if m.state.size == 0.0 or reversed_now:
            del self._open[m.key]
            costs = dataclasses.replace(m.state.costs)
            costs.fees -= fee_not_mine
            exit_price = trade.closed_value / trade.closed
            self.trades.append(self._record(m, trade, costs, time, exit_price, 0.0, why))

    def seen(self, m: Traded, distance: float, ratio: float | None) -> None:
        """The nearest so far to liquidation (fraction of the mark) and the margin ratio there."""
        trade = self._open.get(m.key)
        if trade is not None:
            trade.nearest = distance
            # Not the largest of all: far from liquidation a step between tiers makes the ratio
            # rise with a price that moves away from it.
            trade.worst_ratio = trade.worst_ratio if ratio is None else ratio

    def still_open(self, markets: Iterable[Traded]) -> list[TradeRecord]:
        """The trades under way, valued at the last close."""
        records = []
        for m in markets:
            trade = self._open.get(m.key)
            if trade is not None:
                open_pnl = m.state.unrealised(m.close)
                why = ("open", "end")
                records.append(self._record(m, trade, m.state.costs, None, None, open_pnl, why))
        return records

    @staticmethod
    def _record(
        m: Traded, trade: _Open, after: Costs, time: int | None, exit_price: float | None,
        open_pnl: float, why: tuple[str, str],
    ) -> TradeRecord:  # fmt: skip
        before = trade.before
        spent = Costs(*(getattr(after, n) - getattr(before, n) for n in _COST_NAMES))
        net = spent.net() + open_pnl
        return TradeRecord(
            symbol=m.key,
            side="long" if trade.side > 0.0 else "short",
            size=trade.size,
            leverage=trade.leverage,
            entry_time=trade.entry_time,
            entry_price=trade.entry,
            exit_time=time,
            exit_price=exit_price,
            pnl=spent.realised + open_pnl,
            fees=spent.fees,
            funding=spent.funding,
            interest=spent.interest,
            liquidation_fee=spent.liquidation_fees,
            insurance=spent.insurance,
            net=net,
            margin=trade.margin,
            bars=m.bar - trade.entry_bar,
            reason=why[0],
            worst_margin_ratio=trade.worst_ratio,
            nearest_liquidation=trade.nearest,
            exit_reason=why[1],
            profit_on_margin=net / trade.margin if trade.margin > 0.0 else None,
            duration_ms=(m.time_ms() if time is None else time) - trade.entry_time,
            stop_price=trade.stop,
            target_price=trade.target,
        )


_COST_NAMES = tuple(f.name for f in dataclasses.fields(Costs))
