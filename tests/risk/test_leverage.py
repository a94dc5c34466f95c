"""Leverage models by hand-computed numbers, caps by solving the liquidation back."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leverpack.margin.liquidation import liquidation_price
from leverpack.margin.tiers import builtin_tiers
from leverpack.risk.leverage import (
    drawdown_control_leverage,
    guide_leverage,
    kelly_leverage,
    liquidation_distance_cap,
    portfolio_leverage_cap,
    smaller_leverage,
    trend_factor,
    volatility_factor,
    volatility_target_leverage,
)

TIERS = builtin_tiers().at("BTCUSDT")


def test_the_guides_volatility_factor_in_two_units_and_in_one() -> None:
    yearly, daily = 0.60, 0.60 / math.sqrt(365)
    assert daily == pytest.approx(0.0314, abs=5e-5)
    # As printed: a yearly volatility against a daily threshold is over it in any market.
    assert volatility_factor(yearly, 0.02) == 0.5
    assert volatility_factor(0.10, 0.02) == pytest.approx(0.92)
    # In one unit: 2 % a day is 38.2 % a year.
    assert volatility_factor(yearly, 0.02 * math.sqrt(365)) == pytest.approx(0.782, abs=5e-4)
    assert volatility_factor(0.30, 0.02 * math.sqrt(365)) == 1.0


def test_the_guides_dynamic_leverage() -> None:
    assert guide_leverage(2.0, 0.30, 0.382, 30.0, 0.12) == pytest.approx(2.0 * 1.2 * 0.5)
    assert guide_leverage(2.0, 0.482, 0.382, 10.0, 0.06) == pytest.approx(2.0 * 0.9 * 0.8 * 0.8)
    assert guide_leverage(2.0, math.nan, 0.382, 30.0, 0.0) == 0.0
    assert guide_leverage(2.0, 0.3, 0.382, math.nan, 0.0) == 0.0
    assert [trend_factor(x) for x in (25.0, 25.1, 15.0, 14.9)] == [1.0, 1.2, 1.0, 0.8]


def test_models_refuse_what_they_cannot_know() -> None:
    assert volatility_target_leverage(0.04, 0.0) == 0.0
    assert volatility_target_leverage(0.04, math.nan) == 0.0
    assert kelly_leverage(-0.001, 0.0004, 0.5) == 0.0
    assert kelly_leverage(0.001, 0.0, 0.5) == 0.0
    assert kelly_leverage(math.nan, 0.0004, 0.5) == 0.0
    assert smaller_leverage(math.nan, 2.0) == smaller_leverage(2.0, math.nan) == 0.0


def test_full_kelly_maximises_the_growth_of_two_equal_outcomes() -> None:
    # Returns +3 % and -2 % with one half each; growth of leverage f is the mean of log(1 + f*r).
    mean, variance = 0.005, 0.025**2
    asked = kelly_leverage(mean, variance, 1.0)
    growth = {f: math.log(1 + 0.03 * f) + math.log(1 - 0.02 * f) for f in (4, 6, 8, 8.333, 9, 12)}
    best = max(growth, key=lambda f: growth[f])
    assert best == 8.333  # f* = 0.005 / (0.03 * 0.02), exact for this game
    assert asked == pytest.approx(8.0)  # the continuous formula, for small returns


@given(st.floats(0.0, 0.5), st.floats(0.01, 0.9))
@example(2.95396889916732e-214, 0.49856305120978883)  # rounded, this is an ulp over the base
def test_drawdown_control_reaches_zero_at_its_bound(drawdown: float, bound: float) -> None:
    leverage = drawdown_control_leverage(3.0, drawdown, bound)
    assert 0.0 <= leverage <= 3.0
    assert (leverage == 0.0) == (drawdown >= bound)


@given(
    st.sampled_from((1.0, -1.0)), st.floats(0.001, 500.0), st.floats(100.0, 100_000.0),
    st.floats(0.001, 0.2), st.floats(1.0, 4.0), st.sampled_from((0.0, 0.0005)),
)  # fmt: skip
def test_at_the_capped_leverage_liquidation_lies_exactly_that_far(
    side: float, size: float, entry: float, stop: float, stops: float, fee: float
) -> None:
    tiers = (TIERS.caps, TIERS.mmrs, TIERS.cums)
    leverage = liquidation_distance_cap(side, size, entry, stop * entry, stops, *tiers, fee)
    margin = size * entry / leverage
    price = liquidation_price(side, size, entry, margin, *tiers, fee, 0.0, 0.0)
    assert price == pytest.approx(entry - side * stops * stop * entry, rel=1e-9)


def test_the_distance_cap_without_a_stop_or_a_size_is_none() -> None:
    tiers = (TIERS.caps, TIERS.mmrs, TIERS.cums)
    assert liquidation_distance_cap(1.0, 1.0, 100.0, 0.0, 2.0, *tiers, 0.0) == math.inf
    assert liquidation_distance_cap(1.0, 0.0, 100.0, 3.0, 2.0, *tiers, 0.0) == math.inf
    # A long whose stops would reach below zero cannot be liquidated short of that: under 1x.
    assert liquidation_distance_cap(1.0, 1.0, 100.0, 60.0, 2.0, *tiers, 0.0) < 1.0


def test_the_portfolio_cap_counts_what_is_open() -> None:
    assert portfolio_leverage_cap(0.0, 1_000.0, 9e9) == math.inf
    assert portfolio_leverage_cap(2.0, 1_000.0, 1_500.0) == 0.5
    assert portfolio_leverage_cap(2.0, 1_000.0, 2_500.0) == 0.0
    assert portfolio_leverage_cap(2.0, 0.0, 0.0) == 0.0
