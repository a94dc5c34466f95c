"""Pages from templates: every value from outside escaped, scripts and styles embedded."""

from __future__ import annotations

import dataclasses
from functools import cache
from importlib.resources import files
from typing import Any

from leverpack.report import words
from leverpack.report.charts import ChartSet
from leverpack.report.palette import root_css

_FILES = ("page.css", "columns.js", "sampling.js", "charts.js", "table.js")


def render(template: str, charts: ChartSet, **values: Any) -> str:
    """The page as text, with everything that the charts need inside it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from leverpack.report.figures import embed

    environment = Environment(
        loader=PackageLoader("leverpack.report", "assets"),
        autoescape=True,  # in every template, whatever its name
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # As it comes: Bokeh's references follow what they refer to.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.globals.update(words=words, assets=_assets())
    return environment.get_template(template).render(
        charts=charts, spec=_spec(charts), bokeh=embed(charts.charts, charts.first, charts.last),
        **values,
    ).lstrip()  # fmt: skip


@cache
def _assets() -> dict[str, Any]:
    """The project's own scripts and styles, and Bokeh's; none holds text from outside."""
    from bokeh.resources import Resources
    from markupsafe import Markup

    folder = files("leverpack.report") / "assets"
    texts = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES}
    # Only Bokeh's core: no widgets, tables, WebGL or MathJax.
    texts["bokeh"] = Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]
    texts["palette"] = root_css()
    return {name: Markup(text) for name, text in texts.items()}


def _spec(charts: ChartSet) -> dict[str, Any]:
    """What the page's script must know about each chart."""
    return {
        "charts": [dataclasses.asdict(chart) for chart in charts.charts],
        "symbols": charts.symbols,
        "first": charts.first,
        "last": charts.last,
        "step": charts.step,
    }
