"""What deserves saying about funding settlements: holes, changing intervals, odd rates."""

from __future__ import annotations

import numpy as np

from leverpack.candles.series import Bools, Finding, Funding, iso
from leverpack.candles.timeframes import DAY_MS, HOUR_MS

# The widest caps in use are 4 % a settlement (Binance: 2 or 3 %; Hyperliquid: 4 % an hour).
_LARGEST = 0.04
# Half of all settlements above 0.2 % would be over 200 % a year on 8 hours: seen in no market
# for longer than days. In percent the usual 0.01 % reads as 0.01, five times that.
_HALF_ABOVE = 0.002
_ENOUGH = 20  # settlements below which a median proves nothing
_SHOWN = 6  # changes named in one sentence


def rate_findings(funding: Funding) -> list[Finding]:
    """Holes between settlements, changes of the interval, and rates that are hard to believe."""
    return [*_intervals(funding), *_rates(funding)]


def _intervals(funding: Funding) -> list[Finding]:
    steps = np.diff(funding.ts)
    if len(steps) < 2:
        return _holes(funding, steps > DAY_MS)
    holes = steps > DAY_MS
    # One step longer than both beside it, after which all is as before: a settlement is missing.
    inner = (steps[1:-1] > steps[:-2]) & (steps[1:-1] > steps[2:]) & (steps[:-2] == steps[2:])
    holes[1:-1] |= inner
    regular = np.flatnonzero(~holes)
    turns = np.flatnonzero(np.diff(steps[regular]))
    changes = [
        (int(funding.ts[regular[i + 1]]), int(steps[regular[i]]), int(steps[regular[i + 1]]))
        for i in turns[:_SHOWN]
    ]
    found = _holes(funding, holes)
    if changes:
        shown = "; ".join(
            f"from {_hours(old)} to {_hours(new)} at {iso(at)}" for at, old, new in changes
        )
        more = "" if len(turns) <= _SHOWN else f"; and {len(turns) - _SHOWN} more"
        found.append(
            Finding("info", "interval_change", f"the funding interval changes {shown}{more}", None,
                    len(turns), "each settlement is charged at its own time")
        )  # fmt: skip
    return found


def _holes(funding: Funding, holes: Bools) -> list[Finding]:
    rows = np.flatnonzero(holes)
    if not len(rows):
        return []
    lengths = np.diff(funding.ts)[rows]
    at = int(rows[np.argmax(lengths)])
    start, end = int(funding.ts[at]), int(funding.ts[at + 1])
    longest = "" if len(rows) == 1 else f", the longest of {len(rows)} holes"
    return [
        Finding("warning", "gaps", f"no settlement for {_hours(end - start)} from {iso(start)} to "
                f"{iso(end)}{longest}", None, len(rows), "nothing is charged there")
    ]  # fmt: skip


def _rates(funding: Funding) -> list[Finding]:
    found: list[Finding] = []
    size = np.abs(funding.rate)
    if len(size) >= _ENOUGH and float(np.median(size)) > _HALF_ABOVE:
        found.append(
            Finding("warning", "rates_in_percent", f"half of the rates are above "
                    f"{float(np.median(size)):.3%}: they must be fractions (0.0001 is 0.01 %), and "
                    "these look like percent", None, len(size), "kept")
        )  # fmt: skip
    large = size > _LARGEST
    if large.any():
        at = int(np.argmax(size))
        found.append(
            Finding("warning", "large_rate", f"the rate {funding.rate[at]:g} at "
                    f"{iso(int(funding.ts[at]))} is beyond {_LARGEST:.0%}, the widest cap of the "
                    "exchanges; rates must be fractions, not percent", None, int(large.sum()),
                    "kept")
        )  # fmt: skip
    return found


def _hours(ms: int) -> str:
    return f"{ms / HOUR_MS:g} h"
