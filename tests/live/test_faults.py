"""Seeded runs with the paper exchange's faults mixed: at the end the books agree."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from leverpack.live.journal import ALIVE
from leverpack.live.protecting import UNPROTECTED_S
from strategies import LeverageStrategy
from tests.live.desk import trading
from tests.live.faultruns import many, one
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session, walk

STEPS = 24
LINE = ("delay", "lost_request", "lost_response", "error_before", "error_after", "rate_limit",
        "malformed", "maintenance")  # fmt: skip
STREAM = ("ws_drop", "ws_duplicate", "ws_reorder", "leverage_stays", "partial_fill",
          "listen_key_expired", "closed_elsewhere")  # fmt: skip
PATHS = {
    "binanceusdm": (
        "/fapi/v1/order", "/fapi/v1/algoOrder", "/fapi/v1/leverage", "/fapi/*", "/fapi/v1/klines",
        "/fapi/v1/userTrades", "/fapi/v3/*",
    ),
    "bybit": (
        "/v5/order/*", "/v5/order/create", "/v5/position/*", "/v5/*", "/v5/market/kline",
        "/v5/execution/list", "/v5/account/*",
    ),
}  # fmt: skip


class Swings(LeverageStrategy):
    """In at every candle that it can be."""

    def signal(self, data: Any) -> int:
        return 1 if data.close[0] > data.open[0] else -1


def fault(dice: random.Random, venue: str) -> dict[str, Any]:
    if dice.random() < 0.35:
        return {"kind": dice.choice(STREAM), "share": round(dice.uniform(0.2, 0.8), 1)}
    return {"kind": dice.choice(LINE), "path": dice.choice(PATHS[venue]), "seconds": 0.05,
            "method": dice.choice(("*", "POST", "GET", "DELETE")), "times": dice.randint(1, 2)}


def covered(stand: Stand) -> bool:
    exchange = stand.session.exchange
    held = abs(exchange.books.units(SYMBOL))
    return sum(a.units for a in exchange.desk.algos.of(SYMBOL) if a.reduce_only) >= held


def take_stops_away(stand: Stand) -> None:
    """Somebody cancels all stops at the venue."""
    desk = stand.session.exchange.desk

    def cancel() -> None:
        for algo in desk.algos.of(SYMBOL):
            desk.cancel_algo(algo)

    stand.loop.call_soon_threadsafe(cancel)


def one_run(tmp_path: Path, seed: int, venue: str = "binanceusdm") -> int:
    """One mixed run; how many fills there were. Asserts what must hold."""
    dice = random.Random(seed)
    rows = walk(STEPS + 40, seed=seed, swing=0.004)
    with serving(session(rows, seed=seed, venue=venue)) as stand:
        stand.step(10)
        books = stand.session.exchange.books
        rule = {"leverage": 4.0, "stop_loss_pct": 0.004, "take_profit_pct": 0.005}
        with trading(
            stand, tmp_path / f"{seed}.db", strategy=Swings, quiet_s=0.4, exchange=venue, **rule
        ) as desk:
            for _ in range(STEPS):
                if dice.random() < 0.5:
                    stand.admin("POST", "faults", **fault(dice, venue))
                if dice.random() < 0.08:
                    take_stops_away(stand)
                desk.step()
                since = time.monotonic()
                while not covered(stand):
                    assert time.monotonic() - since < UNPROTECTED_S, "no stop rests"
                    time.sleep(0.02)
                if desk.position:
                    assert books.position(SYMBOL).leverage == 4.0
            stand.admin("DELETE", "faults")
            desk.step(2)
            strategy, broker = desk.strategy, desk.broker
            assert strategy.position.size == pytest.approx(desk.position, abs=1e-9)
            at_venue = {o.client_id for o in (*desk.orders(), *desk.algos())}
            assert at_venue == set(broker.working)
            assert at_venue == {i["client_id"] for i in broker.journal.intents(*ALIVE)}
            fills = broker.journal.fills(UNIFIED)
            noted = [f["trade_id"].removeprefix("trade-") for f in fills]
            assert noted == [str(t.id) for t in books.trades]
            equity = books.account.equity(books.marks)
            assert broker.getvalue() == pytest.approx(equity, abs=1e-5)
            entries = [o for o in stand.session.exchange.desk.orders.all.values()
                       if not o.reduce_only]  # fmt: skip
            ids = [o.client_id for o in entries]
            assert len(ids) == len(set(ids))
        return len(fills)


@pytest.mark.parametrize("seed", range(2))
def test_mixed_faults(tmp_path: Path, seed: int):
    one_run(tmp_path, seed)


@pytest.mark.slow
def test_many_mixed_faults():
    runs = int(os.environ.get("LEVERPACK_FAULT_RUNS", "1000"))
    fills, failed = many(one, range(100, 100 + runs))
    assert not failed
    assert fills > runs
