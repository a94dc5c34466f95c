"""One read from file to ready candles in a process of its own, as JSON: time, memory, rows."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def _feed(path: str) -> int:
    from leverpack import CandleFeed, Cerebro

    feed = CandleFeed(dataname=path, symbol="BENCH/USDT")
    return _filled(feed, Cerebro())


def _stock(path: str) -> int:
    import backtrader as bt

    from benchmarks.one_run import stock_parts

    return _filled(stock_parts(path)[2], bt.Cerebro())


def _filled(feed: Any, cerebro: Any) -> int:
    """Rows in the line buffers, which is what Cerebro starts from."""
    feed._env = cerebro
    feed._start()
    feed.preload()
    return int(feed.buflen())


def _pandas(path: str) -> int:
    import pandas as pd

    if path.endswith(".parquet"):
        return len(pd.read_parquet(path))
    return len(pd.read_csv(path, parse_dates=["datetime"]))


READERS = {"feed": _feed, "stock": _stock, "pandas": _pandas}


def main(reader: str, path: str) -> dict[str, Any]:
    """Time one read; importing the libraries is not part of it."""
    import backtrader
    import pandas
    import pyarrow.csv
    import pyarrow.parquet

    import leverpack

    _ = (backtrader, pandas, pyarrow.csv, pyarrow.parquet, leverpack.CandleFeed, leverpack.Cerebro)
    imported = _peak_mb()
    started, worked = time.perf_counter(), time.process_time()
    rows = READERS[reader](path)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - worked,
        "rows": rows,
        "peak_mb": _peak_mb(),
        "grown_mb": _peak_mb() - imported,
    }


def _peak_mb() -> float:
    """Highest resident memory of this process; getrusage's would begin with its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
