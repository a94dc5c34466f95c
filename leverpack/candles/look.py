"""What deserves saying about candles that can be used: gaps, odd steps, halts, flat prices."""

from __future__ import annotations

import numpy as np

from leverpack.candles.series import Candles, Finding, iso
from leverpack.candles.table import Table
from leverpack.candles.timeframes import DAY_MS, MONTH_MS, timeframe_name
from leverpack.result import Ints

_JUMP = 3.0  # a step by this factor between two candles is hardly trading


def find_gaps(ts: Ints, timeframe_ms: int) -> list[tuple[int, int]]:
    """Where candles are missing: (first missing open time in epoch ms, how many)."""
    if len(ts) < 2 or timeframe_ms <= 0:
        return []
    steps = np.diff(ts)
    longest = 31 * DAY_MS if timeframe_ms == MONTH_MS else timeframe_ms * 3 // 2
    wide = np.flatnonzero(steps > longest)
    missing = np.rint(steps[wide] / timeframe_ms).astype(np.int64) - 1
    return [(int(ts[i]) + timeframe_ms, int(n)) for i, n in zip(wide, missing, strict=True)]


def candle_findings(candles: Candles, table: Table) -> list[Finding]:
    """Warnings and remarks about usable candles."""
    return [*_layout(candles, table), *_times(candles), *_values(candles)]


def _layout(candles: Candles, table: Table) -> list[Finding]:
    found: list[Finding] = []
    if not table.headed:
        order = ", ".join(dict.fromkeys(table.mapping.values()))
        found.append(
            Finding("info", "no_header", "the file has no header", 1, 1, f"columns read as {order}")
        )
    if table.layout is not None and table.layout.skip > int(table.layout.headed):
        found.append(
            Finding("info", "banner", "lines before the table", 1,
                    table.layout.skip - int(table.layout.headed), "skipped")
        )  # fmt: skip
    if "+" in candles.unit:
        found.append(
            Finding("warning", "mixed_units", f"times are in {candles.unit.replace('+', ' and ')}",
                    None, 1, "told apart row by row")
        )  # fmt: skip
    if candles.order != "ascending":
        severity = "info" if candles.order == "descending" else "warning"
        found.append(
            Finding(severity, "order", f"rows are in {candles.order} order",  # type: ignore[arg-type]
                    None, len(candles), "sorted by time")
        )  # fmt: skip
    if table.ignored:
        found.append(
            Finding("info", "ignored_columns", "not used: " + ", ".join(table.ignored), None,
                    len(table.ignored), "ignored")
        )  # fmt: skip
    return found


def _times(candles: Candles) -> list[Finding]:
    found: list[Finding] = []
    step = candles.timeframe_ms
    if candles.gaps:
        missing = sum(n for _, n in candles.gaps)
        first = candles.gaps[0][0]
        bars = f"{timeframe_name(step)} " + ("candle is" if missing == 1 else "candles are")
        found.append(
            Finding("warning", "gaps", f"{missing} {bars} missing, the first at {iso(first)}",
                    None, len(candles.gaps), "left open")
        )  # fmt: skip
    if 0 < step < DAY_MS:
        off = candles.ts % step != 0
        if off.any():
            at = int(candles.ts[np.flatnonzero(off)[0]])
            found.append(
                Finding("warning", "off_grid", f"open times off the {timeframe_name(step)} grid, "
                        f"the first at {iso(at)}", None, int(off.sum()), "kept as they are")
            )  # fmt: skip
    return found


def _values(candles: Candles) -> list[Finding]:
    found: list[Finding] = []
    flat = candles.high.max() == candles.low.min()
    if flat and len(candles) > 2:
        found.append(
            Finding("warning", "flat", f"every price is {candles.open[0]:g}", None, len(candles),
                    "kept; this is hardly a market")
        )  # fmt: skip
    if len(candles) > 1:
        step = candles.open[1:] / candles.close[:-1]
        jumps = np.flatnonzero((step > _JUMP) | (step * _JUMP < 1))
        if len(jumps):
            at = int(jumps[0])
            found.append(
                Finding("warning", "jump", f"the price steps from {candles.close[at]:g} to "
                        f"{candles.open[at + 1]:g} at {iso(int(candles.ts[at + 1]))}: another coin "
                        "under the same name, or a redenomination?", None, len(jumps), "kept")
            )  # fmt: skip
    if candles.kind == "trade" and candles.volume.any():
        idle = int((candles.volume == 0).sum())
        if idle:
            found.append(
                Finding("info", "zero_volume", "candles without volume (a halt, or no trade)",
                        None, idle, "kept")
            )  # fmt: skip
    return found
