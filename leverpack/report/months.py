"""Returns of calendar months and years, UTC, from the equity of every candle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leverpack.result import BacktestResult


@dataclass(frozen=True, slots=True)
class YearRow:
    """One calendar year; returns are fractions, None for a month without candles."""

    year: int
    months: list[float | None]  # January to December
    total: float | None


def monthly_returns(result: BacktestResult) -> list[YearRow]:
    """Last equity of each month over the last of the month before; the first from the deposit.

    A month that starts without equity has no return. Together the months give the run's return.
    """
    equity = np.asarray(result.series["equity"], dtype=np.float64)
    if not len(equity):
        return []
    months = result.series["ts"].astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(months)), len(equity) - 1)
    before = np.append(float(result.totals["start_equity"]), equity[last][:-1])
    rows: dict[int, YearRow] = {}
    opened: dict[int, float] = {}
    for month, start, end in zip(months[last].tolist(), before, equity[last], strict=True):
        year = 1970 + month // 12
        row = rows.get(year) or YearRow(year, [None] * 12, None)
        first = opened.setdefault(year, float(start))
        row.months[month % 12] = _change(float(start), float(end))
        rows[year] = YearRow(year, row.months, _change(first, float(end)))
    return list(rows.values())


def _change(start: float, end: float) -> float | None:
    return end / start - 1.0 if start > 0.0 else None
