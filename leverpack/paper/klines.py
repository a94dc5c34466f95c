"""Candles of any length out of the tape, the forming one included, and the last 24 hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leverpack.candles.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, MONTH_MS, WEEK_MS
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape
from leverpack.result import Floats, Ints

INTERVALS = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS, "1h": HOUR_MS, "2h": 2 * HOUR_MS, "4h": 4 * HOUR_MS, "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS, "12h": 12 * HOUR_MS, "1d": DAY_MS, "3d": 3 * DAY_MS, "1w": WEEK_MS,
    "1M": MONTH_MS,
}  # fmt: skip
_MONDAY = 4 * DAY_MS  # the epoch was a Thursday, and the venue's weeks start on Mondays
_PRICES = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle: open and end (exclusive) in epoch ms UTC, quote prices, base volume."""

    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def interval_ms(name: str, tape: Tape) -> int:
    """Length of an interval that the tape's candles can make up, else -1120."""
    length = INTERVALS.get(name)
    if length is None or length % tape.step_ms:
        raise Refusal(-1120)
    return length


def bars(
    tape: Tape, interval: int, *, start: int | None = None, end: int | None = None,
    limit: int = 500, mark: bool = False,
) -> list[Bar]:  # fmt: skip
    """Candles that open in start..end (ms, both included), at most ``limit``.

    The first ones from ``start`` on, or without it the last ones; the forming candle counts.
    """
    played = tape.at + 1
    ts = tape.candles.ts[:played]
    if start is not None:
        first = int(np.searchsorted(ts, start, "left"))
        last = played if end is None else int(np.searchsorted(ts, _ceil(end, interval), "left"))
        last = min(last, first + limit * (interval // tape.step_ms))
    else:
        last = played if end is None else int(np.searchsorted(ts, _ceil(end, interval), "left"))
        if last == 0:
            return []
        from_ms = _floor(ts[last - 1 : last], interval)[0] - (limit - 1) * interval
        first = int(np.searchsorted(ts, from_ms, "left"))
    if first >= last:
        return []
    found = _grouped(tape, first, last, interval, mark)
    if start is not None:
        found = [b for b in found if b.start >= start]
    if end is not None:
        found = [b for b in found if b.start <= end]
    return found[:limit] if start is not None else found[-limit:]


def _grouped(tape: Tape, first: int, last: int, interval: int, mark: bool) -> list[Bar]:
    ts = tape.candles.ts[first:last]
    trades = tape.candles
    columns = tape.mark_columns if mark else (trades.open, trades.high, trades.low, trades.close)
    rows: list[Any] = [c[first:last] for c in (*columns, trades.volume)]
    if last == tape.at + 1 and tape.progress < 1.0:
        forming, volume = tape.forming()
        now = (*(tape.forming_mark() if mark else forming), volume)
        rows = [_ending(column, value) for column, value in zip(rows, now, strict=True)]
    if interval == tape.step_ms:
        return [
            Bar(t, t + interval, *row)
            for t, *row in zip(ts.tolist(), *(r.tolist() for r in rows), strict=True)
        ]
    group = _floor(ts, interval)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(group)) + 1))
    ends = np.append(starts[1:], len(ts)) - 1
    made = (
        rows[0][starts], np.maximum.reduceat(rows[1], starts), np.minimum.reduceat(rows[2], starts),
        rows[3][ends], np.add.reduceat(rows[_PRICES], starts),
    )  # fmt: skip
    begins = group[starts].tolist()
    return [
        Bar(t, _end(t, interval), *row)
        for t, *row in zip(begins, *(m.tolist() for m in made), strict=True)
    ]


def _ending(column: Floats, value: float) -> Floats:
    copy = column.copy()
    copy[-1] = value
    return copy


def _floor(ts: Ints, interval: int) -> Ints:
    if interval == MONTH_MS:
        months: Ints = ts.astype("datetime64[ms]").astype("datetime64[M]")
        started: Ints = months.astype("datetime64[ms]").astype(np.int64)
        return started
    shift = _MONDAY if interval == WEEK_MS else 0
    return ts - (ts - shift) % interval


def _end(start: int, interval: int) -> int:
    if interval != MONTH_MS:
        return start + interval
    month = np.datetime64(start, "ms").astype("datetime64[M]") + 1
    return int(month.astype("datetime64[ms]").astype(np.int64))


def _ceil(end: int, interval: int) -> int:
    """The end (exclusive) of the candle that holds ``end``."""
    return _end(int(_floor(np.array([end], np.int64), interval)[0]), interval)


def last_day(tape: Tape) -> Bar:
    """One bar of the last 24 hours."""
    now = tape.open_ts + round(tape.progress * tape.step_ms)
    first = int(np.searchsorted(tape.candles.ts[: tape.at + 1], now - DAY_MS, "left"))
    rows = _grouped(tape, min(first, tape.at), tape.at + 1, tape.step_ms, mark=False)
    return Bar(
        rows[0].start, now, rows[0].open, max(r.high for r in rows), min(r.low for r in rows),
        rows[-1].close, sum(r.volume for r in rows),
    )  # fmt: skip
