"""Columns of text or numbers turned into float64, whole columns at a time."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leverpack.candles.series import Bools
from leverpack.result import Floats

_SUFFIX = {"K": 1e3, "M": 1e6, "B": 1e9}
_NOTHING = ("", "nan", "null", "none", "-", "n/a", "na")
_PLAIN = r"^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
# What only a decimal comma, or only a decimal point, can have written.
_END = r"[KMB%]?$"
_COMMA_SURE = (
    rf"^[-+]?(\d+,\d{{1,2}}|\d+,\d{{4,}}|0+,\d+|\d{{4,}},\d+|\d{{1,3}}(\.\d{{3}})+,\d*"
    rf"|\d{{1,3}}(\.\d{{3}}){{2,}}){_END}"
)
_POINT_SURE = (
    rf"^[-+]?(\d+\.\d{{1,2}}|\d+\.\d{{4,}}|0+\.\d+|\d{{4,}}\.\d+|\d{{1,3}}(,\d{{3}})+\.\d*"
    rf"|\d{{1,3}}(,\d{{3}}){{2,}}){_END}"
)
_GROUPED = {
    ".": re.compile(r"[-+]?\d{1,3}([, '\u00a0\u202f]\d{3})+(\.\d*)?"),
    ",": re.compile(r"[-+]?\d{1,3}([. '\u00a0\u202f]\d{3})+(,\d*)?"),
}
_WITH_COMMA = re.compile(r"[-+]?(\d+,?\d*|,\d+)")


@dataclass(slots=True)
class Numbers:
    """Values (NaN where empty), the entries that are no number at all, and how they were written.

    ``written`` counts entries by "thousands", "suffix", "percent" and "currency".
    """

    values: Floats
    bad: Bools
    written: Counter[str] = field(default_factory=Counter)


def is_arrow(column: Any) -> bool:
    """Whether a column is PyArrow's."""
    return type(column).__module__.startswith("pyarrow")


def is_text(column: Any) -> bool:
    """Whether a column holds text or objects, not numbers or stamps."""
    if not is_arrow(column):
        return bool(column.dtype.kind in "OUST")
    return str(column.type) in ("string", "large_string", "string_view", "null")


def texts_of(column: Any) -> list[str | None]:
    """A column as Python strings, None where empty."""
    values = column.to_pylist() if is_arrow(column) else column.tolist()
    return [None if v is None or v != v else str(v).strip() for v in values]


def arrow_texts(column: Any) -> Any:
    """A column of text as one PyArrow array without blanks around, null where empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_arrow(column):
        column = column.cast(pa.string())
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
    else:
        column = pa.array(texts_of(column), pa.string())
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def mask_of(column: Any) -> Bools:
    """An Arrow column of truths as a NumPy mask, False where null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers, _ = arrow_numbers(pc.fill_null(column, False).cast(pa.int8()))
    mask: Bools = numbers.astype(np.bool_)
    return mask


def arrow_numbers(column: Any) -> tuple[Any, Bools]:
    """An Arrow column of numbers or stamps as NumPy, and a mask of its empty entries.

    Straight from the buffers: PyArrow's own conversion would import pandas for it. Raises
    ValueError (a plain sentence) for a column of another type.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_decimal(kind):
        # By way of text: straight to float64 it would be off by the last bit.
        column = column.cast(pa.string()).cast(pa.float64())
        kind = column.type
    elif pa.types.is_float16(kind):
        column = column.cast(pa.float64())
        kind = column.type
    if not (pa.types.is_primitive(kind) and kind.bit_width >= 8):
        raise ValueError(f"it holds {kind}, not numbers")
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


def decimal_mark(columns: list[Any]) -> str:
    """Whether columns of numbers are written with decimal points or decimal commas.

    Raises ValueError (a plain sentence) when nothing in them tells ("1,234" everywhere), or
    when some entries can only be the one and some only the other.
    """
    import pyarrow.compute as pc

    texts = [arrow_texts(c) for c in columns if is_text(c)]
    commas = [t.filter(pc.match_substring(t, ",")) for t in texts]
    shown = next((str(c[0].as_py()) for c in commas if len(c)), None)
    if shown is None:
        return "."
    texts = [pc.replace_substring_regex(t, "[ '\u00a0\u202f$€£]", "") for t in texts]

    def first_match(pattern: str) -> str | None:
        for text in texts:
            at = pc.index(pc.match_substring_regex(text, pattern), True).as_py()
            if at >= 0:
                return str(text[at].as_py())
        return None

    comma, point = first_match(_COMMA_SURE), first_match(_POINT_SURE)
    if point is None and any(_has_fractions(c) for c in columns if not is_text(c)):
        point = "a decimal point"
    if comma and point:
        raise ValueError(
            f"numbers are written with decimal commas ({comma}) and with decimal points ({point}); "
            "write all of them one way"
        )
    if not comma and not point:
        raise ValueError(
            f"{shown} could be a number with thousands or one with a decimal comma; "
            "write it without separators"
        )
    return "," if comma else "."


def _has_fractions(column: Any) -> bool:
    values = arrow_numbers(column)[0] if is_arrow(column) else column
    return values.dtype.kind == "f" and bool((np.nan_to_num(values) % 1 != 0).any())


def to_floats(
    column: Any, decimal: str = ".", *, suffixes: bool = False, percent: bool = False
) -> Numbers:
    """A column as float64, NaN where it is empty.

    ``suffixes`` takes "95.35K" for 95,350, ``percent`` "0.01%" for 0.0001. Raises ValueError (a
    plain sentence) for a column whose type is no number.
    """
    if not is_text(column):
        if is_arrow(column):
            values, holes = arrow_numbers(column)
            floats = values.astype(np.float64, copy=False)
            if holes.any():
                floats[holes] = np.nan
        else:
            floats = np.ascontiguousarray(column, dtype=np.float64)
        return Numbers(floats, np.zeros(len(floats), np.bool_))
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = arrow_texts(column)
    read = Numbers(np.full(len(texts), np.nan), np.zeros(len(texts), np.bool_))
    plain = pc.match_substring_regex(texts, _PLAIN)
    if decimal == ",":
        plain = pc.and_(plain, pc.invert(pc.match_substring(texts, ".")))
    is_plain = mask_of(plain)
    if is_plain.any():
        nothing = pa.scalar(None, pa.string())
        values, _ = arrow_numbers(pc.if_else(plain, texts, nothing).cast(pa.float64()))
        read.values[is_plain] = values[is_plain]
    odd = np.flatnonzero(~(is_plain | mask_of(texts.is_null())))
    for i in odd.tolist():
        text = texts[i].as_py()
        if text.lower() in _NOTHING:
            continue
        number, how = parse_number(text, decimal, suffixes=suffixes, percent=percent)
        if number is None:
            read.bad[i] = True
        else:
            read.values[i] = number
            read.written.update(how)
    return read


def parse_number(
    text: str, decimal: str = ".", *, suffixes: bool = False, percent: bool = False
) -> tuple[float | None, list[str]]:
    """A number as people and spreadsheets write it ("29,068.9", "95.35K"), or None; and how."""
    scale, how = 1.0, []
    if suffixes and text[-1:] in _SUFFIX:
        scale, text = _SUFFIX[text[-1]], text[:-1]
        how.append("suffix")
    if percent and text.endswith("%"):
        scale, text = 0.01, text[:-1].rstrip()
        how.append("percent")
    if text[:1] in ("$", "€", "£"):
        text = text[1:].lstrip()
        how.append("currency")
    if _GROUPED[decimal].fullmatch(text):
        text = re.sub(r"[ '\u00a0\u202f]", "", text).replace("," if decimal == "." else ".", "")
        how.append("thousands")
    if decimal == ",":
        if not _WITH_COMMA.fullmatch(text):
            return None, how
        text = text.replace(",", ".")
    if "_" in text or not text.isascii():  # Python takes 1_000 and digits of all scripts
        return None, how
    try:
        return float(text) * scale, how
    except ValueError:
        return None, how
