"""What a run earned and how bumpily: figures from equity by candle and from closed trades.

Figures of returns come from empyrical; what it does not have is worked out here. A figure that
is not defined (no trades, one candle, no variance) is None, never NaN or inf.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from leverpack.candles.timeframes import DAY_MS, bars_per_year
from leverpack.result import Floats, Ints

Figures = dict[str, float | int | None]
_FLAT = 1e-12  # a deviation of returns below this is rounding


def finite(value: Any) -> float | None:
    """``value`` as a float, None where it is no finite number."""
    return float(value) if value is not None and math.isfinite(value) else None


def drawdowns(equity: Floats, start: float) -> Floats:
    """How far equity lies under its highest close so far, the deposit ``start`` included; 0..1."""
    with_start = np.concatenate([[start], equity])
    fallen: Floats = 1.0 - with_start / np.maximum.accumulate(with_start)
    return fallen


def longest_under_water(ts: Ints, equity: Floats, start: float) -> int:
    """The longest time from a highest close to the next close as high, or to the end; ms."""
    if not len(ts):
        return 0
    at_peak = drawdowns(equity, start)[1:] <= 0.0
    marks = np.concatenate([[ts[0]], ts[at_peak], [ts[-1]]])
    return int(np.diff(marks).max())


def period_returns(ts: Ints, equity: Floats, start: float, candle_ms: int) -> tuple[Floats, float]:
    """Returns of UTC days (fractions), and how many of them a year has: 365.

    The first day counts from the deposit ``start``; days without a candle return 0. Candles
    longer than a day give one return each, and as many a year as 365 days hold.
    """
    if candle_ms > DAY_MS:
        return simple_returns(equity, start), bars_per_year(candle_ms)
    days, closes = daily_closes(ts, equity)
    every = np.arange(days[0], days[-1] + 1) if len(days) else days
    held = closes[np.searchsorted(days, every, side="right") - 1]
    return simple_returns(held, start), 365.0


def daily_closes(ts: Ints, equity: Floats) -> tuple[Ints, Floats]:
    """The UTC days (since 1970) that have a candle, and the last equity of each."""
    day = ts // DAY_MS
    last = np.flatnonzero(np.diff(day, append=day[-1] + 1)) if len(day) else np.empty(0, int)
    return day[last], equity[last]


def simple_returns(equity: Floats, start: float) -> Floats:
    """Change over the value before, the first over ``start``; 0 once everything is lost."""
    values = np.maximum(np.concatenate([[start], equity]), 0.0)
    before = values[:-1]
    returns: Floats = np.divide(
        values[1:] - before, before, out=np.zeros(len(before)), where=before > 0.0
    )
    return returns


def return_figures(ts: Ints, equity: Floats, start: float, candle_ms: int) -> Figures:
    """Figures of the equity at each candle's close; ``start`` is the deposit (quote)."""
    returns, a_year = period_returns(ts, equity, start, candle_ms)
    by_candle = simple_returns(equity, start)
    fallen = drawdowns(equity, start)
    return {
        "return": finite(equity[-1] / start - 1.0) if len(equity) else None,
        **_ratios(returns, a_year),
        "sharpe_candles": _ratios(by_candle, bars_per_year(candle_ms))["sharpe"]
        if candle_ms > 0 else None,
        "max_drawdown": float(fallen.max()),
        "under_water_days": longest_under_water(ts, equity, start) / DAY_MS if len(ts) else None,
        "best_day": finite(returns.max()) if len(returns) else None,
        "worst_day": finite(returns.min()) if len(returns) else None,
        **_shape(returns),
    }  # fmt: skip


def _ratios(returns: Floats, a_year: float) -> Figures:
    names = ("cagr", "volatility", "sharpe", "sortino", "calmar")
    if len(returns) < 2:
        return dict.fromkeys(names)
    import empyrical  # half a second to import: only whoever asks for figures waits for it

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        cagr = finite(empyrical.annual_return(returns, annualization=a_year))
        found = {
            "cagr": cagr,
            "volatility": finite(empyrical.annual_volatility(returns, annualization=a_year)),
            "sharpe": finite(empyrical.sharpe_ratio(returns, annualization=a_year)),
            "sortino": finite(empyrical.sortino_ratio(returns, annualization=a_year)),
            "calmar": finite(empyrical.calmar_ratio(returns, annualization=a_year)),
        }
    if np.std(returns, ddof=1) < _FLAT:
        found["sharpe"] = None
    if not (returns < 0.0).any():
        found["sortino"] = found["calmar"] = None
    return dict(found)


def _shape(returns: Floats) -> Figures:
    if len(returns) < 4 or np.std(returns) < _FLAT:
        return {"skew": None, "kurtosis": None}
    import pandas as pd

    series = pd.Series(returns)
    return {"skew": finite(series.skew()), "kurtosis": finite(series.kurt())}


def trade_figures(nets: Sequence[float]) -> Figures:
    """Figures of closed trades from the profit of each after all costs, quote."""
    profits = np.array(nets, dtype=np.float64)
    wins, losses = profits[profits > 0.0], profits[profits <= 0.0]
    lost = float(-losses.sum())
    average_loss = float(losses.mean()) if len(losses) else None
    average = float(profits.mean()) if len(profits) else None
    return {
        "trades": len(profits),
        "wins": len(wins),
        "win_rate": len(wins) / len(profits) if len(profits) else None,
        "average_profit": average,
        "average_win": float(wins.mean()) if len(wins) else None,
        "average_loss": average_loss,
        "expectancy": average / -average_loss if average is not None and average_loss else None,
        "profit_factor": float(wins.sum()) / lost if lost > 0.0 else None,
        "best_trade": float(profits.max()) if len(profits) else None,
        "worst_trade": float(profits.min()) if len(profits) else None,
        "losing_streak": _longest_run(profits <= 0.0),
    }


def _longest_run(flags: Any) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def daily_profits(
    ts: Ints, equity: Floats, start: float
) -> tuple[Ints, Floats, Floats, Floats]:
    """For each UTC day with a candle: the day, its profit, the equity before it, its worst loss.

    Profit is the day's last close less the last close before it (first day: ``start``). The
    worst is the lowest close less the day's first, <= 0: what the daily loss limit looks at.
    """
    days, closes = daily_closes(ts, equity)
    if not len(days):
        return days, closes, closes, closes
    before = np.concatenate([[start], closes[:-1]])
    first = np.searchsorted(ts // DAY_MS, days, side="left")
    worst = np.minimum.reduceat(equity, first) - equity[first]
    return days, closes - before, before, worst
