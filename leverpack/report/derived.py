"""Lines that the report draws and that the run did not record as such."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.venue import differences, relative
from leverpack.margin.profiles import PERPETUAL_CALL_RATIO, PROFILES
from leverpack.result import BacktestResult, Floats, SymbolSeries


def drawdown(result: BacktestResult) -> Floats:
    """Equity under its highest close so far, the deposit included; a fraction, 0 or above."""
    equity = np.asarray(result.series["equity"], dtype=np.float64)
    if not len(equity):
        return equity
    start = float(result.totals["start_equity"])
    return 1.0 - equity / np.maximum(np.maximum.accumulate(equity), start)


def liquidation_costs(result: BacktestResult) -> Floats:
    """Liquidation fees to date less what the insurance fund bore, quote, one value a candle."""
    ts = result.series["ts"]
    costs = np.zeros(len(ts))
    for x in result.liquidations:
        at = int(np.searchsorted(ts, x.time, side="right")) - 1
        if len(ts):
            costs[max(at, 0)] += x.fee - x.shortfall
    return np.cumsum(costs)


def costs_to_date(result: BacktestResult) -> list[tuple[str, Floats, str]]:
    """Label, quote currency paid to date, tone; interest and liquidations only where there are."""
    series = result.series
    parts: list[tuple[str, Floats | None, str]] = [
        ("fees", series["fees"], "blue"),
        ("funding paid", -series["funding"], "amber"),
        ("interest", series.get("interest"), "violet"),
        ("liquidations", liquidation_costs(result), "red"),
    ]
    always = ("fees", "funding paid")
    return [
        (label, values, tone)
        for label, values, tone in parts
        if values is not None and (label in always or np.any(values))
    ]


def lowest_call_ratio(result: BacktestResult) -> float:
    """The margin ratio from which the venue called in this run, the lowest where it moved."""
    recorded = result.series.get("call_ratio")
    if recorded is not None and np.isfinite(recorded).any():
        return float(np.nanmin(recorded))
    profile = PROFILES.get(str(result.run.get("venue")))
    if profile is None:
        return PERPETUAL_CALL_RATIO
    return profile.call_ratio(float(result.run["leverage"]))


def venue_levels(result: BacktestResult) -> tuple[float, float] | None:
    """Margin levels of call and liquidation at a spot margin venue; None for perpetuals."""
    profile = PROFILES.get(str(result.run.get("venue")))
    if profile is None or profile.liquidation_level is None:
        return None
    call = profile.liquidation_level / lowest_call_ratio(result)
    return call, profile.liquidation_level


def venue_difference(series: SymbolSeries) -> Floats | None:
    """The venue's liquidation price over ours, less 1; None where it never said one."""
    if not np.isfinite(series.venue_liquidation_price).any():
        return None
    return relative(series.liquidation_price, series.venue_liquidation_price)


def venue_differences(result: BacktestResult) -> dict[str, dict[str, Any]]:
    """By symbol how far the venue's readings lay from ours; empty in a backtest."""
    return {
        name: differences({
            "margin_ratio": s.margin_ratio, "venue_margin_ratio": s.venue_margin_ratio,
            "liquidation_price": s.liquidation_price,
            "venue_liquidation_price": s.venue_liquidation_price,
        })
        for name, s in result.symbols.items()
        if len(s.venue_liquidation_price)
    }  # fmt: skip
