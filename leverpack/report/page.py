"""One self-contained HTML page of a run: opens from a file, needs no network."""

from __future__ import annotations

from typing import Any

from leverpack.report import tradetable
from leverpack.report.charts import run_charts
from leverpack.report.derived import venue_differences
from leverpack.report.livejournal import LIVE
from leverpack.report.months import monthly_returns
from leverpack.report.render import render
from leverpack.report.summary import headline, key_figures, run_title, survival_said
from leverpack.report.tables import to_json_dict
from leverpack.result import BacktestResult

MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FULL_HEAT = 0.05  # a month of 5 % has at least this much colour, so that calm runs look calm


def render_page(result: BacktestResult) -> str:
    """The page as text; every value from outside is escaped by the template engine."""
    charts = run_charts(result)
    trades = tradetable.trade_rows(result.trades, charts.last)
    months = monthly_returns(result)
    saved = to_json_dict(result)
    return render(
        "page.html.j2",
        charts,
        title=run_title(result),
        headline=headline(result),
        figures=key_figures(result),
        run=result.run,
        result=result,
        totals=saved["totals"],
        trades=trades[: tradetable.FIRST_ROWS],
        all_trades=tradetable.packed(trades),
        more_trades=max(0, len(result.trades) - tradetable.MOST_TRADES),
        trade_columns=tradetable.COLUMNS,
        months=months,
        month_names=MONTH_NAMES,
        heat=max([FULL_HEAT, *(abs(m) for row in months for m in row.months if m is not None)]),
        survival=survival_said(result),
        strategy_counts=[
            (heading, counts)
            for heading, counts in (
                ("Entries that the strategy refused or cut", result.refusals),
                ("Alarms: everything was closed", result.alarms),
            )
            if counts
        ],
        settings=_settings(saved["run"]),
        is_live=result.run.get("loop") == LIVE,
        venue=venue_differences(result),
    )


def _settings(run: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in run.items():
        if name == "params":
            value = ", ".join(f"{k} = {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, float):
            value = f"{value:,.6g}"
        rows.append((name.replace("_", " "), "none" if value is None else str(value)))
    return rows
