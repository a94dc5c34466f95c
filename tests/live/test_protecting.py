"""Stops that somebody takes away come back; what has none is named, or gets one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

from leverpack.errors import SettingError
from leverpack.live.protecting import UNPROTECTED_S, WATCH_S
from tests.live.desk import Desk, trading
from tests.live.test_broker import UP, enter
from tests.live.test_restart import strangers
from tests.paper.stand import SYMBOL, Stand, serving, session

HOW: dict[str, Any] = {"script": {1: enter()}, "stop_loss_pct": 0.02, "take_profit_pct": 0.0}


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


def take_away(desk: Desk) -> Any:
    """Somebody cancels the stop at the venue; what it was."""
    algo = desk.algos()[0]
    reply = desk.stand.signed("DELETE", "algoOrder", symbol=SYMBOL, algoId=algo.id)
    assert reply.status == 200
    return algo


def same_stop(desk: Desk, algo: Any) -> bool:
    return [(a.kind, a.trigger, a.units) for a in desk.algos()] == [
        (algo.kind, algo.trigger, algo.units)
    ]


@pytest.mark.parametrize("silent", [False, True])
def test_a_stop_taken_away_is_put_back_in_the_stated_time(
    stand: Stand, tmp_path: Path, silent: bool
):
    with trading(stand, tmp_path / "j.db", **HOW) as desk:
        desk.step()
        broker = desk.broker
        if silent:  # no stream says anything any more
            stand.admin("POST", "faults", kind="ws_half_open")
        before, order = take_away(desk), broker.working.copy().popitem()[1].order
        since = time.monotonic()
        desk.until(lambda: same_stop(desk, before), within=UNPROTECTED_S)
        assert time.monotonic() - since < UNPROTECTED_S and WATCH_S < UNPROTECTED_S
        desk.until(lambda: broker.at_rest)
        assert order.alive()  # to the strategy it is the same order
        assert [a for a in broker.alerts if "taken away" in a and "put back" in a]
        kinds = [e["kind"] for e in broker.journal.rows("events") if "taken away" in e["text"]]
        assert kinds == ["unprotected"]
        if silent:
            return
        desk.step()  # and again, at a candle
        again = take_away(desk)
        desk.step()
        assert same_stop(desk, again)


def test_a_target_taken_away_is_put_back(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", **{**HOW, "take_profit_pct": 0.02}) as desk:
        desk.step()
        target = desk.orders()[0]
        stand.signed("DELETE", "order", symbol=SYMBOL, orderId=target.id)
        desk.step()
        assert [(o.price, o.units) for o in desk.orders()] == [(target.price, target.units)]
        assert len(desk.algos()) == 1


def test_a_stop_taken_away_while_nobody_ran_is_put_back(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", **HOW) as desk:
        desk.step()
    before = take_away(desk)
    with trading(stand, tmp_path / "j.db") as desk:
        desk.until(lambda: same_stop(desk, before), within=1.0)  # before any candle
        assert any("put back" in a for a in desk.broker.alerts)


def test_a_stop_that_the_strategy_cancels_stays_away(stand: Stand, tmp_path: Path):
    script = {
        1: lambda s: s.buy(size=0.01),
        2: lambda s: s.sell(size=0.01, exectype=bt.Order.Stop, price=95_000.0, reduce_only=True),
        3: lambda s: s.cancel(s.sent[1]),
    }
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step(2)
        assert len(desk.algos()) == 1
        desk.step(2)
        assert not desk.algos() and desk.position == 0.01
        assert not [a for a in desk.broker.alerts if "taken away" in a]


def test_a_stop_whose_position_went_is_not_put_back(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", **HOW) as desk:
        desk.step()
        take_away(desk)
        stand.admin("POST", "faults", kind="closed_elsewhere")
        desk.step(2)
        assert desk.position == 0.0 and not desk.algos() and not desk.broker.working


def test_a_stop_put_back_beyond_the_market_closes_at_once(tmp_path: Path):
    fall = (101_200.0, 101_210.0, 98_000.0, 98_050.0)
    with serving(session([*UP[:12], fall, *[(98_050.0, 98_060.0, 98_040.0, 98_050.0)] * 5])) as s:
        s.step(10)
        with trading(s, tmp_path / "j.db", **HOW) as desk:
            desk.step()
        take_away(desk)
        s.step(2)
        with trading(s, tmp_path / "j.db") as desk:
            desk.until(lambda: desk.position == 0.0)
            desk.until(lambda: desk.broker.is_flat)


def test_a_trailing_stop_put_back_keeps_what_it_had_reached(stand: Stand, tmp_path: Path):
    script = {
        1: lambda s: s.buy(size=0.01),
        2: lambda s: s.sell(
            size=0.01, exectype=bt.Order.StopTrail, trailpercent=0.01, reduce_only=True
        ),
    }
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step(5)
        best = UP[13][1]  # the highest price of the last candle
        take_away(desk)
        desk.step()
        kinds = {a.kind: a for a in desk.algos()}
        assert sorted(kinds) == ["STOP_MARKET", "TRAILING_STOP_MARKET"]
        assert kinds["STOP_MARKET"].trigger == pytest.approx(best * 0.99, abs=150.0)
        reached = kinds["STOP_MARKET"].trigger
    with trading(stand, tmp_path / "j.db") as desk:  # both are known again, and the floor stays
        assert desk.broker.working and reached in {a.trigger for a in desk.algos()}
        stand.admin("POST", "faults", kind="closed_elsewhere")
        desk.step()
        desk.until(lambda: not [a for a in desk.algos() if a.kind == "STOP_MARKET"])


def test_an_adopted_position_is_protected(stand: Stand, tmp_path: Path):
    strangers(stand)
    how = {"margin_mode": "cross", "on_unknown": "adopt"}
    with trading(stand, tmp_path / "a.db", broker=how) as desk:
        assert not desk.algos()
        assert any("stops rest for 0 only" in a for a in desk.broker.alerts)
    with trading(stand, tmp_path / "b.db", broker={**how, "protect": 0.03}) as desk:
        entry = stand.session.exchange.books.position(SYMBOL).entry
        assert [(a.kind, a.reduce_only, a.units) for a in desk.algos()] == [
            ("STOP_MARKET", True, 10)]
        assert desk.algos()[0].trigger == pytest.approx(entry * 0.97, abs=0.1)
        stand.admin("POST", "faults", kind="closed_elsewhere")
        desk.step()
        desk.until(lambda: not desk.algos())
    with trading(stand, tmp_path / "b.db", broker={**how, "protect": 0.03}) as desk:
        assert not desk.algos()


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_protect_is_a_fraction(stand: Stand, tmp_path: Path, wrong: float):
    with pytest.raises(SettingError, match="protect is a fraction"), trading(
        stand, tmp_path / "j.db", broker={"protect": wrong}
    ):
        pass


def test_own_closing_orders_without_a_flag_survive_the_end(stand: Stand, tmp_path: Path):
    script = {
        1: lambda s: s.buy(size=0.01),
        2: lambda s: [
            s.sell(size=0.01, exectype=bt.Order.Stop, price=95_000.0),
            s.buy(size=0.01, exectype=bt.Order.Limit, price=97_000.0),
        ],
    }
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step(2)
        assert len(desk.algos()) == 1 and len(desk.orders()) == 1
        desk.broker.end_run()
        desk.until(lambda: not desk.orders())
        assert len(desk.algos()) == 1


def test_a_position_whose_stop_is_refused_is_closed(stand: Stand, tmp_path: Path):
    exchange = stand.session.exchange
    with trading(stand, tmp_path / "j.db", broker={"margin_mode": "cross"}, **HOW) as desk:
        # As many stop orders as the venue takes for one symbol rest already, placed by hand.
        for n in range(exchange.tapes[SYMBOL].instrument.max_algo_orders):
            reply = stand.signed(
                "POST", "algoOrder", algoType="CONDITIONAL", symbol=SYMBOL, side="BUY",
                type="STOP_MARKET", quantity="0.001", triggerPrice=str(150_000 + n),
            )  # fmt: skip
            assert reply.status == 200, reply.text
        desk.step()
        desk.until(lambda: len(exchange.books.trades) == 2)
        assert desk.position == 0.0
        desk.step()  # now Backtrader tells the strategy
        tags = [tag for tag, status in desk.strategy.ends() if status == "Completed"]
        assert tags == ["entry", "no stop"], desk.strategy.ends()
