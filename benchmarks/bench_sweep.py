"""Sweeps: 100 sets over 500,000 one-minute candles, beside vectorbt and backtesting.py."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import in_fresh_process, machine, median
from benchmarks.peer_sweep import peak_mb
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.sample import make_minutes
from leverpack.candles.series import Candles, Funding
from leverpack.sweep import Grid, SweepEngine, run_sets

DAYS, SETS, SEED = 348, 100, 7
_LONG = 10  # times as many sets, so that starting threads does not count
PEERS = {"vectorbt": "vectorbt", "backtesting": "backtesting.py"}
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, help="Python that has the peers")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.npz"
        save(path, given.days)
        ours = [measured("run", path, "1", str(SETS)) for _ in range(given.repeats)]
        speed = median([x["speed"] for x in ours])
        bars = ours[0]["bars"]
        print(f"\n{bars:,} candles, {SETS} sets, mark, funding, tiers and liquidation on, "
              f"{ours[0]['trades']:,} trades; median of {given.repeats}")
        print(f"  leverpack, one core      {speed / 1e6:9.1f} million candle-sets/s   "
              f"peak {median([x['peak_mb'] for x in ours]):5.0f} MB")
        two_cores(path, given.repeats + 2)  # a ratio of two noisy figures
        many = measured("run", path, "1", str(10 * SETS))
        print(f"  leverpack, {10 * SETS:,} sets    {many['speed'] / 1e6:9.1f} million "
              f"candle-sets/s   peak {many['peak_mb']:5.0f} MB")
        print(f"  second start, to the first result {measured('start', path)['seconds']:.2f} s, "
              "imports and reading of the candles included")
        for engine, name in PEERS.items():
            beside(engine, name, given.peers, path, given.repeats)


def two_cores(path: Path, repeats: int) -> None:
    """One worker, two workers, and two processes of one worker each: what the machine can do."""
    count = str(_LONG * SETS)
    one, two, apart = [], [], []
    for _ in range(repeats):  # in turn: the machine may be busier now than a minute ago
        one.append(measured("run", path, "1", count)["speed"])
        two.append(measured("run", path, "2", count)["speed"])
        with ThreadPoolExecutor(2) as pool:
            pairs = [pool.submit(measured, "run", path, "1", count) for _ in range(2)]
            apart.append(sum(p.result()["speed"] for p in pairs))
    ours, machines = (
        median([b / a for a, b in zip(one, other, strict=True)]) for other in (two, apart)
    )
    print(f"  leverpack, two workers   {median(two) / 1e6:9.1f} million candle-sets/s   "
          f"{ours:.2f} x one, where two processes of one worker each make {machines:.2f}")


def beside(engine: str, name: str, python: str, path: Path, repeats: int) -> None:
    """One peer's line, measured in turn with ours, or why there is none."""
    probe = [python, "-c", f"import {engine}"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        print(f"  {name}: skipped, it is not installed for {python} (--peers PYTHON)")
        return
    script = str(ROOT / "benchmarks" / "peer_sweep.py")
    speeds, ratios = [], []
    for _ in range(repeats):
        ours = measured("run", path, "1", str(SETS))
        done = subprocess.run([python, script, engine, str(path)], capture_output=True, text=True,
                              check=False, env={**os.environ, "PYTHONPATH": ""})  # fmt: skip
        if done.returncode:
            print(f"  {name}: failed: {done.stderr.strip().splitlines()[-1]}")
            return
        found = json.loads(done.stdout.strip().splitlines()[-1])
        speeds.append(ours["bars"] * found["sets"] / found["seconds"])
        ratios.append(ours["speed"] / speeds[-1])
    print(f"  {name} {found['version']:<16} {median(speeds) / 1e6:9.3f} million candle-sets/s   "
          f"peak {found['peak_mb']:5.0f} MB   leverpack is {median(ratios):,.0f} x "
          f"({found['trades']:,} trades in {found['sets']} sets, no funding, no liquidation)")


def grid() -> Grid:
    """Ten stops by ten targets."""
    return Grid({
        "stop_loss_pct": [float(x) for x in np.linspace(0.005, 0.05, 10)],
        "take_profit_pct": [float(x) for x in np.linspace(0.01, 0.1, 10)],
    })  # fmt: skip


def save(path: Path, days: int) -> None:
    """The made market, and the rule's signals for the peers, as arrays in one file."""
    made = make_minutes(days, SEED)
    arrays = {
        **{n: getattr(made.candles, n) for n in ("ts", "open", "high", "low", "close", "volume")},
        **{f"mark_{n}": getattr(made.mark, n) for n in ("ts", "open", "high", "low", "close")},
        "funding_ts": made.funding.ts, "rate": made.funding.rate,
        "stops": np.array([s["stop_loss_pct"] for s in grid()]),
        "targets": np.array([s["take_profit_pct"] for s in grid()]),
    }  # fmt: skip
    np.savez(path, **arrays)
    ready: Any = engine_of(path).prepare(0, {})
    np.savez(path, **arrays, signals=ready[3].signals)


def engine_of(path: Path) -> SweepEngine:
    """The conservative strategy at 10x on the made market."""
    a = dict(np.load(path))
    none = np.zeros(len(a["mark_ts"]))
    candles = Candles(a["ts"], a["open"], a["high"], a["low"], a["close"], a["volume"], 60_000,
                      "BTCUSDT", "trade", "made")  # fmt: skip
    mark = Candles(a["mark_ts"], a["mark_open"], a["mark_high"], a["mark_low"], a["mark_close"],
                   none, 300_000, "BTCUSDT", "mark", "made")  # fmt: skip
    funding = Funding(a["funding_ts"], a["rate"], "made", "BTCUSDT")
    found: Any = (candles, mark, funding)
    return SweepEngine(
        BacktestSettings(data=found[0], mark=found[1], funding=found[2], symbol="BTCUSDT",
                         params={"leverage": "10"})
    )  # fmt: skip


def measured(what: str, *args: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    return in_fresh_process("benchmarks.bench_sweep", what, *map(str, args))


def child(what: str, path: str, workers: str = "1", count: str = "1") -> dict[str, Any]:
    """What a fresh process measures: a run of many sets, or the time to the first result."""
    engine = engine_of(Path(path))
    engine.outcome({})  # loads the compiled code
    found: dict[str, Any] = {"bars": engine.market.bars}
    if what == "run":
        sets = [(k, grid()[k % SETS]) for k in range(int(count))]
        started = time.perf_counter()
        trades = sum(
            int(o.figures["trades"] or 0) for o in run_sets(engine, sets, workers=int(workers))
        )
        seconds = time.perf_counter() - started
        found |= {"trades": trades, "speed": engine.market.bars * len(sets) / seconds}
    found["peak_mb"] = peak_mb()
    found["seconds"] = time.time() - _process_start()
    return found


def _process_start() -> float:
    """When this process was started, epoch seconds (Linux; elsewhere: now)."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.time()
    ticks = float(stat.read_text().rsplit(")", 1)[1].split()[19])
    boot = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - boot + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("run", "start"):
        print(json.dumps(child(*sys.argv[1:])))
    else:
        main()
