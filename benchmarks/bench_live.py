"""Live trading on loopback: from a candle's close at the exchange to the order's arrival there."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import backtrader as bt

from benchmarks.common import machine
from leverpack.config import Settings
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.store import CCXTStore
from strategies import LeverageStrategy

CANDLES, HISTORY, PAUSE_S = 640, 30, 0.1
GOAL_S = 0.010


class InAndOut(LeverageStrategy):
    """Opens at every second candle and closes at the next: leverage, guard, stop and all."""

    params = (("max_bars", 1), ("take_profit_pct", 0.0), ("risk_per_trade", 0.002))

    def signal(self, data: object) -> int:
        """Always long."""
        return 1


def main() -> None:
    """Print median and 99th percentile of each kind of order, and whether the goal is met."""
    candles = int(sys.argv[1]) if len(sys.argv) > 1 else CANDLES
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), candles)
    print(f"\nfrom a candle's close on the stream to the order's arrival, {candles} candles; "
          f"exchange and run in a process each (goal: entries under {GOAL_S * 1e3:.0f} ms)")
    for kind, seconds in found.items():
        cuts = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [0.0] * 99
        print(f"  {kind:<6} {len(seconds):5} orders  median {cuts[49] * 1e3:6.2f} ms   "
              f"99th percentile {cuts[98] * 1e3:6.2f} ms")
    print(f"  goal: {'met' if statistics.median(found['entry']) <= GOAL_S else 'missed'}")


def measured(folder: Path, candles: int) -> dict[str, list[float]]:
    """Seconds from close to arrival, by kind of order."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.live_server", str(candles), str(HISTORY), str(PAUSE_S)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if hasattr(os, "sched_setaffinity"):  # as they would be: on machines of their own
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(server.pid, {cores[-1]})
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    store = CCXTStore("binanceusdm", url=url, settings=Settings(), env_file=None)
    cerebro = bt.Cerebro(stdstats=False, quicknotify=True)
    cerebro.setbroker(CCXTLiveBroker(store=store, journal=str(folder / "j.db"), leverage=5.0))
    cerebro.adddata(CCXTDataFeed(store=store, symbol="BTC/USDT", timeframe="1h", history=HISTORY))
    cerebro.addstrategy(InAndOut, leverage=5.0)
    heard: list[str] = []

    def listen() -> None:
        assert server.stdout is not None
        heard.append(server.stdout.readline())
        cerebro.runstop()

    threading.Thread(target=listen, daemon=True).start()
    try:
        cerebro.run()
    finally:
        server.terminate()
        server.wait()
    found: dict[str, list[float]] = json.loads(heard[0])
    return found


if __name__ == "__main__":
    main()
