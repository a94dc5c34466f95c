"""Columns of times in any writing turned into epoch milliseconds UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from leverpack.candles.series import Bools, Finding
from leverpack.candles.timeframes import DAY_MS
from leverpack.candles.values import arrow_numbers, arrow_texts, is_arrow, is_text, mask_of
from leverpack.result import Ints

NO_TIME = np.iinfo(np.int64).min  # marks a stamp that could not be read

_ISO_NAIVE = r"^\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?$"
_ISO_AWARE = (
    r"^\d{4}-\d\d-\d\d[ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?\s*(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
)
_OFFSET = r"[+-](0[1-9]|[1-9]\d|\d\d:?(0[1-9]|[1-9]\d))[:\d]*$"
_FORMATS = (
    "%Y-%m-%d %I-%p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p",
    "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y",
    "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M",
    *(
        day + clock
        for day in ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%d-%b-%Y")
        for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
    ),
)  # fmt: skip
_DAY_OR_MONTH_FIRST = tuple(
    (f"%d{mark}%m{mark}{year}{clock}", f"%m{mark}%d{mark}{year}{clock}")
    for mark in "/-" for year in ("%Y", "%y")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
)  # fmt: skip
_DIRECTIVES = {"Y": r"\d{4}", "b": "[A-Za-z]+", "B": "[A-Za-z]+", "p": "[AaPp][Mm]"}
_MOST_FORMATS = 6  # in one column; what mixes more is no column of times


@dataclass(slots=True)
class Times:
    """Epoch ms UTC, the entries that could not be read, the unit they were in, and remarks.

    The unit is "s", "ms", "us" or "ns", "iso" for written dates, "timestamp" for typed ones;
    "ms+us" where rows differ.
    """

    ms: Ints
    bad: Bools
    unit: str
    notes: list[Finding] = field(default_factory=list)


def iso_zone(texts: list[str]) -> str | None:
    """"naive" or "aware" when every text is an ISO time of that sort, else None."""
    for name, pattern in (("naive", _ISO_NAIVE), ("aware", _ISO_AWARE)):
        # Only what the columnar reader takes by itself.
        if texts and all(re.match(pattern, t) and t[-1] not in "CT" for t in texts):
            return name
    return None


def epoch_ms(values: Any) -> Times:
    """Epoch numbers of any unit as milliseconds; the unit is told row by row from the magnitude.

    Seconds lie under 1e11, milliseconds under 1e14, microseconds under 1e17 for all times
    between 1973 and 5138.
    """
    values = np.asarray(values)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (values < 1e8) | (values > 9e18)
        clean = np.where(bad, 1e9, values)
    else:
        if values.dtype.kind == "u":
            values = np.minimum(values, np.uint64(np.iinfo(np.int64).max))
        values = values.astype(np.int64, copy=False)
        bad = values < 100_000_000
        clean = values
    if len(values) and (low := clean.min()) >= 1e11 and clean.max() < 1e14:
        return Times(_whole(clean), bad, "ms" if low else "")
    kinds = np.searchsorted(np.array([1e11, 1e14, 1e17]), clean, side="right")
    read = Times(np.empty(len(values), np.int64), bad, "")
    units = []
    for kind, (name, per_ms) in enumerate((("s", 0), ("ms", 1), ("us", 1000), ("ns", 1_000_000))):
        rows = kinds == kind
        if not rows.any():
            continue
        part = clean[rows]
        if not bad[rows].all():
            units.append(name)
        if kind == 0:
            read.ms[rows] = _whole(part * 1000)
        elif part.dtype.kind == "f":
            read.ms[rows] = _whole(part / per_ms)
        else:
            read.ms[rows] = part // per_ms
            _say_floored(read, int((part % per_ms != 0).sum()))
    read.unit = "+".join(units) or "s"
    return read


def _whole(values: Any) -> Ints:
    whole: Ints = np.rint(values).astype(np.int64) if values.dtype.kind == "f" else values
    return whole


def _say_floored(read: Times, count: int) -> None:
    if count:
        read.notes.append(
            Finding("info", "floored", "times finer than a millisecond", None, count,
                    "moved back to their millisecond")
        )  # fmt: skip


def _stamps(column: Any) -> tuple[Ints, Bools]:
    """Timestamps of Arrow or NumPy as epoch ms; naive ones are taken as UTC."""
    if not is_arrow(column):
        return column.astype("datetime64[ms]").astype(np.int64), np.isnat(column)
    import pyarrow as pa

    values, holes = arrow_numbers(column)
    if pa.types.is_date32(column.type):
        return values.astype(np.int64) * DAY_MS, holes
    unit = "ms" if pa.types.is_date64(column.type) else column.type.unit
    if unit == "s":
        values *= 1000
    elif unit != "ms":
        values //= 1000 if unit == "us" else 1_000_000
    return values, holes


def to_ms(column: Any) -> Times:
    """A time column as epoch ms UTC; times without zone are taken as UTC.

    Raises ValueError (a plain sentence) when day and month cannot be told apart, or when the
    column's type is no time.
    """
    if is_text(column):
        return _text_times(arrow_texts(column))
    if not is_arrow(column):
        is_time = column.dtype.kind == "M"
        return Times(*_stamps(column), "timestamp") if is_time else _numbers(column)
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return Times(*_stamps(column), "timestamp")
    if pa.types.is_temporal(column.type):
        raise ValueError(f"it holds {column.type}, not times")
    values, holes = arrow_numbers(column)
    values[holes] = 0
    read = _numbers(values)
    read.bad |= holes
    return read


def _numbers(values: Any) -> Times:
    """Epoch numbers, or the compact forms 20240131 and 20240131093000 written as numbers."""
    values = np.asarray(values)
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        for floor, ceiling, fmt in (
            (19_000_101, 21_001_231, "%Y%m%d"),
            (19_700_101_000_000, 21_001_231_235_959, "%Y%m%d%H%M%S"),
        ):
            if low >= floor and high <= ceiling:
                import pyarrow as pa

                ms, bad = _by_format(pa.array(values).cast(pa.string()), fmt)
                return Times(ms, bad, "iso")
    return epoch_ms(values)


def _text_times(texts: Any) -> Times:
    """Times as text, which may be written in several ways in one column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    read = Times(np.full(len(texts), NO_TIME), np.ones(len(texts), np.bool_), "")
    left = ~mask_of(texts.is_null())
    units: list[str] = []

    def take(rows: Any, part: Times) -> None:
        read.ms[rows], read.bad[rows] = part.ms, part.bad
        left[rows[~part.bad]] = False
        units.extend(u for u in part.unit.split("+") if u and not part.bad.all())
        read.notes.extend(part.notes)

    for pattern, kind in (
        (r"^[0-8]?\d{1,18}$", pa.int64()),
        (r"^(\d+\.\d*|\d+(\.\d*)?[eE]\+?\d+)$", pa.float64()),
    ):
        rows = np.flatnonzero(left & mask_of(pc.match_substring_regex(texts, pattern)))
        if len(rows):
            values, _ = arrow_numbers(texts.take(pa.array(rows)).cast(kind))
            take(rows, _numbers(values))
            left[rows] = False
    for _ in range(_MOST_FORMATS):
        rows = np.flatnonzero(left)
        if not len(rows):
            break
        some = texts.take(pa.array(rows))
        part = _one_way(some, str(some[0].as_py()))
        if part.bad.all():
            left[rows[0]] = False
            continue
        take(rows[~part.bad], Times(part.ms[~part.bad], part.bad[~part.bad], "iso", part.notes))
    read.unit = "+".join(dict.fromkeys(units)) or "iso"
    return read


def _one_way(texts: Any, first: str) -> Times:
    """The rows that are written as the first one is; the others are marked bad."""
    import pyarrow.compute as pc

    for pattern, aware in ((_ISO_NAIVE, False), (_ISO_AWARE, True)):
        if re.match(pattern, first):
            return _iso_rows(texts, mask_of(pc.match_substring_regex(texts, pattern)), aware)
    for fmt in _FORMATS:
        if _parses(first, fmt):
            return Times(*_by_format(texts, fmt), "iso")
    for day_first, month_first in _DAY_OR_MONTH_FIRST:
        if _parses(first, day_first) or _parses(first, month_first):
            return _day_or_month(texts, day_first, month_first)
    return Times(np.full(len(texts), NO_TIME), np.ones(len(texts), np.bool_), "iso")


def _parses(text: str, fmt: str) -> bool:
    try:
        datetime.strptime(text, fmt)
    except ValueError:
        return False
    return True


def _iso_rows(texts: Any, mask: Bools, aware: bool) -> Times:
    import pyarrow as pa
    import pyarrow.compute as pc

    read = Times(np.full(len(texts), NO_TIME), ~mask, "iso")
    rows = np.flatnonzero(mask)
    some = texts.take(pa.array(rows))
    if aware:
        some = pc.replace_substring_regex(some, r"\s*(UTC|GMT)$", "Z")
        some = pc.replace_substring_regex(some, r"\s+([+-])", r"\1")
    try:
        ms, _ = _stamps(some.cast(pa.timestamp("ns", "UTC" if aware else None)))
        read.ms[rows] = ms
    except pa.ArrowInvalid:  # a date that does not exist: which one is it?
        for i, text in zip(rows.tolist(), some.to_pylist(), strict=True):
            try:
                read.ms[i] = _ms_of(datetime.fromisoformat(text))
            except ValueError:
                read.bad[i] = True
    if aware and (moved := int(mask_of(pc.match_substring_regex(some, _OFFSET)).sum())):
        read.notes.append(
            Finding("info", "zone", "times with an offset from UTC", None, moved, "moved to UTC")
        )
    return read


def _ms_of(when: datetime) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    whole = when - datetime(1970, 1, 1, tzinfo=UTC)
    return whole.days * DAY_MS + whole.seconds * 1000 + whole.microseconds // 1000


def _shape(fmt: str) -> str:
    """What a time written in a format looks like, as a pattern."""
    maybe = "" if re.search(r"%\w%\w", fmt) else "?"  # 1/2/2021, but not 2021121
    digits = {"M": rf"[0-5]{maybe}\d", "S": rf"[0-5]{maybe}\d"} | _DIRECTIVES
    pattern = re.sub(r"%(\w)", lambda m: digits.get(m[1], rf"\d{maybe}\d"), re.escape(fmt))
    return "^" + pattern.replace(r"\ ", " +") + "$"


def _by_format(texts: Any, fmt: str) -> tuple[Ints, Bools]:
    import pyarrow as pa
    import pyarrow.compute as pc

    parsed = pc.strptime(texts, format=fmt, unit="ms", error_is_null=True)
    ms, missing = _stamps(parsed)
    # strptime takes 202012 9, in which a digit was lost, for the 9th, and 04:00:60 for 04:01.
    missing |= ~mask_of(pc.match_substring_regex(texts, _shape(fmt)))
    # strptime makes the 31st of February the 3rd of March: only the first days of a month can
    # come from that, and those are written back for comparison.
    rows = np.flatnonzero(mask_of(pc.less_equal(pc.day(parsed), 3)))
    if len(rows):
        at = pa.array(rows)
        some = texts.take(at)
        back = pc.strftime(parsed.take(at).cast(pa.timestamp("s")), format=fmt)
        for i in np.flatnonzero(~mask_of(pc.equal(back, some))).tolist():
            if not _parses(some[i].as_py(), fmt):
                missing[rows[i]] = True
    return ms, missing


def _day_or_month(texts: Any, day_first: str, month_first: str) -> Times:
    """Dates of numbers: whichever order all rows allow; where both are, the user must say."""
    import pyarrow as pa

    by_day, by_month = _by_format(texts, day_first), _by_format(texts, month_first)
    if not by_day[1].any() and not by_month[1].any() and (by_day[0] != by_month[0]).any():
        raise ValueError(
            f"dates like {texts[0].as_py()} could be day/month or month/day in every row; "
            "write the times as 2021-04-03 or as epoch milliseconds"
        )
    if by_day[1].any() and by_month[1].any() and (~(by_day[1] & by_month[1])).any():
        only_day = np.flatnonzero(~by_day[1] & by_month[1])
        only_month = np.flatnonzero(by_day[1] & ~by_month[1])
        if len(only_day) and len(only_month):
            shown = [str(texts[int(rows[0])].as_py()) for rows in (only_day, only_month)]
            raise ValueError(
                f"dates are written day first ({shown[0]}) and month first ({shown[1]}) in one "
                "column; write all of them as 2021-04-03"
            )
    chosen, other, name = by_day, by_month, "day first"
    if by_month[1].sum() < by_day[1].sum():
        chosen, other, name = by_month, by_day, "month first"
    read = Times(*chosen, "iso")
    telling = np.flatnonzero(~chosen[1] & other[1])
    if len(telling):
        shown_one = texts.take(pa.array(telling[:1]))[0].as_py()
        read.notes.append(
            Finding("info", "date_order", f"dates are written {name}, as {shown_one} shows", None,
                    int((~read.bad).sum()), "read so")
        )  # fmt: skip
    return read
