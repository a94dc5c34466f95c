"""One file or DataFrame read into raw columns by meaning, fast, with a way back to the line."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leverpack.candles import columns as cols
from leverpack.candles.arrowfiles import read_feather, read_parquet
from leverpack.candles.columns import Roles, Want
from leverpack.candles.document import column_of, read_document
from leverpack.candles.packing import MAGICS, open_bytes
from leverpack.candles.sources import File
from leverpack.candles.text import (
    Layout,
    broken_rows,
    is_utf8,
    line_of_row,
    rows_with_lines,
    sniff,
    wrong_width,
)
from leverpack.candles.times import iso_zone
from leverpack.candles.values import arrow_texts, decimal_mark, is_text
from leverpack.errors import DataError
from leverpack.result import Ints

_MANY_BYTES = 32_000_000
_BEFORE_SIGN = b"\xef\xbb\xbf \t\r\n"
_JSON_SIGNS = (b"[", b"{")


@dataclass
class Table:
    """Raw columns by meaning ("time", "clock", "open", ..., "rate", "symbol")."""

    source: str  # what people call it
    columns: dict[str, Any]  # PyArrow or NumPy columns, all of one length
    rows: int
    mapping: dict[str, str]  # file column -> meaning
    ignored: list[str]
    layout: Layout | None = None
    lines: Ints | None = None  # the file line of each row, where it was counted
    broken: list[tuple[int, str]] = field(default_factory=list)  # rows with too few or many fields
    headed: bool = True
    pool: Any = None  # where the columnar reader took its memory from
    file: File | None = None
    roles: Roles = field(default_factory=Roles)
    picked: NDArray[np.intp] | None = None  # the rows kept of a table of several symbols
    symbols: list[str] = field(default_factory=list)  # what the symbol column holds

    def let_go(self, what: str) -> None:
        """Drop a raw column that has been converted whole."""
        self.columns[what] = None

    def give_back(self) -> None:
        """Hand the memory of dropped columns back to the system."""
        if self.pool is not None:
            self.pool.release_unused()

    def line(self, row: int) -> int:
        """The file line (from 1) of a row; for DataFrames and Parquet the row's number from 1."""
        if self.picked is not None:
            row = int(self.picked[row])
        if self.lines is not None:
            return int(self.lines[row])
        if self.layout is None or self.file is None:
            return row + 1
        return line_of_row(self.file, self.layout, row)

    def shown(self, what: str, row: int) -> str:
        """A field as it stands in the file."""
        value = self.columns[what][row]
        return str(value.as_py() if hasattr(value, "as_py") else value)

    @cached_property
    def decimal(self) -> str:
        """The decimal mark of all numbers; DataError where it cannot be told."""
        kinds = ("open", "high", "low", "close", "volume", "rate")
        columns = [self.columns[k] for k in kinds if self.columns.get(k) is not None]
        if not any(is_text(c) for c in columns):
            return "."
        try:
            return decimal_mark(columns)
        except ValueError as fault:
            raise DataError(str(fault), source=self.source) from fault


def read_table(source: File | Any, want: Want) -> Table:
    """Read the wanted columns of a file or DataFrame.

    Text goes through a columnar reader: as numbers, as text where a field is no number, and
    row by row only where not even that works, so that every field that is wrong can be shown.
    Raises DataError when the source is no table or lacks a needed column.
    """
    if not isinstance(source, File):
        table = _from_frame(source, want)
    else:
        try:
            table = _from_file(source, want)
        except OSError as fault:
            raise DataError(
                f"the file cannot be read ({fault.strerror or fault})", source=source.name
            ) from fault
        table.file = source
    if "symbol" in table.columns:
        _keep_one_symbol(table, want)
    return table


def _from_file(file: File, want: Want) -> Table:
    with file.path.open("rb") as stream:
        magic = stream.read(8)
    if magic[:4] == b"PAR1":
        return _from_arrow(file, want, read_parquet)
    if magic[:6] == b"ARROW1" or magic[:4] == b"FEA1":
        return _from_arrow(file, want, read_feather)
    with open_bytes(file.path, file.name) as stream:
        sign = stream.read(64).lstrip(_BEFORE_SIGN)[:1]
    if sign in _JSON_SIGNS:
        return _from_json(file, want)
    return _from_text(file, sniff(file), want)


def _keep_one_symbol(table: Table, want: Want) -> None:
    """Keep the rows of the wanted symbol, where the symbol column holds several."""
    import pyarrow.compute as pc

    texts = arrow_texts(table.columns.pop("symbol"))
    table.symbols = sorted(t for t in texts.unique().to_pylist() if t)
    if len(table.symbols) < 2:
        return
    symbol, fault = cols.pick(table.symbols, want.symbol)
    if not symbol:
        raise DataError(fault, source=table.source)
    rows = pc.indices_nonzero(pc.equal(texts, symbol))
    table.picked = rows.to_numpy().astype(np.intp)
    for what, column in table.columns.items():
        taken = column[table.picked] if isinstance(column, np.ndarray) else column.take(rows)
        table.columns[what] = taken
    table.rows, table.symbols = len(table.picked), [symbol]


def _new_table(
    name: str, names: list[str], roles: Roles, want: Want, layout: Layout | None = None
) -> Table:
    """A table without rows yet; DataError when it lacks what is needed."""
    line = layout.skip if layout is not None and layout.headed else None
    if roles.fault:
        raise DataError(roles.fault, source=name, line=line)
    if roles.missing:
        what = "funding settlements" if "rate" in want.need else "candles"
        seen = ", ".join(roles.ignored[:8]) or "nothing else"
        if layout is not None and not layout.headed:
            raise DataError(
                f"{len(layout.names)} columns without header cannot be read as {what}; "
                "add a header line that names them", source=name, line=1
            )  # fmt: skip
        raise DataError(
            f"no column named {' or '.join(roles.missing)} ({what} need "
            f"{', '.join(want.need)}; unknown here: {seen})", source=name, line=line
        )  # fmt: skip
    table = Table(name, {}, 0, roles.mapping(names), roles.ignored, layout, roles=roles)
    if roles.symbol:
        table.symbols = [roles.symbol]
    return table


# --- text -------------------------------------------------------------------------------------


def reads_plainly(file: File, want: Want) -> bool:
    """Whether a file is read in columns, with no care for its fields, as its start shows."""
    import pyarrow as pa

    with file.path.open("rb") as stream:
        magic = stream.read(64)
    if magic.startswith((b"PAR1", b"ARROW1", b"FEA1")):
        return True
    if magic.startswith(MAGICS) or magic.lstrip(_BEFORE_SIGN)[:1] in _JSON_SIGNS:
        return False
    try:
        layout = sniff(file)
        types = _types(layout, _text_roles(layout, want))
    except DataError:
        return True  # what is refused takes no time
    return pa.string() not in types.values()


def _text_roles(layout: Layout, want: Want) -> Roles:
    if layout.headed:
        roles = cols.headed_roles(layout.names, want)
    else:
        roles = cols.headerless_roles(len(layout.names), want, layout.sample)
    if "clock" in roles.at:
        shown = [row[roles.at["clock"]] for row in layout.sample if len(row) > roles.at["clock"]]
        if any(cols.is_number(s) and len(s) > 8 for s in shown):  # an epoch column beside a date
            roles.at["time"] = roles.at.pop("clock")
    return roles


def _from_text(file: File, layout: Layout, want: Want) -> Table:
    roles = _text_roles(layout, want)
    table = _new_table(file.name, layout.names, roles, want, layout)
    if not layout.sample:
        raise DataError("the file holds a header but no rows", source=file.name)
    table.headed = layout.headed
    if not (_read_columns(file, table, typed=True) or _read_columns(file, table, typed=False)):
        _read_rows(file, table)
    if not table.rows:
        line, text = table.broken[0] if table.broken else (None, "the file holds no rows")
        raise DataError(text, source=file.name, line=line)
    return table


def _arrow_type(fields: list[str], what: str) -> Any:
    """The type the columnar reader should convert a column to; text where only care will do."""
    import pyarrow as pa

    if what == "symbol":
        return pa.dictionary(pa.int32(), pa.string())
    if what != "time":
        return pa.float64() if all(cols.is_number(f) for f in fields) else pa.string()
    if all(re.fullmatch(r"\d+", f.strip()) for f in fields):
        return pa.int64()
    if all(cols.is_number(f) for f in fields):
        return pa.float64()
    zone = iso_zone([f.strip() for f in fields])
    if zone == "naive":
        return pa.timestamp("ns")
    return pa.timestamp("ns", "UTC") if zone == "aware" else pa.string()


def _types(layout: Layout, roles: Roles) -> dict[int, Any]:
    """Type of each wanted column by its position, as the first rows show."""
    import pyarrow as pa

    at = roles.at
    types: dict[int, Any] = {}
    for what, i in at.items():
        fields = [row[i] for row in layout.sample if len(row) > i and row[i].strip()]
        whole = what != "clock" and not (what == "time" and "clock" in at)
        types[i] = _arrow_type(fields, what) if whole else pa.string()
    return types


def _read_columns(file: File, table: Table, *, typed: bool) -> bool:
    """Read by columns, as numbers and times or all as text; whether that worked."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    layout, at = table.layout, table.roles.at
    assert layout is not None
    names = [f"c{i}" for i in range(len(layout.names))]
    types = {names[i]: pa.string() for i in at.values()}
    if typed:
        types = {names[i]: kind for i, kind in _types(layout, table.roles).items()}
    # A quote that comes later would swallow lines of columns that nobody reads.
    quoted = layout.quoted or pa.string() in types.values()
    if not typed and not is_utf8(file):  # the reader could not hand us the rows it skips
        return False
    skipped: list[Any] = []

    def skip(row: Any) -> str:
        skipped.append(row)
        return "skip"

    pool = table.pool = pa.default_memory_pool()
    big = typed and file.path.stat().st_size > _MANY_BYTES  # threads keep memory for themselves
    try:
        with open_bytes(file.path, file.name) as stream:
            read = pacsv.read_csv(
                stream,
                pacsv.ReadOptions(skip_rows=layout.skip, column_names=names, use_threads=big),
                pacsv.ParseOptions(
                    delimiter=layout.delimiter,
                    quote_char='"' if quoted else False,
                    invalid_row_handler=None if typed else skip,
                ),
                pacsv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=True
                ),
                pool,
            )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    if quoted and not _lines_add_up(file, layout, read.num_rows + len(skipped)):
        return False
    if skipped:
        table.broken = broken_rows(file, layout)
    for what, i in at.items():
        table.columns[what] = read.column(names[i])
    table.rows = read.num_rows
    return True


def _lines_add_up(file: File, layout: Layout, rows: int) -> bool:
    """Whether the columnar reader saw a row on every line: an open quote swallows lines."""
    with open_bytes(file.path, file.name) as stream:
        ends = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    if ends - layout.skip <= rows:
        return True
    with open_bytes(file.path, file.name) as stream:  # blank lines are no rows
        filled = sum(1 for line in itertools.islice(stream, layout.skip, None) if line.strip())
    return filled <= rows


def _read_rows(file: File, table: Table) -> None:
    layout = table.layout
    assert layout is not None
    width = len(layout.names)
    lines: list[int] = []
    kept: dict[str, list[str | None]] = {what: [] for what in table.roles.at}
    for line, row in rows_with_lines(file, layout):
        if len(row) != width:
            table.broken.append((line, wrong_width(len(row), width)))
            continue
        lines.append(line)
        for what, i in table.roles.at.items():
            kept[what].append(row[i].strip() or None)
    for what, values in kept.items():
        table.columns[what] = np.array(values, dtype=object)
    table.rows = len(lines)
    table.lines = np.array(lines, dtype=np.int64)


# --- everything that is not text --------------------------------------------------------------


def _from_arrow(source: Any, want: Want, read: Any) -> Table:
    """A Parquet or Feather file (or a table in memory) by the columns that are wanted."""
    name = source.name if isinstance(source, File) else type(source).__name__
    made: list[Table] = []

    def choose(names: list[str]) -> list[int]:
        shown = ["" if n.startswith("__index_level") else n for n in names]
        table = _new_table(name, names, cols.headed_roles(shown, want), want)
        made.append(table)
        return list(table.roles.at.values())

    _, found = read(source, choose)
    table = made[0]
    if not found.num_rows:
        raise DataError("the file holds no rows", source=name)
    table.rows = found.num_rows
    for i, what in enumerate(table.roles.at):
        column = found.column(i)
        if str(column.type).startswith("dictionary") and what != "symbol":
            column = column.cast(column.type.value_type)
        table.columns[what] = column
    return table


def _from_json(file: File, want: Want) -> Table:
    """A JSON list of candles: lists as ccxt and exchanges send them, or objects with names."""
    names, rows, headed = read_document(file)
    if headed:
        roles = cols.headed_roles(names, want)
    else:
        roles = cols.headerless_roles(len(names), want, rows[:120])
    table = _new_table(file.name, names, roles, want)
    table.rows, table.headed = len(rows), headed
    for what, i in roles.at.items():
        table.columns[what] = column_of(rows, i)
    return table


def _from_frame(frame: Any, want: Want) -> Table:
    """A pandas DataFrame (time in a column or in the index), or a table of Polars or Arrow."""
    name = type(frame).__name__
    if hasattr(frame, "to_arrow"):  # Polars
        frame = frame.to_arrow()
    if hasattr(frame, "column_names") and hasattr(frame, "num_rows"):
        return _from_arrow(
            frame, want, lambda t, choose: (t.column_names, t.select(choose(t.column_names)))
        )
    if not hasattr(frame, "columns") or not hasattr(frame, "index"):
        raise DataError(f"{name} is neither a path nor a DataFrame")
    names = [str(n) for n in frame.columns]
    roles = cols.headed_roles(names, want)
    series: dict[str, Any] = {what: frame.iloc[:, i] for what, i in roles.at.items()}
    index_kind = frame.index.dtype.kind
    in_index = "time" in roles.missing and (
        index_kind in "MO" or "datetime" in str(frame.index.dtype)
    )
    if in_index:
        series["time"] = frame.index.to_series()
        roles.missing.remove("time")
    table = _new_table(name, names, roles, want)
    if in_index:
        table.mapping = {str(frame.index.name or "index"): "time", **table.mapping}
    if not len(frame):
        raise DataError("the DataFrame holds no rows", source=name)
    table.rows = len(frame)
    for what, values in series.items():
        table.columns[what] = _plain_column(values)
    return table


def _plain_column(values: Any) -> Any:
    """A pandas Series as a NumPy column; zoned times are moved to UTC."""
    if getattr(values.dtype, "tz", None) is not None:
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if values.dtype.kind in "iufM" and isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    if values.dtype.kind in "iuf":
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.array([None if v is None or v != v else v for v in values], dtype=object)
