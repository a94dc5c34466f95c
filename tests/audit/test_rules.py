"""What is called OK, HIGH, MISMATCH, LOW and ERROR, and what an account is exposed to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leverpack.audit.alerting import Alerting
from leverpack.audit.records import Account, Audit, Found, Leg
from leverpack.audit.rules import DEFINITIONS, Decided, judged
from leverpack.errors import SettingError
from leverpack.live.bus import Bus
from leverpack.margin.tiers import TierTable
from leverpack.risk.exposure import breaches, exposure_of, staked_notional
from leverpack.risk.limits import Limits

TIERS = TierTable.flat("BTCUSDT", 0.004, 125.0)
SMALL = TierTable.flat("BTCUSDT", 0.05, 5.0)
AS_DECIDED = {"margin_mode": "isolated", "hedged": False, "tiers": TIERS}


def row(leverage: float | None, decided: Any = None, **more: Any) -> Any:
    found = Found("BTC/USDT:USDT", leverage, **{**AS_DECIDED, **more})
    return judged(found, decided or Decided(10.0, 20.0), 1_000.0)


STATUSES = [
    ("OK", 10.0, {}, ""),
    ("HIGH", 21.0, {}, "leverage 21x above 20x"),
    ("HIGH", 50.0, {"hedged": True}, "leverage 50x above 20x, hedge mode instead of one-way"),
    ("MISMATCH", 20.0, {}, "leverage 20x instead of 10x"),
    ("MISMATCH", 10.0, {"margin_mode": "cross"}, "cross margin instead of isolated"),
    ("MISMATCH", 10.0, {"hedged": True}, "hedge mode instead of one-way"),
    ("LOW", 9.0, {}, "leverage 9x instead of 10x"),
    ("ERROR", None, {}, "the venue names no leverage"),
    ("ERROR", None, {"problem": "gone"}, "gone"),
    ("ERROR", 10.0, {"tiers": None, "tiers_problem": "torn"}, "torn"),
    ("HIGH", 50.0, {"tiers": None, "tiers_problem": "torn"}, "leverage 50x above 20x, torn"),
    ("OK", 5.0, {"tiers": SMALL}, ""),
    ("LOW", 2.0, {"tiers": SMALL}, "leverage 2x instead of 5x"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "leverage", "more", "reason"), STATUSES)
def test_statuses(status: str, leverage: float | None, more: dict[str, Any], reason: str):
    found = row(leverage, **more)
    assert (found.status, found.reason) == (status, reason)


def test_every_status_is_defined_and_the_margin_mode_may_be_left_out():
    assert set(DEFINITIONS) == {case[0] for case in STATUSES}
    anything = Decided(10.0, 20.0, "any")
    assert [row(10.0, anything, margin_mode=m).status for m in ("cross", None)] == ["OK", "OK"]
    unknown = row(10.0, margin_mode=None)
    assert unknown.status == "ERROR"
    assert "--margin-mode any" in unknown.reason


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ((30.0, 20.0), "--target 30 is above --max 20"),
        ((0.5, 20.0), "--target must be 1 or more"),
        ((math.nan, 20.0), "--target must be 1 or more"),
        ((10.0, 20.0, "crossed"), "isolated, cross or any"),
    ],
)
def test_what_cannot_be_decided(how: tuple[Any, ...], words: str):
    with pytest.raises(SettingError, match=words):
        Decided(*how)


def test_effective_leverage_is_of_the_margin_behind_the_position():
    isolated = Leg(0.1, 50_000.0, -300.0, 800.0, 47_500.0)
    cross = Leg(-0.1, 50_000.0, 100.0, None, None)
    found = row(10.0, legs=[isolated])
    assert (found.notional, found.net) == (5_000.0, 5_000.0)
    assert found.effective_leverage == 10.0  # 5,000 over 800 - 300
    assert found.liquidation_distance == 0.05
    account = Account({"A": Found("A", legs=[isolated]), "B": Found("B", legs=[cross])}, 3_000.0)
    assert account.cross_equity == 2_500.0
    assert cross.effective(account.cross_equity) == 2.0
    assert cross.distance is None
    assert cross.effective(0.0) == math.inf
    assert cross.effective(None) is None


def test_the_nearest_leg_of_a_hedged_symbol_counts():
    far = Leg(0.1, 100.0, 0.0, 1.0, 60.0)
    near = Leg(-0.1, 100.0, 0.0, 2.0, 110.0)
    found = row(10.0, legs=[far, near], hedged=True)
    assert (found.liquidation_price, found.liquidation_distance) == (110.0, pytest.approx(0.1))
    assert (found.notional, found.net) == (20.0, 0.0)
    assert found.effective_leverage == 10.0


@pytest.mark.parametrize(("leverage", "notional"), [(10.0, 9_000.0), (20.0, 18_000.0)])
def test_150_positions_of_6_usdt(leverage: float, notional: float):
    assert staked_notional([(6.0, leverage)] * 150) == notional
    held = {f"S{i}": [6.0 * leverage * (1 if i % 3 else -1)] for i in range(150)}
    exposure = exposure_of(held, equity=1_000.0)
    assert exposure.gross == notional
    assert exposure.net == notional / 3
    assert (exposure.positions, exposure.leverage) == (150, notional / 1_000.0)
    limits = Limits(max_gross_exposure=10_000.0, max_portfolio_leverage=15.0)
    assert len(breaches(exposure, limits)) == (0 if leverage == 10.0 else 2)


def test_each_limit_is_passed_above_it_and_not_at_it():
    exposure = exposure_of({"A": [600.0, -100.0], "B": [-300.0]}, equity=500.0)
    at = Limits(max_gross_exposure=1_000.0, max_portfolio_leverage=2.0, max_positions=3,
                max_notional_per_symbol=700.0)  # fmt: skip
    assert breaches(exposure, at) == []
    below = Limits(max_gross_exposure=999.0, max_portfolio_leverage=1.9, max_positions=2,
                   max_notional_per_symbol=699.0)  # fmt: skip
    names = [sentence.partition(":")[0] for sentence in breaches(exposure, below)]
    assert names == [
        "max_gross_exposure", "max_portfolio_leverage", "max_notional_per_symbol", "max_positions",
    ]  # fmt: skip
    assert breaches(exposure, Limits()) == []
    flat = exposure_of({"A": [], "B": [0.0]})
    assert (flat.gross, flat.largest, flat.leverage) == (0.0, "", None)


def test_alerts_last_as_long_as_what_they_are_about():
    heard: list[tuple[str, str]] = []
    bus = Bus()
    bus.subscribe(lambda event, facts: heard.append(
        (event, facts.get("text") or facts.get("symbol", ""))))  # fmt: skip
    alerting = Alerting(bus)

    def look(*rows: Any, breaches: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        heard.clear()
        exposure = exposure_of({})
        alerting.take(
            Audit("binanceusdm", 0, list(rows), exposure, 0.0, 1.0, list(breaches))
        )
        return list(heard)

    high = ("alert", "BTC/USDT:USDT: leverage 50x above 20x")
    assert look(row(50.0)) == [high]
    assert look(row(50.0), breaches=("max_positions: 4",)) == [high, ("alert", "max_positions: 4")]
    assert look(row(9.0)) == [("cleared", "BTC/USDT:USDT"), ("cleared", "")]
    assert look(row(10.0)) == []
