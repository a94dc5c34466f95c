"""One other engine over the same signals, stops and targets; run by its own interpreter.

Called by bench_sweep as ``python peer_sweep.py ENGINE FILE.npz``; prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def vectorbt(made: dict[str, np.ndarray]) -> dict[str, object]:
    """All sets as columns of one Portfolio.from_signals call, after one on a few candles."""
    import pandas as pd
    import vectorbt as vbt

    sets = len(made["stops"])

    def run(bars: int) -> object:
        index = pd.to_datetime(made["ts"][:bars], unit="ms")
        prices = {n: pd.Series(made[n][:bars], index) for n in ("open", "high", "low", "close")}
        longs = pd.Series(made["signals"][:bars] == 1, index)
        shorts = pd.Series(made["signals"][:bars] == -1, index)
        columns = pd.Index(range(sets), name="set")
        close = pd.concat([prices["close"]] * sets, axis=1, keys=columns)
        portfolio = vbt.Portfolio.from_signals(
            close, entries=longs, short_entries=shorts, open=prices["open"], high=prices["high"],
            low=prices["low"], sl_stop=made["stops"], tp_stop=made["targets"], fees=0.0005,
            size=0.1, size_type="percent", init_cash=10_000.0, accumulate=False,
            upon_opposite_entry="ignore", freq="1min",
        )  # fmt: skip
        return portfolio.total_return(), portfolio.max_drawdown(), portfolio.trades.count()

    run(1_000)  # compiles
    started = time.perf_counter()
    _, _, trades = run(len(made["close"]))
    return {
        "seconds": time.perf_counter() - started, "sets": sets,
        "trades": int(np.asarray(trades).sum()), "version": vbt.__version__,
    }  # fmt: skip


def backtestingpy(made: dict[str, np.ndarray]) -> dict[str, object]:
    """One set; the others take as long each."""
    import backtesting
    import pandas as pd

    stop, target = float(made["stops"][0]), float(made["targets"][0])

    class Same(backtesting.Strategy):
        def init(self) -> None:
            self.signal = self.I(lambda: made["signals"].astype(float), plot=False)

        def next(self) -> None:
            side = self.signal[-1]
            if self.position or side == 0:
                return
            price = self.data.Close[-1]
            if side > 0:
                self.buy(size=0.1, sl=price * (1 - stop), tp=price * (1 + target))
            else:
                self.sell(size=0.1, sl=price * (1 + stop), tp=price * (1 - target))

    frame = pd.DataFrame(
        {n.capitalize(): made[n] for n in ("open", "high", "low", "close")},
        pd.to_datetime(made["ts"], unit="ms"),
    )
    frame["Volume"] = 1.0
    test = backtesting.Backtest(
        frame, Same, cash=10_000_000, commission=0.0005, margin=0.2, finalize_trades=True
    )
    started = time.perf_counter()
    stats = test.run()
    return {
        "seconds": time.perf_counter() - started, "sets": 1, "trades": int(stats["# Trades"]),
        "version": backtesting.__version__,
    }  # fmt: skip


def peak_mb() -> float:
    """The most memory this process has held; what rusage says, a parent may have held before it."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return float(line.split()[1]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


if __name__ == "__main__":
    engine, path = sys.argv[1:]
    found = {"vectorbt": vectorbt, "backtesting": backtestingpy}[engine](dict(np.load(path)))
    found["peak_mb"] = peak_mb()
    print(json.dumps(found))
