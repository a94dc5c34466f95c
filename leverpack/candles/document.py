"""JSON as exchanges and tools write candles: lists, objects, columns, or one object a line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from leverpack.candles.packing import open_bytes
from leverpack.candles.sources import File
from leverpack.errors import DataError

MAX_JSON = 256 << 20  # bytes; parsed, it takes some ten times as much
_KEYS = ("result", "data", "rates", "list", "candles", "ohlcv", "rows")  # where answers keep them
_DEPTH = 4


def read_document(file: File) -> tuple[list[str], list[list[Any]], bool]:
    """Names, rows and whether the names are the document's own.

    Raises DataError when the document is damaged, too large or holds no table.
    """
    with open_bytes(file.path, file.name) as stream:
        # Not in one go, which would claim the whole bound for the smallest file.
        blocks, size = [], 0
        while size <= MAX_JSON and (block := stream.read(1 << 20)):
            blocks.append(block)
            size += len(block)
    raw = b"".join(blocks)
    if len(raw) > MAX_JSON:
        raise DataError(
            f"JSON of more than {MAX_JSON:,} bytes; convert it to CSV or Parquet",
            source=file.name,
        )
    return _table(_parsed(raw, file.name), file.name)


def _parsed(raw: bytes, name: str) -> Any:
    try:
        text = raw.decode("utf-8-sig")
        try:
            return json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError as fault:
            lines = [line for line in text.splitlines() if line.strip()]
            if fault.msg != "Extra data" or len(lines) < 2:
                raise
            return [json.loads(line, object_pairs_hook=_once) for line in lines]
    except UnicodeDecodeError as fault:
        raise DataError("the JSON is not UTF-8; save it as UTF-8", source=name) from fault
    except json.JSONDecodeError as fault:
        raise DataError(
            f"the JSON is damaged ({fault.msg}, column {fault.colno})", source=name,
            line=fault.lineno,
        ) from fault  # fmt: skip
    except (ValueError, RecursionError) as fault:
        raise DataError(f"the JSON is damaged ({fault})", source=name) from fault


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError where a key stands twice, of which the last would win."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return made


def _table(document: Any, name: str) -> tuple[list[str], list[list[Any]], bool]:
    found = _inner(document, _DEPTH)
    if isinstance(found, dict):  # columns
        lengths = {len(v) for v in found.values()}
        if len(lengths) > 1:
            raise DataError("the columns of the JSON differ in length", source=name)
        return list(found), [list(row) for row in zip(*found.values(), strict=True)], True
    if not found:
        raise DataError("the JSON holds no list of candles", source=name)
    kind = type(found[0])
    names = list(found[0]) if kind is dict else [f"column {i + 1}" for i in range(len(found[0]))]
    rows = []
    for i, row in enumerate(found):
        if type(row) is not kind or len(row) < len(names):
            raise DataError("the rows of the JSON differ in shape", source=name, line=i + 1)
        try:
            rows.append([row[key] for key in names] if kind is dict else list(row))
        except KeyError as fault:
            raise DataError(f"a row of the JSON has no {fault}", source=name, line=i + 1) from fault
    return names, rows, kind is dict


def _inner(document: Any, depth: int) -> Any:
    """The list of rows, or the object of columns of equal sort, somewhere in an answer."""
    if isinstance(document, list):
        return document if document and isinstance(document[0], (list, dict)) else None
    if not isinstance(document, dict) or depth == 0:
        return None
    columns = {k: v for k, v in document.items() if isinstance(v, list) and _are_values(v)}
    if len(columns) >= 2:
        return columns
    for key in (*(k for k in _KEYS if k in document), *document):
        found = _inner(document[key], depth - 1)
        if found:
            return found
    return None


def _are_values(values: list[Any]) -> bool:
    return bool(values) and not isinstance(values[0], (list, dict))


def column_of(rows: list[list[Any]], at: int) -> Any:
    """One column as numbers, or as objects where it holds anything else."""
    values = [row[at] for row in rows]
    if all(type(v) in (int, float) for v in values):
        try:
            return np.array(values)
        except OverflowError:
            return np.array([float(v) for v in values])
    return np.array([v if isinstance(v, (int, float, str)) else _shown(v) for v in values], object)


def _shown(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
