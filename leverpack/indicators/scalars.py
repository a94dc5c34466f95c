"""Candles per day and year, deviation and daily volatility, as functions of plain numbers.

They compile with ``numba.njit`` unchanged; what cannot be answered is NaN. A year has 365 days
here and a day 24 hours: these markets never close.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUTES_PER_DAY = 1440.0
DAYS_PER_YEAR = 365.0


def bars_per_day(timeframe_minutes: float) -> float:
    """Candles per UTC day, of a candle length in minutes; NaN unless that is positive.

    >>> bars_per_day(15), bars_per_day(1440), round(bars_per_day(10_080), 4)
    (96.0, 1.0, 0.1429)
    """
    if not timeframe_minutes > 0.0:
        return math.nan
    return MINUTES_PER_DAY / timeframe_minutes


def bars_per_year(timeframe_minutes: float) -> float:
    """Candles per year of 365 days, of a candle length in minutes; NaN unless that is positive.

    A deviation per candle times the root of it is a yearly one. The Cracktrader guide takes
    sqrt(252) = 15.9 for 15-minute candles, which is the factor of daily candles of a stock.

    >>> bars_per_year(15), round(math.sqrt(bars_per_year(15)), 1)
    (35040.0, 187.2)
    """
    return DAYS_PER_YEAR * bars_per_day(timeframe_minutes)


def annualised(daily: float) -> float:
    """The yearly volatility of a daily one (fractions): times sqrt(365).

    >>> round(annualised(0.0314), 2)
    0.6
    """
    return daily * math.sqrt(DAYS_PER_YEAR)


def simple_return(before: float, after: float) -> float:
    """``after / before - 1`` as a fraction, without cancellation; NaN where ``before`` is 0.

    >>> simple_return(50_000.0, 50_500.0)
    0.01
    """
    if before == 0.0:
        return math.nan
    return (after - before) / before


def population_deviation(values: Sequence[float]) -> float:
    """Population standard deviation (ddof=0) of at least one value, in the unit of the values.

    Two passes over the distances to the newest value: near each other, prices subtract
    exactly, so that nothing is lost however small the moves are beside the price.

    >>> population_deviation([60_000.0, 60_000.01, 60_000.02, 60_000.03]).__round__(10)
    0.0111803399
    """
    count = len(values)
    newest = values[count - 1]
    total = 0.0
    for value in values:
        total += value - newest
    mean = total / count
    squares = 0.0
    for value in values:
        distance = (value - newest) - mean
        squares += distance * distance
    return math.sqrt(squares / count)


def daily_volatility(closes: Sequence[float], root: float) -> float:
    """Deviation of the simple returns between ``closes`` (two or more), times ``root``.

    ``root`` is the square root of the candles per day; the result is a fraction a day. Scaling
    by the root takes returns as uncorrelated from candle to candle, as is usual.

    >>> round(daily_volatility([100.0, 101.0, 99.99, 100.9899], math.sqrt(96.0)), 4)
    0.0924
    """
    returns = [simple_return(closes[i], closes[i + 1]) for i in range(len(closes) - 1)]
    return population_deviation(returns) * root
