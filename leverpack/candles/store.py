"""Candles and funding written in the project's own columns, whole or not at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leverpack.candles.series import Candles, Funding
from leverpack.candles.timeframes import timeframe_name
from leverpack.errors import DataError, SettingError
from leverpack.files import put_file

FORMAT = 1
ENDINGS = (".parquet", ".feather", ".csv.gz", ".csv")
METADATA_KEY = b"leverpack"
_VOLUMES = {
    "base": "base_volume", "quote": "quote_volume", "contracts": "contracts", "unknown": "volume",
}  # fmt: skip


def write_series(
    series: Candles | Funding, path: str | Path, *, force: bool = False,
    about: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write candles, mark candles or funding to a file whose ending names the form.

    Endings: .parquet, .feather, .csv, .csv.gz. Columns, in this order: ``time`` (open time or
    settlement time, UTC, milliseconds); ``symbol`` where it is known; candles: ``open``, ``high``,
    ``low``, ``close`` (quote currency) and, unless they are mark candles, the volume as it was
    read, which is named by its unit (``base_volume``, ``quote_volume``, ``contracts``, or
    ``volume`` where the unit is unknown); funding: ``rate`` (fraction, > 0: longs pay). Rows are
    ascending and unique; numbers are written so that reading them gives the same float64 bit
    for bit.

    Parquet and Feather carry metadata under the key ``leverpack``, a JSON object: ``format`` (1),
    ``kind`` ("trade", "mark", "funding"), ``symbol``, ``timeframe``, ``volume_unit``, ``source``
    (what it was read from) and ``findings`` (what was seen and done when it was read); ``about``
    adds to them.

    Raises SettingError for another ending, for a file that is there already (unless ``force``)
    and for a place that cannot be written.
    """
    path = Path(path)
    ending = refuse_target(path, force=force)
    table = _table(series, about or {})
    write = {
        ".parquet": _parquet, ".feather": _feather, ".csv": _csv, ".csv.gz": _packed_csv,
    }[ending]  # fmt: skip
    try:
        put_file(path, lambda beside: write(table, beside))
    except OSError as fault:
        raise SettingError(f"{path}: cannot be written ({fault.strerror or fault})") from fault
    return path


def refuse_target(path: Path, *, force: bool = False) -> str:
    """The ending that decides the form of a file to be written, or SettingError why not."""
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None or path.name.lower() == ending:
        raise SettingError(f"{path}: the name must end in one of {', '.join(ENDINGS)}")
    if path.is_dir():
        raise SettingError(f"{path}: this is a folder; name a file")
    if path.exists() and not force:
        raise SettingError(f"{path}: the file is there already; use --force to replace it")
    if not path.absolute().parent.is_dir():
        raise SettingError(f"{path}: there is no folder {path.parent}; make it first")
    return ending


def _table(series: Candles | Funding, about: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {"time": pa.array(series.ts, pa.timestamp("ms", "UTC"))}
    if series.symbol:
        names = pa.array([series.symbol])
        columns["symbol"] = pa.DictionaryArray.from_arrays(
            pa.repeat(pa.scalar(0, pa.int8()), len(series)), names
        )
    if isinstance(series, Funding):
        columns["rate"] = pa.array(series.rate)
    else:
        for what in ("open", "high", "low", "close"):
            columns[what] = pa.array(getattr(series, what))
        if series.kind != "mark":
            columns[_VOLUMES[series.volume_unit]] = pa.array(series.volume)
    told = json.dumps(_about(series) | dict(about)).encode()
    return pa.table(columns, metadata={METADATA_KEY: told})


def _about(series: Candles | Funding) -> dict[str, Any]:
    about: dict[str, Any] = {"format": FORMAT, "symbol": series.symbol, "source": series.source}
    if isinstance(series, Funding):
        about |= {"kind": "funding"}
    else:
        step = series.timeframe_ms
        about |= {
            "kind": series.kind,
            "timeframe": timeframe_name(step) if step else None,
            "volume_unit": series.volume_unit,
        }
    about["findings"] = [f.to_dict() for f in series.findings]
    return about


def read_about(path: Path) -> dict[str, Any]:
    """What a Parquet file's metadata say under ``leverpack``; empty where they say nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        told = json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as fault:
        raise DataError("the Parquet file is damaged", source=str(path)) from fault
    return told if isinstance(told, dict) else {}


def _parquet(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def _feather(table: Any, path: Path) -> None:
    from pyarrow import feather

    feather.write_feather(table, str(path), compression="zstd")


def _csv(table: Any, path: Path) -> None:
    with path.open("wb") as file:
        _write_csv(table, file)


def _packed_csv(table: Any, path: Path) -> None:
    # No name and no time in the pack: the same candles give the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        _write_csv(table, file)


def _write_csv(table: Any, file: Any) -> None:
    import pyarrow as pa
    from pyarrow import csv

    names = table.column_names
    style = "none"
    if "symbol" in names:
        symbol = table.column("symbol").cast(pa.string())
        table = table.set_column(names.index("symbol"), "symbol", symbol)
        if set(symbol[0].as_py()) & set('",\r\n'):
            style = "needed"
    file.write((",".join(names) + "\n").encode())
    csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style=style))
