"""Several runs on one scale: figures side by side, equity and drawdown in the same charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverpack.errors import SettingError
from leverpack.report import derived, words
from leverpack.report.charts import RATIO_DIGITS, TIMES_DIGITS, Chart, ChartSet, Line, usual_step
from leverpack.report.pack import pack, pack_times
from leverpack.report.palette import SERIES_TONES
from leverpack.report.render import render
from leverpack.report.summary import key_figures, run_title
from leverpack.result import BacktestResult

MOST_RUNS = len(SERIES_TONES)
Runs = Mapping[str, BacktestResult]
Cell = tuple[str, Any]


def render_comparison(runs: Runs) -> str:
    """The page of at most MOST_RUNS runs by name; SettingError for more, or fewer than two."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise SettingError(f"--compare: name 2 to {MOST_RUNS} runs, not {len(runs)}")
    return render(
        "compare.html.j2",
        comparison_charts(runs),
        title=f"{words.count(len(runs), 'run')} compared",
        names=list(runs),
        tones=SERIES_TONES,
        rows=figure_rows(runs),
        warnings=_warnings(runs),
    )


def figure_rows(runs: Runs) -> list[tuple[str, list[Cell]]]:
    """Label and one (text, value) a run: what was run, the page's figures, the statistics."""
    results = list(runs.values())
    rows: list[tuple[str, list[Cell]]] = [
        ("run", [(run_title(r), "") for r in results]),
        ("leverage", [(f"{r.run['leverage']:g}x {r.run['margin_mode']}", r.run["leverage"])
                      for r in results]),
        ("from", [(words.from_iso(r.run["first"]), "") for r in results]),
        ("to", [(words.from_iso(r.run["last"]), "") for r in results]),
        ("candles", [(f"{r.run['bars']:,}", r.run["bars"]) for r in results]),
    ]  # fmt: skip
    for same in zip(*(key_figures(r) for r in results), strict=True):
        rows.append((same[0].name, [(f.text, f.value) for f in same]))
    return rows + _statistic_rows(results)


def _statistic_rows(results: list[BacktestResult]) -> list[tuple[str, list[Cell]]]:
    names = {s.key: s.name for r in results for s in r.statistics}
    shown = {figure.key for figure in key_figures(results[0])}
    rows = []
    for key in names:
        if key in shown:
            continue
        found = [next((s for s in r.statistics if s.key == key), None) for r in results]
        cells: list[Cell] = [
            ("none", "") if s is None or s.value is None
            else (words.statistic(s.value, s.unit), s.value)
            for s in found
        ]  # fmt: skip
        rows.append((names[key], cells))
    return rows


def comparison_charts(runs: Runs) -> ChartSet:
    """Return since the deposit, drawdown, worst margin ratio and effective leverage of all."""
    columns: dict[str, Any] = {}
    charts = [
        Chart("return", "Return", "Equity over the deposit, less one: every run starts at 0.",
              "percent", floor=0.0, ceiling=0.0, height=320),
        Chart("drawdown", "Drawdown", "How far equity stood under its highest close.", "percent",
              ceiling=0.0),
        Chart("margin_ratio", "Margin ratio",
              "The worst inside each candle, while a position is open; 100 % is liquidation.",
              "percent", floor=0.0, ceiling=1.0),
        Chart("leverage", "Effective leverage", "Notional over equity.", "times", floor=0.0),
    ]  # fmt: skip
    for i, (name, result) in enumerate(runs.items()):
        columns[f"{i} ts"] = pack_times(result.series["ts"])
        for chart, values in zip(charts, _lines(result), strict=True):
            digits = TIMES_DIGITS if chart.unit == "times" else RATIO_DIGITS
            columns[f"{i} {chart.name}"] = pack(values, digits)
            chart.lines.append(Line(name, f"{i} ts", f"{i} {chart.name}", SERIES_TONES[i]))
    times = [r.series["ts"] for r in runs.values() if len(r.series["ts"])]
    if not times:
        return ChartSet(charts, columns)
    first, last = min(int(t[0]) for t in times), max(int(t[-1]) for t in times)
    return ChartSet(charts, columns, [], first, last, min(usual_step(t) for t in times))


def _lines(result: BacktestResult) -> list[NDArray[np.float64]]:
    series = result.series
    return [
        series["equity"] / float(result.totals["start_equity"]) - 1.0,
        -derived.drawdown(result),
        series.get("worst_margin_ratio", series["margin_ratio"]),
        series["effective_leverage"],
    ]


def _warnings(runs: Runs) -> list[str]:
    """What makes these runs hard to compare."""
    said = []
    for key, words_ in (
        ("first", "start at different times"), ("last", "end at different times"),
        ("symbols", "trade different symbols"), ("cash", "start with different deposits"),
        ("venue", "are of different venues"),
    ):  # fmt: skip
        if len({str(r.run.get(key)) for r in runs.values()}) > 1:
            said.append(f"The runs {words_}.")
    return said
