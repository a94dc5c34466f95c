"""Maps of a sweep: survival and a metric over two parameters, from the rows of a result file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from leverpack.result import Floats, Ints

Row = Mapping[str, Any]
SURVIVAL = "survival"
MOST_VALUES = 40  # of one axis; more are put into BINS of equal width
BINS = 20
MOST_PAIRS = 6
_PREFIX = "param."


@dataclass(frozen=True)
class CellMap:
    """One value for each pair of parameter values.

    ``values[i, j]`` belongs to ``ys[i]`` and ``xs[j]``, NaN where no set ran; ``counts`` are the
    sets behind it. ``what`` is SURVIVAL (share without liquidation, fraction) or a figure, whose
    median over the sets of a cell it is. ``y`` is "" with one parameter.
    """

    what: str
    x: str
    y: str
    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    values: Floats
    counts: Ints


def cell_map(rows: Iterable[Row], what: str, x: str, y: str = "") -> CellMap:
    """Put rows (of a result file, or alike) into cells by the parameters ``x`` and ``y``.

    Rows without the figure (refused sets, or no trade) or the parameters are in no cell.
    """
    figure = "liquidations" if what == SURVIVAL else what
    names = [figure, _PREFIX + x, *([_PREFIX + y] if y else [])]
    known = [r for r in rows if all(r.get(n) is not None for n in names)]
    x_of, xs = _axis([r[_PREFIX + x] for r in known])
    y_of, ys = _axis([r[_PREFIX + y] for r in known]) if y else ([0] * len(known), ("",))
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row, i, j in zip(known, y_of, x_of, strict=True):
        value = float(row[figure])
        cells[i, j].append(float(value == 0.0) if what == SURVIVAL else value)
    values = np.full((len(ys), len(xs)), np.nan)
    counts = np.zeros((len(ys), len(xs)), np.int64)
    for cell, found in cells.items():
        values[cell] = np.mean(found) if what == SURVIVAL else np.median(found)
        counts[cell] = len(found)
    return CellMap(what, x, y, xs, ys, values, counts)


def pairs_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Which pairs of parameters to map: those that take several values, leverage and stop first.

    With one such parameter, it alone and ""; with none, nothing.
    """
    names = [n for n in (rows[0] if rows else {}) if n.startswith(_PREFIX)]
    several = [n.removeprefix(_PREFIX) for n in names if len({r.get(n) for r in rows}) > 1]
    first = ("leverage", "stop_loss_pct")
    several.sort(key=lambda n: first.index(n) if n in first else len(first))
    if len(several) == 1:
        return [(several[0], "")]
    return list(combinations(several, 2))[:MOST_PAIRS]


def _axis(values: Sequence[Any]) -> tuple[list[int], tuple[Any, ...]]:
    """The place of each value on an axis, and the axis; many numbers go into bins."""
    distinct = list(dict.fromkeys(values))
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in distinct):
        distinct.sort(key=str)
        place = {v: k for k, v in enumerate(distinct)}
        return [place[v] for v in values], tuple(distinct)
    if len(distinct) > MOST_VALUES:
        edges = np.linspace(min(distinct), max(distinct), BINS + 1)
        at = np.clip(np.searchsorted(edges, values, "right") - 1, 0, BINS - 1)
        return at.tolist(), tuple(((edges[1:] + edges[:-1]) / 2).tolist())
    distinct.sort()
    return np.searchsorted(distinct, values).tolist(), tuple(distinct)
