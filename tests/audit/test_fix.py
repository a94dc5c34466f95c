"""300 symbols scattered by hand: all found, all mended that can be, in the fewest requests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from leverpack.audit.fixing import Fixer
from leverpack.audit.rules import HIGH, LOW, MISMATCH, OK
from tests.audit.desk import auditing, leverages, requests, scatter, standing, unified
from tests.paper.stand import Stand

READS = {
    "GET /fapi/v1/symbolConfig": 1, "GET /fapi/v1/leverageBracket": 1,
    "GET /fapi/v3/positionRisk": 1, "GET /fapi/v1/positionSide/dual": 1, "GET /fapi/v3/account": 1,
}  # fmt: skip
SILENT = ("MADE011USDT", "MADE012USDT")  # the venue confirms, and does nothing
OPEN, RESTING, POOR = "MADE013USDT", "MADE014USDT", "MADE015USDT"


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with standing(300) as held:
        yield held


def status_of(leverage: float) -> str:
    return HIGH if leverage > 20 else MISMATCH if leverage > 10 else LOW if leverage < 10 else OK


def test_all_are_found_in_five_requests_and_fixed_with_one_each(stand: Stand):
    has = scatter(stand)
    differ = [s for s, x in has.items() if x != 10.0]
    assert len(differ) > 200
    with auditing(stand) as auditor:
        before = auditor.look()
        assert requests(stand) == READS
        assert {r.symbol: (r.leverage, r.status) for r in before.rows} == {
            unified(s): (x, status_of(x)) for s, x in has.items()
        }
        steps = Fixer(auditor).plan(before)
        assert len(steps) == len(differ)
        after = Fixer(auditor).fix(steps)
        assert requests(stand) == {
            "POST /fapi/v1/leverage": len(differ), "GET /fapi/v1/symbolConfig": 1,
        }  # fmt: skip
    assert all(step.done for step in steps)
    assert after.in_bounds
    assert set(leverages(stand).values()) == {10.0}


def trouble(stand: Stand) -> None:
    """Five symbols that will not be mended, each for a reason of its own but two."""
    for symbol in SILENT:
        stand.signed("POST", "leverage", symbol=symbol, leverage=50)
        stand.admin("POST", "faults", kind="leverage_stays", symbol=symbol, count=1)
    stand.signed("POST", "leverage", symbol=OPEN, leverage=50)
    buy = {"side": "BUY", "type": "MARKET"}
    assert stand.signed("POST", "order", symbol=OPEN, quantity="0.01", **buy).status == 200
    for symbol in (RESTING, POOR):
        stand.signed("POST", "marginType", symbol=symbol, marginType="CROSSED")
    rest = {"side": "BUY", "type": "LIMIT", "price": "97000", "timeInForce": "GTC"}
    assert stand.signed("POST", "order", symbol=RESTING, quantity="0.01", **rest).status == 200
    stand.signed("POST", "leverage", symbol=POOR, leverage=50)
    assert stand.signed("POST", "order", symbol=POOR, quantity="20", **buy).status == 200


def test_five_that_refuse_are_reported_and_the_others_are_fixed(stand: Stand):
    with auditing(stand) as auditor:
        scatter(stand, seed=11)
        trouble(stand)
        steps = Fixer(auditor).plan(auditor.look())
        after = Fixer(auditor).fix(steps)
    failed = {s.row.symbol: s.outcome for s in steps if not s.done}
    assert set(failed) == {unified(s) for s in (*SILENT, OPEN, RESTING, POOR)}
    for symbol in SILENT:
        assert failed[unified(symbol)].endswith("nothing was refused, and yet it stayed")
    assert "-4161" in failed[unified(OPEN)]
    assert "cross margin instead of isolated" in failed[unified(RESTING)]
    assert "(-4047)" in failed[unified(RESTING)]
    assert "(-2028)" in failed[unified(POOR)]
    assert "(-4048)" in failed[unified(POOR)]
    assert [r.symbol for r in after.rows if r.status != OK] == [
        r.symbol for r in after.rows if r.symbol in failed
    ]
    really = leverages(stand)
    assert {s for s, x in really.items() if x != 10.0} == {*SILENT, OPEN, POOR}


def test_the_leverage_of_an_open_isolated_position_is_never_asked_to_be_lowered(stand: Stand):
    with auditing(stand, symbols=[unified(OPEN)]) as auditor:
        steps = Fixer(auditor).plan(auditor.look())
        assert [s.calls for s in steps] == [[]]
        requests(stand)
        Fixer(auditor).fix(steps)
        assert requests(stand) == {}


def test_hedge_mode_is_ended_once_for_all_symbols():
    with standing(12, hedged=True) as stand, auditing(stand) as auditor:
        audit = auditor.look()
        assert {(r.status, r.position_mode) for r in audit.rows} == {(MISMATCH, "hedge")}
        requests(stand)
        after = Fixer(auditor).fix(Fixer(auditor).plan(audit))
        assert after.in_bounds
        assert requests(stand) == {
            "POST /fapi/v1/positionSide/dual": 1, "GET /fapi/v1/positionSide/dual": 1,
            "GET /fapi/v1/symbolConfig": 1,
        }  # fmt: skip


def test_a_refusal_for_the_whole_account_is_every_symbols_reason():
    with standing(3, hedged=True) as stand, auditing(stand) as auditor:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        assert stand.signed("POST", "order", positionSide="LONG", **order).status == 200
        steps = Fixer(auditor).plan(auditor.look())
        Fixer(auditor).fix(steps)
        assert all("(-4068)" in s.outcome for s in steps)
        assert len(steps) == 3


def test_margin_mode_any_is_not_compared_and_not_set():
    with standing(4, isolated=False) as stand:
        with auditing(stand) as auditor:
            assert {r.status for r in auditor.look().rows} == {MISMATCH}
        with auditing(stand, margin_mode="any", target=5.0) as auditor:
            audit = auditor.look()
            assert {(r.status, r.margin_mode) for r in audit.rows} == {(MISMATCH, "cross")}
            requests(stand)
            assert Fixer(auditor).fix(Fixer(auditor).plan(audit)).in_bounds
            assert "POST /fapi/v1/marginType" not in requests(stand)


def test_the_venues_limits_are_kept_while_several_are_set_at_once():
    with standing(16) as stand, auditing(stand, enableRateLimit=True, target=12.0) as auditor:
        steps = Fixer(auditor).plan(auditor.look())
        began = time.monotonic()
        assert Fixer(auditor).fix(steps).in_bounds
        assert time.monotonic() - began >= 15 * 0.05  # ccxt: 20 requests of weight 1 a second
        assert len(steps) == 16
