"""One run from CSV to result in a process of its own: ``stock`` or ``leverpack``, as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import backtrader as bt

from benchmarks.strategy import Pullback

CASH, FEE = 100_000.0, 0.0004


def stock_parts(path: str) -> tuple[Any, Any, Any]:
    """Backtrader as its documentation shows it."""
    broker = bt.brokers.BackBroker(cash=CASH)
    broker.setcommission(commission=FEE)
    feed = bt.feeds.GenericCSVData(
        dataname=path, dtformat="%Y-%m-%d %H:%M:%S", timeframe=bt.TimeFrame.Minutes,
        openinterest=-1,
    )  # fmt: skip
    return bt.Cerebro(), broker, feed


def leverpack_parts(path: str) -> tuple[Any, Any, Any]:
    """The same with leverpack's three classes."""
    from leverpack import CandleFeed, Cerebro, MarginBroker

    broker = MarginBroker(cash=CASH, leverage=1.0, tiers=None, maker=FEE, taker=FEE)
    return Cerebro(), broker, CandleFeed(dataname=path, symbol="BENCH/USDT")


def main(engine: str, path: str, load_only: bool) -> dict[str, Any]:
    """Time one whole run: reading the CSV is part of it, importing the library is not."""
    parts = stock_parts if engine == "stock" else leverpack_parts
    if engine != "stock":
        import leverpack

        _ = (leverpack.CandleFeed, leverpack.Cerebro, leverpack.MarginBroker)
    strategy = bt.Strategy if load_only else Pullback
    started = time.perf_counter()
    cerebro, broker, feed = parts(path)
    if load_only:
        feed._env = cerebro
        feed._start()
        feed.preload()
        bars = feed.buflen()
        return {"seconds": time.perf_counter() - started, "bars": bars}
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    cerebro.addstrategy(strategy)
    ran = cerebro.run()[0]
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "bars": len(ran),
        "trades": ran.log,
        "value": broker.getvalue(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], "load" in sys.argv[3:])))
