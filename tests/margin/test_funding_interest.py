"""Funding, interest and the ratios: worked figures and the edges that cost money."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.margin.funding import (
    BINANCE_GRACE_S,
    continuous_funding_cash,
    funding_between,
    funding_cash,
    funding_is_due,
)
from leverpack.margin.interest import (
    binance_interest,
    borrowed_amount,
    clock_hours,
    kraken_opening_fee,
    kraken_rollover,
    rollover_periods,
    round_up_to_step,
    started_hours,
)
from leverpack.margin.ratios import (
    available_margin,
    initial_margin,
    initial_margin_with_close_fee,
    margin_level,
    margin_ratio,
    margin_trade_profit,
    return_on_margin,
    round_trip_fees,
)

HOUR = 3600.0


def at(hour: float, minute: float = 0.0, second: float = 0.0) -> float:
    return 1_700_006_400.0 + hour * HOUR + minute * 60.0 + second  # a midnight UTC


# -- funding -------------------------------------------------------------------------------------


def test_longs_pay_a_positive_rate_and_shorts_earn_it() -> None:
    assert funding_cash(1.0, 2.0, 1_000.0, 0.001) == -2.0
    assert funding_cash(-1.0, 2.0, 1_000.0, 0.001) == 2.0
    assert funding_cash(1.0, 2.0, 1_000.0, -0.001) == 2.0


def test_a_missing_mark_is_never_zero_cash() -> None:
    assert math.isnan(funding_cash(1.0, 2.0, math.nan, 0.001))
    window = ((at(0), at(8)), (100.0, math.nan), (0.001, 0.001))
    assert math.isnan(funding_between(1.0, 1.0, *window, at(0), at(8), 0.0))
    assert funding_between(1.0, 1.0, *window, at(0), at(7), 0.0) == -0.1  # not needed then


@pytest.mark.parametrize(
    ("late", "grace", "due"),
    [(0.0, 0.0, True), (1.0, 0.0, False), (14.0, 15.0, True), (15.0, 15.0, False)],
)
def test_the_grace_after_a_settlement(late: float, grace: float, due: bool) -> None:
    assert funding_is_due(at(8), at(8, second=late), at(9), grace) is due
    assert BINANCE_GRACE_S == 15.0


def test_a_settlement_at_the_close_counts() -> None:
    assert funding_is_due(at(8), at(1), at(8), 0.0)
    assert not funding_is_due(at(8), at(1), at(8) - 1.0, 0.0)


@given(st.floats(0.0, 1e4), st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=9))
def test_funding_is_a_transfer_between_the_sides(size: float, rates: list[float]) -> None:
    times = tuple(at(8.0 * i) for i in range(len(rates)))
    marks = tuple(100.0 + i for i in range(len(rates)))
    ends = (times[0], times[-1], 0.0)
    long = funding_between(1.0, size, times, marks, tuple(rates), *ends)
    short = funding_between(-1.0, size, times, marks, tuple(rates), *ends)
    assert long == -short
    # Two windows that meet between settlements add up to the whole.
    half = times[len(times) // 2] - 1.0
    parts = [funding_between(1.0, size, times, marks, tuple(rates), a, b, 0.0)
             for a, b in ((times[0], half), (half, times[-1]))]  # fmt: skip
    assert math.fsum(parts) == pytest.approx(long, abs=1e-12 * (1 + size * 1e3))


def test_continuous_funding_takes_the_share_held() -> None:
    assert continuous_funding_cash(1.0, 10.0, 2.0, 0.001, 0.25) == pytest.approx(-0.005)
    assert math.isnan(continuous_funding_cash(1.0, 10.0, 2.0, 0.001, 1.5))


# -- interest ------------------------------------------------------------------------------------


def test_binance_charges_clock_hours_touched() -> None:
    hours = clock_hours(at(13, 20), at(14, 15))
    assert hours == 2
    assert binance_interest(1_000.0, 0.00001, hours) == pytest.approx(0.02, abs=1e-12)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (at(13, 20), at(13, 20), 1),
        (at(13, 59, 59), at(14), 2),
        (at(13), at(13, 59, 59), 1),
        (at(13), at(14), 2),
        (at(0), at(24), 25),
        (at(13), at(12), 0),
    ],
)
def test_clock_hours(start: float, end: float, hours: int) -> None:
    assert clock_hours(start, end) == hours


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_clock_hours_never_below_the_started_hours(start: float, held: float) -> None:
    touched, started = clock_hours(start, start + held), started_hours(held / HOUR)
    assert started <= touched <= started + 1


def test_started_hours() -> None:
    assert [started_hours(h) for h in (0.0, 0.1, 1.0, 4.9, 5.0)] == [0, 1, 1, 5, 5]


def test_what_is_borrowed() -> None:
    assert borrowed_amount(1.0, 2.0, 100.0, 5.0) == 160.0
    assert borrowed_amount(1.0, 2.0, 100.0, 1.0) == 0.0
    assert borrowed_amount(1.0, 2.0, 100.0, 0.5) == 0.0
    assert borrowed_amount(-1.0, 2.0, 100.0, 5.0) == 2.0
    assert borrowed_amount(-1.0, 2.0, 100.0, 1.0) == 2.0


@pytest.mark.parametrize(
    ("hours", "up", "down"), [(0.0, 0, 0), (0.2, 1, 0), (4.0, 1, 1), (5.0, 2, 1), (8.0, 2, 2)]
)
def test_kraken_rollover_rounds_either_way(hours: float, up: int, down: int) -> None:
    assert rollover_periods(hours, 4.0, True) == up
    assert rollover_periods(hours, 4.0, False) == down
    assert kraken_rollover(1_000.0, 0.0002, hours, True) == pytest.approx(0.2 * up)
    assert kraken_rollover(1_000.0, 0.0002, hours, False) == pytest.approx(0.2 * down)
    assert kraken_opening_fee(1_000.0, 0.0002) == pytest.approx(0.2)


def test_rounding_up_to_the_smallest_charge() -> None:
    assert round_up_to_step(4.156e-9, 1e-8) == 1e-8
    assert round_up_to_step(3e-8, 1e-8) == pytest.approx(3e-8, rel=1e-12)
    assert round_up_to_step(5.7e-07, 1e-08) == pytest.approx(5.7e-07)  # 57.00000000000001 steps
    assert round_up_to_step(0.0, 1e-8) == 0.0
    assert round_up_to_step(0.123, 0.0) == 0.123


# -- margins and ratios --------------------------------------------------------------------------


def test_margins() -> None:
    assert initial_margin(1_000.0, 20.0) == 50.0
    assert math.isnan(initial_margin(1_000.0, 0.0))
    assert available_margin(10_000.0, 2_000.0, 2.0) == 9_000.0
    short = initial_margin_with_close_fee(-1.0, 1.0, 100.0, 10.0, 0.001)
    assert short == pytest.approx(10.0 + 110.0 * 0.001)  # a short's bankruptcy price lies above


def test_ratio_and_level_are_not_mixed() -> None:
    assert margin_ratio(80.0, 100.0) == 0.8
    assert margin_ratio(80.0, 0.0) == math.inf
    assert margin_level(10_000.0, 4_000.0) == 2.5
    assert math.isnan(margin_level(10_000.0, 0.0))


def test_profit_of_a_trade_counts_every_cost_once() -> None:
    # Fees 0.1 + 0.11 each way, interest 1 quote on a long, funding paid 0.5.
    long = margin_trade_profit(1.0, 1.0, 100.0, 110.0, 0.001, 0.001, 1.0, -0.5)
    assert long == pytest.approx(10.0 - 0.1 - 0.11 - 1.0 - 0.5)
    # A short buys back its interest in coin: 0.01 more of it, with the fee on top.
    short = margin_trade_profit(-1.0, 1.0, 100.0, 90.0, 0.001, 0.001, 0.01, 0.0)
    assert short == pytest.approx(100.0 - 0.1 - 1.01 * 90.0 * 1.001)
    assert round_trip_fees(1.0, 100.0, 110.0, 0.001, 0.002) == pytest.approx(0.32)
    assert return_on_margin(20.0, 10.0, 10.0, 2.0) == 0.4
    assert math.isnan(return_on_margin(1.0, 0.0, 10.0, 2.0))
