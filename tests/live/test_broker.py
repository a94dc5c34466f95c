"""The live broker on a real paper exchange: orders, fills, refusals, lost answers."""

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
from tests.live.desk import HISTORY, Scripted, trading
from tests.paper.stand import SYMBOL, Row, Stand, serving, session

UP: list[Row] = [(100_000.0 + 100 * i, 100_110.0 + 100 * i, 99_990.0 + 100 * i,
                  100_100.0 + 100 * i) for i in range(60)]  # fmt: skip


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP)) as held:
        held.step(10)
        yield held


WRONG = [
    ("okx", {}, "no orders are sent to okx: .* trade on binanceusdm or bybit"),
    ("binanceusdm", {"leverage": 200.0}, "MAX_LEVERAGE"),
    ("binanceusdm", {"on_unknown": "ask"}, "one of stop, adopt, close"),
    ("binanceusdm", {"jornal": "x"}, "did you mean journal"),
]


@pytest.mark.parametrize(("exchange", "params", "words"), WRONG)
def test_wrong_settings(exchange: str, params: dict[str, Any], words: str):
    store = CCXTStore(exchange, settings=Settings(), env_file=None)
    with pytest.raises(SettingError, match=words):
        CCXTLiveBroker(store=store, **params)


def enter(side: int = 1) -> Any:
    return lambda s: s.enter(s.data0, side)


def test_entry_stop_target_and_exit(stand: Stand, tmp_path: Path):
    script = {1: enter()}
    params = {"leverage": 5.0, "stop_loss_pct": 0.02, "take_profit_pct": 0.004, "script": script}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        strategy = desk.strategy
        assert strategy.seen == 0  # no next in the warm-up
        desk.step()
        assert strategy.seen == 1
        books = stand.session.exchange.books
        position = books.position(SYMBOL)
        assert (position.leverage, position.isolated) == (5.0, True)
        assert desk.position == pytest.approx(100.0 / (0.02 * 101_100.0), abs=0.001)
        assert strategy.position.size == desk.position
        assert strategy.position.price == position.entry
        assert [(a.kind, a.reduce_only, a.trigger) for a in desk.algos()] == [
            ("STOP_MARKET", True, pytest.approx(101_100.0 - 0.02 * 101_100.0, abs=0.1))
        ]
        assert [(o.kind, o.reduce_only) for o in desk.orders()] == [("LIMIT", True)]
        broker = desk.broker
        assert broker.getvalue() == pytest.approx(books.account.equity(books.marks), abs=1e-6)
        assert broker.liquidation_price(strategy.data0) == pytest.approx(
            broker.venue_liquidation_price(strategy.data0), abs=1e-6)
        desk.step(4)
        assert strategy.position.size == desk.position == 0.0
        assert not desk.algos() and not desk.orders() and not broker.working
        assert strategy.ends() == [
            ("entry", "Completed"), ("stop", "Canceled"), ("target", "Completed")]
        wallet = books.account.wallet - 10_000.0
        assert strategy.trades == [pytest.approx(wallet, abs=1e-6)]
        assert not broker.alerts
        journal = broker.journal
        assert journal.held("BTC/USDT:USDT") == 0.0
        assert {i["state"] for i in journal.intents()} == {"closed", "canceled"}


def test_a_stop_that_the_market_hits(stand: Stand, tmp_path: Path):
    params = {"stop_loss_pct": 0.002, "leverage": 3.0, "script": {1: enter(-1)}}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step(4)
        assert desk.position == 0.0
        assert ("stop", "Completed") in desk.strategy.ends()
        assert desk.strategy.trades[0] < 0.0
        assert not desk.algos() and not desk.orders()


REFUSED = [
    (lambda s: s.buy(size=0.0001), "below the step"),
    (lambda s: s.buy(size=0.01, exectype=bt.Order.Close), "no counterpart"),
    (lambda s: s.buy(size=0.01, exectype=bt.Order.StopTrail, trailamount=5.0), "trailpercent"),
    (lambda s: s.buy(size=50.0), "insufficient"),
    (lambda s: s.buy(size=0.001, exectype=bt.Order.Limit, price=60_000.0), "minimum of 100"),
    (lambda s: s.sell(size=0.01, reduce_only=True), "nothing left to reduce"),
]


@pytest.mark.parametrize(("act", "words"), REFUSED)
def test_refused_with_the_reason(stand: Stand, tmp_path: Path, act: Any, words: str):
    with trading(stand, tmp_path / "j.db", script={1: act}) as desk:
        desk.step()
        order = desk.strategy.sent[0]
        assert not order.alive()
        assert words in order.info.reason.lower()
        assert desk.position == 0.0 and not desk.orders() and not desk.algos()


def test_every_kind_reaches_the_venue_and_comes_back(stand: Stand, tmp_path: Path):
    kinds = bt.Order
    script = {
        1: lambda s: [
            s.buy(size=0.01, exectype=kinds.Limit, price=90_000.04),
            s.buy(size=0.01, exectype=kinds.Stop, price=120_000.0),
            s.buy(size=0.01, exectype=kinds.StopLimit, price=120_000.0, plimit=120_500.0),
            s.sell(size=0.01, exectype=kinds.StopTrail, trailpercent=0.05),
        ],
        2: lambda s: [s.cancel(o) for o in s.sent[0]],
    }
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step()
        assert [(o.kind, o.price) for o in desk.orders()] == [("LIMIT", 90_000.0)]
        assert sorted(a.kind for a in desk.algos()) == [
            "STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"]
        assert all(o.status == o.Accepted for o in desk.strategy.sent[0])
        desk.step()
        assert not desk.orders() and not desk.algos()
        assert all(o.status == o.Canceled for o in desk.strategy.sent[0])


ORDER = {"method": "POST", "path": "/fapi/v1/order"}
ALGO = {"method": "POST", "path": "/fapi/v1/algoOrder"}


@pytest.mark.parametrize("kind", ["lost_response", "error_after", "malformed", "duplicate"])
@pytest.mark.parametrize("where", [ORDER, ALGO])
def test_a_lost_answer_is_asked_for_and_nothing_is_sent_twice(
    stand: Stand, tmp_path: Path, kind: str, where: dict[str, str]
):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        stand.admin("POST", "faults", kind=kind, **where)
        desk.step(2)
        if kind == "duplicate" and where is ORDER:
            # Two real orders: the venue took the request twice. The books still agree.
            assert desk.strategy.position.size == desk.position
            return
        assert desk.strategy.position.size == desk.position > 0.0
        assert len(stand.session.exchange.books.trades) == 1
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]


def test_an_entry_that_never_arrived_is_given_up(stand: Stand, tmp_path: Path):
    with trading(stand, tmp_path / "j.db", script={1: enter()}) as desk:
        stand.admin("POST", "faults", kind="lost_request", **ORDER)
        desk.step(2)  # Backtrader tells at the next candle
        assert desk.position == 0.0
        assert desk.strategy.ends() == [("entry", "Rejected")]
        assert "lost on the way" in desk.broker.rejections[0]["reason"]


@pytest.mark.parametrize("kind", ["lost_request", "rate_limit", "maintenance"])
def test_a_stop_that_did_not_arrive_is_sent_again(stand: Stand, tmp_path: Path, kind: str):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        stand.admin("POST", "faults", kind=kind, times=2, **ALGO)
        desk.step()
        assert desk.position > 0.0
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]


def test_a_fill_that_the_stream_keeps_quiet_about(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        stand.admin("POST", "faults", kind="partial_fill", share=0.5)
        desk.step(2)
        assert desk.strategy.position.size == desk.position > 0.0
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]
        assert ("entry", "Canceled") in desk.strategy.ends()


def test_a_leverage_that_silently_stays_and_a_manual_change(stand: Stand, tmp_path: Path):
    script = {1: enter(), 2: enter(), 3: lambda s: s.buy(size=0.01)}
    with trading(stand, tmp_path / "j.db", script=script, leverage=4.0) as desk:
        stand.admin("POST", "faults", kind="leverage_stays", count=1)
        desk.step()
        assert desk.position == 0.0
        assert "20x where 4x was decided" in desk.broker.alerts[0]
        assert desk.strategy.refusals[-1]["reason"].startswith("leverage:")
        desk.step()
        assert desk.position > 0.0
        held = desk.position
        stand.signed("POST", "leverage", symbol=SYMBOL, leverage=50)
        desk.step()
        assert desk.position == held
        assert "50x where 4x was decided" in desk.broker.alerts[-1]


def test_the_strategys_leverage_where_the_venue_has_it_already(stand: Stand, tmp_path: Path):
    stand.signed("POST", "leverage", symbol=SYMBOL, leverage=3)
    how = {"script": {1: enter()}, "leverage": 3.0, "broker": {"leverage": 5.0}}
    with trading(stand, tmp_path / "j.db", **how) as desk:
        desk.step(2)
        assert desk.position > 0.0
        assert stand.session.exchange.books.position(SYMBOL).leverage == 3.0
        assert not desk.broker.alerts


def test_closed_by_somebody_else_is_told(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step()
        assert desk.position > 0.0
        stand.admin("POST", "faults", kind="closed_elsewhere")
        desk.step()
        assert desk.strategy.position.size == 0.0
        assert not desk.algos()
        assert len(desk.strategy.trades) == 1
        assert ("somebody else", "Completed") in desk.strategy.ends()


def test_the_switch(stand: Stand, tmp_path: Path):
    switch = tmp_path / "stop"
    script = {1: enter(), 3: lambda s: s.buy(size=0.01, exectype=bt.Order.Limit, price=90_000.0),
              4: lambda s: s.buy(size=0.01)}  # fmt: skip
    how = {"script": script, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", broker={"kill_file": str(switch)}, **how) as desk:
        desk.step(3)
        assert desk.position > 0.0 and len(desk.orders()) == 1
        switch.write_text("1")
        desk.step()
        assert "halted" in desk.strategy.sent[-1].info.reason
        assert len(desk.orders()) == 1
        switch.write_text("2")
        desk.until(lambda: not desk.orders())
        assert len(desk.algos()) == 1
        switch.write_text("3")
        desk.until(lambda: desk.position == 0.0 and not desk.algos() and desk.broker.is_flat)
    with trading(stand, tmp_path / "j.db", script={1: lambda s: s.buy(size=0.01)}) as desk:
        desk.step()
        assert "halted" in desk.strategy.sent[-1].info.reason


def test_no_next_and_no_order_in_the_warm_up(stand: Stand, tmp_path: Path):
    class Eager(Scripted):
        def prenext(self) -> None:
            if len(self) == HISTORY:
                self.sent.append(self.buy(size=0.01))

    with trading(stand, tmp_path / "j.db", strategy=Eager) as desk:
        assert "warm-up" in desk.strategy.sent[0].info.reason
        assert desk.strategy.seen == 0


def test_an_exit_that_the_venue_ends_half_way_goes_on_at_market(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter(-1)}, "stop_loss_pct": 0.002, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step()
        held = -desk.position
        stand.admin("POST", "faults", kind="partial_fill", share=0.4)
        desk.step(4)
        assert desk.position == 0.0 == desk.strategy.position.size
        assert "sent at market" in desk.broker.alerts[0]
        assert ("stop", "Completed") in desk.strategy.ends()
        sizes = [f["size"] for f in desk.broker.journal.fills()]
        assert len(sizes) == 3 and sizes[1] + sizes[2] == pytest.approx(held)


def test_auto_deleveraging_is_told(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step()
        held = desk.position
        stand.admin("POST", "faults", kind="adl")
        desk.step()
        assert desk.position == 0.0 == desk.strategy.position.size and not desk.algos()
        assert ("adl", "Completed") in desk.strategy.ends()  # notify_order
        assert len(desk.strategy.trades) == 1  # notify_trade
        told = desk.broker.liquidations
        assert [(t["kind"], t["amount"]) for t in told] == [("adl", pytest.approx(held))]
        journal = desk.broker.journal
        assert journal.fills()[-1]["reason"] == "adl"
        events = [e for e in journal.rows("events") if e["kind"] == "liquidation"]
        assert len(events) == 1 and "by adl" in events[0]["text"]


def test_a_liquidation_is_told(tmp_path: Path):
    crash = (101_300.0, 101_310.0, 92_000.0, 92_500.0)
    with serving(session([*UP[:13], crash, *[(92_500.0, 92_600.0, 92_400.0, 92_500.0)] * 5])) as s:
        s.step(10)
        script = {1: lambda strategy: strategy.buy(size=0.05)}
        with trading(s, tmp_path / "j.db", script=script, broker={"leverage": 20.0}) as desk:
            desk.step(6)
            assert desk.position == 0.0 == desk.strategy.position.size
            assert ("liquidation", "Completed") in desk.strategy.ends()
            assert len(desk.strategy.trades) == 1
            assert desk.broker.liquidations[0]["kind"] == "liquidation"
            assert "by liquidation" in desk.broker.alerts[0]
