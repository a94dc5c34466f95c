"""Files and DataFrames read into raw columns by meaning, fast, with a way back to the line."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles import columns as cols
from leverpack.candles.text import (
    Layout,
    line_of_row,
    open_bytes,
    rows_with_lines,
    sniff,
)
from leverpack.candles.values import iso_zone, texts_of
from leverpack.errors import DataError
from leverpack.result import Ints

_MANY_BYTES = 32_000_000


@dataclass(slots=True)
class Table:
    """Raw columns by meaning ("time", "clock", "open", ..., "rate", "symbol")."""

    source: str
    columns: dict[str, Any]  # PyArrow or NumPy columns, all of one length
    rows: int
    mapping: dict[str, str]  # file column -> meaning
    ignored: list[str]
    layout: Layout | None = None
    lines: Ints | None = None  # the file line of each row, where it was counted
    broken: list[tuple[int, str]] = field(default_factory=list)  # rows with too few or many fields
    headed: bool = True
    pool: Any = None  # where the columnar reader took its memory from

    def let_go(self, what: str) -> None:
        """Drop a raw column that has been converted whole."""
        self.columns[what] = None

    def give_back(self) -> None:
        """Hand the memory of dropped columns back to the system."""
        if self.pool is not None:
            self.pool.release_unused()

    def line(self, row: int) -> int:
        """The file line (from 1) of a row; for DataFrames and Parquet the row's number from 1."""
        if self.lines is not None:
            return int(self.lines[row])
        if self.layout is None:
            return row + 1
        return line_of_row(Path(self.source), self.layout, row)


def read_table(source: Any, need: tuple[str, ...]) -> Table:
    """Read the needed columns of a file or DataFrame.

    Text goes through a columnar reader, and row by row only when that one cannot convert a
    field, so that every field that is wrong can be shown. Raises DataError when the source is
    no table or lacks a needed column.
    """
    if not isinstance(source, (str, Path)):
        return _from_frame(source, need)
    path = Path(source)
    name = str(source)
    if not path.exists():
        raise DataError("there is no such file; check the path", source=name)
    if path.is_dir():
        raise DataError("this is a folder; name one file in it", source=name)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", source=name)
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        if magic[:4] == b"PAR1":
            return _from_parquet(name, need)
        if magic[:6] == b"ARROW1" or magic[:4] == b"FEA1":
            return _from_feather(name, need)
        with open_bytes(path) as file:
            sign = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if sign in (b"[", b"{"):
            return _from_json(path, need)
        return _from_text(path, sniff(path), need)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as fault:
        raise DataError(f"the file cannot be read or unpacked ({fault})", source=name) from fault


# --- text -------------------------------------------------------------------------------------


def _from_text(path: Path, layout: Layout, need: tuple[str, ...]) -> Table:
    name = str(path)
    if layout.headed:
        roles = cols.headed_roles(layout.names, need)
    else:
        roles = cols.headerless_roles(len(layout.names), need)
    _must_have(name, roles, layout, need)
    if not layout.sample:
        raise DataError("the file holds a header but no rows", source=name)
    if "clock" in roles.at:
        shown = [row[roles.at["clock"]] for row in layout.sample if len(row) > roles.at["clock"]]
        if any(cols.is_number(s) and len(s) > 8 for s in shown):  # an epoch column beside a date
            roles.at["time"] = roles.at.pop("clock")
    at = dict(roles.at)
    at.pop("symbol", None)
    table = Table(name, {}, 0, roles.mapping(layout.names), roles.ignored, layout)
    table.headed = layout.headed
    if not _read_fast(path, layout, at, table):
        _read_careful(path, layout, at, table)
    if "symbol" in roles.at:
        seen = {row[roles.at["symbol"]] for row in layout.sample if len(row) > roles.at["symbol"]}
        table.columns["symbol"] = np.array(sorted(seen))
    return table


def _must_have(
    name: str, roles: cols.Roles, layout: Layout | None, need: tuple[str, ...]
) -> None:
    if not roles.missing:
        return
    line = layout.skip if layout is not None and layout.headed else None
    if roles.missing == ["time"] and roles.close_time_only:
        raise DataError(
            "the file has closing times only; candles need their opening time",
            source=name,
            line=line,
        )
    what = "funding settlements" if "rate" in need else "candles"
    seen = ", ".join(roles.ignored[:8]) or "nothing else"
    if layout is not None and not layout.headed:
        raise DataError(
            f"{len(layout.names)} columns without header cannot be read as {what}; "
            "add a header line that names them", source=name, line=1
        )  # fmt: skip
    raise DataError(
        f"no column named {' or '.join(roles.missing)} ({what} need "
        f"{', '.join(need)}; unknown here: {seen})", source=name, line=line
    )  # fmt: skip


def _arrow_type(fields: list[str], what: str, decimal: str) -> Any:
    """The type the columnar reader should convert a column to; text where only care will do."""
    import pyarrow as pa

    if what == "clock":
        return pa.string()
    if what != "time":
        plain = decimal == "." and not any("," in f or f.endswith(("K", "M", "B")) for f in fields)
        return pa.float64() if plain else pa.string()
    if all(re.fullmatch(r"\d+", f.strip()) for f in fields):
        return pa.int64()
    if all(cols.is_number(f) for f in fields):
        return pa.float64()
    zone = iso_zone(fields)
    if zone == "naive":
        return pa.timestamp("ns")
    return pa.timestamp("ns", "UTC") if zone == "aware" else pa.string()


def _read_fast(path: Path, layout: Layout, at: dict[str, int], table: Table) -> bool:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    names = [f"c{i}" for i in range(len(layout.names))]
    types = {}
    pool = table.pool = pa.default_memory_pool()
    big = path.stat().st_size > _MANY_BYTES  # threads keep memory that nobody else can use
    for what, i in at.items():
        fields = [row[i] for row in layout.sample if len(row) > i and row[i].strip()]
        types[names[i]] = _arrow_type(fields, what, layout.decimal)
        if "clock" in at and what == "time":
            types[names[i]] = pa.string()
    try:
        with open_bytes(path) as file:
            read = pacsv.read_csv(
                file,
                pacsv.ReadOptions(
                    skip_rows=layout.skip, column_names=names, use_threads=big
                ),
                pacsv.ParseOptions(delimiter=layout.delimiter),
                pacsv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=True
                ),
                pool,
            )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    for what, i in at.items():
        table.columns[what] = read.column(names[i])
    table.rows = read.num_rows
    return True


def _read_careful(path: Path, layout: Layout, at: dict[str, int], table: Table) -> None:
    width = len(layout.names)
    lines: list[int] = []
    kept: dict[str, list[str | None]] = {what: [] for what in at}
    for line, row in rows_with_lines(path, layout):
        if len(row) != width:
            table.broken.append((line, f"{len(row)} fields where the file has {width}"))
            continue
        lines.append(line)
        for what, i in at.items():
            kept[what].append(row[i].strip() or None)
    for what, values in kept.items():
        table.columns[what] = np.array(values, dtype=object)
    table.rows = len(lines)
    table.lines = np.array(lines, dtype=np.int64)


# --- everything that is not text --------------------------------------------------------------


def _from_arrow(read: Any, name: str, need: tuple[str, ...]) -> Table:
    names = [str(n) for n in read.column_names]
    shown = ["" if n.startswith("__index_level") else n for n in names]
    roles = cols.headed_roles(shown, need)
    _must_have(name, roles, None, need)
    if not read.num_rows:
        raise DataError("the file holds no rows", source=name)
    table = Table(name, {}, read.num_rows, roles.mapping(names), roles.ignored)
    for what, i in roles.at.items():
        column = read.column(i)
        if what == "symbol":
            column = column.unique()
        table.columns[what] = column
    return table


def _from_parquet(name: str, need: tuple[str, ...]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _from_arrow(pq.read_table(name), name, need)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(f"the Parquet file is damaged ({_first(fault)})", source=name) from fault


def _from_feather(name: str, need: tuple[str, ...]) -> Table:
    import pyarrow as pa
    import pyarrow.feather as feather

    try:
        return _from_arrow(feather.read_table(name), name, need)
    except (pa.ArrowException, OSError) as fault:
        raise DataError(f"the Feather file is damaged ({_first(fault)})", source=name) from fault


def _first(fault: BaseException) -> str:
    return (str(fault).splitlines() or [""])[0].rstrip(".")


def _from_json(path: Path, need: tuple[str, ...]) -> Table:
    """A JSON list of candles: lists as ccxt and exchanges send them, or objects with names."""
    name = str(path)
    try:
        with open_bytes(path) as file:
            document = json.load(file)
    except ValueError as fault:
        raise DataError(f"the JSON is damaged ({_first(fault)})", source=name) from fault
    if isinstance(document, dict):
        inner = document.get("result", document.get("data", document))
        if isinstance(inner, dict):
            inner = next((v for v in inner.values() if isinstance(v, list)), None)
        document = inner
    if not isinstance(document, list) or not document:
        raise DataError("the JSON holds no list of candles", source=name)
    first = document[0]
    if isinstance(first, dict):
        names = list(first)
        roles = cols.headed_roles(names, need)
    elif isinstance(first, list):
        names = [f"column {i + 1}" for i in range(len(first))]
        roles = cols.headerless_roles(len(first), need)
    else:
        raise DataError("the JSON holds no list of candles", source=name)
    _must_have(name, roles, None, need)
    table = Table(name, {}, len(document), roles.mapping(names), roles.ignored)
    table.headed = isinstance(first, dict)
    try:
        for what, i in roles.at.items():
            key: Any = names[i] if isinstance(first, dict) else i
            values = [row[key] for row in document]
            numeric = all(isinstance(v, (int, float)) for v in values)
            table.columns[what] = np.array(values, dtype=None if numeric else object)
    except (KeyError, IndexError, TypeError) as fault:
        raise DataError("the rows of the JSON differ in shape", source=name) from fault
    return table


def _from_frame(frame: Any, need: tuple[str, ...]) -> Table:
    """A pandas DataFrame (time in a column or in the index), or a table of Polars or Arrow."""
    name = type(frame).__name__
    if hasattr(frame, "to_arrow"):  # Polars
        frame = frame.to_arrow()
    if hasattr(frame, "column_names") and hasattr(frame, "num_rows"):
        return _from_arrow(frame, name, need)
    if not hasattr(frame, "columns") or not hasattr(frame, "index"):
        raise DataError(f"{name} is neither a path nor a DataFrame")
    names = [str(n) for n in frame.columns]
    roles = cols.headed_roles(names, need)
    series: dict[str, Any] = {what: frame.iloc[:, i] for what, i in roles.at.items()}
    mapping = roles.mapping(names)
    index_kind = frame.index.dtype.kind
    if "time" in roles.missing and (index_kind in "MO" or "datetime" in str(frame.index.dtype)):
        series["time"] = frame.index.to_series()
        mapping = {str(frame.index.name or "index"): "time", **mapping}
        roles.missing.remove("time")
    _must_have(name, roles, None, need)
    if not len(frame):
        raise DataError("the DataFrame holds no rows", source=name)
    table = Table(name, {}, len(frame), mapping, roles.ignored)
    for what, values in series.items():
        table.columns[what] = _plain_column(values)
    if "symbol" in table.columns:
        seen = {t for t in texts_of(table.columns["symbol"]) if t}
        table.columns["symbol"] = np.array(sorted(seen))
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
