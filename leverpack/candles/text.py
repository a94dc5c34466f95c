"""Text files looked into: delimiter, banner, header, and the way back to a line."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TextIO

from leverpack.candles import columns as cols
from leverpack.candles.packing import open_bytes
from leverpack.candles.sources import File
from leverpack.errors import DataError

MAX_LINE = 65_536  # characters; the widest tables of candles have lines of a few hundred
_DELIMITERS = (",", ";", "\t", "|")
_LINE_ENDS = re.compile(r"\r\n|\n|\r")
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


@dataclass(slots=True)
class Layout:
    """How a text file is laid out."""

    delimiter: str
    skip: int  # lines before the first row of data
    names: list[str]
    headed: bool
    sample: list[list[str]]
    quoted: bool = False
    garbled: int | None = None  # the first line with bytes that are no UTF-8


def sniff(file: File) -> Layout:
    """Delimiter, header and first rows of a text file; DataError when it is not a table of text."""
    name = file.name
    with open_bytes(file.path, name) as stream:
        head = stream.read(MAX_LINE)
    if head.startswith(_WIDE_MARKS):
        raise DataError("the text is UTF-16 or UTF-32; save it as UTF-8", source=name)
    if b"\0" in head:
        raise DataError("this is not a text, Parquet or Feather file", source=name)
    text = head.decode("utf-8-sig", errors="replace")
    lines = _LINE_ENDS.split(text)
    if len(head) == MAX_LINE:
        if len(lines) == 1:
            raise _too_long(name, 1)
        lines = lines[:-1]  # probably cut in the middle
    filled = [(i, line) for i, line in enumerate(lines) if line.strip()]
    if not filled:
        raise DataError("the file is empty", source=name)
    for i, line in filled:
        _refuse_open_quote(line, name, i + 1)
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
    rows = split[start + headed :]
    names = first if headed else [f"column {i + 1}" for i in range(width)]
    skip = split[start][0] + headed
    if headed and (under := _yfinance_names(names, rows)):
        names, skip, rows = under, rows[1][0] + 1, rows[2:]
    garbled = next((i + 1 for i, line in filled if "\ufffd" in line), None)
    quoted = any('"' in line for i, line in filled if i >= skip)
    return Layout(delimiter, skip, names, headed, [row for _, row in rows], quoted, garbled)


def _yfinance_names(names: list[str], rows: list[tuple[int, list[str]]]) -> list[str] | None:
    """The columns of a table with three header lines: Price, Ticker, Date."""
    heads = [row[0].strip().lower() if row else "" for _, row in rows[:2]]
    if len(heads) < 2 or heads[0] != "ticker" or heads[1] not in ("date", "datetime"):
        return None
    tickers = dict.fromkeys(rows[0][1][1:])
    if len(tickers) == 1:
        return [heads[1], *names[1:]]
    named = [f"{ticker}:{name}" for ticker, name in zip(rows[0][1][1:], names[1:], strict=False)]
    return [heads[1], *named]


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"the line is longer than {MAX_LINE:,} characters; this is no table of candles",
        source=name, line=line,
    )  # fmt: skip


def _refuse_open_quote(line: str, name: str, number: int, delimiter: str = "") -> None:
    """Raise DataError where a quote would swallow the next line, or ends within a field."""
    if '"' not in line:
        return
    fault = "a quote is opened and not closed on this line"
    if not line.count('"') % 2:
        if not delimiter:
            return
        try:
            next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter, strict=True))
            return
        except csv.Error as found:
            if "end of data" not in str(found):
                fault = "a quote ends within a field on this line"
    raise DataError(fault, source=name, line=number)


def _delimiter(lines: list[str]) -> tuple[str, int]:
    best = (",", 1, 0)
    for mark in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        width, count = max(widths.items(), key=lambda wc: (wc[1] if wc[0] > 1 else 0, wc[0]))
        if width > 1 and (count, width) > (best[2], best[1]):
            best = (mark, width, count)
    return best[0], best[1]


def _is_banner(fields: list[str], width: int) -> bool:
    if fields[0].startswith("#"):
        return not cols.looks_like_header([fields[0].lstrip("# "), *fields[1:]])
    if len(fields) == width or cols.looks_like_header(fields):
        return False
    # A row of data that is cut off, or a header that lacks a name, must not be passed over.
    return not fields[0].strip()[:1].isdigit() and not cols.known_names(fields)


def _lines(text: TextIO, name: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, in bounded memory."""
    for number in itertools.count(1):
        line = text.readline(MAX_LINE + 1)
        if not line:
            return
        if len(line) > MAX_LINE:
            raise _too_long(name, number)
        yield number, line


def rows_with_lines(
    file: File, layout: Layout
) -> Generator[tuple[int, list[str]], None, None]:
    """Yield (line, fields) for every row of data; lines count from 1 over the whole file.

    Raises DataError at a line that is too long or leaves a quote open.
    """
    stream = open_bytes(file.path, file.name)
    with io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        at = 0

        def data_lines() -> Iterator[str]:
            nonlocal at
            for number, line in _lines(text, file.name):
                if number > layout.skip and line.strip():
                    _refuse_open_quote(line, file.name, number, layout.delimiter)
                    at = number
                    yield line

        for row in csv.reader(data_lines(), delimiter=layout.delimiter):
            yield at, row


def is_utf8(file: File) -> bool:
    """Whether all of the file's bytes are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(file.path, file.name) as stream:
        try:
            while block := stream.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _widths(file: File, layout: Layout) -> Generator[tuple[int, int], None, None]:
    """Yield (line, number of fields) for every row of data: rows_with_lines without the fields."""
    stream = open_bytes(file.path, file.name)
    with io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as text:
        for number, line in _lines(text, file.name):
            if number <= layout.skip or not line.strip():
                continue
            if '"' in line:
                _refuse_open_quote(line, file.name, number, layout.delimiter)
                yield number, len(next(csv.reader([line], delimiter=layout.delimiter)))
            else:
                yield number, line.count(layout.delimiter) + 1


def line_of_row(file: File, layout: Layout, row: int) -> int:
    """The file line (from 1) of a row of data (from 0); lines of another width are no rows."""
    width = len(layout.names)
    with closing(_widths(file, layout)) as rows:
        whole = (line for line, fields in rows if fields == width)
        return next(itertools.islice(whole, row, None), row + layout.skip + 1)


def broken_rows(file: File, layout: Layout) -> list[tuple[int, str]]:
    """Line and wording of each row that has too few or too many fields."""
    width = len(layout.names)
    return [
        (line, wrong_width(fields, width))
        for line, fields in _widths(file, layout) if fields != width
    ]  # fmt: skip


def wrong_width(fields: int, width: int) -> str:
    """What is wrong with a row of that many fields."""
    return f"{fields} fields where the file has {width}"
