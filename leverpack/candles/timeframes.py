"""Candle lengths: their names, their lengths in milliseconds, and how Backtrader calls them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from leverpack.errors import SettingError
from leverpack.result import Ints

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONTH_MS = 30 * DAY_MS  # a nominal month; calendar months are 28 to 31 days
_RUN = 12  # equal steps in a row that are a rhythm and no chance

_UNITS = {
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": WEEK_MS,
    "M": MONTH_MS,
}


def timeframe_name(ms: int) -> str:
    """The usual short name of a candle length in milliseconds: 300_000 is ``5m``."""
    if ms > 0:
        if ms % MONTH_MS == 0:
            return f"{ms // MONTH_MS}M"
        for unit in ("w", "d", "h", "m", "s"):
            if ms % _UNITS[unit] == 0:
                return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"


def timeframe_ms(name: str) -> int:
    """The length in milliseconds of a named timeframe: a number and s, m, h, d, w or M (``15m``).

    Raises SettingError for anything else.
    """
    found = re.fullmatch(r"([1-9]\d*)(s|m|h|d|w|M)", name.strip())
    if found is None:
        raise SettingError(f"timeframe {name!r} is no number followed by s, m, h, d, w or M (15m)")
    return int(found[1]) * _UNITS[found[2]]


def bars_per_year(ms: int) -> float:
    """How many candles of this length (milliseconds) a year of 365 days holds."""
    if ms <= 0:
        raise SettingError(f"a candle length of {ms} ms is not positive")
    return 365 * DAY_MS / ms


def bt_timeframe(ms: int) -> tuple[int, int]:
    """Backtrader's (timeframe, compression) for a candle length in milliseconds."""
    from backtrader import TimeFrame

    scale: list[tuple[int, Any]] = [
        (MONTH_MS, TimeFrame.Months),
        (WEEK_MS, TimeFrame.Weeks),
        (DAY_MS, TimeFrame.Days),
        (MINUTE_MS, TimeFrame.Minutes),
        (SECOND_MS, TimeFrame.Seconds),
    ]
    for unit, name in scale:
        if ms >= unit and ms % unit == 0:
            return int(name), ms // unit
    return int(TimeFrame.MicroSeconds), max(ms, 1) * 1000


def infer_timeframe(ts: Ints) -> int:
    """The candle length in milliseconds that open times (ascending, unique) show; 0 for one candle.

    The commonest step wins, unless a shorter one divides nearly all steps: where candles
    without trades are left out, the true length need not be the commonest step.
    """
    if len(ts) < 2:
        return 0
    steps = np.diff(ts)
    if (steps == steps[0]).all() and steps[0] < 28 * DAY_MS:
        return int(steps[0])
    values, counts = np.unique(steps, return_counts=True)
    if values[0] >= 28 * DAY_MS and values[len(values) // 2] <= 31 * DAY_MS:
        return MONTH_MS
    commonest = int(values[np.argmax(counts)])
    for value in values:
        shorter = int(value)
        if shorter >= commonest:
            break
        if counts[values % shorter == 0].sum() >= 0.95 * len(steps):
            return shorter
    return commonest


def other_timeframe(ts: Ints, step: int) -> tuple[int, int] | None:
    """Where ascending open times go on in another rhythm: (position, step in ms), else None.

    Gaps come in any length; a dozen candles in a row that all step by another length than
    ``step`` are candles of another timeframe. In a long series of a thinly traded market that
    many equal gaps do happen, hence the doubled run there.
    """
    if step <= 0 or step == MONTH_MS or len(ts) <= _RUN:
        return None
    steps = np.diff(ts)
    odd = np.flatnonzero(steps != step)
    run = _RUN if len(ts) < 10_000 else 2 * _RUN
    if len(odd) < run:
        return None
    kinds = steps[odd]
    new = (np.diff(odd) != 1) | (np.diff(kinds) != 0)
    starts = np.concatenate(([0], np.flatnonzero(new) + 1, [len(odd)]))
    long = np.flatnonzero(np.diff(starts) >= run)
    if not len(long):
        return None
    at = int(starts[long[0]])
    return int(odd[at]), int(kinds[at])


def bt_numbers(ts: Ints) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Backtrader's date numbers for epoch milliseconds, equal to ``bt.date2num`` bit by bit.

    Near the present a date number steps by 2**-33 of a day, and no millisecond lies closer
    than 6e-16 days to the middle between two steps, while the quotient is off by less
    than 1e-16: both ways of adding round to the same number.
    """
    days, rest = np.divmod(ts, DAY_MS)
    return (days + 719_163).astype(np.float64) + rest / float(DAY_MS)
