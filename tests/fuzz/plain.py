"""A slow and plain reading of a file: what each of its rows could mean, and no decision."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

MARKS = (",", ";", "\t", "|")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %I-%p", "%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p", "%Y.%m.%d",
    "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%d.%m.%Y", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y%m%d", "%Y%m%d%H%M%S",
    "%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d %H%M%S", "%Y%m%d %H%M",
    *(
        day + clock
        for day in (
            "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%d-%b-%Y",
            *(f"{a}{m}{b}{m}{y}" for a, b in (("%d", "%m"), ("%m", "%d")) for m in "/-"
              for y in ("%Y", "%y")),
        )
        for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row as a plain look at it shows it: its line (from 1) and its fields in each splitting."""

    line: int
    text: str
    splits: tuple[tuple[Any, ...], ...]


def unpacked(content: bytes) -> bytes:
    """The bytes inside gzip, bzip2, xz or a zip of one file."""
    if content[:2] == b"\x1f\x8b":
        return gzip.decompress(content)
    if content[:3] == b"BZh":
        return bz2.decompress(content)
    if content[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(content)
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(archive.namelist()[0])
    return content


def text_lines(content: bytes) -> list[str]:
    """All lines of a text, without their ends."""
    return re.split(r"\r\n|\n|\r", content.decode("utf-8-sig", errors="replace"))


def text_row(line: int, text: str) -> Row:
    """One line split at each of the usual delimiters."""
    splits = []
    for mark in MARKS:
        if mark in text:
            splits.append(tuple(f.strip() for f in next(csv.reader([text], delimiter=mark))))
    return Row(line, text, tuple(splits))


def json_tables(content: bytes) -> Iterator[tuple[list[str] | None, list[Row]]]:
    """All tables in a document, outermost first: names (None for plain lists) and rows."""
    text = content.decode("utf-8-sig")
    try:
        documents = [json.loads(text, object_pairs_hook=_pairs)]
    except json.JSONDecodeError:
        lines = [one for one in re.split(r"\r\n|\n|\r", text) if one.strip()]
        documents = [[json.loads(one, object_pairs_hook=_pairs) for one in lines]]
    yield from _tables(documents[0])


class _Object(dict[str, Any]):
    twice = False


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    made.twice = len(made) < len(pairs)
    return made


def _tables(node: Any) -> Iterator[tuple[list[str] | None, list[Row]]]:
    if isinstance(node, _Object):
        columns = {k: v for k, v in node.items() if isinstance(v, list)}
        lengths = {len(v) for v in columns.values()}
        if len(columns) >= 2 and len(lengths) == 1 and not node.twice:
            rows = zip(*columns.values(), strict=True)
            yield list(columns), [Row(i, "", (row,)) for i, row in enumerate(rows, 1)]
        for value in node.values():
            yield from _tables(value)
    elif isinstance(node, list) and node:
        if all(isinstance(row, _Object) for row in node):
            names = list(node[0])
            if not any(row.twice for row in node):
                yield names, [
                    Row(i, "", (tuple(row.get(n) for n in names),)) for i, row in enumerate(node, 1)
                ]
        elif all(isinstance(row, list) for row in node):
            yield None, [Row(i, "", (tuple(row),)) for i, row in enumerate(node, 1)]
            for row in node:
                yield from _tables(row)


_PARTS = {"Y": "9{4}", "b": "a", "B": "a", "p": "a"}


@lru_cache(10_000)
def _formats(shape: str) -> tuple[str, ...]:
    """The formats that a text can be written in, by its shape: digits as 9, words as a."""
    fitting = []
    for fmt in _FORMATS:
        pattern = re.sub(r"%(\w)", lambda m: _PARTS.get(m[1], "9{1,2}"), re.escape(fmt))
        if re.fullmatch(pattern.replace(r"\ ", r"\s+"), shape):
            fitting.append(fmt)
    return tuple(fitting)


# --- what a field can mean ------------------------------------------------------------------------


@lru_cache(200_000, typed=True)
def numbers(field: Any, *, volume: bool = False, rate: bool = False) -> frozenset[float]:
    """All numbers that a field can be read as; none where it is no number."""
    if field is None or isinstance(field, bool):
        return frozenset()
    if isinstance(field, (int, float)):
        return frozenset((float(field),))
    text, scale = str(field).strip(), 1.0
    if volume and text[-1:] in ("K", "M", "B"):
        scale, text = {"K": 1e3, "M": 1e6, "B": 1e9}[text[-1]], text[:-1]
    if rate and text.endswith("%"):
        scale, text = 0.01, text[:-1].strip()
    if text[:1] in ("$", "€", "£"):
        text = text[1:].strip()
    found = set()
    plain = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
    if re.fullmatch(plain, text, re.A):
        found.add(float(text) * scale)
    if re.fullmatch(r"[-+]?(\d+,?\d*|,\d+)", text, re.A):
        found.add(float(text.replace(",", ".")) * scale)
    for group, point in ((",", "."), (".", ","), (" ", "."), ("'", "."), (" ", ","), ("'", ",")):
        shape = rf"[-+]?\d{{1,3}}([{group}]\d{{3}})+([{point}]\d*)?"
        if re.fullmatch(shape, text.replace("\u00a0", " ").replace("\u202f", " "), re.A):
            bare = text.replace("\u00a0", " ").replace("\u202f", " ").replace(group, "")
            found.add(float(bare.replace(point, ".")) * scale)
    return frozenset(found)


@lru_cache(200_000, typed=True)
def times(field: Any, clock: Any = None, day: str = "") -> frozenset[int]:
    """All times (epoch ms) that a field can be read as; ``day`` is the date in the file's name."""
    if isinstance(field, datetime):
        return frozenset((_ms(field),))
    if field is None or isinstance(field, bool):
        return frozenset()
    text = f"{field}".strip() if clock is None else f"{field} {clock}".strip()
    found: set[int] = set()
    if re.fullmatch(r"\+?\d+(\.\d*)?([eE]\+?\d+)?", text, re.A):
        value = min(float(text), 1e25)
        whole = int(text) if text.lstrip("+").isdigit() else None
        for per_ms in (0.001, 1, 1000, 1_000_000):
            ms = round(value / per_ms)
            if 1e12 <= ms < 5e12:
                # The clock of an archive may be finer than a millisecond.
                found |= {ms, whole // int(per_ms) if whole and per_ms >= 1 else ms}
        if day and value < 86_400_000:
            start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            found.add(_ms(start) + round(value))
    for fmt in _formats(re.sub(r"\d", "9", re.sub(r"[A-Za-z]+", "a", text))):
        try:
            found.add(_ms(datetime.strptime(text, fmt)))
        except ValueError:
            continue
    iso = re.sub(r"\s*(UTC|GMT|Z)$", "+00:00", text)
    iso = re.sub(r"\s+([+-]\d)", r"\1", iso)
    iso = re.sub(r"(\.\d{6})\d+", r"\1", iso)
    if re.match(r"\d{4}-\d\d-\d\d", iso, re.A):
        with suppress(ValueError):
            found.add(_ms(datetime.fromisoformat(iso)))
    return frozenset(found)


def _ms(when: datetime) -> int:
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - _EPOCH) // timedelta(milliseconds=1)
