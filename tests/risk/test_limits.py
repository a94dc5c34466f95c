"""Every limit tripped and just not; days of UTC; state that survives; the emergency protocol."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leverpack.errors import DataError, SettingError
from leverpack.risk.guide import (
    LEVERAGE_PROGRESSION,
    EmergencyProtocol,
    LeverageMetrics,
    LeverageRiskRules,
)
from leverpack.risk.limits import DAY_MS, LimitBook, Limits
from leverpack.risk.state import FileStore

NOON = 20_000 * DAY_MS + DAY_MS // 2


def cut(limits: Limits, size: float, **changed: float) -> tuple[float, str]:
    situation = {
        "price": 100.0, "stop_distance": 2.0, "leverage": 5.0, "equity": 1_000.0,
        "symbol_notional": 0.0, "gross_notional": 0.0, **changed,
    }  # fmt: skip
    return limits.cut(size, **situation)


SIZES = {
    "max_risk_per_trade": (0.02, {}, 10.0),  # 20 at risk over 2 a unit
    "max_stake": (60.0, {}, 3.0),  # 60 at 5x is 300
    "max_notional_per_trade": (400.0, {}, 4.0),
    "max_notional_per_symbol": (500.0, {"symbol_notional": 200.0}, 3.0),
    "max_gross_exposure": (900.0, {"gross_notional": 500.0}, 4.0),
    "max_portfolio_leverage": (2.0, {"gross_notional": 1_500.0}, 5.0),
}


@pytest.mark.parametrize("name", SIZES)
def test_each_size_limit_cuts_to_itself_and_leaves_what_is_within(name: str) -> None:
    limit, situation, allowed = SIZES[name]
    limits = Limits(**{name: limit})
    assert cut(limits, allowed * 1.001, **situation) == (pytest.approx(allowed), name)
    assert cut(limits, allowed * 0.999, **situation) == (allowed * 0.999, "")
    assert cut(limits, allowed, **situation)[0] == pytest.approx(allowed)
    assert cut(Limits(), 1e9, **situation) == (1e9, "")


def test_nothing_is_left_where_a_limit_is_used_up() -> None:
    limits = Limits(max_gross_exposure=900.0)
    assert cut(limits, 1.0, gross_notional=950.0) == (0.0, "max_gross_exposure")


def test_the_tightest_limit_is_the_one_that_is_named() -> None:
    limits = Limits(max_stake=60.0, max_notional_per_trade=200.0, max_gross_exposure=1_000.0)
    assert cut(limits, 50.0) == (2.0, "max_notional_per_trade")


def test_the_daily_loss_trips_at_its_amount_and_ends_at_midnight() -> None:
    book = LimitBook(Limits(max_daily_loss=50.0))
    assert book.observe(NOON, 1_000.0) == ""
    assert book.observe(NOON + 1, 950.01) == ""
    assert book.objection(0) == ""
    assert "max_daily_loss: 50.00 lost today" in book.observe(NOON + 2, 950.0)
    assert book.observe(NOON + 3, 900.0) == ""  # said once
    assert "max_daily_loss" in book.objection(0)
    midnight = 20_001 * DAY_MS
    book.observe(midnight - 1, 900.0)
    assert book.objection(0)
    book.observe(midnight, 900.0)
    assert book.objection(0) == ""
    assert book.observe(midnight + 1, 851.0) == ""  # the new day counts from 900
    assert book.observe(midnight + 2, 850.0)


def test_daily_trades_count_fills_and_start_anew_at_midnight() -> None:
    book = LimitBook(Limits(max_daily_trades=2))
    book.observe(NOON, 1_000.0)
    book.count_trade()
    assert book.objection(0) == ""
    book.count_trade()
    assert "max_daily_trades: 2 today, 2 allowed" in book.objection(0)
    book.observe(20_001 * DAY_MS, 1_000.0)
    assert book.objection(0) == ""


def test_the_drawdown_trips_from_the_peak_and_stays_until_a_person_resets_it() -> None:
    book = LimitBook(Limits(max_drawdown=0.2))
    for moment, equity in enumerate((1_000.0, 1_500.0, 1_200.5)):
        assert book.observe(NOON + moment, equity) == ""
    assert book.drawdown == pytest.approx(1 - 1_200.5 / 1_500.0)
    assert "max_drawdown: 20.00% below the peak" in book.observe(NOON + 3, 1_200.0)
    book.observe(NOON + 5 * DAY_MS, 1_499.0)
    assert book.objection(0)
    book.reset()
    assert book.objection(0) == ""
    assert book.observe(NOON + 5 * DAY_MS + 1, 1_000.0) == ""  # the peak starts anew


def test_open_positions_are_counted_by_the_caller() -> None:
    book = LimitBook(Limits(max_positions=2))
    book.observe(NOON, 1_000.0)
    assert book.objection(1) == ""
    assert book.objection(2) == "max_positions: 2 open, 2 allowed"


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "limits.json"
    limits = Limits(max_daily_loss=50.0, max_daily_trades=5)
    book = LimitBook(limits, FileStore(path))
    book.observe(NOON, 1_000.0)
    book.count_trade()
    assert book.observe(NOON + 1, 940.0)
    again = LimitBook(limits, FileStore(path))
    assert again.state == book.state
    again.observe(NOON + 2, 1_000.0)
    assert "max_daily_loss" in again.objection(0)
    assert [p.name for p in path.parent.iterdir()] == ["limits.json"]


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_damaged_state_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"limits\.json"):
        LimitBook(Limits(), FileStore(path))


@pytest.mark.parametrize(
    "wrong", [{"max_stake": -1.0}, {"max_drawdown": 1.5}, {"max_risk_per_trade": 2.0}]
)
def test_nonsense_limits_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Limits(**wrong)


# --- the guide's own names ----------------------------------------------------------------------


def test_the_guides_rules_size_by_risk_under_their_caps() -> None:
    assert LEVERAGE_PROGRESSION == {"beginner": 1.5, "intermediate": 2.5, "advanced": 5.0}
    rules = LeverageRiskRules()
    size = rules.calculate_position_size(50_000.0, 48_500.0, 2.0, 10_000.0)
    assert size * 1_500.0 == pytest.approx(0.02 * 10_000.0)
    printed = rules.calculate_position_size(50_000.0, 48_500.0, 2.0, 10_000.0, sizing="guide")
    assert printed == pytest.approx(size / 2.0)
    tight = rules.calculate_position_size(50_000.0, 49_900.0, 20.0, 10_000.0)
    assert tight * 50_000.0 == pytest.approx(2.0 * 10_000.0)  # the portfolio's 2x
    assert rules.calculate_position_size(100.0, 100.0, 2.0, 10_000.0) == 0.0


def test_the_guides_metrics_of_a_position_and_of_none() -> None:
    metrics = LeverageMetrics()
    assert metrics.metrics["margin_level"] is None
    short = SimpleNamespace(size=-2.0, price=110.0)
    metrics.update_metrics(short, 100.0, 400.0, used_margin=50.0, liquidation_price=150.0)
    assert metrics.metrics == {
        "effective_leverage": 0.5, "margin_level": 8.0, "unrealized_pnl": 20.0,
        "liquidation_distance": 0.5,
    }  # fmt: skip
    metrics.update_metrics(None, 100.0, 400.0)
    assert metrics.metrics["liquidation_distance"] == float("inf")
    assert metrics.metrics["effective_leverage"] == 0.0


class Subject:
    """What the protocol asks of a strategy, and what it was told."""

    def __init__(self, ratio: float | None, drawdown: float, volatility: float | None) -> None:
        self.broker = SimpleNamespace(margin_ratio=lambda: ratio)
        self.drawdown, self.volatility = drawdown, volatility
        self.closed: list[str] = []

    def close_everything(self, reason: str) -> None:
        self.closed.append(reason)


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ((0.90, 0.0, 0.01), "margin ratio 90.00%"),
        ((0.1, 0.20, 0.01), "drawdown 20.00%"),
        ((0.1, 0.0, 0.08), "volatility 8.00%"),
        ((0.899, 0.199, 0.0799), ""),
        ((None, 0.0, None), ""),
    ],
)
def test_each_emergency_trigger_at_its_bound_and_under_it(readings: Any, words: str) -> None:
    subject = Subject(*readings)
    protocol = EmergencyProtocol(subject)
    found = protocol.check_emergency_conditions()
    assert words in found
    assert bool(found) == bool(words)
    protocol.execute_emergency_exit(found)
    assert subject.closed == [f"emergency: {found}"]
