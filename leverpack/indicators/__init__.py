"""Indicators under the names that strategies use: Backtrader's, and the pack's own where safer.

All of them are computed over whole arrays once in a backtest and bar by bar live, with equal
values to the last bit, and are NaN while they warm up, never 0.0. Every name that is not listed
here is Backtrader's own. So are these, because Backtrader's already do all that; where ``ta``
(0.11) defines them otherwise, it is said:

- ``SMA``, ``Highest``, ``Lowest``: the same in ``ta`` (``DonchianChannel`` for the extremes).
- ``EMA``, ``MACD``: Backtrader starts from the mean of the first ``period`` values, ``ta``
  (``adjust=False``) from the first value; equal to 1e-9 after about 15 periods of the
  slowest average.
- ``ATR``: Backtrader counts true ranges from the second bar, ``ta`` also high - low of the first,
  and has 0.0 while it warms up; equal to 1e-9 after about 25 periods.
- ``Momentum`` (difference), ``ROC`` and ``PctChange`` (fractions; periods of 12 and 30 bars
  unless given): ``ta``'s ``ROCIndicator`` is in percent, 100 times ``ROC``.

The pack's own: :class:`RSI`, :class:`RSI_SMA`, :class:`RSI_EMA` and :class:`ADX` do not divide
by zero, :class:`StdDev` and :class:`BollingerBands` do not cancel, and
:class:`DailyVolatility` knows how many candles a day has. Beside them stand functions of plain
numbers: :func:`bars_per_day`, :func:`bars_per_year`, :func:`annualised`.
"""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.errors import nearest
from leverpack.indicators.deviation import BollingerBands, StdDev
from leverpack.indicators.scalars import annualised, bars_per_day, bars_per_year
from leverpack.indicators.volatility import DailyVolatility
from leverpack.indicators.wilder import ADX, RSI, RSI_EMA, RSI_SMA

SMA: Any = bt.indicators.SMA
EMA: Any = bt.indicators.EMA
ATR: Any = bt.indicators.ATR
MACD: Any = bt.indicators.MACD
Highest: Any = bt.indicators.Highest
Lowest: Any = bt.indicators.Lowest
Momentum: Any = bt.indicators.Momentum
ROC: Any = bt.indicators.ROC
PctChange: Any = bt.indicators.PctChange

# Backtrader's other names for what the pack does itself: one meaning whatever it is called.
StandardDeviation = StdDev
BBands = BollingerBands
RelativeStrengthIndex = RSI_SMMA = RSI_Wilder = RSI
RSI_Cutler = RSI_SMA
AverageDirectionalMovementIndex = ADX

__all__ = [
    "ADX", "ATR", "BollingerBands", "DailyVolatility", "EMA", "Highest", "Lowest", "MACD",
    "Momentum", "PctChange", "ROC", "RSI", "RSI_EMA", "RSI_SMA", "SMA", "StdDev", "annualised",
    "bars_per_day", "bars_per_year",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Backtrader's indicator of that name."""
    if not name.startswith("_") and hasattr(bt.indicators, name):
        return getattr(bt.indicators, name)
    known = [*__all__, *_backtraders()]
    hint = nearest(name, known, "dir(leverpack.indicators) lists all")
    raise AttributeError(f"leverpack.indicators has no {name!r}; {hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_backtraders()})


def _backtraders() -> list[str]:
    return [
        name for name, value in vars(bt.indicators).items()
        if isinstance(value, type) and issubclass(value, bt.Indicator)
    ]  # fmt: skip
