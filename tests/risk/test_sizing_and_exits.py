"""Sizes, grids and exit steps over made cases."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.risk.exits import break_even_price, rung_size, trailing_stop
from leverpack.risk.sizing import (
    affordable_size,
    confidence_multiplier,
    equity_size,
    guide_size,
    multiple,
    risk_size,
    round_down,
    round_to_tick,
    stake_size,
    tradable_size,
)

STEPS = ("0", "0.00001", "0.0001", "0.001", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "5", "10")


def test_the_guide_divides_by_leverage_and_risks_half() -> None:
    assert guide_size(10_000, 0.01, 50_000, 0.03, 2) == pytest.approx(0.0333, abs=5e-5)
    assert risk_size(10_000, 0.01, 50_000, 0.03) == pytest.approx(0.0667, abs=5e-5)
    assert guide_size(10_000, 0.01, 50_000, 0.03, 2) * 1_500 == pytest.approx(0.005 * 10_000)
    assert risk_size(10_000, 0.01, 50_000, 0.03) * 1_500 == pytest.approx(0.01 * 10_000)


def test_a_stake_is_the_margin() -> None:
    assert stake_size(1.0, 100.0, 50_000.0) * 50_000.0 / 100.0 == pytest.approx(1.0)
    assert equity_size(10_000.0, 0.1, 3.0, 100.0) * 100.0 / 3.0 == pytest.approx(1_000.0)


def test_confidence_scales_in_three_steps() -> None:
    answers = [confidence_multiplier(c, 0.5) for c in (0.49, 0.5, 0.69, 0.70, 0.84, 0.85, 1.0)]
    assert answers == [0.0, 0.3, 0.3, 1.0, 1.0, 1.5, 1.5]
    assert confidence_multiplier(math.nan, 0.0) == 0.0


@given(st.integers(0, 10**9), st.sampled_from(STEPS[1:]))
def test_a_multiple_is_the_decimal_that_a_venue_reads(count: int, step: str) -> None:
    assert multiple(count, float(step)) == float(count * Decimal(step))
    assert round_down(multiple(count, float(step)), float(step)) == multiple(count, float(step))


@given(st.floats(0.0, 1e6), st.sampled_from(STEPS[1:]))
def test_rounding_down_stays_within_a_step_and_never_goes_up(size: float, step: str) -> None:
    rounded = round_down(size, float(step))
    assert rounded <= size * (1 + 1e-9) + 1e-9 * float(step)
    assert size - rounded < float(step) * (1 + 1e-6)


@given(st.floats(1e-3, 1e6), st.sampled_from(STEPS[1:]))
def test_a_price_goes_to_the_nearest_tick(price: float, tick: str) -> None:
    assert abs(round_to_tick(price, float(tick)) - price) <= 0.5000001 * float(tick)


def test_what_is_below_the_minimum_is_refused() -> None:
    assert tradable_size(0.0020, 50_000.0, 0.001, 100.0) == 0.002  # exactly the minimum
    assert tradable_size(0.0019, 50_000.0, 0.001, 100.0) == 0.0
    assert tradable_size(0.00199, 50_000.0, 0.0, 100.0) == 0.0
    assert tradable_size(1.9e-8, 0.5, 0.0, 0.0) == 0.0  # less than venues book
    assert tradable_size(2.1e-8, 0.5, 0.0, 0.0) == 2.1e-8


@given(st.floats(0.0, 1e6), st.floats(1.0, 125.0), st.floats(0.0, 0.001))
def test_what_is_affordable_uses_all_free_margin(free: float, leverage: float, fee: float) -> None:
    size = affordable_size(free, 250.0, leverage, fee)
    assert size * 250.0 / leverage + size * 250.0 * fee == pytest.approx(free, abs=1e-6)


@given(
    st.floats(1e-6, 1e5), st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6),
    st.sampled_from(STEPS),
)  # fmt: skip
def test_a_ladder_closes_the_position_and_never_more(
    total: float, parts: list[float], step: str
) -> None:
    shares = [p / sum(parts) for p in parts]
    before, closed = 0.0, 0.0
    for share in shares:
        size = rung_size(total, before, share, float(step))
        assert size >= 0.0
        before, closed = before + share, closed + size
        assert closed <= total * (1 + 1e-12)
    assert closed == pytest.approx(total, rel=1e-12)


@given(st.sampled_from((1.0, -1.0)), st.lists(st.floats(50.0, 200.0), min_size=2, max_size=30))
def test_a_trailing_stop_never_goes_back(side: float, prices: list[float]) -> None:
    stop, best = 0.0, prices[0]
    for price in prices:
        best = max(best, price) if side > 0 else min(best, price)
        moved = trailing_stop(side, best, 0.05, stop)
        assert stop == 0.0 or side * (moved - stop) >= 0.0
        stop = moved
    assert stop == pytest.approx(best * (1 - side * 0.05))


@given(st.sampled_from((1.0, -1.0)), st.floats(0.0, 0.01), st.floats(0.0, 0.01))
def test_break_even_pays_both_fees(side: float, opened: float, closed: float) -> None:
    price = break_even_price(side, 100.0, opened, closed)
    assert side * (price - 100.0) - 100.0 * opened - price * closed == pytest.approx(0.0, abs=1e-9)
