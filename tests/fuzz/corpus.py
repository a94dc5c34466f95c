"""What the fuzzing starts from: short stretches of real and shipped files, as bytes with a name."""

from __future__ import annotations

import gzip
import io
import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, shared_dir

_LENGTHS = (12, 40, 118, 125, 260)  # around the 120 lines that the reader looks at first
_FORMS = ("csv", "parquet", "feather", "json")


@dataclass(frozen=True)
class Base:
    """A file that reads well (or is refused for what it is) before anything is done to it."""

    name: str
    content: bytes
    sort: str  # "text", "json", "parquet", "feather"
    kind: str  # "trade", "mark", "funding"
    symbol: str | None = None
    head: int = 0  # lines before the data


@cache
def originals() -> tuple[Path, ...]:
    """The real files, where they are at hand, and the shipped ones."""
    formats = shared_dir() / "data" / "formats"
    perp = shared_dir() / "data" / "perp"
    found = [p for p in sorted(formats.glob("*")) if p.name not in ("README.md", "index.json")]
    found += sorted(perp.glob("*.parquet"))
    return (*found, *sorted((ROOT / "data").glob("made_*")))


@cache
def _raw(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


@cache
def _perp(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def kind_of(name: str) -> str:
    """What a file of the corpus holds, by its name."""
    if "unding" in name and "merged" not in name:
        return "funding"
    return "mark" if "mark" in name else "trade"


def base(rng: random.Random) -> Base:
    """One stretch of one file."""
    path = rng.choice(originals())
    length = rng.choice(_LENGTHS)
    kind = kind_of(path.name) if "merged" not in path.name else "trade"
    symbol = "BTC" if path.name.startswith("wide_") else None
    if path.suffix in (".parquet", ".feather"):
        return _columnar(path, length, kind, rng)
    raw, name = _raw(path), path.name.removesuffix(".gz")
    if name.endswith(".json"):
        return Base(name, _json_part(raw, length, rng), "json", kind)
    lines = raw.splitlines(keepends=True)
    head = _head_of(path.name, lines)
    start = rng.choice((head, rng.randrange(head, max(head + 1, len(lines) - length))))
    part = lines[:head] + lines[start : start + length]
    return Base(name, b"".join(part), "text", kind, symbol, head)


def _head_of(name: str, lines: list[bytes]) -> int:
    """How many lines stand before the data: none, a header, or a banner and a header."""
    letters = [i for i, line in enumerate(lines[:2]) if sum(c > 57 for c in line) * 3 > len(line)]
    return max(letters) + 1 if letters else 0


def _json_part(raw: bytes, length: int, rng: random.Random) -> bytes:
    document = json.loads(raw)
    if isinstance(document, list):
        start = rng.randrange(max(1, len(document) - length))
        return json.dumps(document[start : start + length]).encode()
    for value in document["result"].values():  # Kraken's answer
        if isinstance(value, list):
            del value[length:]
    return json.dumps(document).encode()


def _columnar(path: Path, length: int, kind: str, rng: random.Random) -> Base:
    if path.suffix == ".feather":
        from pyarrow import feather

        table = feather.read_table(str(path))
    else:
        table = _perp(path)
    table = table.slice(rng.randrange(max(1, table.num_rows - length)), length)
    form = rng.choice(_FORMS)
    name = f"{path.stem}.{form}"
    if form in ("parquet", "feather"):
        return Base(name, table_bytes(table, form), form, kind)
    columns = [_plain_values(table.column(n)) for n in table.column_names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    if form == "json":
        if rng.random() < 0.5:
            rows = [dict(zip(table.column_names, row, strict=True)) for row in rows]  # type: ignore[misc]
        return Base(name, json.dumps(rows).encode(), "json", kind)
    lines = [",".join(table.column_names), *(",".join(map(str, row)) for row in rows)]
    return Base(name, ("\n".join(lines) + "\n").encode(), "text", kind, None, 1)


def _plain_values(column: Any) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    return [None if v is None or v != v else v for v in column.to_pylist()]


def table_bytes(table: Any, form: str, **options: Any) -> bytes:
    """A table of Arrow as the bytes of a Parquet or Feather file."""
    out = io.BytesIO()
    if form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, out, **options)
    else:
        from pyarrow import feather

        feather.write_feather(table, out, **options)
    return out.getvalue()
