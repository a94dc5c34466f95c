"""A run that is stopped and started again does what it would have done without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverpack.live.journal import Journal
from strategies import LeverageStrategy
from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import SYMBOL, UNIFIED, Row, Stand, serving, session

FLAT = 100_000.0


def wave(count: int) -> list[Row]:
    """Up 2 % in ten candles, down in ten."""
    rows, last = [], FLAT
    for i in range(count):
        close = round(last * (1.002 if i % 20 < 10 else 0.998), 1)
        rows.append((last, max(last, close) + 30.0, min(last, close) - 30.0, close))
        last = close
    return rows


class Regular(LeverageStrategy):
    """Long at every eighth candle by the clock, so that it does not matter when it was started."""

    params = (("heard", None),)

    def signal(self, data: Any) -> int:
        return 1 if round(data.datetime[0] * 24.0) % 8 == 0 else 0

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed and self.p.heard is not None:
            self.p.heard.append(round(trade.pnlcomm, 6))


RULES = {
    "stop and target": {"stop_loss_pct": 0.01, "take_profit_pct": 0.012},
    "trailing": {"stop_loss_pct": 0.01, "targets": ((0.004, 0.3),), "trail_pct": 0.008},
    "break-even": {"stop_loss_pct": 0.01, "targets": ((0.004, 0.5),), "break_even": True},
    "ladder": {"stop_loss_pct": 0.01, "targets": ((0.003, 0.3), (0.006, 0.3), (0.009, 0.4))},
    "time": {"stop_loss_pct": 0.03, "take_profit_pct": 0.0, "max_bars": 5},
}
STEPS = 40


@contextmanager
def ready() -> Iterator[Stand]:
    with serving(session(wave(STEPS + 20))) as stand:
        stand.step(10)
        yield stand


def fills(stand: Stand) -> list[tuple[int, int, float]]:
    return [(t.sign, t.units, t.price) for t in stand.session.exchange.books.trades]


@pytest.mark.parametrize("rule", RULES)
def test_the_same_trades_with_restarts_and_without(tmp_path: Path, rule: str):
    closed: list[float] = []
    how = {"strategy": Regular, "leverage": 3.0, **RULES[rule]}
    with ready() as stand, trading(stand, tmp_path / "a.db", heard=closed, **how) as desk:
        desk.step(STEPS)
        expected = fills(stand)
    assert len(expected) > 4 and closed
    again: list[float] = []
    with ready() as stand:
        for steps in (8, 1, 1, 2, 1, 3, 8, 1, 15):
            with trading(stand, tmp_path / "b.db", heard=again, **how) as desk:
                desk.step(steps)
                assert not [a for a in desk.broker.alerts if "started again" not in a]
        assert fills(stand) == expected
        # What closes in a run's last candle is told at the next one, which that run has not.
        assert again and set(again) <= set(closed)
        assert not [o for o in desk.algos() if not desk.position]


def test_only_what_is_missing_is_rested_again(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        how: dict[str, Any] = {"stop_loss_pct": 0.02, "targets": ((0.01, 0.5), (0.02, 0.5))}
        with trading(stand, tmp_path / "j.db", script={1: enter()}, **how) as desk:
            desk.step()
            there = {o.id for o in (*desk.algos(), *desk.orders())}
            assert len(there) == 4
        script = {1: lambda s: s.leave(s.data0, "by hand")}  # the strategy can move it all
        with trading(stand, tmp_path / "j.db", script=script, **how) as desk:
            assert {o.id for o in (*desk.algos(), *desk.orders())} == there
            plan = next(iter(desk.strategy._plans.values()))
            assert [r.stop is not None and r.target is not None for r in plan.rungs] == [True, True]
            desk.step()
            assert desk.position == 0.0 and not desk.algos() and not desk.orders()


def forget(path: Path, change: Any) -> None:
    """Let the journal be as a run leaves it that is killed in the midst of a step."""
    with Journal(path) as journal:
        change(journal)


def test_killed_between_the_fill_and_its_stop(tmp_path: Path):
    """The fill is noted, and neither stop nor target was sent."""
    with serving(session(UP)) as stand:
        stand.step(10)
        path, how = tmp_path / "j.db", {"stop_loss_pct": 0.02, "take_profit_pct": 0.05}
        with trading(stand, path, script={1: enter()}, **how) as desk:
            desk.step()
            units = round(desk.position * 1000)
        exchange = stand.session.exchange
        trigger = exchange.desk.algos.of(SYMBOL)[0].trigger
        exchange.desk.cancel_algo(exchange.desk.algos.of(SYMBOL)[0])
        exchange.desk.cancel_all(SYMBOL)

        def before_the_stop(journal: Journal) -> None:
            journal._do("DELETE FROM intents WHERE reduce_only = 1")
            saved = journal.state("strategy 0").load()
            assert saved is not None
            saved["plans"][0] |= {"filled": 0.0, "heard": 0.0, "price": 0.0}
            journal.state("strategy 0").save(saved)

        forget(path, before_the_stop)
        with trading(stand, path, **how) as desk:
            assert [(a.units, a.trigger) for a in desk.algos()] == [(units, trigger)]
            assert [o.units for o in desk.orders()] == [units]
            assert not [a for a in desk.broker.alerts if "stops rest" in a]


def test_killed_between_new_stops_and_taking_the_old_ones_away(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        path, how = tmp_path / "j.db", {"stop_loss_pct": 0.02, "take_profit_pct": 0.0}
        def again(strategy: Any) -> None:
            plan = next(iter(strategy._plans.values()))
            strategy._send_stop(plan, plan.rungs[0], plan.filled, 0.0)

        with trading(stand, path, script={1: enter(), 2: again}, **how) as desk:
            desk.step(2)
            assert len(desk.algos()) == 2
        with trading(stand, path, **how) as desk:
            desk.until(lambda: len(desk.algos()) == 1)
            work = next(iter(desk.broker.working.values()))
            assert desk.algos()[0].client_id == work.client_id


def test_a_plan_without_its_entry_is_dropped(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        path = tmp_path / "j.db"
        with trading(stand, path, script={1: enter()}, take_profit_pct=0.0) as desk:
            desk.step()
        stand.signed("DELETE", "allOpenOrders", symbol=SYMBOL)
        stand.admin("POST", "faults", kind="closed_elsewhere")
        with trading(stand, path) as desk:
            assert not desk.strategy._plans and desk.position == 0.0
            desk.until(lambda: not desk.algos())
            saved = desk.broker.journal.state("strategy 0").load()
            assert saved == {"plans": []}


def test_the_journal_keeps_what_an_order_was_for(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db", script={1: enter()}) as desk:
            desk.step()
            rows = desk.broker.journal.intents()
            infos = [json.loads(r["request"])["info"] for r in rows if r["symbol"] == UNIFIED]
        assert [i.get("rung") for i in infos] == [None, 0, 0]
        assert len({i["plan"] for i in infos}) == 1 and {i["feed"] for i in infos} == {0}
