"""The charts as Bokeh figures, empty: the page's own script puts in what is in view."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from leverpack.report.charts import Chart

LEFT, RIGHT = 76, 14  # pixels beside the frame: the same everywhere, so that times line up
_FORMATS = {
    "percent": "0,0.[00] %", "money": "0,0.[00]", "times": "0,0.[00]", "price": "0,0.[00000000]",
}  # fmt: skip


def embed(charts: Sequence[Chart], first: int | None, last: int | None) -> dict[str, Any]:
    """Bokeh's documents and render items as JSON values; targets are elements ``plot-<name>``.

    No text from outside is in there: titles and numbers are the page's own elements.
    """
    from bokeh.document import Document
    from bokeh.embed.util import standalone_docs_json_and_render_items
    from bokeh.models import Range1d

    start, end = (0, 1) if first is None or last is None else (first, last)
    time = Range1d(start=start, end=end, name="time")
    roots = [_figure(chart, time) for chart in charts]
    document = Document()
    for root in roots:
        document.add_root(root)
    docs, _ = standalone_docs_json_and_render_items(roots, suppress_callback_warning=True)
    (content,) = docs.values()
    places = {
        root.ref["id"]: f"plot-{chart.name}" for root, chart in zip(roots, charts, strict=True)
    }
    return _own_ids({"docs": {"charts": content}, "doc": "charts", "places": places})


def _own_ids(built: dict[str, Any]) -> dict[str, Any]:
    """Bokeh numbers its models on and on: count anew, so that the same run gives the same page."""
    new: dict[str, str] = {}
    text = re.sub(
        r'"p\d+"', lambda m: new.setdefault(m[0], f'"p{len(new) + 1}"'), json.dumps(built)
    )
    renumbered: dict[str, Any] = json.loads(text)
    return renumbered


def _figure(chart: Chart, time: Any) -> Any:
    from bokeh.models import NumeralTickFormatter, Range1d
    from bokeh.plotting import figure

    plot: Any = figure(
        name=f"figure-{chart.name}", x_axis_type="datetime",
        y_axis_type="log" if chart.log else "linear", x_range=time,
        y_range=Range1d(start=0.1, end=1, name=f"y-{chart.name}"), height=chart.height,
        sizing_mode="stretch_width", tools="", toolbar_location=None,
        min_border_left=LEFT, min_border_right=RIGHT, min_border_top=6, min_border_bottom=26,
        background_fill_color=None, border_fill_color=None, outline_line_color=None,
    )  # fmt: skip
    plot.yaxis.formatter = NumeralTickFormatter(format=_FORMATS[chart.unit])
    plot.yaxis.ticker.desired_num_ticks = 5
    for axis in (plot.xaxis, plot.yaxis):
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.major_label_text_font_size = "12px"
        axis.major_label_text_font = "system-ui, sans-serif"
    plot.xgrid.grid_line_color = None
    _bands(plot, chart)
    {"price": _price, "days": _days, "lines": _lines}[chart.kind](plot, chart)
    return plot


def _bands(plot: Any, chart: Chart) -> None:
    from bokeh.models.annotations import BoxAnnotation

    for i, band in enumerate(chart.bands):
        bounds = {"bottom": band.low, "top": band.high}
        given: dict[str, Any] = {k: v for k, v in bounds.items() if v is not None}
        plot.add_layout(BoxAnnotation(
            name=f"{chart.name}-band-{i}", fill_alpha=0.13, line_color=None, level="underlay",
            **given,
        ))  # fmt: skip


def _source(*names: str) -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({name: [] for name in names})


def _lines(plot: Any, chart: Chart) -> None:
    for i, line in enumerate(chart.lines):
        _line(plot, f"{chart.name}-{i}", line.dash, area=line.area, step=line.step)


def _line(plot: Any, name: str, dash: str, *, area: bool = False, step: bool = False) -> None:
    source = _source("x", "y")
    if area:
        plot.varea("x", 0, "y", source=source, name=f"{name}-area", fill_alpha=0.16)
    if step:
        plot.step("x", "y", source=source, name=name, line_width=1.4, mode="after",
                  line_dash=dash)  # fmt: skip
    else:
        plot.line("x", "y", source=source, name=name, line_width=1.4, line_dash=dash)


def _days(plot: Any, chart: Chart) -> None:
    source = _source("left", "right", "top", "color")
    plot.quad("left", "right", "top", 0, source=source, name="days-bars", fill_color="color",
              line_color=None)  # fmt: skip
    if len(chart.lines) > 1:
        _line(plot, "days-limit", "dashed", step=True)


def _price(plot: Any, chart: Chart) -> None:
    wick = _source("x", "low", "high", "color")
    plot.segment("x", "low", "x", "high", source=wick, name="price-wicks", line_color="color")
    body = _source("left", "right", "low", "high", "color")
    plot.quad("left", "right", "high", "low", source=body, name="price-bodies",
              fill_color="color", line_color="color", line_width=0.6)  # fmt: skip
    for name in ("stop", "target"):
        source = _source("x0", "x1", "y")
        plot.segment("x0", "y", "x1", "y", source=source, name=f"price-{name}", line_width=1.2,
                     line_dash="dashed")  # fmt: skip
    _line(plot, "price-liquidation", "solid", step=True)
    marks = (("long", "triangle"), ("short", "inverted_triangle"), ("exit", "circle"),
             ("forced", "x"))  # fmt: skip
    for name, marker in marks:
        plot.scatter("x", "y", source=_source("x", "y"), name=f"price-{name}", marker=marker,
                     size=10 if name != "exit" else 7, line_width=1.5)  # fmt: skip
