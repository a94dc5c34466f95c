"""One self-contained HTML page of a run: opens from a file, needs no network."""

from __future__ import annotations

import base64
import json
from typing import Any

from leverpack.report import words
from leverpack.report.summary import headline, key_figures
from leverpack.report.tables import to_json_dict
from leverpack.result import BacktestResult

MOST_TRADES = 2_000  # beyond it a page gets heavy; trades.csv has all


def render_page(result: BacktestResult, picture: bytes) -> str:
    """The page as text; every value from outside is escaped by the template engine."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("leverpack.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    run = result.run
    template = environment.get_template("page.html.j2")
    return template.render(
        title=f"{run['strategy']} on {', '.join(run['symbols'])} {run['timeframe']}",
        headline=headline(result),
        figures=key_figures(result),
        picture=base64.b64encode(picture).decode("ascii"),
        trades=result.trades[:MOST_TRADES],
        more_trades=max(0, len(result.trades) - MOST_TRADES),
        result=result,
        settings=_settings(run),
        data=_embedded(result),
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
        rows.append((name.replace("_", " "), str(value)))
    return rows


def _embedded(result: BacktestResult) -> str:
    """The run's totals as JSON for programs that read the page; safe inside a script element."""
    totals = json.dumps(to_json_dict(result)["totals"], allow_nan=False)
    return totals.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
