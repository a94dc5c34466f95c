"""Sums over windows in NumPy, rounded as exactly as ``math.fsum`` rounds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverpack.backtest.vector import window_sums

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)


@settings(max_examples=300, deadline=None)
@given(st.lists(numbers, min_size=3, max_size=60), st.integers(2, 30))
def test_every_window_is_the_exactly_rounded_sum(values: list[float], period: int) -> None:
    period = min(period, len(values))
    sums = window_sums(np.array(values), period)
    exact = [math.fsum(values[i : i + period]) for i in range(len(values) - period + 1)]
    assert sums.tolist() == exact


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-(2**54), 2**54), min_size=8, max_size=40), st.integers(2, 8))
def test_halfway_cases_round_to_even(values: list[int], period: int) -> None:
    source = [math.ldexp(v, -10) for v in values]
    exact = [math.fsum(source[i : i + period]) for i in range(len(source) - period + 1)]
    assert window_sums(np.array(source), period).tolist() == exact


def test_large_values_that_cancel_leave_the_small_one() -> None:
    source = np.array([1e15, 1e-3, -1e15, 2e-3, 1.0])
    assert window_sums(source, 3).tolist() == [math.fsum(source[i : i + 3]) for i in range(3)]


def test_just_below_a_power_of_two() -> None:
    source = np.array([1 / 3, 1 / 3, 1 / 3, -8.9e-106])
    assert window_sums(source, 4).tolist() == [0.9999999999999999]


def test_prices_of_few_digits_are_summed_without_fsum(monkeypatch: pytest.MonkeyPatch) -> None:
    # Exact ties are common among them: one window in sixteen, where each fsum takes as long as
    # a thousand windows.
    values = np.round(np.random.default_rng(7).normal(30_000.0, 90.0, 5_000), 2)
    exact = [math.fsum(values[i : i + 30]) for i in range(len(values) - 29)]
    monkeypatch.setattr(math, "fsum", None)
    assert window_sums(values, 30).tolist() == exact
