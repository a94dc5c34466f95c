"""One feed as the margin broker sees it: its candle now, its mark, its funding, its tier table."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from datetime import date
from math import inf
from typing import Any

import backtrader as bt

from leverpack.backtest.resting import LIMIT, STOP
from leverpack.errors import SettingError
from leverpack.margin.books import MarginPosition
from leverpack.margin.tiers import TierBook, TierTable

_UNIX_EPOCH_NUM = 719163.0  # bt.date2num(1970-01-01)
_MS_PER_DAY = 86_400_000.0


def epoch_ms(num: float) -> int:
    """Epoch milliseconds (UTC) of one of Backtrader's date numbers."""
    return round((num - _UNIX_EPOCH_NUM) * _MS_PER_DAY)


class Market:
    """Everything the broker keeps for one feed; ``bar`` counts delivered candles from 1."""

    __slots__ = (
        "bar", "book", "candle_nearest", "close", "data", "fit", "funding", "funding_at",
        "funding_bars", "high", "inside_from", "key", "lines", "liquidation", "low", "mark",
        "marks", "nearest", "open", "owner", "position", "resting", "rollover_at", "state",
        "tradeid",
    )  # fmt: skip

    def __init__(
        self, data: Any, key: str, book: TierBook | None, assumed: TierTable,
        fit: Callable[[TierTable], TierTable],
    ) -> None:  # fmt: skip
        self.data = data
        self.fit = fit  # a table as the venue reads it
        self.key = key
        self.book = book if book is not None and key in book else None
        self.lines = tuple(getattr(data.lines, name) for name in _PRICES)
        self.position: Any = None  # Backtrader's Position, set by the broker
        self.state: MarginPosition = MarginPosition(assumed, 1.0, True)
        self.resting: list[Any] = []
        self.owner: Any = None  # the strategy that opened the position
        self.tradeid = 0
        self.bar = 0
        self.open = self.high = self.low = self.close = 0.0
        self.liquidation: float | None = None  # liquidation price; None: flat
        self.candle_nearest: float | None = None  # nearest this candle came to liquidation
        self.nearest = inf  # nearest that the position came so far
        self.inside_from: float | None = None  # where inside this candle the position began
        self._load_companions()

    def _load_companions(self) -> None:
        mark, funding = getattr(self.data, "mark", None), getattr(self.data, "funding", None)
        if getattr(self.data, "_filters", ()) and (mark is not None or funding is not None):
            raise SettingError(
                f"a filter or resampling changes the candles of {self.key}, so that its mark and "
                "funding no longer fit them: add the feed as it is, and resample that"
            )
        # array.array gives a Python float at half the cost of a NumPy scalar, and at the same size.
        self.marks: tuple[array[float], ...] | None = None
        if mark is not None and hasattr(mark, "fallback"):
            columns = (mark.open, mark.high, mark.low, mark.close)
            self.marks = tuple(array("d", c.tobytes()) for c in columns)
        self.funding: Any = None
        self.funding_bars: list[int] = []
        if funding is not None and hasattr(funding, "bar"):
            self.funding = funding
            self.funding_bars = [int(b) for b in funding.bar]
        self.funding_at = 0
        self.rollover_at: int | None = None  # epoch ms of the next rollover fee; None: no such fee
        self.mark = (0.0, 0.0, 0.0, 0.0)

    def refresh(self) -> bool:
        """Take in the candle that the feed shows now; False when it has delivered no new one."""
        line = self.lines[0]
        bar: int = line.lencount
        if bar == self.bar:
            return False
        self.bar = bar
        self.candle_nearest = None
        self.inside_from = None
        index = line._idx
        lopen, lhigh, llow, lclose = self.lines
        self.open = lopen.array[index]
        self.high = lhigh.array[index]
        self.low = llow.array[index]
        self.close = lclose.array[index]
        marks = self.marks
        if marks is None:
            self.mark = (self.open, self.high, self.low, self.close)
        else:
            at = bar - 1
            self.mark = (marks[0][at], marks[1][at], marks[2][at], marks[3][at])
        return True

    def is_quiet(self) -> bool:
        """Whether this candle leaves everything as it is: nothing due, nothing touched.

        Most candles do, and the broker's cost is the cost of finding that out.
        """
        high, low = self.high, self.low
        for r in self.resting:
            kind, price = r.kind, r.created.price
            if kind == LIMIT:
                if low <= price if r.buy else high >= price:
                    return False
            elif kind != STOP or r.trailing or (high >= price if r.buy else low <= price):
                return False
            if r.valid:
                return False
        liquidation = self.liquidation
        if liquidation is None:
            return True
        mark = self.mark
        if mark[2] <= liquidation if self.state.size > 0.0 else mark[1] >= liquidation:
            return False
        if self.rollover_at is not None and self.time_ms() >= self.rollover_at:
            return False
        at = self.funding_at
        return at == len(self.funding_bars) or self.funding_bars[at] >= self.bar

    def start_position(self) -> None:
        """A position was opened at this candle: settlements due up to its open are not its own."""
        self.nearest = inf
        self.funding_at = bisect_right(self.funding_bars, self.bar - 1)

    def time_ms(self) -> int:
        """The candle's time, epoch milliseconds UTC: its open where the feed knows it."""
        candles = getattr(self.data, "candles", None)
        if candles is not None and not getattr(self.data, "_filters", ()):
            return int(candles.ts[max(self.bar, 1) - 1])
        return epoch_ms(self.data.datetime[0])

    def today(self) -> date:
        """The UTC date of the candle."""
        when: date = bt.num2date(self.data.datetime[0]).date()
        return when

    def use_table(self) -> None:
        """Pick the tier table that is valid at the candle's date; for a flat position only."""
        if self.book is not None:
            self.state.tiers = self.fit(self.book.at(self.key, self.today()))


_PRICES = ("open", "high", "low", "close")

