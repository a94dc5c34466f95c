"""What deserves saying about candles that can be used, gathered from all the checks."""

from __future__ import annotations

import numpy as np

from leverpack.candles.blocks import rows_where
from leverpack.candles.quality import end_findings, jump_findings, volume_findings
from leverpack.candles.series import Candles, Finding, Funding, iso
from leverpack.candles.spikes import spike_findings
from leverpack.candles.stillness import still_findings
from leverpack.candles.table import Table
from leverpack.candles.timeframes import DAY_MS, MONTH_MS, timeframe_name
from leverpack.errors import DataError
from leverpack.result import Ints

# Many holes of a candle or two, and never a candle without volume: the maker leaves those out.
_MANY_HOLES = 20


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
    """Warnings and remarks about usable candles, and how the file they come from was laid out.

    Raises DataError for what no treatment of single rows can mend: candles of the future.
    """
    found = series_findings(candles)
    for finding in found:
        if finding.severity == "error":
            raise DataError(finding.message, source=candles.source, line=finding.line)
    return [*layout_findings(candles, table), *found]


@np.errstate(all="ignore")  # absurd prices overflow to inf, which compares as it should
def series_findings(candles: Candles, now: int | None = None) -> list[Finding]:
    """Warnings and remarks about candles, wherever they come from.

    ``now`` (epoch ms; None is the clock) decides what lies in the future.
    """
    return [
        *_gaps(candles),
        *_off_grid(candles),
        *end_findings(candles, now),
        *still_findings(candles),
        *jump_findings(candles),
        *spike_findings(candles),
        *volume_findings(candles),
    ]


def layout_findings(series: Candles | Funding, table: Table) -> list[Finding]:
    """How the file was laid out, where it was not a plain table from old to new."""
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
    if "+" in series.unit:
        found.append(
            Finding("warning", "mixed_units", f"times are in {series.unit.replace('+', ' and ')}",
                    None, 1, "told apart row by row")
        )  # fmt: skip
    if series.order != "ascending":
        severity = "info" if series.order == "descending" else "warning"
        found.append(
            Finding(severity, "order", f"rows are in {series.order} order",  # type: ignore[arg-type]
                    None, len(series), "sorted by time")
        )  # fmt: skip
    if table.ignored:
        found.append(
            Finding("info", "ignored_columns", "not used: " + ", ".join(table.ignored), None,
                    len(table.ignored), "ignored")
        )  # fmt: skip
    return found


def _gaps(candles: Candles) -> list[Finding]:
    gaps, step = candles.gaps, candles.timeframe_ms
    if not gaps:
        return []
    missing = sum(n for _, n in gaps)
    start, longest = max(gaps, key=lambda gap: gap[1])
    bars = f"{timeframe_name(step)} " + ("candle is" if missing == 1 else "candles are")
    where = f"at {iso(start)}" if longest == 1 else f"from {iso(start)}"
    seen = f"{missing} {bars} missing"
    if len(gaps) > 1:
        seen += f" in {len(gaps)} gaps, the longest of {longest} {where}"
    else:
        seen += f" {where}"
    if longest > 1:
        seen += f" to {iso(start + longest * step)}"
    if len(gaps) >= _MANY_HOLES and candles.volume.all():
        seen += "; this maker seems to leave out candles without trades"
    return [Finding("warning", "gaps", seen, None, len(gaps), "left open")]


def _off_grid(candles: Candles) -> list[Finding]:
    step = candles.timeframe_ms
    if not 0 < step < DAY_MS:
        return []
    rows = rows_where(0, len(candles), lambda at: candles.ts[at] % step != 0)
    count = len(rows)
    if not count:
        return []
    row = int(rows[0])
    wide = row > 0 and candles.ts[row] - candles.ts[row - 1] > step
    after = ", after a gap" if wide else ""
    return [
        Finding("warning", "off_grid", f"{count} open times are off the {timeframe_name(step)} "
                f"grid, the first at {iso(int(candles.ts[row]))}{after}", None, count,
                "kept as they are")
    ]  # fmt: skip
