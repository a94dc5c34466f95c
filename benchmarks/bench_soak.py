"""A simulated day of minutes on ten feeds: memory, threads, open files, and the time to stop."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import backtrader as bt

from benchmarks.common import machine, make_csv
from leverpack.config import Settings
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.loop import LoopThread
from leverpack.live.store import CCXTStore
from strategies import LeverageStrategy

COINS = ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOGE", "LTC", "LINK", "DOT")
DAY, HISTORY, EVERY = 1_440, 30, 20
WARM = 0.25  # share of the candles until caches are full and memory is first looked at
GROWTH_MB, STOP_S, WAIT_S = 24.0, 5.0, 60.0


class Turns(LeverageStrategy):
    """Trades on every feed now and then: positions and resting orders come and go all the time."""

    params = (("max_positions", 20), ("stop_loss_pct", 0.002), ("take_profit_pct", 0.002),
              ("risk_per_trade", 0.0005), ("max_bars", 20))  # fmt: skip

    def signal(self, data: Any) -> int:
        """One feed in five a candle."""
        if (len(data) + self.datas.index(data)) % 5:
            return 0
        return 1 if data.close[0] > data.open[0] else -1


class Seen(bt.Analyzer):
    """Counts the steps of the run."""

    def start(self) -> None:
        self.count = 0

    def next(self) -> None:
        self.count += 1

    prenext = next


def main() -> None:
    """Print the figures as a table and as JSON; exit 1 where one is past its mark."""
    candles = int(sys.argv[1]) if len(sys.argv) > 1 else DAY
    print(machine())
    logging.getLogger("leverpack").addHandler(logging.NullHandler())
    logging.getLogger("leverpack").propagate = False
    with tempfile.TemporaryDirectory() as folder:
        found = soaked(Path(folder), candles)
    print(f"\nten feeds, {candles:,} one-minute candles each, {found['orders']:,} orders, "
          f"{found['seconds']:.0f} s")  # fmt: skip
    print(f"  resident memory  {found['rss_mb'][0]:.1f} MB after {found['warm']} candles, "
          f"{found['rss_mb'][1]:.1f} MB at the end")
    for what in ("threads", "files"):
        before, during, late, after = found[what]
        print(f"  {what:<16} {before} before, {during} early, {late} late, {after} after")
    print(f"  alerts           {found['alerts']}")
    print(f"  stop             {found['stop_s']:.2f} s")
    print(json.dumps(found))
    wrong = [
        found["rss_mb"][1] - found["rss_mb"][0] > GROWTH_MB, found["stop_s"] > STOP_S,
        found["threads"][3] > found["threads"][0], found["files"][3] > found["files"][0] + 1,
        found["files"][2] > found["files"][1] + 2, found["threads"][2] > found["threads"][1],
    ]  # fmt: skip
    if any(wrong):
        raise SystemExit("a figure is past its mark")


def soaked(folder: Path, candles: int) -> dict[str, Any]:
    """Run it, and say what it took: pairs and rows are before, early, late and after."""
    server, url = _exchange(folder, candles)
    try:
        return _run(folder, candles, url)
    finally:
        server.terminate()
        server.wait()


def _exchange(folder: Path, candles: int) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "leverpack", "paper", "--speed", "0", "--port", "0",
               "--no-rate-limits", "--balance", "1000000", "--depth", "0"]  # fmt: skip
    for seed, coin in enumerate(COINS):
        path = make_csv(folder / f"{coin}.csv", candles + 2 * HISTORY + 2, seed=seed)
        command += ["--data", str(path), "--symbol", f"{coin}/USDT:USDT"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[3]


def _step(url: str, count: int = 1) -> None:
    body = json.dumps({"candles": count}).encode()
    with urllib.request.urlopen(f"{url}/paper/v1/step", body, timeout=60) as answer:
        answer.read()


def _run(folder: Path, candles: int, url: str) -> dict[str, Any]:
    _step(url, 2 * HISTORY)
    LoopThread("first").stop(1.0)  # uvloop keeps two files open for the life of the process
    threads, files, memory = [threading.active_count()], [_open_files()], []
    store = CCXTStore("binanceusdm", url=url, settings=Settings(), env_file=None)
    broker = CCXTLiveBroker(store=store, journal=str(folder / "j.db"), leverage=3.0)
    cerebro = bt.Cerebro(stdstats=False, quicknotify=True)
    cerebro.setbroker(broker)
    for coin in COINS:
        cerebro.adddata(CCXTDataFeed(
            store=store, symbol=f"{coin}/USDT:USDT", timeframe="1m", history=HISTORY, qcheck=0.02,
        ))  # fmt: skip
    cerebro.addstrategy(Turns, leverage=3.0)
    cerebro.addanalyzer(Seen, _name="seen")
    ended: list[float] = []
    faults: list[str] = []

    def drive() -> None:
        try:
            _until(lambda: _count(cerebro) >= HISTORY and broker.at_rest)
            for played in range(candles):
                before = _count(cerebro)
                _step(url)
                _until(lambda before=before: _count(cerebro) > before and broker.at_rest)
                if played in (int(WARM * candles), candles - 1):
                    memory.append(_rss_mb())
                    threads.append(threading.active_count() - 1)  # this one
                    files.append(_open_files())
        except Exception as fault:
            faults.append(repr(fault))
        ended.append(time.monotonic())
        broker.end_run()

    driver = threading.Thread(target=drive, daemon=True)
    began = time.monotonic()
    driver.start()
    cerebro.run()
    stopped = time.monotonic()
    driver.join(5.0)
    if faults:
        raise SystemExit(f"the run stood still: {faults[0]}; alerts: {broker.alerts[-3:]}")
    return {
        "seconds": stopped - began, "warm": int(WARM * candles), "rss_mb": memory,
        "threads": [*threads, threading.active_count()], "files": [*files, _open_files()],
        "stop_s": stopped - ended[0], "alerts": len(broker.alerts),
        "orders": _orders(folder / "j.db"),
    }  # fmt: skip


def _count(cerebro: Any) -> int:
    strategies = getattr(cerebro, "runningstrats", None) or [None]
    seen = getattr(getattr(strategies[0], "analyzers", None), "seen", None)
    return int(getattr(seen, "count", 0))


def _until(true: Any) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing for {WAIT_S:.0f} s")
        time.sleep(0.002)


def _rss_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # the listing itself


def _orders(journal: Path) -> int:
    from leverpack.live.journal import Journal

    with Journal(journal) as held:
        return len(held.intents())


if __name__ == "__main__":
    main()
