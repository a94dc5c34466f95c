"""CSV to result and CSV to feed, leverpack beside stock Backtrader, measured in one run."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.common import in_fresh_process, machine, make_csv, median

BARS, LOAD_ROWS = 200_000, 1_000_000


def main() -> None:
    """Print the table; exit 1 when the trades of the two differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--load-rows", type=int, default=LOAD_ROWS)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = str(make_csv(Path(folder) / "minutes.csv", given.bars))
        runs = {"stock": [], "leverpack": []}
        for _ in range(given.repeats):  # in turns, so that a slow spell meets both
            for engine, results in runs.items():
                results.append(in_fresh_process("benchmarks.one_run", engine, path))
        stock, ours = runs["stock"], runs["leverpack"]
        equal(stock[0]["trades"], ours[0]["trades"])
        a, b = (median([r["seconds"] for r in x]) for x in (stock, ours))
        print(f"\n{given.bars:,} one-minute candles, CSV to result, {len(ours[0]['trades']):,} "
              f"trades, equal to 1e-9; median of {given.repeats}")
        print(f"  stock Backtrader   {a:8.2f} s  {given.bars / a:10,.0f} bars/s  "
              f"peak {median([r['peak_mb'] for r in stock]):6.0f} MB")
        print(f"  leverpack          {b:8.2f} s  {given.bars / b:10,.0f} bars/s  "
              f"peak {median([r['peak_mb'] for r in ours]):6.0f} MB")
        print(f"  ratio              {a / b:8.1f} x")
        load(make_csv(Path(folder) / "long.csv", given.load_rows), given.repeats)


def equal(stock: list[list[float]], ours: list[list[float]]) -> None:
    """Stop with exit code 1 when the two made different trades."""
    same = len(stock) == len(ours) and all(
        abs(x - y) <= 1e-9 * max(1.0, abs(x))
        for one, two in zip(stock, ours, strict=True)
        for x, y in zip(one, two, strict=True)
    )
    if not same:
        raise SystemExit(f"the trades differ: {len(stock)} of stock, {len(ours)} of leverpack")


def load(path: Path, repeats: int) -> None:
    """Time the reading alone: CSV to filled line buffers."""
    stock = in_fresh_process("benchmarks.one_run", "stock", str(path), "load")
    ours = [
        in_fresh_process("benchmarks.one_run", "leverpack", str(path), "load")
        for _ in range(repeats)
    ]
    a, b = stock["seconds"], median([r["seconds"] for r in ours])
    print(f"\n{ours[0]['bars']:,} rows, CSV to line buffers (stock once, leverpack median)")
    print(f"  GenericCSVData     {a:8.2f} s")
    print(f"  CandleFeed         {b:8.2f} s")
    print(f"  ratio              {a / b:8.1f} x")


if __name__ == "__main__":
    main()
