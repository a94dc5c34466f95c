"""Volatility per day, scaled from the feed's own candle length."""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

from leverpack.errors import SettingError
from leverpack.indicators.arguments import refuse_leftovers
from leverpack.indicators.scalars import bars_per_day, daily_volatility
from leverpack.indicators.windows import fill, population_deviations, simple_returns
from leverpack.result import Floats

_MINUTES = {  # a month of 30 days, as leverpack's candles have it
    bt.TimeFrame.MicroSeconds: 1.0 / 60e6,
    bt.TimeFrame.Seconds: 1.0 / 60.0,
    bt.TimeFrame.Minutes: 1.0,
    bt.TimeFrame.Days: 1440.0,
    bt.TimeFrame.Weeks: 7 * 1440.0,
    bt.TimeFrame.Months: 30 * 1440.0,
    bt.TimeFrame.Years: 365 * 1440.0,
}


class DailyVolatility(bt.Indicator):
    """Population standard deviation of the last ``period`` simple returns, as a fraction a day.

    Of the close, or of the line given. The deviation per candle times the root of the candles
    per UTC day: sqrt(96) for 15-minute candles, 1 for daily ones, sqrt(1/7) for weekly ones.
    Candles per day come from the timeframe and compression of the feed behind the data, or
    from ``bars_per_day``. Line ``volatility``; first value after ``period + 1`` candles, NaN
    before, and NaN while a 0 is among the values returned from. For a year see
    :func:`leverpack.indicators.annualised`: 0.0314 a day is 0.6 a year.

    Raises SettingError for a period under 2, for ``bars_per_day`` that is not positive, for a
    feed of ticks without it, and, at the first value, when the candles turn out to come more
    than twice as often as the feed says (Backtrader's own feeds say days unless told).
    """

    lines = ("volatility",)
    params = (("period", 20), ("bars_per_day", None))

    def __init__(self, *unnamed: Any, **unknown: Any) -> None:
        refuse_leftovers(self, unnamed, unknown)
        if self.p.period < 2:
            raise SettingError(f"DailyVolatility needs a period of 2 or more, not {self.p.period}")
        self.feed = None
        a_day = self.p.bars_per_day
        if a_day is None:
            self.feed = feed_behind(self.data)
            a_day = bars_per_day(minutes(self.feed))
        if not 0.0 < a_day < math.inf:
            raise SettingError(f"DailyVolatility needs bars_per_day over 0, not {a_day}")
        self.root = math.sqrt(a_day)
        super().__init__()
        self.addminperiod(self.p.period + 1)

    def nextstart(self) -> None:
        """The first value, bar by bar."""
        if self.feed is not None:
            self._check_spacing(self.feed.lines.datetime.get(size=self.p.period + 1))
        self.next()

    def next(self) -> None:
        """One bar."""
        self.line[0] = daily_volatility(self.data.get(size=self.p.period + 1), self.root)

    def oncestart(self, start: int, end: int) -> None:
        """The first value, with all bars at hand."""
        if self.feed is not None:
            self._check_spacing(self.feed.lines.datetime.array[start - self.p.period : end])
        self.once(start, end)

    def once(self, start: int, end: int) -> None:
        """All bars."""
        fill(self.line.array, self.data.array, start, end, self.p.period, self._values)

    def _values(self, closes: Floats) -> Floats:
        return population_deviations(simple_returns(closes), self.p.period) * self.root

    def _check_spacing(self, times: Any) -> None:
        """Refuse candles that come far more often than their feed says; gaps prove nothing."""
        steps = len(times) - 1
        if steps < 1:
            return
        found = (times[-1] - times[0]) * 1440.0 / steps
        stated = minutes(self.feed)
        if 0.0 < found < 0.5 * stated:
            raise SettingError(
                f"the candles of {getattr(self.feed, '_name', '') or 'the feed'} are about "
                f"{found:.4g} minutes apart but the feed's timeframe is {stated:.4g}; give the "
                "feed its timeframe and compression, or DailyVolatility its bars_per_day"
            )


def minutes(feed: Any) -> float:
    """The candle length of a feed in minutes, by its timeframe and compression.

    Raises SettingError for a timeframe without a length (ticks).
    """
    unit = _MINUTES.get(feed._timeframe)
    if unit is None:
        name = bt.TimeFrame.Names[feed._timeframe]
        raise SettingError(
            f"a feed with the timeframe {name} has no candle length; give bars_per_day"
        )
    return unit * float(feed._compression)


def feed_behind(data: Any) -> Any:
    """The feed that a line, an operation or an indicator is computed from, along its clocks.

    Raises SettingError when there is none.
    """
    seen: set[int] = set()
    at = data
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, bt.feed.AbstractDataBase):
            return at
        if isinstance(at, bt.lineseries.LineSeriesStub):
            at = at.lines[0]
            continue
        # Not "or": the truth of a Backtrader line is the truth of its current value.
        clock = getattr(at, "_clock", None)
        at = getattr(at, "_owner", None) if clock is None else clock
    raise SettingError("no feed stands behind the data of DailyVolatility; give bars_per_day")
