"""Wilder's RSI and ADX that survive a market which does not fall, or does not move."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.indicators.arguments import refuse_leftovers


class RSI(bt.indicators.RSI):
    """Relative strength index (0..100) with Wilder's smoothing; line ``rsi``.

    Backtrader's, but with ``safediv`` on: 100 where nothing fell and 50 where nothing moved,
    while Backtrader's default stops the run with a ZeroDivisionError. First value after
    ``period + 1`` bars, NaN before. ``ta`` starts its averages (``ewm``) from one zero instead
    of the mean of ``period`` moves, so that the two agree to 1e-9 only after about 25 periods,
    and gives 100 where nothing moved.
    """

    params = (("safediv", True),)


class RSI_SMA(bt.indicators.RSI_SMA):
    """:class:`RSI` on simple averages (Cutler's), which a run of rises empties of falls."""

    params = (("safediv", True),)


class RSI_EMA(bt.indicators.RSI_EMA):
    """:class:`RSI` on exponential averages."""

    params = (("safediv", True),)


class ADX(bt.indicators.ADX):
    """Average directional movement index (0..100) with Wilder's smoothing; line ``adx``.

    Backtrader's formula and, value for value, its results; but where the average range or both
    directional indicators are 0 (a market that has not moved yet, or whose candles have all
    lain inside the ones before) the directional index counts as 0, as ``ta`` has it, while
    Backtrader's stops the run with a ZeroDivisionError. First value after ``2 * period`` bars,
    NaN before; ``ta`` has 0.0 there, and from then on agrees to 1e-9.
    """

    def __init__(self, *unnamed: Any, **unknown: Any) -> None:
        refuse_leftovers(self, unnamed, unknown)
        bt.Indicator.__init__(self)  # Backtrader's would build the divisions that fail
        period, movav, data = self.p.period, self.p.movav, self.data
        average_range = bt.indicators.ATR(data, period=period, movav=movav)
        up = data.high - data.high(-1)
        down = data.low(-1) - data.low
        rises = bt.If(bt.And(up > down, up > 0.0), up, 0.0)
        falls = bt.If(bt.And(down > up, down > 0.0), down, 0.0)
        plus = bt.DivByZero(100.0 * movav(rises, period=period), average_range)
        minus = bt.DivByZero(100.0 * movav(falls, period=period), average_range)
        index = bt.DivByZero(abs(plus - minus), plus + minus)
        self.lines.adx = 100.0 * movav(index, period=period)
