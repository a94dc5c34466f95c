"""What one parameter set came to: the same figures from the kernel and from Cerebro."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leverpack.errors import SettingError, nearest
from leverpack.result import Floats, Ints
from leverpack.sweep.records import TRADE

DAYS_A_YEAR = 365.0
_FLAT = 1e-12  # a deviation of returns below this is rounding
COMPILED, CEREBRO = "compiled", "cerebro"

FIGURES: dict[str, str] = {
    "end_equity": "equity at the last close, quote",
    "return": "end equity over the deposit, less 1; fraction",
    "cagr": "the steady yearly growth to the same end, 365 days a year; fraction a year",
    "volatility": "sample deviation of daily returns times root 365; fraction a year",
    "sharpe": "mean over sample deviation of daily returns times root 365; ratio",
    "sortino": "as sharpe, over the root of the mean square of losing days; ratio",
    "calmar": "cagr over the largest drawdown between closes of days; ratio",
    "max_drawdown": "largest fall from the highest close of a candle; fraction",
    "trades": "positions opened and closed again; count",
    "wins": "those with a profit after all costs; count",
    "win_rate": "wins over trades; fraction",
    "profit_factor": "sum of the wins over the sum of the losses; ratio",
    "average_profit": "mean profit of a trade after all costs, quote",
    "liquidations": "positions closed by force; count",
    "worst_margin_ratio": "maintenance margin over margin balance where a trade came nearest to "
    "liquidation, of all trades the highest; 1 is liquidation",
    "nearest_liquidation": "smallest distance of the mark to liquidation; fraction of the mark",
    "exposure_time": "candles at whose close a position was open; fraction",
    "fees": "quote",
    "funding": "as cash, negative was paid; quote",
    "interest": "quote",
    "liquidation_fees": "quote",
    "insurance": "what the insurance fund bore of liquidations; quote",
}
"""Every figure of a set with its definition and unit, as in leverpack.report.statistics; None
(null in the file) where it is not defined."""
LOWER_IS_BETTER = frozenset(
    {"volatility", "max_drawdown", "liquidations", "worst_margin_ratio", "fees", "interest",
     "liquidation_fees", "insurance"}
)  # fmt: skip
COUNTS = ("trades", "wins", "liquidations")
FRACTIONS = frozenset(
    {"return", "cagr", "volatility", "max_drawdown", "win_rate", "worst_margin_ratio",
     "nearest_liquidation", "exposure_time"}
)  # fmt: skip
"""Figures that are shown as percent."""
SHOWN = (
    "return", "max_drawdown", "calmar", "sharpe", "trades", "liquidations", "worst_margin_ratio",
)  # fmt: skip
"""Figures that tables show."""


@dataclass(frozen=True)
class Outcome:
    """One set: its number in the sweep, its parameters, its figures (see FIGURES).

    ``engine`` is "compiled" or "cerebro", ``why`` the reason for the latter. ``refused`` is the
    sentence with which the set was refused ("": it ran); the figures are then None. ``daily`` is
    the equity at the last close of each UTC day; ``trades`` is filled where they were asked for.
    """

    number: int
    params: Mapping[str, Any]
    figures: dict[str, float | int | None]
    engine: str = COMPILED
    why: str = ""
    refused: str = ""
    daily: Floats = field(default_factory=lambda: np.empty(0))
    trades: Any = field(default_factory=lambda: np.empty(0, TRADE))

    def figure(self, name: str) -> float:
        """One figure as a number; NaN where it is not defined."""
        value = self.figures.get(name)
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Sums:
    """What both engines count while they run; money in quote currency."""

    trades: int
    wins: int
    won: float
    lost: float  # > 0
    liquidations: int
    worst_margin_ratio: float | None
    nearest_liquidation: float | None
    max_drawdown: float
    held_bars: int
    bars: int
    fees: float
    funding: float
    interest: float
    liquidation_fees: float
    insurance: float


def refused(number: int, params: Mapping[str, Any], why: str) -> Outcome:
    """A set that cannot be run."""
    return Outcome(number, params, dict.fromkeys(FIGURES), refused=why)


def figures_of(sums: Sums, daily: Floats, cash: float) -> dict[str, Any]:
    """All figures; ``daily`` is the equity of every day from the first to the last."""
    end = float(daily[-1]) if len(daily) else cash
    ratios = daily_figures(daily, cash)
    counted = sums.won - sums.lost
    return {
        "end_equity": end,
        "return": end / cash - 1.0,
        **ratios,
        "max_drawdown": sums.max_drawdown,
        "trades": sums.trades,
        "wins": sums.wins,
        "win_rate": sums.wins / sums.trades if sums.trades else None,
        "profit_factor": sums.won / sums.lost if sums.lost > 0.0 else None,
        "average_profit": counted / sums.trades if sums.trades else None,
        "liquidations": sums.liquidations,
        "worst_margin_ratio": sums.worst_margin_ratio,
        "nearest_liquidation": sums.nearest_liquidation,
        "exposure_time": sums.held_bars / sums.bars if sums.bars else None,
        "fees": sums.fees,
        "funding": sums.funding,
        "interest": sums.interest,
        "liquidation_fees": sums.liquidation_fees,
        "insurance": sums.insurance,
    }


def daily_figures(daily: Floats, cash: float) -> dict[str, float | None]:
    """The ratios of daily equity, by the definitions of analyzers.figures; a test compares them.

    Written out here because empyrical takes a millisecond a run, and a sweep has thousands.
    """
    values = np.maximum(np.concatenate([[cash], daily]), 0.0)
    before = values[:-1]
    returns = np.divide(
        values[1:] - before, before, out=np.zeros(len(before)), where=before > 0.0
    )
    count = len(returns)
    if count < 2:
        return dict.fromkeys(("cagr", "volatility", "sharpe", "sortino", "calmar"))
    root = math.sqrt(DAYS_A_YEAR)
    deviation = float(returns.std(ddof=1))
    mean = float(returns.mean())
    downside = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean()))
    growth = float(values[-1] / values[0])
    cagr = growth ** (DAYS_A_YEAR / count) - 1.0
    fall = float((1.0 - values / np.maximum.accumulate(values)).max())
    losing = bool((returns < 0.0).any())
    return {
        "cagr": cagr,
        "volatility": deviation * root,
        "sharpe": mean / deviation * root if deviation >= _FLAT else None,
        "sortino": mean * root / downside if losing else None,
        "calmar": cagr / fall if losing and fall > 0.0 else None,
    }


def by_calendar_day(days: Ints, daily: Floats) -> Floats:
    """Equity of every day from the first to the last; days without a candle keep the one before."""
    if not len(days) or int(days[-1]) - int(days[0]) + 1 == len(days):
        return daily
    every = np.arange(days[0], days[-1] + 1)
    held: Floats = daily[np.searchsorted(days, every, side="right") - 1]
    return held


def value_said(figure: str, value: Any, digits: int = 2) -> str:
    """A figure, or with "" a parameter's value, as people write it; "" where it is not known."""
    if value is None:
        return ""
    if isinstance(value, (str, bool)):
        return str(value)
    if math.isnan(value):
        return ""
    return f"{value:.{digits}%}" if figure in FRACTIONS else f"{value:,.4g}"


def best(
    rows: Iterable[Mapping[str, Any]], metric: str, count: int
) -> list[Mapping[str, Any]]:
    """The ``count`` rows (of figures, or of a result file) that are best by ``metric``.

    The highest, but of a cost or a danger (LOWER_IS_BETTER) the lowest; rows without it are left
    out. Raises SettingError for a metric that there is not.
    """
    if metric not in FIGURES:
        hint = nearest(metric, FIGURES, f"there are {', '.join(FIGURES)}")
        raise SettingError(f"--metric: no figure is called {metric!r}; {hint}")
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0
    known = (r for r in rows if r.get(metric) is not None)
    return heapq.nsmallest(count, known, key=lambda r: sign * float(r[metric]))
