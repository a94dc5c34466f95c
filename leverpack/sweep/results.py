"""The results of a sweep in one Parquet file that survives interruption and is gone on with.

One row a set: ``set`` (its number in the run that made it), ``param.NAME`` for each parameter of
the grid, every figure of ``leverpack.sweep.outcome.FIGURES`` (null where it is not defined),
``engine`` ("compiled" or "cerebro"), ``why`` (why Cerebro), ``refused`` (why it did not run).
The schema's metadata holds, under ``leverpack.sweep``, JSON with ``version``, ``key`` (a hash of
candles, settings and strategy), ``settings`` and ``figures`` (definitions and units).

While a sweep runs its rows lie in parts beside the file, each written whole; :meth:`close` makes
the one file of them. Parts of a run that was killed are found by the next one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from leverpack.errors import DataError, SettingError
from leverpack.files import put_file
from leverpack.sweep.outcome import COUNTS, FIGURES, Outcome

VERSION = 1
_META = b"leverpack.sweep"
_ROWS_A_PART = 5_000
_SECONDS_A_PART = 5.0


class ResultFile:
    """Collects outcomes for one file; ``done`` tells which parameter sets it holds already."""

    def __init__(self, path: Path, key: str, settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.key = key
        self._parts = self.path.with_name(f".{self.path.name}.parts")
        self._meta = {
            _META: json.dumps(
                {"version": VERSION, "key": key, "settings": dict(settings), "figures": FIGURES},
                default=str,
            ).encode()
        }
        self._rows: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._tables = [self._read(p) for p in self._files()]
        self._held = {
            identity(_params_of(row)) for t in self._tables for row in t.to_pylist()
        }
        self._count: int = sum(t.num_rows for t in self._tables)

    def __len__(self) -> int:
        return self._count + len(self._rows)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether this set has been run before."""
        return identity(params) in self._held

    def add(self, outcome: Outcome) -> None:
        """Take in an outcome; it is on the disk within seconds."""
        if self.holds(outcome.params):
            return
        self._held.add(identity(outcome.params))
        self._rows.append(row_of(outcome))
        late = time.monotonic() - self._written > _SECONDS_A_PART
        if late or len(self._rows) >= _ROWS_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write what has come since as one part."""
        self._written = time.monotonic()
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, _schema(self._rows)).replace_schema_metadata(
            self._meta
        )
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            part = self._parts / f"{time.time_ns()}-{os.getpid()}.parquet"
            put_file(part, partial(pq.write_table, table))
        except OSError as fault:
            raise self._unwritable(fault) from fault
        self._count += table.num_rows
        self._tables.append(table)
        self._rows = []

    def close(self) -> pa.Table:
        """Write the one file and remove the parts; returns all rows."""
        self.flush()
        if not self._tables:
            return pa.table({})
        whole = pa.concat_tables(self._tables, promote_options="permissive")
        whole = whole.replace_schema_metadata(self._meta)
        try:
            put_file(self.path, partial(pq.write_table, whole))
        except OSError as fault:
            raise self._unwritable(fault) from fault
        shutil.rmtree(self._parts, ignore_errors=True)
        return whole

    def _unwritable(self, fault: OSError) -> SettingError:
        return SettingError(f"--out {self.path}: cannot be written ({fault.strerror})")

    def _files(self) -> list[Path]:
        found = [self.path] if self.path.exists() else []
        return [*found, *sorted(self._parts.glob("[0-9]*.parquet"))]

    def _read(self, path: Path) -> pa.Table:
        try:
            table = pq.read_table(path)
            told = json.loads((table.schema.metadata or {})[_META])
        except (OSError, KeyError, ValueError, pa.ArrowException) as fault:
            raise DataError(
                "this is no file of sweep results; name another one with --out",
                source=str(path),
            ) from fault
        if told.get("key") != self.key:
            raise DataError(
                "it holds a sweep over other candles, settings or another strategy; name another "
                "file with --out, or remove it",
                source=str(path),
            )
        return table


def read_results(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a result file and what its metadata says."""
    table = pq.read_table(path)
    return table, json.loads(table.schema.metadata[_META])


def identity(params: Mapping[str, Any]) -> str:
    """One text for one parameter set, whatever the order of its names."""
    return json.dumps({k: plain(v) for k, v in sorted(params.items())})


def row_of(outcome: Outcome) -> dict[str, Any]:
    """One outcome as one row."""
    return {
        "set": outcome.number,
        **{f"param.{name}": plain(value) for name, value in outcome.params.items()},
        **outcome.figures,
        "engine": outcome.engine,
        "why": outcome.why or None,
        "refused": outcome.refused or None,
    }


def _params_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix("param."): value
        for name, value in row.items()
        if name.startswith("param.")
    }


def plain(value: Any) -> Any:
    """A parameter's value as a file holds it: numbers as floats, what is no scalar as JSON."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return json.dumps(value)


def _schema(rows: list[dict[str, Any]]) -> pa.Schema:
    fields = [pa.field("set", pa.int64(), nullable=False)]
    for name in rows[0]:
        if name.startswith("param."):
            fields.append(pa.field(name, _kind([r[name] for r in rows])))
    for name in FIGURES:
        fields.append(pa.field(name, pa.int64() if name in COUNTS else pa.float64()))
    fields += [pa.field(n, pa.string()) for n in ("engine", "why", "refused")]
    return pa.schema(fields)


def _kind(values: list[Any]) -> pa.DataType:
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, bool) for v in known):
        return pa.bool_()
    if any(isinstance(v, str) for v in known):
        return pa.string()
    return pa.float64()
