"""The comparison: each rule explains what it names and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from leverpack.paper.instrument import instrument_for
from leverpack.rehearse.compare import Comparison, compare
from leverpack.rehearse.plan import Outcome, Plan
from leverpack.rehearse.trades import Fill, Payment
from strategies import ConservativeLeverageStrategy
from tests.paper.stand import candles

ROWS = [(100.0 + i, 101.0 + i, 99.0 + i, 100.0 + i) for i in range(12)]
CANDLES = candles(ROWS)
TS = CANDLES.ts.tolist()
GRID = instrument_for(CANDLES, symbol="BTCUSDT", tick="0.1", step="0.001")
PLAN = Plan(ConservativeLeverageStrategy, {}, CANDLES, None, None, None, 1, GRID)


def outcome() -> Outcome:
    fills = [
        Fill(TS[2], 3.0, 102.0, 0.153, "entry"), Fill(TS[4], -3.0, 105.5, 0.15825, "stop"),
        Fill(TS[6], -2.0, 106.0, 0.106, "entry"),
        Fill(TS[8], 2.0, 112.123456, 2.8030864, "liquidation"),
    ]  # fmt: skip
    payments = [Payment(TS[3], -0.0306), Payment(TS[7], 0.01)]
    return Outcome(fills, payments, {ts: 10_000.0 + i for i, ts in enumerate(TS[1:])}, 1)


def with_fill(at: int, **changed: Any) -> Outcome:
    found = outcome()
    found.fills[at] = replace(found.fills[at], **changed)
    return found


def against(live: Outcome) -> Comparison:
    return compare(PLAN, live, outcome())


def whats(found: Comparison) -> set[str]:
    return {d.what for d in found.unexplained}


def test_the_same_leaves_nothing():
    found = against(outcome())
    assert not found.differences
    assert (len(found.live), found.candles) == (2, 11)
    assert set(found.largest.values()) == {0.0}


def test_a_liquidation_told_on_the_grid_is_explained_with_its_profit():
    found = against(with_fill(3, price=112.1))
    assert [(d.what, d.rule) for d in found.differences] == [
        ("price", "price grid"), ("pnl", "price grid"),
    ]  # fmt: skip
    assert found.largest["price"] == pytest.approx(0.023456)


@pytest.mark.parametrize("price", [112.2, 112.0, 112.123457, 112.11])
def test_any_other_price_of_a_liquidation_is_not(price: float):
    assert {"price", "pnl"} <= whats(against(with_fill(3, price=price)))


def test_a_stop_on_another_tick_is_not_explained_by_the_grid():
    """Half a tick off, as the venue would round it, but a stop is on the tick to begin with."""
    tested = with_fill(1, price=105.46)
    found = compare(PLAN, outcome(), tested)
    assert {"price", "pnl"} <= whats(found)


def test_an_open_off_the_grid_is_told_on_it():
    rows = list(ROWS)
    rows[2] = (102.04, 103.0, 101.0, 102.0)
    plan = replace(PLAN, candles=candles(rows))
    found = compare(plan, outcome(), with_fill(0, price=102.04))
    assert {d.rule for d in found.differences} == {"price grid"}


def test_fees_may_lack_what_eight_digits_cannot_say_and_no_more():
    told = outcome()
    told.fills[1] = replace(told.fills[1], fee=0.15825 + 0.9e-8)
    assert [(d.what, d.rule) for d in against(told).differences] == [("fees", "eight digits")]
    told.fills[1] = replace(told.fills[1], fee=0.15825 + 1.1e-8)
    assert whats(against(told)) == {"fees"}


def _drop_fills(o: Outcome) -> None:
    del o.fills[2:]


def _other_side(o: Outcome) -> None:
    o.fills[:2] = [replace(f, size=-f.size) for f in o.fills[:2]]


def _no_funding(o: Outcome) -> None:
    o.payments.pop()


def _equity(o: Outcome) -> None:
    o.equity[TS[5]] += 1e-6
    o.equity[TS[7]] += 1e-3


def _missing_candle(o: Outcome) -> None:
    del o.equity[TS[3]]


def _liquidation(o: Outcome) -> None:
    o.liquidations = 0


@pytest.mark.parametrize(("change", "what"), [
    (_drop_fills, "trade"), (_other_side, "side"), (_no_funding, "funding"),
    (_equity, "equity (and on 1 candles more)"), (_missing_candle, "candles"),
    (_liquidation, "liquidations"),
])  # fmt: skip
def test_what_is_missing_or_changed_is_named(change: Callable[[Outcome], None], what: str):
    live = outcome()
    change(live)
    assert what in whats(against(live))


@pytest.mark.parametrize(("changed", "what"), [
    ({"candle": TS[5]}, "exit candle"), ({"tag": "target"}, "exit by"), ({"size": -2.999}, "size"),
    ({"price": 105.4}, "price"), ({"fee": 0.17}, "fees"),
])  # fmt: skip
def test_a_changed_fill_is_named(changed: dict[str, Any], what: str):
    assert what in whats(against(with_fill(1, **changed)))


def test_trades_are_paired_by_their_entry():
    live = outcome()
    live.fills[:0] = [Fill(TS[1], 1.0, 101.0, 0.05, "entry"), Fill(TS[1], -1.0, 101.0, 0.05, "x")]
    found = against(live)
    assert [(d.what, d.live, d.backtest) for d in found.unexplained] == [("trade", "long", None)]
