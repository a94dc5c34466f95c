"""Extremes that stand alone: candles whose high or low leaves both neighbours and comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from leverpack.candles.blocks import Rows, moved, rows_where
from leverpack.candles.series import Bools, Candles, Finding, MarkSeries, Severity, iso
from leverpack.result import Floats

# A tenth beyond both neighbours: below that even calm coins go within one hour.
_FLOOR = 0.10
# And ten times the usual range of the candles around: the cascades of 2025 reach 10 to 50 times,
# daily and weekly candles of ordinary years stay under 3.
_RANGES = 10.0
_AROUND = 50  # candles to either side that say what is usual
# Forced selling trades several times the usual volume (8 to 35 times in the cascades of 2020 to
# 2025); a misprint does not.
_HEAVY = 3.0
_HALF = 0.5  # the mark confirms a spike when it goes half the way
# Mark and last stay within 6 % of each other through the cascades of 2025 on BTC to DOGE.
_APART = 0.10
_AT_ONCE = 1_000  # candidates whose surroundings are looked at together

Spike = tuple[int, int]  # side (1: high, -1: low) and position


def spike_findings(candles: Candles) -> list[Finding]:
    """Spikes in candles looked at alone: heavy volume speaks for a real move, the lack against."""
    return _alone(candles, [(s, row) for s in (1, -1) for row in find_spikes(candles, s).tolist()])


def _alone(candles: Candles, spikes: list[Spike]) -> list[Finding]:
    if not spikes:
        return []
    if candles.kind == "mark":
        return [_said(candles, spikes, "info", "and comes back at once", "kept")]
    heavy = _heavy(candles, np.array([row for _, row in spikes]))
    light = [spike for spike, sure in zip(spikes, heavy, strict=True) if not sure]
    done = "kept; a mark series tells whether it was real"
    if not light:
        return [_said(candles, spikes, "info", "on heavy volume, as in a cascade", done)]
    judge = candles.volume.any()
    why = "without the volume of a real move" if judge else "and there is no volume to judge it by"
    return [_said(candles, light, "warning", why, done)]


def find_spikes(candles: Candles, side: int) -> Rows:
    """Positions of the spikes up (side 1) or down (side -1), oldest first."""
    if len(candles) < 3:
        return np.empty(0, np.intp)
    edge, high, low = 1.0 + _FLOOR, candles.high, candles.low

    def lone_high(at: slice) -> Bools:
        lone: Bools = high[at] > edge * np.maximum(high[moved(at, -1)], high[moved(at, 1)])
        return lone

    def lone_low(at: slice) -> Bools:
        lone: Bools = low[at] * edge < np.minimum(low[moved(at, -1)], low[moved(at, 1)])
        return lone

    rows = rows_where(1, len(candles) - 1, lone_high if side > 0 else lone_low)
    if not len(rows):
        return rows
    return rows[_depth(candles, rows, side) >= _RANGES * _usual(candles, rows)[0]]


@np.errstate(all="ignore")  # absurd prices overflow to inf, which compares as it should
def judge_by_mark(candles: Candles, mark: Candles, marks: MarkSeries) -> list[Finding]:
    """The candles' findings with their spikes judged by the mark price over the same candles.

    A spike that the mark goes along with is confirmed; where last leaves the mark it is said,
    since liquidation is tested on the mark and stops on last. ``mark`` is what was read and
    ``marks`` the same laid over the candles; marks without high and low say nothing here.
    """
    if {f.code for f in mark.findings} & {"no_high", "no_low"}:
        return candles.findings
    kept = [f for f in candles.findings if f.code != "spike"]
    known = ~marks.fallback
    parted: list[Spike] = []
    confirmed: list[Spike] = []
    unjudged: list[Spike] = []
    for side in (1, -1):
        rows = find_spikes(candles, side)
        unjudged += [(side, int(row)) for row in rows[~known[rows]]]
        rows = rows[known[rows]]
        along = _mark_depth(candles, marks, rows, side) >= _HALF * _depth(candles, rows, side)
        far = _far(candles, marks, side) & known
        far[rows] |= ~along
        parted += [(side, int(row)) for row in np.flatnonzero(far)]
        confirmed += [(side, int(row)) for row in rows[along] if not far[row]]
    kept += _alone(candles, unjudged)
    if confirmed:
        kept.append(_said(candles, confirmed, "info", "and the mark goes along", "kept"))
    if parted:
        kept.append(_parted(candles, marks, parted))
    return kept


def with_marks(candles: Candles, mark: Candles, marks: MarkSeries) -> Candles:
    """The candles with their findings as :func:`judge_by_mark` has them."""
    return replace(candles, findings=judge_by_mark(candles, mark, marks))


def _far(candles: Candles, marks: MarkSeries, side: int) -> Bools:
    edge = 1.0 + _APART
    far: Bools = candles.high > edge * marks.high if side > 0 else candles.low * edge < marks.low
    return far


def _beyond(extreme: Floats, one: Floats, other: Floats, side: int) -> Floats:
    """How far, in logarithms, an extreme lies beyond the nearer of two others."""
    nearer = np.maximum(one, other) if side > 0 else np.minimum(one, other)
    depth: Floats = side * np.log(extreme / nearer)
    return depth


def _depth(candles: Candles, rows: Rows, side: int) -> Floats:
    values = candles.high if side > 0 else candles.low
    return _beyond(values[rows], values[rows - 1], values[rows + 1], side)


def _mark_depth(candles: Candles, marks: MarkSeries, rows: Rows, side: int) -> Floats:
    """How far the mark went beyond the trade candle's neighbours."""
    trades, mark = (candles.high, marks.high) if side > 0 else (candles.low, marks.low)
    return _beyond(mark[rows], trades[rows - 1], trades[rows + 1], side)


def _usual(candles: Candles, rows: Rows) -> tuple[Floats, Floats]:
    """Median log range and median volume of the candles around each row, itself left out."""
    around = np.concatenate((np.arange(-_AROUND, 0), np.arange(1, _AROUND + 1)))
    ranges, volumes = np.empty(len(rows)), np.empty(len(rows))
    last = len(candles) - 1
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # Beyond the ends the outermost candles count again, which moves a median little.
        near = np.clip(rows[part, None] + around, 0, last)
        ranges[part] = np.median(np.log(candles.high[near] / candles.low[near]), axis=1)
        volumes[part] = np.median(candles.volume[near], axis=1)
    return ranges, volumes


def _heavy(candles: Candles, rows: Rows) -> Bools:
    usual = _usual(candles, rows)[1]
    heavy: Bools = (candles.volume[rows] > 0) & (candles.volume[rows] >= _HEAVY * usual)
    return heavy


def _said(
    candles: Candles, spikes: list[Spike], severity: Severity, why: str, done: str
) -> Finding:
    depths = [float(_depth(candles, np.array([row]), side)[0]) for side, row in spikes]
    (side, row), depth = spikes[int(np.argmax(depths))], max(depths)
    word, value = ("high", candles.high[row]) if side > 0 else ("low", candles.low[row])
    where = f"{'above' if side > 0 else 'below'} both neighbours"
    share = np.expm1(depth) if side > 0 else -np.expm1(-depth)
    times = "" if len(spikes) == 1 else f", the largest of {len(spikes)}"
    return Finding(
        severity, "spike",
        f"the {word} {value:g} at {iso(int(candles.ts[row]))} lies {share:.1%} {where}, {why}"
        f"{times}", None, len(spikes), done,
    )  # fmt: skip


def _parted(candles: Candles, marks: MarkSeries, places: list[Spike]) -> Finding:
    def gap(place: Spike) -> float:
        side, row = place
        if side > 0:
            return float(candles.high[row] / marks.high[row])
        return float(marks.low[row] / candles.low[row])

    side, row = max(places, key=gap)
    last, mark = (candles.high, marks.high) if side > 0 else (candles.low, marks.low)
    verb, stays = ("rises", "no higher than") if side > 0 else ("falls", "no lower than")
    share = abs(float(last[row] / mark[row]) - 1.0)
    times = "" if len(places) == 1 else f", the farthest of {len(places)} candles"
    return Finding(
        "warning", "mark_contradicts",
        f"last {verb} to {last[row]:g} at {iso(int(candles.ts[row]))} while the mark goes {stays} "
        f"{mark[row]:g}, {share:.1%} apart{times}", None, len(places),
        "kept; liquidation is tested on the mark, stops and targets on last",
    )  # fmt: skip
