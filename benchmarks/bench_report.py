"""How long a report takes, how much memory and how big its page is, by number of candles.

    python -m benchmarks.bench_report [CANDLES ...]

The run is made up (a random walk, a position every other stretch), so that only the report counts.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (100_000, 1_000_000)


def measure(candles: int) -> str:
    """One line about a report of that many candles, written in this process."""
    from leverpack.report import write_report
    from tests.report.builders import made_result

    result = made_result(candles)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        files = write_report(result, Path(folder))
        took = time.perf_counter() - started
        page = files["page"].stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"report of {candles:,} candles: {took:.1f} s, peak {peak / 2**20:.2f} GB, "
        f"page {page / 1e6:.2f} MB"
    )


def main() -> None:
    """Each size in a process of its own: peak memory does not go down again."""
    for size in [int(a) for a in sys.argv[1:]] or SIZES:
        code = f"from benchmarks.bench_report import measure; print(measure({size}))"
        subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main()
