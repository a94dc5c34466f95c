"""Rows that cannot be right: found over whole arrays, then refused, dropped or filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from leverpack.candles.series import Bools, Finding
from leverpack.errors import DataError, SettingError
from leverpack.result import Floats, Ints

OnFault = Literal["error", "drop", "fill"]

GOOD, BAD_TIME, LETTERS, MISSING, NOT_FINITE, NOT_POSITIVE, HIGH_LOW, SAME, CONTRADICTS = range(9)
CODES = (
    "good", "bad_time", "letters", "missing_value", "not_finite", "not_positive", "high_low",
    "duplicate", "contradictory_duplicate",
)  # fmt: skip
_TREATED = {
    "error": "refused",
    "drop": "row dropped",
    "fill": "filled with the previous close",
}

Codes = NDArray[np.int8]


def check_on_fault(on_fault: str) -> None:
    """Raise SettingError unless the treatment is one of the three that exist."""
    if on_fault not in _TREATED:
        raise SettingError(f'on_fault={on_fault!r} is none of "error", "drop" and "fill"')


def price_codes(
    prices: tuple[Floats, Floats, Floats, Floats], letters: Bools, bad_time: Bools
) -> Codes:
    """The fault of each row as a code (0: none), from open, high, low and close."""
    opens, highs, lows, closes = prices
    good = (lows > 0) & (highs < np.inf)
    good &= (lows <= opens) & (lows <= closes)
    good &= (opens <= highs) & (closes <= highs)
    good &= ~(letters | bad_time)
    codes = np.zeros(len(opens), np.int8)
    rows = np.flatnonzero(~good)
    if not len(rows):
        return codes
    some = np.stack([p[rows] for p in prices])
    codes[rows] = np.select(
        [
            bad_time[rows],
            letters[rows],
            np.isnan(some).any(0),
            np.isinf(some).any(0),
            (some <= 0).any(0),
        ],
        [BAD_TIME, LETTERS, MISSING, NOT_FINITE, NOT_POSITIVE],
        HIGH_LOW,
    )
    return codes


@dataclass(slots=True)
class Arranged:
    """Which rows to keep, oldest first, and what stood in the way."""

    rows: NDArray[np.intp]
    order: str
    duplicates: int
    again: NDArray[np.intp]  # rows that repeat the time of a good one ...
    firsts: NDArray[np.intp]  # ... and the row that each of them repeats

    def twin(self, row: int) -> int:
        """The row whose time this one repeats, or the row itself."""
        found = np.flatnonzero(self.again == row)
        return int(self.firsts[found[0]]) if len(found) else row


def arrange(ts: Ints, values: tuple[Floats, ...], codes: Codes, keep_bad: bool) -> Arranged:
    """Sort rows by time and settle rows of equal time: the first good one in the file stays.

    Marks the others in ``codes`` as SAME or CONTRADICTS by their values. Rows with faults are
    left out, or kept (for filling) unless a good row has their time.
    """
    timed = codes != BAD_TIME
    if timed.all():
        rows = np.arange(len(ts))
        steps = np.diff(ts)
    else:
        rows = np.flatnonzero(timed)
        steps = np.diff(ts[rows])
    up, down = bool((steps > 0).any()), bool((steps < 0).any())
    order = "mixed" if up and down else "descending" if down else "ascending"
    if not keep_bad:
        rows = rows[codes[rows] == GOOD]
    if down or (len(steps) and not (steps > 0).all()):
        rows = rows[np.lexsort((rows, codes[rows] != GOOD, ts[rows]))]
        times = ts[rows]
        repeat = np.flatnonzero(times[1:] == times[:-1]) + 1
    else:
        repeat = np.empty(0, np.intp)
    again = firsts = np.empty(0, np.intp)
    if len(repeat):
        times = ts[rows]
        firsts = rows[np.searchsorted(times, times[repeat], "left")]
        again = rows[repeat]
        both_good = codes[again] == GOOD
        equal = np.ones(len(again), np.bool_)
        for column in values:
            equal &= (column[again] == column[firsts]) | (
                np.isnan(column[again]) & np.isnan(column[firsts])
            )
        codes[again[both_good]] = np.where(equal[both_good], SAME, CONTRADICTS)
        rows = np.delete(rows, repeat)
    return Arranged(rows, order, len(repeat), again, firsts)


def settle(
    codes: Codes,
    describe: Callable[[int, int], str],
    place: Callable[[int], tuple[str, int]],
    broken: list[tuple[str, int, str]],
    on_fault: OnFault,
    collect: bool,
) -> list[Finding]:
    """Refuse the files at their first fault, or say of each kind how often and what was done.

    ``describe(row, code)`` words a fault, ``place(row)`` finds its file and line; ``broken`` are
    file, line and wording of rows with a wrong number of fields. ``collect`` lists faults
    without raising.
    """
    found: list[Finding] = []
    if broken:
        done = "refused" if on_fault == "error" else "row dropped"
        source, line, text = broken[0]
        found.append(Finding("error", "fields", text, line, len(broken), done, source))
    for code in range(1, len(CODES)):
        rows = np.flatnonzero(codes == code)
        if len(rows):
            first = int(rows[0])
            done = _TREATED[on_fault]
            if on_fault == "fill" and code == BAD_TIME:
                done = "row dropped"
            if code in (SAME, CONTRADICTS) and on_fault != "error":
                done = "the first in the file kept"
            source, line = place(first)
            text = describe(first, code)
            found.append(Finding("error", CODES[code], text, line, len(rows), done, source))
    if found and on_fault == "error" and not collect:
        files = list(dict.fromkeys(f.source for f in found))
        worst = min(found, key=lambda f: (files.index(f.source), f.line or 0))
        raise DataError(
            f'{worst.message}; correct the line, or set on_fault to "drop" '
            "to leave such rows out (the report then says so)",
            source=worst.source,
            line=worst.line,
        )
    return found
