"""The end of a run on request: entries go, stops stay, and nobody waits for a slow venue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import Stand, serving, session

MOST_S = 5.0


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


def five(strategy: Any) -> list[Any]:
    return [strategy.buy(size=0.01, exectype=bt.Order.Limit, price=97_000.0 + i) for i in range(5)]


HOW: dict[str, Any] = {"script": {1: enter(), 2: five}, "take_profit_pct": 0.0}


def test_entries_go_and_the_stop_stays(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", **HOW) as desk:
        desk.step(2)
        assert len(desk.orders()) == 5
        desk.broker.end_run()
        desk._thread.join(MOST_S)
        assert not desk._thread.is_alive()
        assert not desk.orders() and len(desk.algos()) == 1 and desk.position > 0.0
        assert not desk.broker.alerts


@pytest.mark.parametrize("busy", [False, True])
def test_a_swamped_venue_does_not_keep_the_run(stand: Stand, tmp_path: Path, busy: bool):
    with trading(stand, tmp_path / "j.db", **HOW) as desk:
        desk.step(2)
        stand.admin("POST", "faults", kind="delay", path="/fapi/*", seconds=60.0, times=0)
        if busy:  # the run is in the midst of a request that gets no answer
            desk.broker.hint()
            time.sleep(0.5)
        since = time.monotonic()
        desk.broker.end_run()
        desk._thread.join(15.0)
        took = time.monotonic() - since
        stand.admin("DELETE", "faults")
        assert took < MOST_S
        told = [a for a in desk.broker.alerts if "5 entries" in a]
        entries = [c for c, w in desk.broker.working.items() if not w.request.reduce_only]
        assert len(told) == 1 and all(client_id in told[0] for client_id in entries)
    with trading(stand, tmp_path / "j.db") as desk:  # and all of it is known again
        assert {o.client_id for o in (*desk.orders(), *desk.algos())} == set(desk.broker.working)
