"""Missing candles: left out, taken from the close before, or refused, as the user asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from leverpack.candles.series import Candles, Finding, iso
from leverpack.candles.timeframes import MONTH_MS, timeframe_name
from leverpack.errors import DataError, SettingError

Fill = Literal["none", "previous", "error"]
FILLS = ("none", "previous", "error")
MAX_FILLED = 5_000_000  # candles; more is a wrong stamp, or no series worth trading on


def check_fill(fill: str) -> None:
    """Raise SettingError unless it is one of the three ways that exist."""
    if fill not in FILLS:
        raise SettingError(f'fill={fill!r} is none of "none", "previous" and "error"')


def fill_gaps(candles: Candles, fill: Fill, place: Callable[[int], tuple[str, int]]) -> Candles:
    """The candles with their gaps treated: "none" leaves them open, "error" raises DataError.

    "previous" puts in what is missing, with the close before as open, high, low and close and
    no volume; the findings say how many. ``place(i)`` is file and line of candle i.
    """
    check_fill(fill)
    if fill == "none" or not candles.gaps:
        return candles
    first, count = candles.gaps[0]
    before = int(np.searchsorted(candles.ts, first, "left")) - 1
    source, line = place(before)
    step = candles.timeframe_ms
    if fill == "error":
        gaps = len(candles.gaps)
        more = "" if gaps == 1 else f", the first of {gaps} gaps"
        raise DataError(
            f"after this line {count} {timeframe_name(step)} candles are missing, from "
            f"{iso(first)} to {iso(int(candles.ts[before + 1]) - step)}{more}; complete the data, "
            'or set fill to "none" or "previous"',
            source=source, line=line,
        )  # fmt: skip
    missing = sum(n for _, n in candles.gaps)
    if step == MONTH_MS or missing > MAX_FILLED:
        why = "months are not filled" if step == MONTH_MS else f"at most {MAX_FILLED:,} are filled"
        raise DataError(
            f"after this line {count} candles are missing, {missing:,} in all, and {why}; "
            'set fill to "none", or complete the data', source=source, line=line,
        )  # fmt: skip
    return _filled(candles, missing, source, line)


def _filled(candles: Candles, missing: int, source: str, line: int) -> Candles:
    step = candles.timeframe_ms
    before = np.searchsorted(candles.ts, [at for at, _ in candles.gaps], "left") - 1
    counts = np.ones(len(candles), np.int64)
    counts[before] += [n for _, n in candles.gaps]
    origin = np.repeat(np.arange(len(candles)), counts)
    inside = np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
    made = inside > 0
    close = candles.close[origin]
    said = Finding(
        "warning", "filled", f"{missing} missing candles in {len(candles.gaps)} gaps, the first at "
        f"{iso(candles.gaps[0][0])}", line, missing,
        "filled with the close before, without volume", source,
    )  # fmt: skip
    return replace(
        candles,
        ts=candles.ts[origin] + inside * step,
        open=np.where(made, close, candles.open[origin]),
        high=np.where(made, close, candles.high[origin]),
        low=np.where(made, close, candles.low[origin]),
        close=close,
        volume=np.where(made, 0.0, candles.volume[origin]),
        gaps=[],
        findings=[*candles.findings, said],
    )
