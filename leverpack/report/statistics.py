"""The figures of a run, each with the sentence that defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analyzers.figures import Figures, daily_profits, return_figures, trade_figures
from leverpack.candles.timeframes import DAY_MS
from leverpack.result import DayRecord, Statistic, SymbolSeries, TradeRecord

_DAILY = "returns of UTC days (of candles where these are longer), the first from the deposit"
_YEAR = "365 days a year, as the market never closes"
# key, name, unit, definition
_DEFINED: tuple[tuple[str, str, str, str], ...] = (
    ("return", "Return", "fraction", "Equity at the last close over the deposit, less 1."),
    ("cagr", "Return a year", "fraction a year",
     f"The steady yearly growth that makes the same end from the same deposit; {_YEAR}."),
    ("volatility", "Volatility", "fraction a year",
     f"Sample standard deviation of the {_DAILY}, times the root of 365 (days)."),
    ("sharpe", "Sharpe ratio", "ratio",
     f"Mean over sample standard deviation of the {_DAILY}, times the root of 365 (days); "
     "nothing is taken off for a riskless rate."),
    ("sortino", "Sortino ratio", "ratio",
     "As Sharpe, with the root of the mean square of the losing days' returns (winning days "
     "count as 0) in place of the standard deviation."),
    ("calmar", "Calmar ratio", "ratio",
     "Return a year over the largest drawdown between closes of days."),
    ("sharpe_candles", "Sharpe ratio of candles", "ratio",
     "As Sharpe, of the returns of single candles, times the root of the candles in 365 days."),
    ("max_drawdown", "Largest drawdown", "fraction",
     "The largest fall of equity from its highest close so far, over all candles."),
    ("under_water_days", "Longest time under water", "days",
     "The longest time from a highest close to the next close as high, or to the end."),
    ("best_day", "Best day", "fraction", f"The largest of the {_DAILY}."),
    ("worst_day", "Worst day", "fraction", f"The smallest of the {_DAILY}."),
    ("skew", "Skew", "ratio",
     f"Skewness of the {_DAILY}, bias corrected; below 0 the large moves are losses."),
    ("kurtosis", "Kurtosis", "ratio",
     f"Excess kurtosis of the {_DAILY}, bias corrected; 0 is a normal distribution."),
    ("trades", "Trades", "count", "Positions that were opened and closed again, flat to flat."),
    ("win_rate", "Win rate", "fraction",
     "Closed trades with a profit after all costs, over all closed trades."),
    ("average_profit", "Average profit", "quote", "Mean profit of a closed trade after all costs."),
    ("average_win", "Average win", "quote", "Mean profit of the trades that won."),
    ("average_loss", "Average loss", "quote", "Mean profit of the trades that did not win."),
    ("expectancy", "Expectancy", "ratio",
     "Average profit over the size of the average loss: earned for each 1 that a loser loses."),
    ("profit_factor", "Profit factor", "ratio",
     "Sum of all wins over the sum of all losses; none where nothing was lost."),
    ("best_trade", "Best trade", "quote", "The largest profit of a closed trade."),
    ("worst_trade", "Worst trade", "quote", "The smallest profit of a closed trade."),
    ("losing_streak", "Longest losing streak", "count",
     "The most closed trades in a row that did not win."),
    ("average_on_margin", "Average profit on margin", "fraction",
     "Mean over closed trades of profit after all costs over the initial margin."),
    ("average_days_held", "Average time held", "days", "Mean time from entry to exit."),
    ("exposure_time", "Time in the market", "fraction",
     "Candles at whose close a position was open, over all candles."),
    ("average_leverage", "Average leverage in effect", "x",
     "Mean of notional over equity, over the candles with an open position."),
    ("max_leverage", "Highest leverage in effect", "x",
     "Largest notional over equity at a candle's close."),
)  # fmt: skip


def statistics(
    series: dict[str, Any], symbols: dict[str, SymbolSeries], trades: Sequence[TradeRecord],
    cash: float, candle_ms: int,
) -> list[Statistic]:  # fmt: skip
    """All figures in the order in which they are shown; what is not defined has the value None.

    ``series`` and ``symbols`` as in BacktestResult, ``cash`` the deposit (quote), ``candle_ms``
    the length of the candles. Trades still open at the end are left out.
    """
    closed = [t for t in trades if t.exit_time is not None]
    figures = {
        **return_figures(series["ts"], series["equity"], cash, candle_ms),
        **trade_figures([t.net for t in closed]),
        **_of_positions(series, symbols),
        "average_on_margin": _mean([t.profit_on_margin for t in closed]),
        "average_days_held": _mean(
            [t.duration_ms / DAY_MS for t in closed if t.duration_ms is not None]
        ),
    }
    return [Statistic(key, name, figures[key], unit, text) for key, name, unit, text in _DEFINED]


def _of_positions(series: dict[str, Any], symbols: dict[str, SymbolSeries]) -> Figures:
    count = len(series["ts"])
    held = np.zeros(count, dtype=bool)
    for symbol in symbols.values():
        held |= symbol.position != 0.0
    leverage = series["effective_leverage"][held]
    leverage = leverage[np.isfinite(leverage)]
    return {
        "exposure_time": float(held.mean()) if count else None,
        "average_leverage": float(leverage.mean()) if len(leverage) else None,
        "max_leverage": float(leverage.max()) if len(leverage) else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def daily_records(
    series: dict[str, Any], trades: Sequence[TradeRecord], cash: float, loss_limit: float
) -> list[DayRecord]:
    """Profit of every UTC day that has a candle, against ``loss_limit`` (quote; 0: none)."""
    days, profits, before, worst = daily_profits(series["ts"], series["equity"], cash)
    opened = np.array([t.entry_time // DAY_MS for t in trades], dtype=np.int64)
    entries = dict(zip(*(x.tolist() for x in np.unique(opened, return_counts=True)), strict=True))
    rows = zip(*(x.tolist() for x in (days, profits, before, worst)), strict=True)
    return [
        DayRecord(
            day=day * DAY_MS,
            profit=profit,
            change=profit / start if start > 0.0 else None,
            worst=low,
            loss_limit=loss_limit or None,
            limit_reached=bool(loss_limit) and -low >= loss_limit,
            entries=entries.get(day, 0),
        )
        for day, profit, start, low in rows
    ]
