"""Columns of text, numbers or stamps turned into float64 prices and epoch milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

from leverpack.candles.series import Bools
from leverpack.candles.timeframes import DAY_MS
from leverpack.result import Floats, Ints

NO_TIME = np.iinfo(np.int64).min  # marks a stamp that could not be read

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?\s*(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_FORMATS = (
    "%Y-%m-%d %I-%p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p",
    "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y",
    "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M",
    "%b %d, %Y", "%d %b %Y", "%b %d %Y",
)  # fmt: skip
_DAY_OR_MONTH_FIRST = tuple(
    (f"%d/%m/%Y{clock}", f"%m/%d/%Y{clock}") for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
)
_SUFFIX = {"K": 1e3, "M": 1e6, "B": 1e9}


def iso_zone(texts: list[str]) -> str | None:
    """"naive" or "aware" when every text is an ISO time of that sort, else None."""
    found = [_ISO.fullmatch(t.strip()) for t in texts]
    if not found or not all(found):
        return None
    zones = {bool(m and m["zone"]) for m in found}
    return None if len(zones) > 1 else "aware" if zones.pop() else "naive"


def _is_arrow(column: Any) -> bool:
    return type(column).__module__.startswith("pyarrow")


def _is_text(column: Any) -> bool:
    if not _is_arrow(column):
        return bool(column.dtype.kind in "OUST")
    return str(column.type) in ("string", "large_string", "string_view", "null")


def texts_of(column: Any) -> list[str | None]:
    """A column as Python strings, None where empty."""
    values = column.to_pylist() if _is_arrow(column) else column.tolist()
    return [None if v is None or v != v else str(v).strip() for v in values]


def arrow_numbers(column: Any) -> tuple[Any, Bools]:
    """An Arrow column of numbers or stamps as NumPy, and a mask of its empty entries.

    Straight from the buffers: PyArrow's own conversion would import pandas for it.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or pa.types.is_float16(kind):
        column = column.cast(pa.float64())
        kind = column.type
    sort = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    dtype = np.dtype(f"{sort}{kind.bit_width // 8}")
    out = np.empty(len(column), dtype)
    holes = np.zeros(len(column), np.bool_)
    at = 0
    for chunk in getattr(column, "chunks", [column]):
        part = slice(at, at + len(chunk))
        inside = slice(chunk.offset, chunk.offset + len(chunk))
        valid, values = chunk.buffers()
        if len(chunk):
            out[part] = np.frombuffer(values, dtype)[inside]
        if chunk.null_count:
            bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
            holes[part] = bits[inside] == 0
        at += len(chunk)
    return out, holes


def to_floats(
    column: Any, decimal: str = ".", *, suffixes: bool = False
) -> tuple[Floats, Bools]:
    """A column as float64 (NaN where empty) and a mask of the entries that are no number at all.

    ``suffixes`` takes "95.35K" for 95,350; only volumes are written so.
    """
    if not _is_text(column):
        if _is_arrow(column):
            values, holes = arrow_numbers(column)
            floats = values.astype(np.float64, copy=False)
            if holes.any():
                floats[holes] = np.nan
        else:
            floats = np.ascontiguousarray(column, dtype=np.float64)
        return floats, np.zeros(len(floats), np.bool_)
    texts = texts_of(column)
    floats = np.full(len(texts), np.nan)
    bad = np.zeros(len(texts), np.bool_)
    for i, text in enumerate(texts):
        if text is None or text.lower() in ("", "nan", "null", "none", "-"):
            continue
        number = parse_number(text, decimal, suffixes=suffixes)
        if number is None:
            bad[i] = True
        else:
            floats[i] = number
    return floats, bad


def parse_number(text: str, decimal: str = ".", *, suffixes: bool = False) -> float | None:
    """A number as people and spreadsheets write it ("29,068.9", "95.35K"), or None."""
    scale = 1.0
    if suffixes and text[-1:] in _SUFFIX:
        scale, text = _SUFFIX[text[-1]], text[:-1]
    if decimal == ",":
        text = text.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        text = text.replace(",", "")
    if "_" in text:  # Python would take 1_000 for a number
        return None
    try:
        return float(text) * scale
    except ValueError:
        return None


def epoch_ms(values: Any) -> tuple[Ints, Bools, str]:
    """Epoch numbers of any unit as milliseconds; the unit is told row by row from the magnitude.

    Returns (ms, mask of entries that are no plausible time, unit such as "ms" or "ms+us").
    Seconds lie under 1e11, milliseconds under 1e14, microseconds under 1e17 for all times
    between 1973 and 5138.
    """
    values = np.asarray(values)
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values) | (values < 1e8) | (values > 9e18)
        clean = np.where(bad, 1e9, values)
        size = clean
    else:
        values = values.astype(np.int64, copy=False)
        bad = values < 100_000_000
        clean = size = values
    if len(values) and (low := size.min()) >= 1e11 and size.max() < 1e14:
        ms = np.rint(clean).astype(np.int64) if clean.dtype.kind == "f" else clean
        return ms, bad, "ms" if low else ""
    kinds = np.searchsorted(np.array([1e11, 1e14, 1e17]), size, side="right")
    ms = np.empty(len(values), np.int64)
    units = []
    for kind, (name, scale) in enumerate((("s", 1000.0), ("ms", 1.0), ("us", 1e-3), ("ns", 1e-6))):
        rows = kinds == kind
        if rows.any():
            if not bad[rows].all():
                units.append(name)
            part = clean[rows]
            if part.dtype.kind == "f":
                ms[rows] = np.rint(part * scale)
            else:
                ms[rows] = part * 1000 if kind == 0 else part // int(round(1 / scale))
    return ms, bad, "+".join(units) or "s"


def _stamps(column: Any) -> tuple[Ints, Bools]:
    """Timestamps of Arrow or NumPy as epoch ms; naive ones are taken as UTC."""
    if not _is_arrow(column):
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


def to_ms(column: Any) -> tuple[Ints, Bools, str]:
    """A time column as epoch ms UTC, a mask of unreadable entries, and the unit it was in.

    Times without zone are taken as UTC. Raises ValueError (a plain sentence) when day and
    month cannot be told apart.
    """
    if _is_arrow(column):
        import pyarrow as pa

        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            return *_stamps(column), "timestamp"
        if not _is_text(column):
            values, holes = arrow_numbers(column)
            values[holes] = 0
            ms, bad, unit = _numbers_or_dates(values)
            return ms, bad | holes, unit
    elif column.dtype.kind == "M":
        return *_stamps(column), "timestamp"
    elif not _is_text(column):
        return _numbers_or_dates(column)
    return _text_times(texts_of(column))


def _numbers_or_dates(values: Any) -> tuple[Ints, Bools, str]:
    """Epoch numbers, or the compact forms 20240131 and 20240131093000 written as numbers."""
    values = np.asarray(values)
    if values.dtype.kind in "iu" and len(values):
        low, high = int(values.min()), int(values.max())
        if low >= 19_000_101 and high <= 21_001_231:
            return _by_format([str(v) for v in values.tolist()], "%Y%m%d")
        if low >= 19_700_101_000_000 and high <= 21_001_231_235_959:
            return _by_format([str(v) for v in values.tolist()], "%Y%m%d%H%M%S")
    return epoch_ms(values)


def _text_times(texts: list[str | None]) -> tuple[Ints, Bools, str]:
    first = next((t for t in texts if t), "")
    if re.fullmatch(r"\d+(\.\d*)?([eE]\+?\d+)?", first):
        numbers = np.array([parse_number(t) if t else None for t in texts], dtype=np.float64)
        return _numbers_or_dates(
            numbers.astype(np.int64) if np.isfinite(numbers).all() and not (numbers % 1).any()
            else numbers
        )  # fmt: skip
    if _ISO.fullmatch(first):
        return _iso_rows(texts)
    for fmt in _FORMATS:
        if _parses(first, fmt):
            return _by_format(texts, fmt)
    for day_first, month_first in _DAY_OR_MONTH_FIRST:
        if _parses(first, day_first) or _parses(first, month_first):
            return _day_or_month(texts, day_first, month_first)
    return np.full(len(texts), NO_TIME), np.ones(len(texts), np.bool_), "iso"


def _parses(text: str, fmt: str) -> bool:
    try:
        datetime.strptime(text, fmt)
    except ValueError:
        return False
    return True


def _iso_rows(texts: list[str | None]) -> tuple[Ints, Bools, str]:
    ms = np.full(len(texts), NO_TIME)
    bad = np.zeros(len(texts), np.bool_)
    for i, text in enumerate(texts):
        when: datetime | None
        try:
            when = datetime.fromisoformat((text or "").replace(" +", "+"))
        except ValueError:
            when = _half_day(text or "")
        if when is None:
            bad[i] = True
        else:
            ms[i] = _ms_of(when)
    return ms, bad, "iso"


def _half_day(text: str) -> datetime | None:
    """The form 2020-11-20 06-AM, which some files mix with ISO times."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %I-%p")
    except ValueError:
        return None


def _ms_of(when: datetime) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    whole = when - datetime(1970, 1, 1, tzinfo=UTC)
    return whole.days * DAY_MS + whole.seconds * 1000 + whole.microseconds // 1000


def _by_format(texts: list[str | None] | list[str], fmt: str) -> tuple[Ints, Bools, str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.array(texts, pa.string())
    parsed = pc.strptime(column, format=fmt, unit="ms", error_is_null=True)
    ms, missing = _stamps(parsed)
    return ms, missing, "iso"


def _day_or_month(
    texts: list[str | None], day_first: str, month_first: str
) -> tuple[Ints, Bools, str]:
    """Dates with slashes: whichever order all rows allow; where both are, the user must say."""
    by_day, by_month = _by_format(texts, day_first), _by_format(texts, month_first)
    if by_day[1].any() != by_month[1].any():
        return by_month if by_day[1].any() else by_day
    if by_day[1].any():
        return by_day if by_day[1].sum() <= by_month[1].sum() else by_month
    raise ValueError(
        "dates like 03/04/2021 could be day/month or month/day in every row; "
        "write the times as 2021-04-03 or as epoch milliseconds"
    )
