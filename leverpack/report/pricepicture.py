"""The price panel of the pictures: candles, trades and the liquidation price of one symbol."""

from __future__ import annotations

from typing import Any

import numpy as np

from leverpack.report.palette import LIGHT
from leverpack.report.sampling import joined_candles, line
from leverpack.result import BacktestResult, SymbolSeries, TradeRecord

MOST_BARS = 330


def draw_price(axis: Any, symbol: str, result: BacktestResult) -> None:
    """Draw one symbol into ``axis``; a far liquidation price may run out of the picture."""
    from matplotlib.ticker import StrMethodFormatter

    series = result.symbols[symbol]
    trades = [t for t in result.trades if t.symbol == symbol]
    _candles(axis, series)
    held = np.nan_to_num(series.position) != 0.0
    liquidation = np.where(held & (series.liquidation_price > 0.0), series.liquidation_price,
                           np.nan)  # fmt: skip
    line(axis, _when(series.ts), liquidation, color=LIGHT["red"], linewidth=1.2,
         label="liquidation price")  # fmt: skip
    _levels(axis, trades, series)
    _marks(axis, trades)
    if len(series.close):
        low, high = float(np.nanmin(series.low)), float(np.nanmax(series.high))
        room = 0.2 * (high - low) or 0.01 * high
        axis.set_ylim(low - room, high + room)
        if high >= 1_000.0:
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_ylabel("price")
    axis.title.set_parse_math(False)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="best", fontsize=8, frameon=False, ncols=4)


def _when(ms: Any) -> Any:
    return np.asarray(ms, dtype=np.int64).astype("datetime64[ms]")


def _candles(axis: Any, series: SymbolSeries) -> None:
    starts, opened, high, low, close = joined_candles(
        series.open, series.high, series.low, series.close, MOST_BARS
    )
    if not len(starts):
        return
    when = _when(series.ts[starts])
    step = (when[1] - when[0]) if len(when) > 1 else np.timedelta64(1, "h")
    width = step / np.timedelta64(1, "D") * 0.7
    fallen = close < opened
    for chosen, tone in ((~fallen, "green"), (fallen, "red")):
        axis.vlines(when[chosen], low[chosen], high[chosen], color=LIGHT[tone], linewidth=0.7)
        bottom, top = np.minimum(opened, close)[chosen], np.maximum(opened, close)[chosen]
        axis.bar(when[chosen], top - bottom, width, bottom, color=LIGHT[tone], linewidth=0)


def _levels(axis: Any, trades: list[TradeRecord], series: SymbolSeries) -> None:
    last = int(series.ts[-1]) if len(series.ts) else 0
    for name, tone in (("stop", "amber"), ("target", "teal")):
        lines = [
            (t.entry_time, last if t.exit_time is None else t.exit_time, level)
            for t in trades
            if (level := getattr(t, f"{name}_price")) is not None
        ]
        if lines:
            starts, ends, prices = zip(*lines, strict=True)
            axis.hlines(prices, _when(starts), _when(ends), color=LIGHT[tone], linewidth=0.9,
                        linestyle=(0, (4, 2)), label=name)  # fmt: skip


def _marks(axis: Any, trades: list[TradeRecord]) -> None:
    for side, marker, tone in (("long", "^", "green"), ("short", "v", "red")):
        chosen = [t for t in trades if t.side == side]
        _dots(axis, [(t.entry_time, t.entry_price) for t in chosen], marker, tone, f"{side} entry")
    closed = [t for t in trades if t.exit_time is not None and t.exit_price is not None]
    normal = [(t.exit_time, t.exit_price) for t in closed if t.reason != "liquidation"]
    forced = [(t.exit_time, t.exit_price) for t in closed if t.reason == "liquidation"]
    _dots(axis, normal, "o", "blue", "exit", hollow=True)
    _dots(axis, forced, "X", "ink", "liquidation", area=70)


def _dots(
    axis: Any, points: list[Any], marker: str, tone: str, label: str, *, hollow: bool = False,
    area: int = 34,
) -> None:  # fmt: skip
    if points:
        times, prices = zip(*points, strict=True)
        axis.scatter(
            _when(times), prices, marker=marker, s=area, label=label, zorder=3,
            edgecolors=LIGHT[tone] if hollow else "white",
            facecolors="white" if hollow else LIGHT[tone], linewidths=1.1 if hollow else 0.5,
        )  # fmt: skip
