"""Brackets, one-cancels-other groups and end dates on a real paper exchange."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

from tests.live.desk import Desk, trading
from tests.live.test_broker import UP
from tests.paper.stand import SYMBOL, Row, Stand, serving, session

Limit, Stop, Market = bt.Order.Limit, bt.Order.Stop, bt.Order.Market
DIP: list[Row] = [*UP[:12], (101_200.0, 101_210.0, 100_700.0, 100_800.0),
                  *[(100_800.0 + 100 * i, 100_910.0 + 100 * i, 100_790.0 + 100 * i,
                     100_900.0 + 100 * i) for i in range(40)]]  # fmt: skip


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


def at_venue(desk: Desk) -> list[tuple[str, bool, int]]:
    """Kind, reduce-only and steps left of everything that rests."""
    orders = [(o.kind, o.reduce_only, o.left) for o in desk.orders()]
    return sorted(orders + [(a.kind, a.reduce_only, a.units) for a in desk.algos()])


def statuses(desk: Desk, orders: Any) -> list[str]:
    return [o.getstatusname() for o in orders]


def bracket(**how: Any) -> Any:
    return lambda s: s.buy_bracket(
        size=0.01, **{"exectype": Market, "stopprice": 95_000.0, "limitprice": 101_500.0, **how}
    )


def test_a_bracket_rests_its_exits_when_the_entry_fills(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", script={1: bracket()}) as desk:
        desk.step()
        assert desk.position == 0.01
        assert at_venue(desk) == [("LIMIT", True, 10), ("STOP_MARKET", True, 10)]
        desk.step(5)
        assert desk.position == 0.0 and not at_venue(desk) and not desk.broker.working
        orders = desk.strategy.sent[0]
        assert statuses(desk, orders) == ["Completed", "Canceled", "Completed"]
        assert len(desk.strategy.trades) == 1 and not desk.broker.alerts
        assert desk.broker.journal.state("links").load() == {"brackets": {}, "groups": []}


def test_the_stop_of_a_bracket(tmp_path: Path):
    with serving(session(DIP)) as stand:
        stand.step(10)
        script = {1: bracket(stopprice=100_900.0)}
        with trading(stand, tmp_path / "j.db", script=script) as desk:
            desk.step(4)
            assert desk.position == 0.0 and not at_venue(desk)
            assert statuses(desk, desk.strategy.sent[0]) == ["Completed", "Completed", "Canceled"]


def test_exits_follow_what_has_filled(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", script={1: bracket()}) as desk:
        stand.admin("POST", "faults", kind="partial_fill", share=0.4)
        desk.step()
        assert desk.position == 0.004  # a market order's rest is ended by the venue
        assert at_venue(desk) == [("LIMIT", True, 4), ("STOP_MARKET", True, 4)]
        desk.step(5)
        assert desk.position == 0.0 and not at_venue(desk)
        assert statuses(desk, desk.strategy.sent[0]) == ["Canceled", "Canceled", "Completed"]


def test_exits_grow_with_a_limit_entry_that_fills_in_parts(tmp_path: Path):
    with serving(session(DIP)) as stand:
        stand.step(10)
        script = {1: bracket(exectype=Limit, price=101_000.0, limitprice=103_000.0)}
        with trading(stand, tmp_path / "j.db", script=script) as desk:
            desk.step()
            assert at_venue(desk) == [("LIMIT", False, 10)]
            assert statuses(desk, desk.strategy.sent[0]) == ["Accepted", "Submitted", "Submitted"]
            stand.admin("POST", "faults", kind="partial_fill", share=0.3)
            desk.step(3)
            held = round(desk.position * 1000)
            assert held in (3, 10)
            exits = [row for row in at_venue(desk) if row[1]]
            assert exits == [("LIMIT", True, held), ("STOP_MARKET", True, held)]
            desk.step(3)
            held = round(desk.position * 1000)
            assert [row for row in at_venue(desk) if row[1]] == [
                ("LIMIT", True, held), ("STOP_MARKET", True, held)]
            assert not [a for a in desk.broker.alerts if "taken away" in a]


def test_cancelling_one_part_cancels_the_bracket(stand: Stand, tmp_path: Path):
    script = {1: bracket(exectype=Limit, price=97_000.0), 2: lambda s: s.cancel(s.sent[0][2])}
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step()
        assert at_venue(desk) == [("LIMIT", False, 10)]
        desk.step(2)
        assert not at_venue(desk)
        assert statuses(desk, desk.strategy.sent[0]) == ["Canceled"] * 3


REFUSED = [
    ({"stopexec": bt.Order.Close}, "exit cannot be a Close"),
    ({"stopexec": bt.Order.StopTrail, "stopargs": {"trailamount": 5.0}}, "trailpercent"),
    ({"size": 0.0001}, "below the step"),
    ({"size": 50.0}, "insufficient"),
]


@pytest.mark.parametrize(("how", "words"), REFUSED)
def test_a_bracket_is_refused_as_a_whole(stand: Stand, tmp_path: Path, how: Any, words: str):
    script = {1: lambda s: s.buy_bracket(**{
        "size": 0.01, "exectype": Market, "stopprice": 95_000.0, "limitprice": 101_500.0, **how})}
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step(2)
        assert desk.position == 0.0 and not at_venue(desk)
        orders = desk.strategy.sent[0]
        assert words in orders[0].info.reason.lower() or words in orders[0].info.reason
        assert not any(o.alive() for o in orders)


@pytest.mark.parametrize("filled", [False, True])
def test_a_bracket_outlives_a_restart(stand: Stand, tmp_path: Path, filled: bool):
    entry = {} if filled else {"exectype": Stop, "price": 101_350.0, "limitprice": 101_900.0}
    with trading(stand, tmp_path / "j.db", script={1: bracket(**entry)}) as desk:
        desk.step()
        assert desk.position == (0.01 if filled else 0.0)
    with trading(stand, tmp_path / "j.db") as desk:
        desk.step(3)
        if not filled:
            assert at_venue(desk) == [("LIMIT", True, 10), ("STOP_MARKET", True, 10)]
    with trading(stand, tmp_path / "j.db") as desk:
        desk.step(7)
        assert desk.position == 0.0 and not at_venue(desk) and not desk.broker.working
        assert not [a for a in desk.broker.alerts if "rest" in a and "started" not in a]


def test_one_cancels_the_other(stand: Stand, tmp_path: Path):
    def both(s: Any) -> list[Any]:
        up = s.buy(size=0.01, exectype=Stop, price=101_350.0)
        return [up, s.buy(size=0.01, exectype=Limit, price=97_000.0, oco=up)]

    with trading(stand, tmp_path / "j.db", script={1: both}) as desk:
        desk.step()
        assert at_venue(desk) == [("LIMIT", False, 10), ("STOP_MARKET", False, 10)]
    with trading(stand, tmp_path / "j.db") as desk:  # and over a restart
        desk.step(4)
        assert desk.position == 0.01 and not at_venue(desk)


def test_a_cancelled_member_takes_the_others_along(stand: Stand, tmp_path: Path):
    def three(s: Any) -> list[Any]:
        first = s.buy(size=0.01, exectype=Limit, price=97_000.0)
        return [first, *(s.buy(size=0.01, exectype=Limit, price=97_000.0 + 100 * i, oco=first)
                         for i in (1, 2))]  # fmt: skip

    script = {1: three, 2: lambda s: s.cancel(s.sent[0][1])}
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step()
        assert len(desk.orders()) == 3
        desk.step(2)
        assert not desk.orders()
        assert statuses(desk, desk.strategy.sent[0]) == ["Canceled"] * 3


@pytest.mark.parametrize("restarted", [False, True])
def test_an_order_with_an_end_date(stand: Stand, tmp_path: Path, restarted: bool):
    script = {1: lambda s: s.buy(
        size=0.01, exectype=Limit, price=97_000.0, valid=timedelta(hours=3))}
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step(3)
        assert len(desk.orders()) == 1
        if not restarted:
            desk.step()  # the candle that it may fill in last is over
            assert not desk.orders()
            desk.step()
            assert desk.strategy.sent[0].getstatusname() == "Expired"
            return
    with trading(stand, tmp_path / "j.db") as desk:
        assert len(desk.orders()) == 1
        desk.step()
        assert not desk.orders()


def test_a_stop_of_a_bracket_taken_away_is_put_back(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", script={1: bracket()}) as desk:
        desk.step()
        stand.signed("DELETE", "algoOrder", symbol=SYMBOL, algoId=desk.algos()[0].id)
        desk.step()
        assert at_venue(desk) == [("LIMIT", True, 10), ("STOP_MARKET", True, 10)]
        desk.step(4)
        assert desk.position == 0.0 and not at_venue(desk)
