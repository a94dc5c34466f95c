"""One picture of a run: price with trades and liquidation price, equity, margin and leverage."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverpack.result import BacktestResult, SymbolSeries, TradeRecord

BUCKETS = 1_600  # about one a pixel
CALL_RATIO = 0.8
BLUE, GREEN, RED, GREY, AMBER = "#2563eb", "#15803d", "#dc2626", "#64748b", "#d97706"


def min_max_buckets(values: NDArray[Any], buckets: int = BUCKETS) -> NDArray[np.int64]:
    """Indices that keep a line's look: the lowest and the highest value of each bucket.

    All of them when there are few; NaN counts as neither, an all-NaN bucket keeps its ends so
    that gaps stay gaps.
    """
    count = len(values)
    if count <= 2 * buckets:
        return np.arange(count, dtype=np.int64)
    edges = np.linspace(0, count, buckets + 1).astype(np.int64)
    picks: list[int] = []
    for start, end in pairwise(edges):
        part = values[start:end]
        if np.isnan(part).all():
            picks += [int(start), int(end) - 1]
        else:
            picks += sorted({int(start + np.nanargmin(part)), int(start + np.nanargmax(part))})
    return np.array(picks, dtype=np.int64)


def draw(result: BacktestResult, path: Path) -> None:
    """Write the picture as PNG, 1,600 pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(12.8, 9.6), dpi=125, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    price, equity, margin = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.6, 1.6]}
    )
    for axis in (price, equity, margin):
        axis.grid(True, color="#e2e8f0", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    when = result.series["ts"].astype("datetime64[ms]")
    symbol = next(iter(result.symbols), "")
    if symbol:
        trades = [t for t in result.trades if t.symbol == symbol]
        _price(price, when, result.symbols[symbol], trades, symbol)
    _equity(equity, when, result.series["equity"])
    _margin(margin, when, result.series)
    for axis in (price, equity):
        if max(map(abs, axis.get_ylim())) >= 1_000.0:
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    canvas.print_figure(str(path), format="png")


def _line(axis: Any, when: Any, values: Any, **style: Any) -> None:
    if len(values):
        at = min_max_buckets(values)
        axis.plot(when[at], values[at], **style)


def _price(
    axis: Any, when: Any, series: SymbolSeries, trades: list[TradeRecord], symbol: str
) -> None:
    _line(axis, when, series.close, color=GREY, linewidth=0.9, label="close")
    liquidation = np.where(series.position != 0.0, series.liquidation_price, np.nan)
    _line(axis, when, liquidation, color=RED, linewidth=1.2, label="liquidation price")
    sides = (("long", "^", GREEN), ("short", "v", RED))
    for side, marker, color in sides:
        chosen = [t for t in trades if t.side == side]
        _dots(axis, [(t.entry_time, t.entry_price) for t in chosen], marker, color, f"{side} entry")
    closed = [t for t in trades if t.exit_time is not None and t.exit_price is not None]
    normal = [(t.exit_time, t.exit_price) for t in closed if t.reason != "liquidation"]
    forced = [(t.exit_time, t.exit_price) for t in closed if t.reason == "liquidation"]
    _dots(axis, normal, "o", BLUE, "exit", hollow=True)
    _dots(axis, forced, "X", "black", "liquidation", area=70)
    _price_limits(axis, series)
    axis.set_ylabel("price")
    axis.set_title(f"{symbol}: price, entries, exits and liquidation price", loc="left")
    axis.legend(loc="best", fontsize=8, frameon=False, ncols=3)


def _price_limits(axis: Any, series: SymbolSeries) -> None:
    """Keep the price readable: a far liquidation price may run out of the picture."""
    if len(series.close):
        low, high = float(np.nanmin(series.low)), float(np.nanmax(series.high))
        room = 0.25 * (high - low) or 0.01 * high
        axis.set_ylim(low - room, high + room)


def _dots(
    axis: Any, points: list[Any], marker: str, color: str, label: str, *, hollow: bool = False,
    area: int = 26,
) -> None:  # fmt: skip
    if points:
        times, prices = zip(*points, strict=True)
        axis.scatter(
            np.array(times, dtype="int64").astype("datetime64[ms]"), prices, marker=marker,
            s=area, label=label, zorder=3, edgecolors=color if hollow else "white",
            facecolors="none" if hollow else color, linewidths=1.0 if hollow else 0.4,
        )  # fmt: skip


def _equity(axis: Any, when: Any, equity: Any) -> None:
    _line(axis, when, equity, color=BLUE, linewidth=1.1, label="equity")
    if len(equity):
        peak = np.maximum.accumulate(equity)
        at = min_max_buckets(equity - peak)
        axis.fill_between(
            when[at], equity[at], peak[at], color=RED, alpha=0.15, linewidth=0, label="drawdown"
        )
    axis.set_ylabel("equity")
    axis.legend(loc="best", fontsize=8, frameon=False, ncols=2)


def _margin(axis: Any, when: Any, series: Any) -> None:
    ratio = series.get("worst_margin_ratio", series["margin_ratio"])
    _line(axis, when, ratio * 100.0, color=AMBER, linewidth=1.0, label="margin ratio, %")
    axis.axhspan(CALL_RATIO * 100.0, 100.0, color=AMBER, alpha=0.10, linewidth=0)
    axis.axhline(100.0, color=RED, linewidth=0.9, linestyle="--")
    axis.set_ylim(0.0, 108.0)
    axis.set_ylabel("margin ratio, %\n(100 % is liquidation)")
    twin = axis.twinx()
    twin.spines[["top"]].set_visible(False)
    _line(twin, when, series["effective_leverage"], color=GREY, linewidth=0.8, label="leverage")
    twin.set_ylabel("effective leverage, x")
    twin.set_ylim(0.0, 2.5 * max(1e-9, float(np.max(series["effective_leverage"], initial=0.0))))
    lines = [*axis.get_lines()[:1], *twin.get_lines()]
    axis.legend(lines, [x.get_label() for x in lines], loc="best", fontsize=8, frameon=False)
