"""What the page draws: each chart with its lines, bands and words, and the columns behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverpack.report import derived
from leverpack.report.pack import pack, pack_times, price_digits
from leverpack.report.palette import SERIES_TONES
from leverpack.result import BacktestResult, SymbolSeries, TradeRecord

RATIO_DIGITS, MONEY_DIGITS, TIMES_DIGITS = 5, 2, 3
MOST_SYMBOL_LINES = len(SERIES_TONES)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: ``x`` and ``y`` name columns; ``area`` fills it down to 0."""

    label: str
    x: str
    y: str
    tone: str
    dash: str = "solid"
    area: bool = False
    step: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A shaded range of values; None is without bound."""

    low: float | None
    high: float | None
    tone: str


@dataclass(slots=True)
class Chart:
    """One chart of the page. ``unit``: "money", "percent", "times" or "price".

    ``kind``: "lines", "price" (candles of a chosen symbol) or "days" (bars). ``floor`` and
    ``ceiling`` are values that the axis always reaches; ``log`` is for values above 0 only.
    """

    name: str
    title: str
    note: str
    unit: str
    lines: list[Line] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    kind: str = "lines"
    floor: float | None = None
    ceiling: float | None = None
    log: bool = False
    height: int = 210


@dataclass(slots=True)
class ChartSet:
    """The charts of one page, their packed columns, and the symbols for the price chart."""

    charts: list[Chart]
    columns: dict[str, dict[str, Any]]
    symbols: list[dict[str, Any]] = field(default_factory=list)
    first: int | None = None  # epoch ms of the first candle
    last: int | None = None
    step: int = 3_600_000  # usual time between candles, ms


def run_charts(result: BacktestResult) -> ChartSet:
    """The charts of one run; those that would be empty are left out."""
    columns: dict[str, dict[str, Any]] = {}
    ts = result.series["ts"]
    columns["ts"] = pack_times(ts)
    charts = [
        _price(),
        *_account_charts(result, columns),
        *_exposure(result, columns),
        *_venue(result, columns),
        _costs(result, columns),
        *_days(result, columns),
    ]
    symbols = [
        _symbol(i, name, series, result, columns)
        for i, (name, series) in enumerate(result.symbols.items())
    ]
    first, last = (int(ts[0]), int(ts[-1])) if len(ts) else (None, None)
    return ChartSet(charts, columns, symbols, first, last, usual_step(ts))


def usual_step(ts: NDArray[Any]) -> int:
    """Milliseconds from candle to candle, the median; an hour for a single one."""
    return int(np.median(np.diff(ts))) if len(ts) > 1 else 3_600_000


def _price() -> Chart:
    return Chart(
        "price", "Price", "Candles; entries, exits, stops, targets; the liquidation price in red.",
        "price", kind="price", height=430,
    )  # fmt: skip


def _account_charts(result: BacktestResult, columns: dict[str, Any]) -> Iterator[Chart]:
    series = result.series

    def line(label: str, name: str, values: NDArray[Any], digits: int, tone: str, **how: Any
    ) -> Line:  # fmt: skip
        columns[name] = pack(values, digits)
        return Line(label, "ts", name, tone, **how)

    yield Chart(
        "equity", "Equity", "Wallet and open profit at each close, quote currency.", "money",
        [line("equity", "equity", series["equity"], MONEY_DIGITS, "blue")],
    )  # fmt: skip
    yield Chart(
        "drawdown", "Drawdown", "How far equity stood under its highest close.", "percent",
        [line("drawdown", "drawdown", -derived.drawdown(result), RATIO_DIGITS, "red", area=True)],
        ceiling=0.0, height=150,
    )  # fmt: skip
    yield _margin_ratio(result, line)
    if np.isfinite(series["margin_level"]).any():
        yield _margin_level(result, line)
    lines = [line("effective leverage", "effective", series["effective_leverage"], TIMES_DIGITS,
                  "blue", area=True)]  # fmt: skip
    if "decided_leverage" in series:
        lines.append(line("decided leverage", "decided", series["decided_leverage"],
                          TIMES_DIGITS, "violet", step=True))  # fmt: skip
    yield Chart(
        "leverage", "Leverage",
        "Effective: notional over equity, what the account really carried. Decided: what was set "
        "at the venue for the positions held.", "times", lines, floor=0.0,
    )  # fmt: skip
    move = series.get("liquidating_move")
    if move is not None and np.isfinite(move).any():
        yield Chart(
            "move", "The move that would have liquidated",
            "Smallest instant move of all marks together that would have liquidated a position; "
            "below 0 a fall, above 0 a rise.", "percent",
            [line("liquidating move", "move", _bounded(move), RATIO_DIGITS, "red")],
            floor=0.0, ceiling=0.0,
        )  # fmt: skip


def _bounded(move: NDArray[Any]) -> NDArray[Any]:
    """Moves beyond a doubling are out of sight, and would flatten the rest of the line."""
    return np.where(np.abs(move) > 1.0, np.nan, move)


def _margin_ratio(result: BacktestResult, line: Any) -> Chart:
    series, call = result.series, derived.lowest_call_ratio(result)
    lines = [
        line("worst inside the candle", "worst_ratio",
             series.get("worst_margin_ratio", series["margin_ratio"]), RATIO_DIGITS, "amber"),
        line("at the close", "ratio", series["margin_ratio"], RATIO_DIGITS, "blue"),
    ]  # fmt: skip
    return Chart(
        "margin_ratio", "Margin ratio",
        f"Maintenance margin over margin balance. Shaded from the call at {call:.0%}; "
        "at 100 % the position is liquidated.", "percent", lines,
        [Band(call, 1.0, "amber"), Band(1.0, None, "red")], floor=0.0, ceiling=1.08,
    )  # fmt: skip


def _margin_level(result: BacktestResult, line: Any) -> Chart:
    levels = derived.venue_levels(result)
    lines = [line("margin level", "level", result.series["margin_level"], TIMES_DIGITS, "teal")]
    note = "Equity over used margin, where a position is open; more is safer."
    if levels is None:
        return Chart("margin_level", "Margin level", note, "percent", lines, log=True, height=170)
    call, liquidation = levels
    return Chart(
        "margin_level", "Margin level",
        f"{note} The venue calls at {call:.0%} and liquidates at {liquidation:.0%}.", "percent",
        lines, [Band(liquidation, call, "amber"), Band(None, liquidation, "red")], log=True,
        floor=0.9 * liquidation, height=170,
    )  # fmt: skip


def _exposure(result: BacktestResult, columns: dict[str, Any]) -> Iterator[Chart]:
    lines, rest = [], None
    for i, (symbol, series) in enumerate(result.symbols.items()):
        if i < MOST_SYMBOL_LINES - 1 or len(result.symbols) <= MOST_SYMBOL_LINES:
            columns[f"s{i}:exposure"] = pack(series.exposure, MONEY_DIGITS)
            tone = SERIES_TONES[i]
            lines.append(Line(symbol, f"s{i}:ts", f"s{i}:exposure", tone, step=True))
        else:
            rest = series.exposure if rest is None else rest + series.exposure
    if rest is not None:
        columns["exposure_rest"] = pack(rest, MONEY_DIGITS)
        lines.append(Line("all others", "ts", "exposure_rest", "grey", step=True))
    if lines:
        yield Chart(
            "exposure", "Exposure by symbol",
            "Notional at the mark, quote currency; above 0 long, below 0 short.", "money", lines,
            floor=0.0, ceiling=0.0,
        )  # fmt: skip


def _venue(result: BacktestResult, columns: dict[str, Any]) -> Iterator[Chart]:
    """Of a live run: how far the venue's liquidation price lies from the one computed here."""
    lines: list[Line] = []
    for i, (symbol, series) in enumerate(result.symbols.items()):
        values = derived.venue_difference(series)
        if values is not None and len(lines) < MOST_SYMBOL_LINES:
            columns[f"s{i}:venue"] = pack(values, RATIO_DIGITS + 2)
            lines.append(Line(symbol, f"s{i}:ts", f"s{i}:venue", SERIES_TONES[len(lines)]))
    if lines:
        yield Chart(
            "venue", "The venue's liquidation price and ours",
            "The venue's own over the one computed here, less 1; 0 is agreement.", "percent",
            lines, floor=-0.001, ceiling=0.001, height=150,
        )  # fmt: skip


def _costs(result: BacktestResult, columns: dict[str, Any]) -> Chart:
    lines = []
    for label, values, tone in derived.costs_to_date(result):
        columns[f"cost {label}"] = pack(values, MONEY_DIGITS)
        lines.append(Line(label, "ts", f"cost {label}", tone, step=True))
    return Chart(
        "costs", "Costs to date",
        "Quote currency, added up. Funding below 0 was received; liquidation fees are less what "
        "the insurance fund bore.", "money", lines, floor=0.0, ceiling=0.0,
    )  # fmt: skip


def _days(result: BacktestResult, columns: dict[str, Any]) -> Iterator[Chart]:
    days = result.daily
    if not days:
        return
    limits = np.array([np.nan if d.loss_limit is None else -d.loss_limit for d in days])
    columns["day"] = pack_times(np.array([d.day for d in days]))
    columns["day profit"] = pack(np.array([d.profit for d in days]), MONEY_DIGITS)
    lines = [Line("profit of the day", "day", "day profit", "blue")]
    note = "From close to close, UTC days, quote currency."
    if np.isfinite(limits).any():
        columns["day limit"] = pack(limits, MONEY_DIGITS)
        lines.append(Line("daily loss limit", "day", "day limit", "red", step=True))
        reached = sum(d.limit_reached for d in days)
        note += f" The limit was reached on {reached:,} of {len(days):,} days."
    else:
        note += " No daily loss limit was set."
    yield Chart("days", "Day by day", note, "money", lines, kind="days", floor=0.0, ceiling=0.0)


# -- the price chart -----------------------------------------------------------------------------


def _symbol(
    index: int, name: str, series: SymbolSeries, result: BacktestResult, columns: dict[str, Any]
) -> dict[str, Any]:
    """One symbol's candles, liquidation price and trades; ``key`` starts its columns' names."""
    key = f"s{index}"
    digits = price_digits(series.open, series.high, series.low, series.close)
    columns[f"{key}:ts"] = pack_times(series.ts)
    for part in ("open", "high", "low", "close"):
        columns[f"{key}:{part}"] = pack(getattr(series, part), digits)
    held = np.nan_to_num(series.position) != 0.0
    liquidation = np.where(held, series.liquidation_price, np.nan)
    columns[f"{key}:liquidation"] = pack(
        np.where(liquidation > 0.0, liquidation, np.nan), max(2, digits)
    )
    _trades(key, [t for t in result.trades if t.symbol == name], series, columns)
    return {"key": key, "name": name, "digits": digits}


def _trades(
    key: str, trades: list[TradeRecord], series: SymbolSeries, columns: dict[str, Any]
) -> None:
    last = int(series.ts[-1]) if len(series.ts) else 0
    ends = [last if t.exit_time is None else t.exit_time for t in trades]
    columns[f"{key}:entry_time"] = pack_times(np.array([t.entry_time for t in trades]))
    columns[f"{key}:exit_time"] = pack_times(np.array(ends))
    values = {
        "side": [1.0 if t.side == "long" else -1.0 for t in trades],
        "entry": [t.entry_price for t in trades],
        "exit": [t.exit_price for t in trades],
        "stop": [t.stop_price for t in trades],
        "target": [t.target_price for t in trades],
        "forced": [float(t.reason == "liquidation") for t in trades],
    }
    for name, numbers in values.items():
        columns[f"{key}:{name}"] = pack(np.array(numbers, dtype=np.float64), 8)
