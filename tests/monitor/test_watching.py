"""What a live run tells people by itself, once an episode: on a real paper exchange."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leverpack.live.bus import (
    DAILY_SUMMARY,
    LEVERAGE_MISMATCH,
    LIMIT_TRIPPED,
    LIQUIDATION,
    MARGIN_CALL,
    NEAR_LIQUIDATION,
    ORDER_REJECTED,
    RESTARTED,
    STREAM_LOST,
    VENUE_AWAY,
)
from tests.live.desk import Desk, trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import SYMBOL, UNIFIED, Row, serving, session


def told(desk: Desk, kind: str) -> list[str]:
    return [e["text"] for e in desk.broker.journal.rows("events") if e["kind"] == kind]


def flat(price: float, count: int) -> list[Row]:
    return [(price, price + 10.0, price - 10.0, price)] * count


def falling(to: float) -> list[Row]:
    """A candle that falls from where UP stands after twelve candles, then stays."""
    return [*UP[:13], (101_300.0, 101_310.0, to - 10.0, to), *flat(to, 3), *flat(101_000.0, 3),
            *flat(to, 6)]  # fmt: skip


def test_margin_call_and_liquidation_near_once_an_episode(tmp_path: Path):
    # A long at 20x from 101,200 is liquidated near 96,430; the venue calls from a ratio of 0.8.
    with serving(session(falling(96_460.0))) as stand:
        stand.step(10)
        how: dict[str, Any] = {"script": {1: lambda s: s.buy(size=0.05)}}
        with trading(stand, tmp_path / "j.db", broker={"leverage": 20.0}, **how) as desk:
            desk.step(6)
            assert desk.position > 0.0
            assert len(told(desk, MARGIN_CALL)) == len(told(desk, NEAR_LIQUIDATION)) == 1
            assert told(desk, MARGIN_CALL)[0].startswith(f"{UNIFIED}: margin call: margin ratio 9")
            price = desk.broker.liquidation_price(desk.strategy.data0)
            assert f"liquidation at {price:,.8g}" in told(desk, NEAR_LIQUIDATION)[0]
            desk.step(4)  # over, and then once more
            assert len(told(desk, MARGIN_CALL)) == len(told(desk, NEAR_LIQUIDATION)) == 2
            assert not told(desk, LIQUIDATION)


def test_a_tripped_limit_and_the_summary_of_the_day(tmp_path: Path):
    with serving(session([*UP[:13], *flat(99_000.0, 20)], funding=[(16, 0.0001)])) as stand:
        stand.step(10)
        how: dict[str, Any] = {"script": {1: enter()}, "max_daily_loss": 40.0, "leverage": 5.0,
                               "stop_loss_pct": 0.05, "take_profit_pct": 0.0}  # fmt: skip
        with trading(stand, tmp_path / "j.db", **how) as desk:
            desk.step(13)
            assert [t.partition(":")[0] for t in told(desk, LIMIT_TRIPPED)] == [
                "everything is closed"]
            assert "max_daily_loss" in told(desk, LIMIT_TRIPPED)[0]
            desk.step(3)
            desk.until(lambda: bool(told(desk, DAILY_SUMMARY)))
            books = stand.session.exchange.books
            text = told(desk, DAILY_SUMMARY)[0]
            assert text.startswith(f"2025-01-01: equity {books.account.equity(books.marks):,.2f}")
            assert f"fees {books.account.costs.fees:,.2f}" in text
            assert "orders filled 2" in text
            assert not desk.broker.store.bus._listeners


def test_stream_venue_rejection_and_leverage(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        script = {1: enter(), 2: lambda s: s.buy(size=50.0), 3: lambda s: s.buy(size=50.0)}
        how: dict[str, Any] = {"script": script, "take_profit_pct": 0.0, "quiet_s": 0.3}
        with trading(stand, tmp_path / "j.db", broker={"poll_s": 0.2}, **how) as desk:
            desk.step(3)
            # Each is a fact of its own; that a person hears of it once is the sender's to see to.
            assert len(told(desk, ORDER_REJECTED)) == 2
            stand.signed("POST", "leverage", symbol=SYMBOL, leverage=33)
            desk.step(3)
            assert len(told(desk, LEVERAGE_MISMATCH)) == 1
            assert "33x where 2x was decided" in told(desk, LEVERAGE_MISMATCH)[0]
            stand.admin("POST", "faults", kind="error_before", path="/fapi/v3/account", times=7)
            desk.until(lambda: bool(told(desk, VENUE_AWAY)))
            desk.until(lambda: not desk.broker.away)
            for _ in range(2):
                stand.admin("POST", "faults", kind="ws_half_open")
                desk.step(2)
                desk.until(lambda: desk.strategy.data0.stale)
                for listener in stand.session.hub.listeners:
                    listener.muted = False
                desk.step()
                desk.until(lambda: not desk.strategy.data0.stale)
            desk.step()
            assert len(told(desk, STREAM_LOST)) == 2
            assert len(told(desk, VENUE_AWAY)) == 1


def test_a_restart_that_takes_something_over(tmp_path: Path):
    path = tmp_path / "j.db"
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, path, script={1: enter()}, take_profit_pct=0.0) as desk:
            assert not told(desk, RESTARTED)
            desk.step(2)
            held = desk.position
        with trading(stand, path) as desk:
            assert told(desk, RESTARTED) == [
                f"started again: {held:g} {UNIFIED} held and 1 resting orders taken over"]
            assert not desk.broker.alerts
            assert desk.broker.decided_leverage(desk.strategy.data0) is None
            desk.step()


@pytest.mark.parametrize("rate", [0.0005, -0.0005])
def test_funding_is_booked_once_and_over_a_restart(tmp_path: Path, rate: float):
    path = tmp_path / "j.db"
    with serving(session(UP, funding=[(i, rate) for i in range(8, 40)])) as stand:
        stand.step(10)
        costs = stand.session.exchange.books.account.costs
        with trading(stand, path, script={1: enter()}, take_profit_pct=0.0) as desk:
            desk.step(4)
            assert desk.broker.costs().funding == pytest.approx(costs.funding) != 0.0
        stand.step()
        before = costs.funding
        with trading(stand, path) as desk:
            desk.step(2)
            booked = sum(row["amount"] for row in desk.broker.journal.rows("funding"))
            assert booked == pytest.approx(costs.funding) and abs(booked) > abs(before)
