"""The countdown: entries go when the run is gone, and it never runs where a stop rests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.store import CCXTStore
from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import SYMBOL, Stand, serving, session

TWO_HOURS = {"countdown_s": 7_200.0}  # of the replay: two candles


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


def limit(strategy: Any) -> Any:
    return strategy.buy(size=0.01, exectype=bt.Order.Limit, price=97_000.0)


def test_entries_go_when_the_run_is_gone(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", script={1: limit}, broker=TWO_HOURS) as desk:
        desk.step()
        desk.until(lambda: SYMBOL in stand.session.venue.countdowns)
    assert len(stand.session.exchange.desk.orders.of(SYMBOL)) == 1
    stand.step(3)
    assert not stand.session.exchange.desk.orders.of(SYMBOL)
    with trading(stand, tmp_path / "j.db") as desk:
        assert not desk.broker.working
        assert desk.broker.journal.intents()[0]["state"] == "canceled"


def test_it_is_renewed_and_taken_back(stand: Stand, tmp_path: Path):
    script = {1: limit, 2: lambda s: s.cancel(s.sent[0])}
    with trading(stand, tmp_path / "j.db", script=script, broker=TWO_HOURS) as desk:
        desk.step()
        countdowns = stand.session.venue.countdowns
        desk.until(lambda: SYMBOL in countdowns)
        first = desk.broker._beaten.copy()
        desk.broker._beaten = {key: at - 7_200.0 / 3.0 for key, at in first.items()}
        desk.until(lambda: desk.broker._beaten.get("BTC/USDT:USDT", 0.0) > first["BTC/USDT:USDT"])
        desk.step()
        desk.until(lambda: not countdowns)


def test_it_does_not_run_where_a_stop_rests(stand: Stand, tmp_path: Path):
    how: dict[str, Any] = {"script": {1: limit, 2: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", broker=TWO_HOURS, **how) as desk:
        desk.step(2)
        desk.until(lambda: not stand.session.venue.countdowns)
        assert len(desk.algos()) == 1 and len(desk.orders()) == 1
    stand.step(4)
    assert len(stand.session.exchange.desk.algos.of(SYMBOL)) == 1


WRONG = [("binanceusdm", 5.0, "at least 10 s"), ("bybit", 60.0, "no countdown")]


@pytest.mark.parametrize(("exchange", "seconds", "words"), WRONG)
def test_what_cannot_be(exchange: str, seconds: float, words: str):
    store = CCXTStore(exchange, settings=Settings(), env_file=None)
    with pytest.raises(SettingError, match=words):
        CCXTLiveBroker(store=store, countdown_s=seconds)
