"""Each chart of a run as a matplotlib Figure, for notebooks and print, and as PNG and SVG.

>>> from leverpack.report import pictures
>>> figure = pictures.price(result)          # doctest: +SKIP
>>> figure.savefig("price.pdf")              # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverpack.errors import SettingError, nearest
from leverpack.files import put_file
from leverpack.report import derived
from leverpack.report.months import monthly_returns
from leverpack.report.palette import LIGHT, SERIES_TONES
from leverpack.report.pricepicture import draw_price
from leverpack.report.sampling import line
from leverpack.result import BacktestResult

Figure = Any
WIDTH = 10.0  # inches; at 160 dots an inch the PNG is 1,600 pixels wide
DPI = 160


def price(result: BacktestResult, symbol: str | None = None) -> Figure:
    """Candles, entries, exits, stops, targets and the liquidation price of one symbol.

    ``symbol`` None is the first. SettingError for one that the run did not trade.
    """
    chosen = next(iter(result.symbols), "") if symbol is None else symbol
    if symbol is not None and symbol not in result.symbols:
        hint = nearest(symbol, result.symbols, f"there are {', '.join(result.symbols)}")
        raise SettingError(f"symbol {symbol!r} is not in this run; {hint}")
    figure, axis = _one(5.2, f"{chosen}: price, entries, exits and liquidation price")
    if chosen:
        draw_price(axis, chosen, result)
    return figure


def equity(result: BacktestResult) -> Figure:
    """Equity, and below it the drawdown from its highest close."""
    figure, (top, low) = _panels([2.2, 1.0], "Equity and drawdown")
    _equity(top, result)
    when, fallen = _times(result), -100.0 * derived.drawdown(result)
    line(low, when, fallen, color=LIGHT["red"], linewidth=0.9)
    if len(when):
        low.fill_between(when, fallen, 0.0, color=LIGHT["red"], alpha=0.15, linewidth=0,
                         rasterized=True)  # fmt: skip
    low.set_ylabel("drawdown, %")
    low.set_ylim(top=0.0)
    return figure


def margin(result: BacktestResult) -> Figure:
    """Margin ratio with the bands of call and liquidation, and the margin level."""
    figure, (ratio, level) = _panels([1.6, 1.0], "Margin ratio and margin level")
    _margin_ratio(ratio, result)
    values = np.asarray(result.series["margin_level"])
    line(level, _times(result), 100.0 * values, color=LIGHT["teal"], linewidth=1.0)
    level.set_ylabel("margin level, %")
    if np.isfinite(values).any():
        level.set_yscale("log")
    levels = derived.venue_levels(result)
    if levels is not None:
        call, liquidation = levels
        level.axhspan(100 * liquidation, 100 * call, color=LIGHT["amber"], alpha=0.13, linewidth=0)
        level.axhline(100 * liquidation, color=LIGHT["red"], linewidth=0.9, linestyle="--")
    return figure


def leverage(result: BacktestResult) -> Figure:
    """Effective leverage against the leverage decided and set at the venue."""
    figure, axis = _one(3.2, "Effective and decided leverage")
    _leverage(axis, result)
    return figure


def exposure(result: BacktestResult) -> Figure:
    """Signed notional at the mark by symbol, quote currency."""
    figure, axis = _one(3.2, "Exposure by symbol")
    for i, (symbol, series) in enumerate(result.symbols.items()):
        tone = LIGHT[SERIES_TONES[i % len(SERIES_TONES)]]
        line(axis, _times(result), series.exposure, color=tone, linewidth=1.0, label=symbol)
    axis.axhline(0.0, color=LIGHT["grey"], linewidth=0.6)
    axis.set_ylabel("notional, quote")
    _finish(axis)
    return figure


def costs(result: BacktestResult) -> Figure:
    """Fees, funding, interest and liquidation costs, added up."""
    figure, axis = _one(3.2, "Costs to date")
    for label, values, tone in derived.costs_to_date(result):
        line(axis, _times(result), values, color=LIGHT[tone], linewidth=1.2, label=label)
    axis.axhline(0.0, color=LIGHT["grey"], linewidth=0.6)
    axis.set_ylabel("paid, quote")
    _finish(axis)
    return figure


def monthly(result: BacktestResult) -> Figure:
    """Returns by calendar month, one row a year, coloured by size."""
    from leverpack.report.page import MONTH_NAMES

    rows = monthly_returns(result)
    figure, axis = _one(0.9 + 0.42 * max(1, len(rows)), "Monthly returns, %")
    values = np.array([[np.nan if m is None else 100.0 * m for m in r.months] for r in rows])
    if not values.size:
        return figure
    bound = max(5.0, float(np.nanmax(np.abs(values), initial=0.0)))
    axis.imshow(values, cmap=_heat(), vmin=-bound, vmax=bound, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            axis.text(x, y, f"{value:+.1f}", ha="center", va="center", fontsize=8,
                      color=LIGHT["ink"])  # fmt: skip
    axis.set_xticks(range(12), MONTH_NAMES)
    axis.set_yticks(range(len(rows)), [str(r.year) for r in rows])
    axis.grid(False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def days(result: BacktestResult) -> Figure:
    """Profit of each UTC day against the daily loss limit, quote currency."""
    figure, axis = _one(3.2, "Day by day")
    when = np.array([d.day for d in result.daily], dtype=np.int64).astype("datetime64[ms]")
    profit = np.array([d.profit for d in result.daily])
    if len(when):
        colors = np.where(profit < 0.0, LIGHT["red"], LIGHT["green"])
        axis.bar(when, profit, width=0.8, color=colors, align="edge")
        limits = [np.nan if d.loss_limit is None else -d.loss_limit for d in result.daily]
        if np.isfinite(limits).any():
            axis.step(when, limits, where="post", color=LIGHT["red"], linestyle="--",
                      linewidth=1.0, label="daily loss limit")  # fmt: skip
    axis.set_ylabel("profit, quote")
    _finish(axis)
    return figure


def overview(result: BacktestResult) -> Figure:
    """The first symbol's price, equity, margin ratio and leverage under one another."""
    figure, (top, middle, ratio, low) = _panels([3.0, 1.4, 1.2, 1.0], "", height=9.0)
    symbol = next(iter(result.symbols), "")
    if symbol:
        top.set_title(f"{symbol}: price, entries, exits and liquidation price", loc="left")
        draw_price(top, symbol, result)
    _equity(middle, result)
    _margin_ratio(ratio, result)
    _leverage(low, result)
    return figure


PICTURES: dict[str, Callable[[BacktestResult], Figure]] = {
    "price": price, "equity": equity, "margin": margin, "leverage": leverage,
    "exposure": exposure, "costs": costs, "monthly": monthly, "days": days,
}  # fmt: skip


def save(result: BacktestResult, folder: Path) -> dict[str, Path]:
    """Write every picture as NAME.png and NAME.svg into ``folder``; returns the paths by name.

    The price of each further symbol is price-2, price-3, ... SettingError when the folder cannot
    be written.
    """
    jobs = {name: partial(make, result) for name, make in PICTURES.items()}
    for i, symbol in enumerate(list(result.symbols)[1:], 2):
        jobs[f"price-{i}"] = partial(price, result, symbol)
    written: dict[str, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, make in jobs.items():
            figure = make()
            for kind in ("png", "svg"):
                path = folder / f"{name}.{kind}"
                write_figure(figure, path)
                written[path.name] = path
    except OSError as fault:
        raise SettingError(f"{folder}: cannot be written ({fault.strerror or fault})") from fault
    return written


def write_figure(figure: Figure, path: Path) -> None:
    """Put a figure in its place in one step, as PNG or SVG by the ending; the same bytes twice."""
    import matplotlib as mpl

    kind = path.suffix[1:]
    metadata = {"Date": None} if kind == "svg" else {}
    with mpl.rc_context({"svg.hashsalt": "leverpack"}):
        put_file(path, lambda p: figure.savefig(p, format=kind, dpi=DPI, metadata=metadata))


# -- what several pictures share -----------------------------------------------------------------


def _times(result: BacktestResult) -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = result.series["ts"].astype("datetime64[ms]")
    return times


def _one(height: float, title: str) -> tuple[Figure, Any]:
    figure, (axis,) = _panels([1.0], title, height=height)
    return figure, axis


def _panels(ratios: list[float], title: str, *, height: float = 5.0) -> tuple[Figure, list[Any]]:
    """A figure of panels under one another that share the time axis; no pyplot, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(ratios), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
    )[:, 0]
    for axis in axes:
        axis.grid(True, color=LIGHT["line"], linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(LIGHT["grey"])
        axis.tick_params(colors=LIGHT["soft"], labelsize=9)
        axis.yaxis.label.set_color(LIGHT["soft"])
    if title:
        axes[0].set_title(title, loc="left", fontsize=11, color=LIGHT["ink"], parse_math=False)
    return figure, list(axes)


def _finish(axis: Any) -> None:
    """Thousands in the labels, and a legend where something has a name."""
    from matplotlib.ticker import StrMethodFormatter

    if axis.get_yscale() == "linear" and max(map(abs, axis.get_ylim())) >= 1_000.0:
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        legend = axis.legend(handles, labels, loc="best", fontsize=8, frameon=False, ncols=3)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _equity(axis: Any, result: BacktestResult) -> None:
    line(axis, _times(result), result.series["equity"], color=LIGHT["blue"], linewidth=1.1)
    axis.set_ylabel("equity, quote")
    _finish(axis)


def _margin_ratio(axis: Any, result: BacktestResult) -> None:
    series, call = result.series, 100.0 * derived.lowest_call_ratio(result)
    worst = series.get("worst_margin_ratio", series["margin_ratio"])
    line(axis, _times(result), 100.0 * worst, color=LIGHT["amber"], linewidth=1.0)
    axis.axhspan(call, 100.0, color=LIGHT["amber"], alpha=0.13, linewidth=0,
                 label=f"call from {call:.0f} %")  # fmt: skip
    axis.axhline(100.0, color=LIGHT["red"], linewidth=0.9, linestyle="--", label="liquidation")
    axis.set_ylim(0.0, 108.0)
    axis.set_ylabel("margin ratio, %")
    _finish(axis)


def _leverage(axis: Any, result: BacktestResult) -> None:
    series, when = result.series, _times(result)
    line(axis, when, series["effective_leverage"], color=LIGHT["blue"], linewidth=1.0,
         label="effective")  # fmt: skip
    if "decided_leverage" in series:
        line(axis, when, series["decided_leverage"], color=LIGHT["violet"], linewidth=1.0,
             label="decided")  # fmt: skip
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("leverage, x")
    _finish(axis)


def _heat() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [LIGHT["red"], LIGHT["paper"], LIGHT["green"]]
    return LinearSegmentedColormap.from_list("months", ends)
