"""Text files looked into: packing, delimiter, banner, header, and the way back to a line."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from leverpack.candles import columns as cols
from leverpack.errors import DataError

_SNIFF_BYTES = 65_536
_DELIMITERS = (",", ";", "\t", "|")



@dataclass(slots=True)
class Layout:
    """How a text file is laid out."""

    delimiter: str
    skip: int  # lines before the first row of data
    names: list[str]
    headed: bool
    sample: list[list[str]]
    decimal: str = "."


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked when it is gzip or a zip with one file in it."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if magic == b"PK\x03\x04":
        archive = zipfile.ZipFile(path)
        members = [m for m in archive.namelist() if not m.endswith("/")]
        if len(members) != 1:
            raise DataError(
                f"the archive holds {len(members)} files; unpack it and name one", source=str(path)
            )
        return cast(BinaryIO, archive.open(members[0]))
    return path.open("rb")


def sniff(path: Path) -> Layout:
    """Delimiter, header and first rows of a text file; DataError when it is not a table of text."""
    name = str(path)
    with open_bytes(path) as file:
        head = file.read(_SNIFF_BYTES)
    if b"\0" in head:
        raise DataError("this is not a text, Parquet or Feather file", source=name)
    text = head.decode("utf-8-sig", errors="replace")
    lines = text.splitlines()
    if len(head) == _SNIFF_BYTES and len(lines) > 1:
        lines = lines[:-1]  # probably cut in the middle
    filled = [(i, line) for i, line in enumerate(lines) if line.strip()]
    if not filled:
        raise DataError("the file is empty", source=name)
    delimiter, width = _delimiter([line for _, line in filled[:50]])
    if width < 2:
        raise DataError("no columns can be told apart; a CSV file is needed", source=name, line=1)
    split = [(i, next(csv.reader([line], delimiter=delimiter))) for i, line in filled[:120]]
    start = 0
    while start < len(split) - 1 and _is_banner(split[start][1], width):
        start += 1
    first = [f.strip() for f in split[start][1]]
    if first and first[0].startswith("#"):
        first[0] = first[0].lstrip("# ")
    headed = cols.looks_like_header(first) or sum(map(cols.is_number, first)) * 3 < len(first)
    rows = [row for _, row in split[start + headed :]]
    names = first if headed else [f"column {i + 1}" for i in range(width)]
    skip = split[start][0] + headed
    decimal = "," if delimiter == ";" and _comma_decimals(rows) else "."
    return Layout(delimiter, skip, names, headed, rows, decimal)


def _delimiter(lines: list[str]) -> tuple[str, int]:
    best = (",", 1, 0)
    for mark in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        width, count = max(widths.items(), key=lambda wc: (wc[1] if wc[0] > 1 else 0, wc[0]))
        if width > 1 and (count, width) > (best[2], best[1]):
            best = (mark, width, count)
    return best[0], best[1]


def _is_banner(fields: list[str], width: int) -> bool:
    return (len(fields) != width or fields[0].startswith("#")) and not cols.looks_like_header(
        [fields[0].lstrip("# "), *fields[1:]]
    )


def _comma_decimals(rows: list[list[str]]) -> bool:
    fields = [f for row in rows[:20] for f in row[1:]]
    return sum(bool(re.fullmatch(r"-?\d+,\d+", f)) for f in fields) > len(fields) // 3


def rows_with_lines(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) for every row of data; lines count from 1 over the whole file."""
    with open_bytes(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        for _ in itertools.islice(text, layout.skip):
            pass
        reader = csv.reader(text, delimiter=layout.delimiter)
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield layout.skip + reader.line_num, row


def line_of_row(path: Path, layout: Layout, row: int) -> int:
    """The file line (from 1) of a row of data (from 0)."""
    for i, (line, _) in enumerate(rows_with_lines(path, layout)):
        if i == row:
            return line
    return row + layout.skip + 1
