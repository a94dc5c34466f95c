"""Restarts: what an earlier run has left is known again, and nothing is sent twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import VenueRefused
from leverpack.live.journal import ALIVE, Journal
from tests.conftest import ROOT
from tests.live.desk import trading
from tests.live.faultruns import KILLS_AT_ONCE, kills, many
from tests.live.test_broker import UP, enter
from tests.live.test_faults import covered
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


def test_position_and_stop_are_taken_over(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    with trading(stand, path, script={1: enter()}, take_profit_pct=0.0) as desk:
        desk.step()
        held = desk.position
        assert held > 0.0
    with trading(stand, path, entry_rule=lambda data: 1) as desk:
        assert desk.strategy.position.size == held
        assert not desk.broker.alerts
        assert [w.request.conditional for w in desk.broker.working.values()] == [True]
        desk.step(2)
        assert desk.position == held  # no second entry on an open position
        assert len(stand.session.exchange.books.trades) == 1


def test_a_stop_that_filled_in_between_is_booked(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    how: dict[str, Any] = {"stop_loss_pct": 0.002, "take_profit_pct": 0.0}
    with trading(stand, path, script={1: enter(-1)}, **how) as desk:
        desk.step()
        assert desk.position < 0.0
    stand.step(5)
    assert stand.session.exchange.books.position(SYMBOL).size == 0.0
    with trading(stand, path, script={1: enter()}) as desk:
        assert desk.strategy.position.size == 0.0
        assert not desk.broker.alerts and not desk.broker.working
        assert desk.broker.journal.held(UNIFIED) == 0.0
        desk.step()
        assert desk.position > 0.0


@pytest.mark.parametrize("arrived", [True, False])
def test_an_intent_without_an_answer_is_asked_for(stand: Stand, tmp_path: Path, arrived: bool):
    path = tmp_path / "j.db"
    journal = Journal(path)
    client_id = journal.new_client_id(0)
    journal.intend(client_id, UNIFIED, "buy", 0.01, conditional=False, reduce_only=False,
                   tag="entry", request={"type": "market", "price": None})  # fmt: skip
    journal.close()
    if arrived:
        order = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01",
                 "newClientOrderId": client_id}  # fmt: skip
        stand.signed("POST", "leverage", symbol=SYMBOL, leverage=5)
        stand.signed("POST", "marginType", symbol=SYMBOL, marginType="ISOLATED")
        stand.signed("POST", "order", **order)
    with trading(stand, path) as desk:
        assert desk.strategy.position.size == desk.position == (0.01 if arrived else 0.0)
        intent = desk.broker.journal.intents()[0]
        assert intent["state"] == ("closed" if arrived else "refused")
        assert any("stops rest for 0 only" in a for a in desk.broker.alerts) is arrived
        assert len(stand.session.exchange.books.trades) == int(arrived)


def strangers(stand: Stand) -> None:
    buy = {"symbol": SYMBOL, "side": "BUY", "quantity": "0.01"}
    stand.signed("POST", "order", type="MARKET", **buy)
    stand.signed("POST", "order", type="LIMIT", price="90000", timeInForce="GTC", **buy)


def test_what_it_did_not_make(stand: Stand, tmp_path: Path):
    strangers(stand)
    how = {"margin_mode": "cross"}
    with pytest.raises(VenueRefused, match=r"holds 0\.01 where the journal knows of 0"), trading(
        stand, tmp_path / "a.db", broker=how
    ):
        pass
    with trading(stand, tmp_path / "b.db", broker={**how, "on_unknown": "adopt"}) as desk:
        assert desk.strategy.position.size == 0.01 and len(desk.orders()) == 1
        assert len(desk.broker.alerts) == 3
    with trading(stand, tmp_path / "c.db", broker={**how, "on_unknown": "close"}) as desk:
        desk.step()
        assert desk.position == 0.0 and not desk.orders()
        assert desk.strategy.position.size == 0.0


SCRIPT = """
import json
import sys
from pathlib import Path
from tests.live.desk import Scripted
from leverpack.config import Settings
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.store import CCXTStore
import backtrader as bt

class Busy(Scripted):
    def signal(self, data):
        return 1 if len(data) % 2 else -1

store = CCXTStore(sys.argv[3], url=sys.argv[1], settings=Settings(), env_file=None)
cerebro = bt.Cerebro(stdstats=False)
cerebro.adddata(CCXTDataFeed(store=store, symbol="BTC/USDT:USDT", timeframe="1h", history=3))
broker = CCXTLiveBroker(store=store, journal=sys.argv[2], leverage=3.0)
cerebro.setbroker(broker)
cerebro.addstrategy(Busy, leverage=3.0, stop_loss_pct=0.002, **json.loads(sys.argv[4]))
print("started", flush=True)
cerebro.run()
"""


EXITS: list[dict[str, Any]] = [
    {"take_profit_pct": 0.002},
    {"targets": [[0.001, 0.5], [0.003, 0.3]], "break_even": True, "max_bars": 4},
]


def killed_runs(tmp_path: Path, runs: int, seed: int, venue: str = "binanceusdm") -> int:
    """Kill a trading process at random moments; after each the books must agree. The fills."""
    dice = random.Random(seed)
    rows = [(p, p + 450.0, p - 450.0, p + (50.0 if i % 2 else -50.0)) for i in range(2_000)
            for p in [100_000.0]]  # fmt: skip
    path = tmp_path / "j.db"
    with serving(session(rows, venue=venue)) as stand:
        stand.step(5)
        books = stand.session.exchange.books
        for _ in range(runs):
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, stand.url, str(path), venue,
                 json.dumps(EXITS[seed % len(EXITS)])],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert process.stdout is not None and process.stdout.readline() == "started\n"
            early = dice.random() < 0.2  # while it still connects and reconciles
            while not early and process.poll() is None and not stand.session.hub.streams:
                time.sleep(0.01)
            until = time.monotonic() + dice.uniform(0.1, 1.2)
            while time.monotonic() < until and process.poll() is None:
                stand.step()
                time.sleep(dice.uniform(0.0, 0.08))
            assert process.poll() is None, process.stdout.read()
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            process.stdout.close()
            with trading(stand, path, exchange=venue, leverage=3.0) as desk:
                assert desk.strategy.position.size == pytest.approx(desk.position, abs=1e-9)
                journal = desk.broker.journal
                assert journal.held(UNIFIED) == pytest.approx(desk.position, abs=1e-9)
                at_venue = {o.client_id for o in (*desk.orders(), *desk.algos())}
                known = {i["client_id"] for i in journal.intents(*ALIVE)}
                assert at_venue == known  # none is lost, none an orphan
                assert covered(stand)
                ids = {str(t.id) for t in books.trades}
                noted = [f["trade_id"].removeprefix("trade-") for f in journal.fills(UNIFIED)]
                assert len(noted) == len(set(noted)) and set(noted) == ids
                assert all("somebody" not in a for a in desk.broker.alerts), desk.broker.alerts
                sent = [o.client_id for o in stand.session.exchange.desk.orders.all.values()]
                assert len(sent) == len(set(sent))  # nothing under the same id twice
        assert len(books.trades) > 0
        return len(books.trades)


def test_killed_and_restarted(tmp_path: Path):
    killed_runs(tmp_path, 2, seed=3)  # with a ladder of targets


@pytest.mark.slow
def test_killed_and_restarted_often():
    batches = -(-int(os.environ.get("LEVERPACK_KILLS", "200")) // KILLS_AT_ONCE)
    fills, failed = many(kills, range(11, 11 + batches))
    assert not failed
    assert fills > batches
