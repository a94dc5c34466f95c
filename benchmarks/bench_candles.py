"""Reading alone: CSV, Parquet, a folder of years and the cache, beside pandas and Backtrader."""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import in_fresh_process, machine, make_csv, median

ROWS, FOLDER_ROWS = 1_000_000, 5_000_000
_MINUTE_MS = 60_000
# What is meant to hold on an idle machine: seconds, MB.
GOALS = {"CSV": (0.7, None), "Parquet": (0.2, None), "folder": (5.0, 1000.0)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder-rows", type=int, default=FOLDER_ROWS)
    parser.add_argument("--no-stock", action="store_true", help="leave out the slow GenericCSVData")
    given = parser.parse_args()
    print(machine())
    print(f"file to filled line buffers (pandas: to a DataFrame); median of {given.repeats}, each "
          "in a new process; in brackets the processor's time")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["LEVERPACK_CACHE"] = str(root / "cache")
        path = make_csv(root / "minutes.csv", given.rows)
        print(f"\n{given.rows:,} one-minute candles")
        show("CandleFeed, CSV", run("feed", path, given.repeats), GOALS["CSV"])
        show("pandas.read_csv", run("pandas", path, given.repeats))
        if not given.no_stock:
            show("GenericCSVData", run("stock", path, given.repeats))
        parquet(root, path, given.repeats)
        cached(root, path, given.repeats)
        months = make_months(root / "months", given.folder_rows)
        print(f"\n{given.folder_rows:,} one-minute candles in {months} monthly CSV files")
        show("CandleFeed", run("feed", root / "months", given.repeats), GOALS["folder"])


def parquet(root: Path, path: Path, repeats: int) -> None:
    """The same candles as Parquet, written by the project itself."""
    from leverpack.candles.reader import read_candles
    from leverpack.candles.store import write_series

    write_series(read_candles(path), root / "minutes.parquet")
    show("CandleFeed, Parquet", run("feed", root / "minutes.parquet", repeats), GOALS["Parquet"])
    show("pandas.read_parquet", run("pandas", root / "minutes.parquet", repeats))


def cached(root: Path, path: Path, repeats: int) -> None:
    """The same candles packed, and with dates in words: read anew, stored, and from the cache."""
    with path.open("rb") as plain, gzip.open(root / "minutes.csv.gz", "wb", 6) as packed:
        shutil.copyfileobj(plain, packed)
    with path.open() as plain, (root / "words.csv").open("w") as words:
        for line in plain:
            stamp, rest = line.split(",", 1)
            words.write(f"{stamp[8:10]}.{stamp[5:7]}.{stamp[:4]} {stamp[11:]},{rest}"
                        if stamp[0] == "2" else line)  # fmt: skip
    for name, file in (("gzip CSV", "minutes.csv.gz"), ("dates like 31.12.2023", "words.csv")):
        os.environ["LEVERPACK_CACHE"] = "off"
        show(f"CandleFeed, {name}, no cache", run("feed", root / file, repeats))
        os.environ["LEVERPACK_CACHE"] = str(root / "cache")
        show(f"CandleFeed, {name}, first", run("feed", root / file, 1))
        show(f"CandleFeed, {name}, cached", run("feed", root / file, repeats))


def make_months(folder: Path, rows: int) -> int:
    """A CSV file of each month from 2016 on, as exchanges' archives have them; how many."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    folder.mkdir()
    rng = np.random.default_rng(7)
    close = np.round(30_000.0 * np.exp(np.cumsum(rng.normal(0.0, 6e-4, rows))), 1)
    opened = np.concatenate([[30_000.0], close[:-1]])
    high = np.round(np.maximum(opened, close) * 1.0004, 1)
    low = np.round(np.minimum(opened, close) * 0.9996, 1)
    ts = np.datetime64("2016-01-01T00:00", "ms").astype(np.int64) + _MINUTE_MS * np.arange(rows)
    table = pa.table({
        "open_time": ts, "open": opened, "high": high, "low": low, "close": close,
        "volume": np.round(rng.random(rows) * 50.0, 3),
    })  # fmt: skip
    month = ts.astype("datetime64[ms]").astype("datetime64[M]")
    starts = np.concatenate(([0], np.flatnonzero(np.diff(month)) + 1, [rows]))
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        name = f"BENCHUSDT-1m-{month[start]}.csv"
        pacsv.write_csv(table.slice(start, stop - start), folder / name)
    return len(starts) - 1


def run(reader: str, path: Path, repeats: int) -> dict[str, Any]:
    """Medians over new processes."""
    runs = [in_fresh_process("benchmarks.one_read", reader, str(path)) for _ in range(repeats)]
    return {name: median([one[name] for one in runs]) for name in runs[0]}


def show(name: str, result: dict[str, Any], goal: tuple[float, float | None] | None = None) -> None:
    """One line of the table."""
    line = (
        f"  {name:<42} {result['seconds']:7.3f} s ({result['cpu_seconds']:6.3f})  "
        f"{result['rows'] / result['seconds']:12,.0f} rows/s  peak {result['peak_mb']:5.0f} MB"
    )
    if goal is not None:
        seconds, most = goal
        met = result["seconds"] < seconds and (most is None or result["peak_mb"] < most)
        memory = f" and {most:.0f} MB" if most is not None else ""
        line += f"  goal {seconds} s{memory}: {'met' if met else 'missed'}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
