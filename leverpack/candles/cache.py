"""Slow files are read once: what came of them is kept as Feather in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from leverpack.candles.columns import Want
from leverpack.candles.quality import end_findings
from leverpack.candles.series import Candles, Finding, Funding
from leverpack.candles.sources import STDIN, File, files_of
from leverpack.candles.table import reads_plainly
from leverpack.candles.values import arrow_numbers
from leverpack.files import cache_folder, caching_is_off, put_file

LIMIT = 1 << 30  # bytes; the results that were not used for longest go first
# Below, there is nothing to gain.
_PAYS_FROM = 500_000
_KEY = b"leverpack-cache"
_ENDING = ".feather"
_LEFT_OVER_S = 3_600.0  # a file that a killed process left behind
# What another day would judge otherwise, with the same file.
_OF_THE_DAY = {"unfinished", "future", "bad_time"}
_KINDS: dict[str, type[Candles] | type[Funding]] = {"Candles": Candles, "Funding": Funding}

Series = TypeVar("Series", Candles, Funding)


def cached(source: Any, want: Want, how: tuple[Any, ...], read: Callable[[], Series]) -> Series:
    """What ``read`` makes of a source, or what it made of the very same content before.

    ``how`` is all that changes the result beside the content. Only files that take care to read
    are kept (packed ones, JSON, times and numbers in words): plain CSV, Parquet and Feather are
    read about as fast as they could be looked up. A cache that cannot be read or written is no
    error.
    """
    files = [] if caching_is_off() else _slow_files(source, want)
    if not files:
        return read()
    folder = cache_folder("candles")
    try:
        before = [file.stamp() for file in files]
        place = folder / f"{_key(source, how, files)}{_ENDING}"
        kept = _load(place)
        if kept is not None and [file.stamp() for file in files] == before:
            with suppress(OSError):
                os.utime(place)  # in use: the last to go
            return kept  # type: ignore[return-value]
    except OSError:
        return read()
    series = read()
    with suppress(OSError):
        if _lasting(series) and [file.stamp() for file in files] == before:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            put_file(place, lambda path: _store(series, path))
            _tidy(folder, place)
    return series


# --- which files, under which name --------------------------------------------------------------


def _slow_files(source: Any, want: Want) -> list[File]:
    """The files behind a source where keeping what comes of them pays, else none."""
    several = isinstance(source, (list, tuple))
    names = list(source) if several else [source]
    if not all(isinstance(one, (str, Path)) and str(one) != STDIN for one in names):
        return []
    files = files_of(source)
    sorts: dict[str, list[File]] = {}  # files of one ending are of one sort: one look is enough
    for file in files:
        sorts.setdefault(file.path.suffix.lower(), []).append(file)
    slow = 0
    with suppress(OSError):
        for alike in sorts.values():
            size = sum(file.path.stat().st_size for file in alike)
            if size >= _PAYS_FROM and not reads_plainly(alike[0], want):
                slow += size
    return files if slow else []


def _key(source: Any, how: tuple[Any, ...], files: list[File]) -> str:
    named = [str(one) for one in source] if isinstance(source, (list, tuple)) else str(source)
    key = hashlib.blake2b(repr((_version(), named, how)).encode(), digest_size=24)
    for file in files:
        with file.path.open("rb") as stream:
            content = hashlib.file_digest(stream, "blake2b").digest()
        key.update(repr((file.name, content)).encode())
    return key.hexdigest()


@lru_cache(1)
def _version() -> str:
    """The reader itself, digested: another reader may see other things in the same file."""
    import pyarrow as pa

    digest = hashlib.blake2b(f"{pa.__version__} {np.__version__}".encode(), digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- the file -----------------------------------------------------------------------------------


def _lasting(series: Candles | Funding) -> bool:
    """Whether the same file will be read the same tomorrow."""
    return _OF_THE_DAY.isdisjoint(f.code for f in series.findings)


def _store(series: Candles | Funding, path: Path) -> None:
    import pyarrow as pa

    columns: dict[str, Any] = {}
    about: dict[str, Any] = {}
    for one in fields(series):
        value = getattr(series, one.name)
        if isinstance(value, np.ndarray):
            columns[one.name] = np.ascontiguousarray(value)
        else:
            about[one.name] = value
    about["findings"] = [f.to_dict() for f in series.findings]
    text = json.dumps([type(series).__name__, about])
    record = json.dumps([_check(columns, text), text]).encode()
    table = pa.table({n: pa.array(v) for n, v in columns.items()}, metadata={_KEY: record})
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)


def _load(path: Path) -> Candles | Funding | None:
    """What is kept there; None where nothing is, or it is damaged, or of another day."""
    import pyarrow as pa

    if not path.is_file():
        return None
    try:
        with pa.memory_map(str(path)) as mapped:
            table = pa.ipc.open_file(mapped).read_all()
            table.validate(full=True)
            columns = {n: arrow_numbers(table.column(n))[0] for n in table.column_names}
            check, text = json.loads(table.schema.metadata[_KEY])
        if check != _check(columns, text):
            return None
        kind, about = json.loads(text)
        about["findings"] = [Finding(**finding) for finding in about["findings"]]
        if "gaps" in about:
            about["gaps"] = [(at, missing) for at, missing in about["gaps"]]
        series = _KINDS[kind](**columns, **about)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError):
        return None
    # A copy with another date of writing may end with an unfinished candle.
    return None if isinstance(series, Candles) and end_findings(series) else series


def _check(columns: dict[str, Any], text: str) -> int:
    check = zlib.crc32(text.encode())
    for name, values in columns.items():
        check = zlib.crc32(values.data, zlib.crc32(f"{name} {values.dtype}".encode(), check))
    return check


def _tidy(folder: Path, newest: Path) -> None:
    """Remove what was not used for longest until the rest is within the limit."""
    for left in folder.glob(f".*{_ENDING}.*.part"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFT_OVER_S:
                left.unlink()
    kept = []
    for path in folder.glob(f"*{_ENDING}"):
        with suppress(OSError):
            state = path.stat()
            kept.append((path == newest, state.st_mtime_ns, state.st_size, path))
    total = sum(size for *_, size, _ in kept)
    for _, _, size, path in sorted(kept):
        if total <= LIMIT:
            return
        with suppress(OSError):
            path.unlink()
        total -= size
