"""Parquet and Feather files: only the columns that are needed, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leverpack.candles.packing import MAX_UNPACKED
from leverpack.candles.sources import File
from leverpack.errors import DataError

Choose = Callable[[list[str]], list[int]]


def read_parquet(file: File, choose: Choose) -> tuple[list[str], Any]:
    """The names of all columns, and a table of those that ``choose`` picks by position."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not pq.read_table, which imports pandas.
        with pq.ParquetFile(file.path) as parquet:
            names = [str(n) for n in parquet.schema_arrow.names]
            chosen = choose(names)
            _refuse_many(parquet.metadata.num_rows, len(chosen), file)
            # By position: a name may stand twice. Nested columns have several leaves each.
            leaves = parquet.schema.names
            if len(leaves) != len(names):
                return names, _sound(parquet.read().select(chosen))
            return names, _sound(parquet.reader.read_all(column_indices=chosen))
    except (pa.ArrowException, OSError, ValueError, KeyError) as fault:
        raise DataError(
            f"the Parquet file is cut off or damaged ({first_line(fault)})", source=file.name
        ) from fault


def read_feather(file: File, choose: Choose) -> tuple[list[str], Any]:
    """The names of all columns, and a table of those that ``choose`` picks by position."""
    import pyarrow as pa
    import pyarrow.feather as feather

    try:
        with pa.memory_map(str(file.path)) as mapped:
            if mapped.read(4) == b"FEA1":  # Feather's first version has no batches
                table = feather.read_table(str(file.path))
                names = [str(n) for n in table.column_names]
                return names, _sound(table.select(choose(names)))
        mapped = pa.memory_map(str(file.path))
        names = [str(n) for n in pa.ipc.open_file(mapped).schema.names]
        chosen = choose(names)
        options = pa.ipc.IpcReadOptions(included_fields=sorted(set(chosen)))
        reader = pa.ipc.open_file(mapped, options=options)
        batches, rows = [], 0
        for i in range(reader.num_record_batches):
            batches.append(reader.get_batch(i))
            rows += batches[-1].num_rows
            _refuse_many(rows, len(chosen), file)
        table = pa.Table.from_batches(batches, reader.schema)
        order = sorted(set(chosen))
        return names, _sound(table.select([order.index(i) for i in chosen]))
    except (pa.ArrowException, OSError, ValueError, KeyError) as fault:
        raise DataError(
            f"the Feather file is cut off or damaged ({first_line(fault)})", source=file.name
        ) from fault


def _sound(table: Any) -> Any:
    """The table, unless its parts contradict one another (ArrowInvalid).

    Nothing in the file guards them, and texts that reach beyond their bytes end the process.
    """
    table.validate(full=True)
    return table


def _refuse_many(rows: int, columns: int, file: File) -> None:
    if rows * max(columns, 1) * 8 > MAX_UNPACKED:
        raise DataError(
            f"the file holds {rows:,} rows, more than {MAX_UNPACKED:,} bytes of numbers; split it",
            source=file.name,
        )


def first_line(fault: BaseException) -> str:
    """What a library says, on one line."""
    return (str(fault).splitlines() or [""])[0].rstrip(".")
