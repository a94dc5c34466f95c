"""Standard deviation and Bollinger bands that stay right for high prices with small moves."""

from __future__ import annotations

from functools import partial
from typing import Any

import backtrader as bt

from leverpack.errors import SettingError
from leverpack.indicators.arguments import refuse_leftovers
from leverpack.indicators.scalars import population_deviation
from leverpack.indicators.windows import fill, population_deviations


class StdDev(bt.Indicator):
    """Population standard deviation (ddof=0) of the last ``period`` values, in their unit.

    Line ``stddev``; NaN before ``period`` values are there. The definition is pandas'
    ``rolling(period).std(ddof=0)``, on which ``ta``'s Bollinger bands stand.

    Backtrader's own takes sqrt(|mean of squares - square of mean|), which cancels: around
    60,000 it is off in the fifth digit for moves of 0.1, by up to 38 % for moves of 0.001, and
    gives 0 or 0.0007 for moves of 0.0001; of an unmoving 0.1234567 it gives 1.3e-9. Here both
    passes run over distances to the newest value, and the result is right to 1e-12 of itself.
    ``movav`` and ``safepow`` are gone with that formula, as is a second line for the mean.
    Raises SettingError for them, and for a period under 1.
    """

    lines = ("stddev",)
    params = (("period", 20),)

    def __init__(self, *unnamed: Any, **unknown: Any) -> None:
        refuse_leftovers(self, unnamed, unknown)
        if self.p.period < 1:
            raise SettingError(f"StdDev needs a period of at least 1, not {self.p.period}")
        if len(self.datas) > 1:
            raise SettingError("StdDev takes one line: it finds the mean itself")
        super().__init__()
        self.addminperiod(self.p.period)

    def next(self) -> None:
        """One bar."""
        self.line[0] = population_deviation(self.data.get(size=self.p.period))

    def once(self, start: int, end: int) -> None:
        """All bars."""
        period = self.p.period
        deviations = partial(population_deviations, period=period)
        fill(self.line.array, self.data.array, start, end, period - 1, deviations)


class BollingerBands(bt.indicators.BollingerBands):
    """A moving average and ``devfactor`` standard deviations above and below it.

    Lines ``mid``, ``top``, ``bot`` in the unit of the data; NaN before ``period`` values are
    there. Backtrader's parameters; equal to Backtrader's and to ``ta``'s (``ddof=0``) up to
    the rounding that :class:`StdDev` avoids. With a ``movav`` other than the simple average the
    deviation is still the one around the window's own mean.
    """

    def __init__(self, *unnamed: Any, **unknown: Any) -> None:
        refuse_leftovers(self, unnamed, unknown)
        bt.Indicator.__init__(self)  # Backtrader's would build its own deviation
        average = self.p.movav(self.data, period=self.p.period)
        width = self.p.devfactor * StdDev(self.data, period=self.p.period)
        self.lines.mid = average
        self.lines.top = average + width
        self.lines.bot = average - width
