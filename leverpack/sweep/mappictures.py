"""Maps of a sweep as pictures and as one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.errors import SettingError
from leverpack.files import put_text
from leverpack.report.palette import LIGHT
from leverpack.report.pictures import write_figure
from leverpack.sweep.maps import SURVIVAL, CellMap, Row, cell_map, pairs_of
from leverpack.sweep.outcome import LOWER_IS_BETTER, SHOWN, best, value_said

PAGE = "sweep.html"
_WRITTEN_OUT = 400  # cells that have their number in them


def draw(found: CellMap) -> Any:
    """A map as a matplotlib Figure: green is good, red is bad, white is not known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tall = max(2.4, 1.4 + 0.36 * len(found.ys))
    figure = Figure(figsize=(max(5.0, 2.2 + 0.55 * len(found.xs)), tall), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    low, high = _bounds(found)
    image = axis.imshow(
        found.values, cmap=_colours(found.what), vmin=low, vmax=high, aspect="auto", origin="lower"
    )
    axis.set_title(title_of(found), loc="left", fontsize=11, color=LIGHT["ink"], parse_math=False)
    axis.set_xticks(range(len(found.xs)), [value_said("", v) for v in found.xs], rotation=90)
    axis.set_yticks(range(len(found.ys)), [value_said("", v) for v in found.ys])
    axis.set_xlabel(said(found.x), parse_math=False)
    axis.set_ylabel(said(found.y), parse_math=False)
    for text in (*axis.get_xticklabels(), *axis.get_yticklabels()):
        text.set_parse_math(False)
    axis.tick_params(length=0, labelsize=8, colors=LIGHT["soft"])
    axis.spines[:].set_visible(False)
    if found.values.size <= _WRITTEN_OUT:
        for (i, j), value in np.ndenumerate(found.values):
            if np.isfinite(value):
                axis.text(j, i, _cell(found.what, value), ha="center", va="center", fontsize=7,
                          color=LIGHT["ink"])  # fmt: skip
    figure.colorbar(image, ax=axis, format=lambda v, _: _cell(found.what, v), shrink=0.9)
    return figure


def title_of(found: CellMap) -> str:
    """What a map shows, in words."""
    if found.what == SURVIVAL:
        return "Survival: share of the runs without a liquidation"
    return f"{said(found.what).capitalize()}: median of the runs"


def _bounds(found: CellMap) -> tuple[float, float]:
    if found.what == SURVIVAL:
        return 0.0, 1.0
    known = found.values[np.isfinite(found.values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _colours(what: str) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ends = ["#e98a92", "#f6e7b0", "#7fcba6"]
    if what in LOWER_IS_BETTER:
        ends.reverse()
    return LinearSegmentedColormap.from_list("worse to better", ends)


def said(name: str) -> str:
    """A name in words."""
    return name.replace("_", " ")


def _cell(what: str, value: float) -> str:
    return value_said("return" if what == SURVIVAL else what, value, 1)


# -- files ----------------------------------------------------------------------------------------


def maps_of(rows: Sequence[Row], metric: str) -> list[CellMap]:
    """Survival and the metric over each pair of parameters."""
    return [
        cell_map(rows, what, x, y)
        for x, y in pairs_of(rows)
        for what in dict.fromkeys((SURVIVAL, metric))
    ]


@dataclass(frozen=True)
class Listed:
    """A table for the page, as texts."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def best_listed(rows: Sequence[Row], metric: str, top: int) -> Listed:
    """The best rows as a table: parameters, then the metric, then the usual figures."""
    found = best(rows, metric, top)
    params = [n for n in (found[0] if found else {}) if n.startswith("param.")]
    figures = list(dict.fromkeys((metric, *SHOWN)))
    return Listed(
        f"best by {said(metric)}",
        [said(n.removeprefix("param.")) for n in (*params, *figures)],
        [
            [*(value_said("", r[n]) for n in params), *(value_said(n, r.get(n)) for n in figures)]
            for r in found
        ],
    )


def write_maps(
    rows: Sequence[Row], metric: str, folder: Path, *, title: str, listed: Listed,
    notes: Sequence[str] = (), settings: Mapping[str, Any] | None = None,
) -> list[Path]:  # fmt: skip
    """Write each map as PNG and all of them, with a table, as PAGE; returns the paths.

    The page comes last. ``notes`` are sentences under the title. Raises SettingError when the
    folder cannot be written.
    """
    written: list[tuple[CellMap, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for found in maps_of(rows, metric):
            path = folder / f"{'-'.join(n for n in (found.what, found.x, found.y) if n)}.png"
            write_figure(draw(found), path)
            written.append((found, path))
        page = put_text(folder / PAGE, _page(written, title, listed, notes, settings or {}))
    except OSError as fault:
        raise SettingError(
            f"--report {folder}: cannot be written ({fault.strerror or fault})"
        ) from fault
    return [*(path for _, path in written), page]


def _page(
    written: Sequence[tuple[CellMap, Path]], title: str, listed: Listed, notes: Sequence[str],
    settings: Mapping[str, Any],
) -> str:  # fmt: skip
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("leverpack.sweep", "assets"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("sweep.html.j2").render(
        title=title, notes=notes, settings=settings, listed=listed, colours=LIGHT,
        maps=[
            {
                "title": title_of(found), "name": path.name, "x": said(found.x),
                "y": said(found.y), "picture": base64.b64encode(path.read_bytes()).decode(),
            }
            for found, path in written
        ],
    )  # fmt: skip
