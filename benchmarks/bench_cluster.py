"""A sweep on a Dask cluster of one worker, then of two: what another worker adds."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import distributed

from benchmarks.bench_sweep import DAYS, SETS, engine_of, grid, save
from benchmarks.common import machine, median
from leverpack.sweep import SweepEngine, run_sets

TIMES = 20  # the sets, so often


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.npz"
        save(path, DAYS)
        engine = engine_of(path)
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.repeats):
        for workers, found in speeds.items():
            with cluster(workers) as address:
                speed(engine, address, 2 * SETS)  # compiles, and sends the candles
                found.append(speed(engine, address, TIMES * SETS))
    one, two = (median(speeds[n]) for n in (1, 2))
    ratio = median([b / a for a, b in zip(speeds[1], speeds[2], strict=True)])
    print(f"\n{engine.market.bars:,} candles, {TIMES * SETS:,} sets; median of {given.repeats}")
    print(f"  one Dask worker    {one / 1e6:8.1f} million candle-sets/s")
    print(f"  two Dask workers   {two / 1e6:8.1f} million candle-sets/s   {ratio:.2f} x one")


def speed(engine: SweepEngine, address: str, count: int) -> float:
    """Candle-sets a second."""
    sets = [(k, grid()[k % SETS]) for k in range(count)]
    started = time.perf_counter()
    done = sum(1 for _ in run_sets(engine, sets, cluster=address))
    assert done == count
    return engine.market.bars * count / (time.perf_counter() - started)


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A scheduler and its workers on this machine, each a process with one thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    tool = [sys.executable, "-m"]
    one = [*tool, "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
    commands = [
        [*tool, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
         address.rpartition(":")[2], "--no-dashboard"],
        *([*one, "--no-dashboard"] for _ in range(workers)),
    ]  # fmt: skip
    running = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
