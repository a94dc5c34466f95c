"""The leverage guard against a real paper exchange that does not do what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.guard import GuardRefusal, LeverageGuard, Reading
from leverpack.live.store import CCXTStore
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session, walk


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(walk(60))) as held:
        yield held


@pytest.fixture
def guards(stand: Stand) -> Iterator[Any]:
    with ExitStack() as stack:
        store = CCXTStore("binanceusdm", url=stand.url, settings=Settings(), env_file=None)
        stack.enter_context(store)
        yield lambda **how: LeverageGuard(store, **how)


def has(stand: Stand) -> tuple[float, bool]:
    position = stand.session.exchange.books.position(SYMBOL)
    return position.leverage, position.isolated


def test_it_sets_reads_back_and_notes(stand: Stand, guards: Any):
    noted: list[Reading] = []
    guard = guards(note=lambda symbol, reading: noted.append(reading))
    assert guard.settle(UNIFIED, 7.0) == Reading(7.0, "isolated", False)
    assert has(stand) == (7.0, True)
    assert [r.leverage for r in noted] == [20.0, 7.0]
    assert guard.check(UNIFIED, 7.0, 1_000.0).leverage == 7.0


def test_no_need_to_change_is_success(stand: Stand, guards: Any):
    guard = guards()
    guard.settle(UNIFIED, 7.0)
    assert guard.ask("set_margin_mode", ("isolated", UNIFIED, {})) == ""
    assert guard.ask("set_position_mode", (False, UNIFIED)) == ""


def test_hedge_mode_is_taken_back_or_refused(stand: Stand, guards: Any):
    stand.signed("POST", "positionSide/dual", dualSidePosition="true")
    with pytest.raises(GuardRefusal, match="hedge mode"):
        guards(may_set=False).settle(UNIFIED, 20.0)
    assert guards().settle(UNIFIED, 5.0).hedged is False


def test_a_leverage_that_silently_stays(stand: Stand, guards: Any):
    stand.admin("POST", "faults", kind="leverage_stays", count=1)
    guard = guards()
    with pytest.raises(GuardRefusal, match="20x where 3x was decided"):
        guard.settle(UNIFIED, 3.0)
    assert guard.settle(UNIFIED, 3.0).leverage == 3.0


def test_a_margin_mode_that_refuses_to_change(stand: Stand, guards: Any):
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": "0.01",
             "price": "50000", "timeInForce": "GTC"}  # fmt: skip
    stand.signed("POST", "order", **order)
    with pytest.raises(GuardRefusal, match=r"cross margin where isolated.*-4047"):
        guards().settle(UNIFIED, 3.0)


def test_leverage_cannot_be_lowered_on_an_open_isolated_position(stand: Stand, guards: Any):
    guard = guards()
    guard.settle(UNIFIED, 10.0)
    stand.signed("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
    with pytest.raises(GuardRefusal, match=r"10x where 5x was decided.*-4161"):
        guard.settle(UNIFIED, 5.0, 2_000.0)
    assert guard.settle(UNIFIED, 12.0, 2_000.0).leverage == 12.0


def test_a_manual_change_is_refused_once_and_then_settled_anew(stand: Stand, guards: Any):
    guard = guards()
    guard.settle(UNIFIED, 7.0)
    stand.signed("POST", "leverage", symbol=SYMBOL, leverage=50)
    with pytest.raises(GuardRefusal, match="50x where 7x was decided"):
        guard.check(UNIFIED, 7.0, 1_000.0)
    assert guard.check(UNIFIED, 7.0, 1_000.0).leverage == 7.0
    assert has(stand)[0] == 7.0


def test_a_tier_lower_than_asked(stand: Stand, guards: Any):
    guard = guards(max_leverage=200.0)
    table = stand.session.exchange.books.position(SYMBOL).tiers
    asked, notional = table.max_leverages[0], table.caps[0] * 1.5
    with pytest.raises(GuardRefusal, match="tiers allow at a notional"):
        guard.settle(UNIFIED, asked, notional)
    assert has(stand) == (20.0, False)
    assert guard.cap(UNIFIED, notional) == table.max_leverages[1]
    stand.admin("POST", "faults", kind="tier_change", factor=2.0)
    guard.forget_tiers(UNIFIED)
    with pytest.raises(GuardRefusal, match="tiers allow"):
        guard.settle(UNIFIED, asked, 1_000.0)


def test_caps_and_whole_numbers(stand: Stand, guards: Any):
    guard = guards(max_leverage=10.0)
    with pytest.raises(GuardRefusal, match="MAX_LEVERAGE"):
        guard.settle(UNIFIED, 11.0)
    with pytest.raises(GuardRefusal, match="whole numbers"):
        guard.settle(UNIFIED, 2.5)
    assert (guard.settable(2.7), guard.settable(3.0)) == (2.0, 3.0)
    assert has(stand)[0] == 20.0


def test_it_only_checks_where_it_may_not_set(stand: Stand, guards: Any):
    with pytest.raises(GuardRefusal, match="cross margin where isolated"):
        guards(may_set=False).settle(UNIFIED, 20.0)
    assert guards(may_set=False, margin_mode="cross").settle(UNIFIED, 20.0).leverage == 20.0


@pytest.mark.parametrize("kind", ["lost_response", "lost_request", "error_after"])
def test_a_lost_answer_is_settled_by_reading_back(stand: Stand, guards: Any, kind: str):
    rule = {"kind": kind, "method": "POST", "path": "/fapi/v1/leverage"}
    stand.admin("POST", "faults", **rule)
    guard = guards()
    if kind == "lost_request":
        with pytest.raises(GuardRefusal, match="20x where 6x"):
            guard.settle(UNIFIED, 6.0)
    assert guard.settle(UNIFIED, 6.0).leverage == 6.0


def test_an_unknown_margin_mode_is_refused(guards: Any):
    with pytest.raises(SettingError, match="isolated or cross"):
        guards(margin_mode="crossed")
