"""A run on disk: result.json for the figures, series.parquet for what changes by candle."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.errors import DataError
from leverpack.report.tables import FORMAT_VERSION
from leverpack.result import BacktestResult, Statistic, SymbolSeries

RESULT_FILE, SERIES_FILE = "result.json", "series.parquet"
_AT = " @ "  # "close @ BTC/USDT:USDT": no column of the account has it


def write_series(result: BacktestResult, path: Path) -> None:
    """One row a candle as Parquet: the account's columns, then "<column> @ <symbol>".

    ``ts`` is epoch milliseconds UTC of the candle's open, everything else float64; NaN where
    there is no value. The file's metadata ``leverpack`` names format and symbols.
    """
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: np.asarray(values) for name, values in result.series.items()}
    count = len(columns["ts"])
    for symbol, series in result.symbols.items():
        for name in _symbol_columns():
            values = getattr(series, name)
            if name != "ts" and len(values) == count:  # all symbols stand on the account's times
                columns[f"{name}{_AT}{symbol}"] = values
    about = {"format": FORMAT_VERSION, "symbols": list(result.symbols)}
    table = pa.table(columns).replace_schema_metadata({"leverpack": json.dumps(about)})
    parquet.write_table(table, path, compression="zstd")


def read_run(folder: Path) -> BacktestResult:
    """The run that ``write_report`` left in ``folder``; DataError in one sentence where none is."""
    if not folder.is_dir():
        raise DataError(
            "there is no such folder; name the folder that backtest --report wrote",
            source=str(folder),
        )
    for name in (RESULT_FILE, SERIES_FILE):
        if not (folder / name).is_file():
            raise DataError(
                f"no {name} in it, so it is no saved run; write one with backtest --report",
                source=str(folder),
            )
    figures = _read_figures(folder / RESULT_FILE)
    series, symbols = _read_series(folder / SERIES_FILE)
    if list(symbols) != figures["run"].get("symbols") or len(series["ts"]) != figures["run"].get(
        "bars"
    ):
        raise DataError(
            f"{RESULT_FILE} and {SERIES_FILE} are not of the same run; write the report anew",
            source=str(folder),
        )
    return BacktestResult(series=series, symbols=symbols, **figures)


def _read_figures(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise TypeError("no JSON object")
        if saved.get("format") != FORMAT_VERSION:
            raise DataError(
                f"format {saved.get('format')!r}, and this leverpack reads format "
                f"{FORMAT_VERSION}; run the backtest again",
                source=str(path),
            )
        # The record makes its statistics late, so its annotation does not name what they are.
        hints = typing.get_type_hints(BacktestResult) | {"statistics": list[Statistic]}
        return {
            f.name: _restore(hints[f.name], saved[f.name])
            for f in dataclasses.fields(BacktestResult)
            if f.name not in ("series", "symbols") and (f.name in saved or _needed(f))
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise DataError(
            f"not the result of a run ({type(fault).__name__}: {fault}); run the backtest again",
            source=str(path),
        ) from fault


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _restore(kind: Any, value: Any) -> Any:
    """A JSON value as the type that the record declares; a float's None was NaN or infinite."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _restore(next(k for k in inner if k is not type(None)), value)
    if origin in (list, Sequence):
        return [_restore(inner[0], v) for v in value]
    if origin is dict:
        return {k: _restore(inner[1], v) for k, v in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        known = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
        return kind(**{name: _restore(known[name], v) for name, v in value.items()})
    if kind is float and value is None:
        return math.nan
    return value


def _read_series(path: Path) -> tuple[dict[str, Any], dict[str, SymbolSeries]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        about = json.loads((table.schema.metadata or {})[b"leverpack"])
        columns = {name: table[name].to_numpy() for name in table.column_names}
        symbols = {symbol: _symbol(symbol, columns) for symbol in about["symbols"]}
        series = {name: columns[name] for name in columns if _AT not in name}
        return series, symbols
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as fault:
        raise DataError(
            "not the series of a run; run the backtest again", source=str(path)
        ) from fault


def _symbol(symbol: str, columns: dict[str, Any]) -> SymbolSeries:
    own = {
        name: columns[f"{name}{_AT}{symbol}"]
        for name in _symbol_columns()
        if f"{name}{_AT}{symbol}" in columns
    }
    return SymbolSeries(ts=columns["ts"], **own)


def _symbol_columns() -> list[str]:
    return [f.name for f in dataclasses.fields(SymbolSeries)]
