"""Live trading on Bybit's protocol: guard, orders, stops, lost answers, restarts, parity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import backtrader as bt
import ccxt
import pytest

from leverpack.config import Settings
from leverpack.errors import OutcomeUnknown, SettingError, VenueRefused
from leverpack.live.guard import GuardRefusal, LeverageGuard, Reading
from leverpack.live.journal import Journal
from leverpack.live.store import CCXTStore
from leverpack.paper.exchange import Exchange
from leverpack.paper.instrument import instrument_for
from leverpack.paper.orders import PaperSettings
from leverpack.paper.session import Session
from leverpack.paper.tape import Tape
from leverpack.wire import point_at
from tests.cli.test_paper import ended, started
from tests.live.desk import trading as trading_at
from tests.live.test_broker import UP, enter
from tests.live.test_faults import one_run
from tests.live.test_parity import BEFORE, LENGTH, RULES, Turns, backtest
from tests.live.test_processes import QUICK, RULE, running, stopped, trades, wait_for
from tests.live.test_restart import killed_runs
from tests.paper.stand import SYMBOL, UNIFIED, Stand, candles, serving, session, tape, walk


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP, venue="bybit")) as held:
        held.step(10)
        yield held


def trading(stand: Stand, journal: Path, **how: Any) -> Any:
    return trading_at(stand, journal, exchange="bybit", **how)


def break_line(stand: Stand, kind: str, path: str = "/v5/order/create", **how: Any) -> None:
    """A fault of the next POST to ``path``, or of a later one (``after``)."""
    rule = {"kind": kind, "method": "POST", "path": path, **how}
    stand.admin("POST", "faults", **rule)
    assert stand.session.faults.rules[-1].kind == kind


def broke(stand: Stand) -> bool:
    return all(rule.happened for rule in stand.session.faults.rules)


def client(stand: Stand) -> Any:
    keys = {"apiKey": "paper", "secret": "paper", "enableRateLimit": False}
    return point_at(ccxt.bybit(keys), stand.url)


# -- the guard -----------------------------------------------------------------------------------


@pytest.fixture
def guards(stand: Stand) -> Iterator[Any]:
    with ExitStack() as stack:
        store = CCXTStore("bybit", url=stand.url, settings=Settings(), env_file=None)
        stack.enter_context(store)
        yield lambda **how: LeverageGuard(store, **how)


def has(stand: Stand) -> tuple[float, bool]:
    position = stand.session.exchange.books.position(SYMBOL)
    return position.leverage, position.isolated


def test_it_sets_reads_back_and_takes_fractions(stand: Stand, guards: Any):
    guard = guards()
    assert guard.settle(UNIFIED, 7.25) == Reading(7.25, "isolated", False)
    assert has(stand) == (7.25, True)
    assert guard.settable(7.259) == 7.25
    with pytest.raises(GuardRefusal, match=r"steps of 0\.01"):
        guard.settle(UNIFIED, 7.255)
    with pytest.raises(GuardRefusal, match="tiers allow"):
        guard.settle(UNIFIED, 101.0)


def test_not_modified_is_success(guards: Any):
    guard = guards(margin_mode="cross")
    assert [guard.ask("set_leverage", (x, UNIFIED)) for x in (6, 6)] == ["", ""]
    assert guard.ask("set_position_mode", (False, UNIFIED)) == ""
    assert guard.settle(UNIFIED, 6.0) == Reading(6.0, "cross", False)


def test_a_leverage_that_silently_stays(stand: Stand, guards: Any):
    stand.admin("POST", "faults", kind="leverage_stays", count=1)
    guard = guards()
    with pytest.raises(GuardRefusal, match="20x where 3x was decided"):
        guard.settle(UNIFIED, 3.0)
    assert guard.settle(UNIFIED, 3.0).leverage == 3.0


def test_a_margin_mode_that_refuses_to_change(stand: Stand, guards: Any):
    client(stand).create_order(UNIFIED, "limit", "buy", 0.01, 97_000)
    with pytest.raises(GuardRefusal, match=r"cross margin where isolated.*110028"):
        guards().settle(UNIFIED, 3.0)


def test_hedge_mode_is_taken_back_or_refused(stand: Stand, guards: Any):
    client(stand).set_position_mode(True, UNIFIED)
    with pytest.raises(GuardRefusal, match="hedge mode"):
        guards(may_set=False).settle(UNIFIED, 20.0)
    assert guards().settle(UNIFIED, 5.0).hedged is False


@pytest.mark.parametrize("kind", ["lost_response", "error_after"])
def test_a_lost_answer_is_settled_by_reading_back(stand: Stand, guards: Any, kind: str):
    break_line(stand, kind, "/v5/position/set-leverage")
    assert guards().settle(UNIFIED, 6.0).leverage == 6.0
    assert broke(stand)


def test_an_error_of_the_venues_own_system_leaves_the_outcome_open(stand: Stand, guards: Any):
    # HTTP 200 with code 10016: to ccxt a refusal like any other.
    break_line(stand, "error_before", status=200)
    store = guards().store
    with pytest.raises(OutcomeUnknown, match="may have happened"):
        store.write("create_order", UNIFIED, "market", "buy", 0.01)


# -- orders --------------------------------------------------------------------------------------


def test_entry_stop_target_and_exit(stand: Stand, tmp_path: Path):
    params = {"leverage": 5.5, "stop_loss_pct": 0.02, "take_profit_pct": 0.004}
    with trading(stand, tmp_path / "j.db", script={1: enter()}, **params) as desk:
        desk.step()
        books, broker, strategy = stand.session.exchange.books, desk.broker, desk.strategy
        position = books.position(SYMBOL)
        assert (position.leverage, position.isolated) == (5.5, True)
        assert strategy.position.size == desk.position == pytest.approx(0.049, abs=0.002)
        assert strategy.position.price == position.entry
        assert [(a.kind, a.reduce_only) for a in desk.algos()] == [("STOP_MARKET", True)]
        assert [(o.kind, o.reduce_only) for o in desk.orders()] == [("LIMIT", True)]
        assert broker.getvalue() == pytest.approx(books.account.equity(books.marks), abs=1e-6)
        assert broker.get_cash() == pytest.approx(stand.session.exchange.available(), abs=1e-6)
        ours, theirs = (
            broker.liquidation_price(strategy.data0),
            broker.venue_liquidation_price(strategy.data0),
        )
        assert ours == pytest.approx(theirs, abs=1e-6)
        desk.step(5)
        assert strategy.position.size == desk.position == 0.0
        assert not desk.algos() and not desk.orders() and not broker.working
        assert strategy.ends() == [
            ("entry", "Completed"), ("stop", "Canceled"), ("target", "Completed")]
        assert strategy.trades == [pytest.approx(books.account.wallet - 10_000.0, abs=1e-6)]
        assert not broker.alerts


def test_a_stop_that_the_market_hits_keeps_its_id(stand: Stand, tmp_path: Path):
    params = {"stop_loss_pct": 0.002, "leverage": 3.0, "script": {1: enter(-1)}}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step(4)
        assert desk.position == 0.0 == desk.strategy.position.size
        assert ("stop", "Completed") in desk.strategy.ends()
        assert not desk.algos() and not desk.orders() and not desk.broker.alerts


def test_every_kind_reaches_the_venue_and_comes_back(stand: Stand, tmp_path: Path):
    kinds = bt.Order
    script = {
        1: lambda s: [
            s.buy(size=0.01, exectype=kinds.Limit, price=97_000.04),
            s.buy(size=0.01, exectype=kinds.Stop, price=120_000.0),
            s.sell(size=0.01, exectype=kinds.StopLimit, price=90_000.0, plimit=89_500.0),
            s.sell(size=0.01, exectype=kinds.StopTrail, trailpercent=0.05),  # opens
        ],
        2: lambda s: [s.cancel(o) for o in s.sent[0]],
    }
    with trading(stand, tmp_path / "j.db", script=script) as desk:
        desk.step()
        assert [(o.kind, o.price) for o in desk.orders()] == [("LIMIT", 97_000.0)]
        assert sorted((a.kind, a.rises) for a in desk.algos()) == [
            ("STOP", False), ("STOP_MARKET", True)]
        assert "no trailing stop that opens" in desk.strategy.sent[0][3].info.reason
        desk.step(2)
        assert not desk.orders() and not desk.algos() and not desk.broker.working
        assert all(o.status == o.Canceled for o in desk.strategy.sent[0][:3])


@pytest.mark.parametrize("kind", ["lost_response", "error_after", "malformed"])
@pytest.mark.parametrize("after", [0, 1])  # the entry, its stop
def test_a_lost_answer_is_asked_for_and_nothing_is_sent_twice(
    stand: Stand, tmp_path: Path, kind: str, after: int
):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        break_line(stand, kind, after=after)
        desk.step(2)
        assert broke(stand)
        assert desk.strategy.position.size == desk.position > 0.0
        assert len(stand.session.exchange.books.trades) == 1
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]


@pytest.mark.parametrize("kind", ["lost_request", "rate_limit", "maintenance"])
def test_a_stop_that_did_not_arrive_is_sent_again(stand: Stand, tmp_path: Path, kind: str):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        break_line(stand, kind, after=1)
        desk.step()
        assert broke(stand)
        assert desk.position > 0.0
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]


def test_a_fill_in_parts_that_the_stream_keeps_quiet_about(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        stand.admin("POST", "faults", kind="partial_fill", share=0.5)
        desk.step(2)
        assert desk.strategy.position.size == desk.position > 0.0
        assert [a.units for a in desk.algos()] == [round(desk.position * 1000)]
        assert ("entry", "Canceled") in desk.strategy.ends()


def trail(percent: float) -> Any:
    return lambda s: s.sell(size=s.position.size, exectype=bt.Order.StopTrail,
                            trailpercent=percent, reduce_only=True, tag="trail")  # fmt: skip


def test_a_trailing_stop_is_followed_from_here_over_restarts_too(tmp_path: Path):
    top = UP[18][3]
    rows = [*UP[:19], (top, top, top - 2_000.0, top - 1_500.0), *[(top - 1_500.0,) * 4] * 4]
    path = tmp_path / "j.db"
    with serving(session(rows, venue="bybit")) as s:
        s.step(10)
        script = {1: lambda x: x.buy(size=0.02), 2: trail(0.01)}
        with trading(s, path, script=script) as desk:
            desk.step(2)
            sent = desk.algos()[0]
            ident, first = sent.id, sent.trigger
            assert (sent.kind, sent.reduce_only) == ("STOP_MARKET", True)
            desk.step(2)
            after = [(a.id, a.trigger) for a in desk.algos()]
            close = s.session.exchange.tapes[SYMBOL].candles.high[13]
            assert after == [(ident, pytest.approx(0.99 * close, abs=0.1))]
            assert after[0][1] > first
        with trading(s, path) as desk:
            desk.step(3)
            best = s.session.exchange.tapes[SYMBOL].candles.high[16]
            assert desk.algos()[0].trigger == pytest.approx(0.99 * best, abs=0.1)
            desk.step(5)
            assert desk.position == 0.0 == desk.strategy.position.size
            assert not desk.algos() and not desk.broker.working and not desk.broker.alerts


def test_a_trailing_stop_that_the_market_has_passed_leaves_at_market(tmp_path: Path):
    at = UP[11][3]
    spike = (at, at + 3_000.0, at, at + 500.0)  # 1 % behind its top is above its close
    with serving(session([*UP[:12], UP[12], spike, *[(at + 500.0,) * 4] * 4], venue="bybit")) as s:
        s.step(10)
        script = {1: lambda x: x.buy(size=0.02), 2: trail(0.01)}
        with trading(s, tmp_path / "j.db", script=script) as desk:
            desk.step(3)
            assert desk.position > 0.0
            desk.step(2)
            assert desk.position == 0.0 == desk.strategy.position.size
            assert not desk.algos() and not desk.broker.working
            assert ("trail", "Completed") in desk.strategy.ends()


def test_an_exit_that_the_venue_ends_half_way_goes_on_at_market(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter(-1)}, "stop_loss_pct": 0.002, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step()
        held = -desk.position
        stand.admin("POST", "faults", kind="partial_fill", share=0.4)
        desk.step(4)
        assert desk.position == 0.0 == desk.strategy.position.size
        assert "sent at market" in desk.broker.alerts[0]
        sizes = [f["size"] for f in desk.broker.journal.fills()]
        assert len(sizes) == 3 and sizes[1] + sizes[2] == pytest.approx(held)


def test_closed_by_somebody_else_is_told(stand: Stand, tmp_path: Path):
    params = {"script": {1: enter()}, "take_profit_pct": 0.0}
    with trading(stand, tmp_path / "j.db", **params) as desk:
        desk.step()
        stand.admin("POST", "faults", kind="closed_elsewhere")
        desk.step()
        assert desk.strategy.position.size == 0.0 == desk.position
        assert ("somebody else", "Completed") in desk.strategy.ends()


def test_a_liquidation_is_told(tmp_path: Path):
    crash = (101_300.0, 101_310.0, 92_000.0, 92_500.0)
    rows = [*UP[:13], crash, *[(92_500.0, 92_600.0, 92_400.0, 92_500.0)] * 5]
    with serving(session(rows, venue="bybit")) as s:
        s.step(10)
        script = {1: lambda strategy: strategy.buy(size=0.05)}
        with trading(s, tmp_path / "j.db", script=script, broker={"leverage": 20.0}) as desk:
            desk.step(6)
            assert desk.position == 0.0 == desk.strategy.position.size
            assert ("liquidation", "Completed") in desk.strategy.ends()
            assert desk.broker.liquidations[0]["kind"] == "liquidation"


def test_margin_is_added_and_funding_is_booked_with_its_sign(tmp_path: Path):
    funding = [(12, 0.001), (13, -0.0004)]
    with serving(session(UP, venue="bybit", funding=funding)) as s:
        s.step(10)
        script = {1: lambda x: x.buy(size=0.05), 2: lambda x: x.broker.add_margin(x.data0, 25.0)}
        with trading(s, tmp_path / "j.db", script=script) as desk:
            books = s.session.exchange.books
            desk.step(2)
            before = desk.broker.markets[desk.strategy.data0].state.margin
            desk.step(4)
            desk.until(lambda: desk.broker.account.costs.funding != 0.0)
            costs = books.account.costs
            assert desk.broker.account.costs.funding == pytest.approx(costs.funding, abs=1e-6)
            assert costs.funding < 0.0
            margin = desk.broker.markets[desk.strategy.data0].state.margin
            assert margin == pytest.approx(books.position(SYMBOL).margin, abs=1e-6)
            assert margin != before
            assert not desk.broker.alerts


# -- restarts ------------------------------------------------------------------------------------


def test_position_and_stop_are_taken_over(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    with trading(stand, path, script={1: enter()}, take_profit_pct=0.0) as desk:
        desk.step()
        held = desk.position
    with trading(stand, path) as desk:
        assert desk.strategy.position.size == held > 0.0
        assert not desk.broker.alerts
        assert [w.request.conditional for w in desk.broker.working.values()] == [True]
        assert len(desk.broker.journal.fills(UNIFIED)) == 1


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
    other = client(stand)
    other.set_margin_mode("isolated")
    other.create_order(UNIFIED, "market", "buy", 0.02)  # somebody's, before this journal
    other.create_order(UNIFIED, "market", "sell", 0.02, None, {"reduceOnly": True})
    if arrived:
        other.create_order(UNIFIED, "market", "buy", 0.01, None, {"clientOrderId": client_id})
    with trading(stand, path) as desk:
        assert desk.strategy.position.size == desk.position == (0.01 if arrived else 0.0)
        intent = desk.broker.journal.intents()[0]
        assert intent["state"] == ("closed" if arrived else "refused")
        assert len(desk.broker.journal.fills(UNIFIED)) == int(arrived)


def test_what_it_did_not_make(stand: Stand, tmp_path: Path):
    other = client(stand)
    other.create_order(UNIFIED, "market", "buy", 0.01)
    other.create_order(UNIFIED, "limit", "buy", 0.01, 97_000)
    stop = {"stopLossPrice": 90_000, "reduceOnly": True}
    other.create_order(UNIFIED, "market", "sell", 0.01, None, stop)
    how = {"margin_mode": "cross"}
    with pytest.raises(VenueRefused, match=r"holds 0\.01 where the journal knows of 0"), trading(
        stand, tmp_path / "a.db", broker=how
    ):
        pass
    with trading(stand, tmp_path / "b.db", broker={**how, "on_unknown": "adopt"}) as desk:
        assert desk.strategy.position.size == 0.01
        told = [a for a in desk.broker.alerts if "somebody else rests" in a]
        assert len(told) == 2  # each once
    with trading(stand, tmp_path / "c.db", broker={**how, "on_unknown": "close"}) as desk:
        desk.step()
        assert desk.position == 0.0 == desk.strategy.position.size
        assert not desk.orders() and not desk.algos()


# -- the run as a whole --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", [RULES[0], *(pytest.param(rule, marks=pytest.mark.slow) for rule in RULES[1:])]
)
def test_same_trades_as_in_the_backtest(tmp_path: Path, params: dict[str, Any]):
    with serving(session(walk(LENGTH, swing=0.004), venue="bybit")) as stand:
        stand.step(BEFORE)
        with trading(stand, tmp_path / "j.db", strategy=Turns, **params) as desk:
            desk.step(LENGTH - BEFORE - 1)
            live, alerts = desk.strategy, desk.broker.alerts
        tested = backtest(stand, params)
    assert not alerts
    assert len(live.trades) > 10
    for (pnl, fee), (wanted_pnl, wanted_fee) in zip(live.trades, tested.trades, strict=False):
        assert (pnl, fee) == pytest.approx((wanted_pnl, wanted_fee), abs=1e-5)
    assert 0 <= len(tested.trades) - len(live.trades) <= 1
    assert live.equity == pytest.approx(tested.equity[: len(live.equity)], rel=1e-4)


def test_two_symbols_in_one_run(tmp_path: Path):
    other = candles(UP, symbol="ETHUSDT")
    tapes = [tape(UP), Tape(instrument_for(other), other)]
    limits = {"weight_limit": 0, "order_limit_minute": 0, "order_limit_10s": 0}
    held = Session(Exchange(PaperSettings(venue="bybit", **limits), tapes))
    with serving(held) as s:
        s.step(10)
        script = {1: lambda x: [x.buy(data=d, size=0.01 * (i + 1)) for i, d in enumerate(x.datas)]}
        symbols = (UNIFIED, "ETH/USDT:USDT")
        with trading(s, tmp_path / "j.db", script=script, symbols=symbols) as desk:
            desk.step(2)
            broker = desk.broker
            assert [broker.getposition(d).size for d in desk.strategy.datas] == [0.01, 0.02]
            assert [m.state.size for m in broker.markets.values()] == [0.01, 0.02]


def test_mixed_faults(tmp_path: Path):
    assert one_run(tmp_path, 3, "bybit") > 0


@pytest.mark.slow
def test_killed_and_restarted(tmp_path: Path):
    assert killed_runs(tmp_path, 10, 5, "bybit") > 0


def test_other_markets_than_linear_perpetuals_are_not_there(stand: Stand):
    with CCXTStore("bybit", url=stand.url, settings=Settings(), env_file=None) as store:
        assert store.contracts() == [UNIFIED]
        with pytest.raises(SettingError, match="no symbol"):
            store.market("BTC/USDT")


@pytest.mark.slow
def test_as_separate_processes(tmp_path: Path):
    paper, url, _ = started(
        "--symbol", "BTC/USDT:USDT", "--from", "2025-03-01", "--speed", "18000",
        "--venue", "bybit",
    )  # fmt: skip
    (tmp_path / "often.py").write_text(RULE)
    command = ("-m", "leverpack", "live", "--venue", "bybit", "--symbol", "BTC/USDT:USDT",
               "--strategy", "often.py", "--history", "20", "--url", url, *QUICK,
               "--param", "leverage=2.5")  # fmt: skip
    try:
        with running(*command, cwd=tmp_path) as process:
            wait_for(lambda: trades(url) > 0.0, process)
            said = stopped(process)
    finally:
        ended(paper)
    assert "live at CCXTStore('bybit'" in said and "ended: equity" in said
    with Journal(tmp_path / "leverpack-live.db") as journal:
        assert journal.rows("leverage")[-1]["leverage"] == 2.5
        assert journal.fills(UNIFIED)
