"""Paper mode: a venue's candles as they close, the margin broker filling, nothing sent."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pytest

import leverpack as lp
from analyzers import MarginAnalyzer
from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.paperbroker import CCXTPaperBroker
from leverpack.live.store import CCXTStore
from tests.cli.test_paper import ended, get, started
from tests.conftest import ROOT
from tests.live.desk import Done
from tests.live.test_parity import RULES, Turns, backtest
from tests.live.test_processes import QUICK, RULE
from tests.live.test_processes import running as process_of
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session, walk

LENGTH, BEFORE, HISTORY = 160, 40, 5


def paper_store(stand: Stand, **more: Any) -> CCXTStore:
    return CCXTStore(
        "binanceusdm", url=stand.url, settings=Settings(), env_file=None, public=True, **more
    )


@contextmanager
def running(cerebro: bt.Cerebro) -> Iterator[list[Any]]:
    """The run in a thread; what is yielded holds the fault that ended it, if one did."""
    faults: list[Any] = []

    def run() -> None:
        try:
            cerebro.run()
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        cerebro.runstop()
        thread.join(15)
        assert not thread.is_alive()
        assert not faults, faults


def bars_done(cerebro: bt.Cerebro, faults: list[Any], count: int) -> None:
    until = time.monotonic() + 20.0
    while True:
        strats = getattr(cerebro, "runningstrats", [])
        if strats and getattr(getattr(strats[0].analyzers, "done", 0), "count", -1) >= count:
            return
        assert not faults, faults
        assert time.monotonic() < until, "the run stands still"
        time.sleep(0.003)


def play(stand: Stand, cerebro: bt.Cerebro, candles: int) -> Any:
    """Run on ``candles`` live candles, one after the other; the strategy."""
    with running(cerebro) as faults:
        bars_done(cerebro, faults, HISTORY)
        strategy = cerebro.runningstrats[0]
        for i in range(candles):
            stand.step()
            bars_done(cerebro, faults, HISTORY + i + 1)
            time.sleep(0.12 if i == 3 else 0.0)  # the loop goes round without a candle too
    return strategy


def cerebro_of(kind: type, stand: Stand, broker: Any, store: CCXTStore, **params: Any) -> Any:
    cerebro = kind(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(CCXTDataFeed(
        store=store, symbol=UNIFIED, timeframe="1h", history=HISTORY, qcheck=0.02))
    cerebro.addstrategy(Turns, **params)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    cerebro.addanalyzer(Done, _name="done")
    return cerebro


KINDS = list(zip(RULES, (bt.Cerebro, lp.Cerebro, bt.Cerebro), strict=True))


@pytest.mark.parametrize(("params", "kind"), KINDS)
def test_same_trades_as_in_the_backtest(params: dict[str, Any], kind: type):
    with serving(session(walk(LENGTH, swing=0.004))) as stand:
        stand.step(BEFORE)
        store = paper_store(stand)
        broker = CCXTPaperBroker(store=store, leverage=params["leverage"])
        ran = play(stand, cerebro_of(kind, stand, broker, store, **params), LENGTH - BEFORE - 1)
        tested = backtest(stand, params)
        books = stand.session.exchange.books
        assert books.account.costs.fees == 0.0  # nothing has reached the venue
        data = ran.datas[0]
        assert broker.grid(data) == (0.001, 0.1, 100.0)
        assert broker.getcommissioninfo(data).fee_rate(False) == 0.0005
        venue, ours = books.position(SYMBOL).tiers, broker.tier_table(data)
        assert (ours.caps, ours.mmrs, ours.max_leverages) == (
            venue.caps, venue.mmrs, venue.max_leverages)
    assert not store.is_open
    assert len(ran.trades) > 10
    count = len(ran.equity)
    assert count == LENGTH - BEFORE - 1
    assert ran.equity == pytest.approx(tested.equity[:count], rel=1e-12)
    assert np.array(ran.trades) == pytest.approx(np.array(tested.trades[: len(ran.trades)]))
    assert len(tested.trades) - len(ran.trades) <= 1


class Plain(bt.Strategy):
    """A strategy that only knows Backtrader: buys at its first candle."""

    def __init__(self) -> None:
        self.bought: list[tuple[float, float]] = []
        self.first = 0
        self.equity: list[float] = []

    def next(self) -> None:
        if not self.first:
            self.first = len(self.data)
            self.buy(size=0.1)
        self.equity.append(self.broker.getvalue())

    def notify_order(self, order: Any) -> None:
        if order.status == order.Completed:
            self.bought.append((order.executed.price, len(self.data)))


BROKERS = [
    lambda: lp.MarginBroker(cash=10_000.0, leverage=3.0),
    lambda: bt.brokers.BackBroker(cash=10_000.0, shortcash=False),
]


@pytest.mark.parametrize("kind", [bt.Cerebro, lp.Cerebro])
@pytest.mark.parametrize("make", BROKERS)
def test_a_script_with_another_broker_does_not_trade_on_history(make: Any, kind: type):
    with serving(session(walk(40, price=1_000.0))) as stand:
        stand.step(20)
        store = paper_store(stand)
        cerebro = kind(stdstats=False)
        cerebro.setbroker(make())
        cerebro.adddata(CCXTDataFeed(
            store=store, symbol="BTC/USDT", timeframe="1h", history=HISTORY, qcheck=0.02))
        cerebro.addstrategy(Plain)
        cerebro.addanalyzer(Done, _name="done")
        with store:
            ran = play(stand, cerebro, 6)
        candles = stand.session.exchange.tapes[SYMBOL].candles
    assert ran.first == HISTORY + 1  # the first candle that closed after the start
    # Filled at the open of the candle after it, never at that of the candle it was sent on.
    assert [price for price, _ in ran.bought] == pytest.approx([candles.open[21]])
    assert len(ran.equity) == 6


def test_settings_of_the_paper_broker():
    store = CCXTStore("binance", {"options": {"defaultType": "future", "leverage": 3,
                                              "margin": "cross"}}, settings=Settings(),
                      env_file=None)  # fmt: skip
    broker = CCXTPaperBroker(store=store, startingcash=500)
    assert (broker.p.leverage, broker.p.margin_mode, broker.p.cash) == (3.0, "cross", 500.0)
    assert broker.profile.name == "binanceusdm"
    assert store.public and not store.trades_real_money
    for wrong in ({"store": None}, {"store": store, "levrage": 3}, {"store": store, "cash": 0.0}):
        with pytest.raises(SettingError):
            CCXTPaperBroker(**wrong)


def test_nothing_can_be_sent_through_a_public_store():
    with serving(session(walk(10))) as stand, paper_store(stand) as store:
        with pytest.raises(SettingError, match="only reads"):
            store.write("create_order", UNIFIED, "market", "buy", 0.01)
        assert not stand.session.exchange.desk.orders.all_open()
    with pytest.raises(SettingError, match="public=True"), serving(session(walk(10))) as stand, \
            CCXTStore(url=stand.url, settings=Settings(), env_file=None) as store:
        CCXTPaperBroker(store=store)


def test_at_the_command_line(tmp_path: Path):
    (tmp_path / "often.py").write_text(RULE)
    (tmp_path / "leverpack.toml").write_text("cash = 5000\ntaker = 0.001\n")
    process, url, _ = started("--symbol", UNIFIED, "--from", "2025-03-01", "--speed", "72000")
    command = ("-m", "leverpack", "live", "--paper", "--symbol", UNIFIED, "--strategy", "often.py",
               "--history", "20", "--url", url, "--leverage", "4", *QUICK)  # fmt: skip
    try:
        with process_of(*command, cwd=tmp_path) as run:
            assert run.stdout is not None
            first = run.stdout.readline()
            closed = 0
            for line in run.stdout:
                closed += " closed: " in line
                if closed >= 3:
                    break
            run.terminate()
            last = run.communicate(timeout=30)[0].splitlines()[-1]
        assert run.returncode == 0
        assert "flat with 5,000.00" in first and "funding is not charged" in first
        found = re.fullmatch(r"ended: equity ([\d,.]+), fees ([\d,.]+), .*trades (\d+)", last)
        assert found is not None, last
        assert int(found[3]) >= 3 and float(found[2].replace(",", "")) > 0.0
        state = get(f"{url}/paper/v1/state")
        assert (state["costs"]["fees"], state["orders"], state["positions"]) == (0.0, [], [])
        assert not list(tmp_path.glob("*.db"))
    finally:
        ended(process)


def test_the_example(tmp_path: Path):
    process, url, _ = started("--symbol", UNIFIED, "--from", "2025-03-22", "--speed", "36000")
    try:
        with process_of(str(ROOT / "examples" / "run_paper.py"), "--url", url, cwd=tmp_path) as run:
            until = time.monotonic() + 20.0
            # Its candles come over the stream from here on; a day of them is played in 2.4 s.
            while not get(f"{url}/paper/v1/state")["listeners"] and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(2.0)
            run.terminate()
            said = run.communicate(timeout=30)[0]
        assert run.returncode == 0, said
        assert said.splitlines()[0].startswith("equity") and "trades" in said
    finally:
        ended(process)
