"""The standard deviation is the exact one up to rounding, however small the moves."""

from __future__ import annotations

import math
import statistics
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverpack import indicators as ind
from leverpack.backtest.cerebro import Cerebro
from leverpack.errors import SettingError
from leverpack.indicators.scalars import population_deviation
from leverpack.indicators.windows import population_deviations
from tests.backtest.test_fastloop import walk
from tests.indicators.runs import bits, closes, computed, flat

ticks = st.lists(st.integers(-50, 50), min_size=2, max_size=60)
anything = st.lists(
    st.floats(-1e12, 1e12) | st.just(math.nan) | st.just(math.inf), min_size=1, max_size=60
)


@settings(max_examples=150, deadline=None)
@given(ticks, st.sampled_from([60_000.0, 1e-6, 150.25]), st.sampled_from([1e-7, 1e-9]))
def test_small_moves_beside_a_large_price(moves: list[int], price: float, tick: float) -> None:
    values = [price * (1.0 + tick * move) for move in moves]
    exact = statistics.pstdev(values)
    assert population_deviation(values) == pytest.approx(exact, rel=1e-12, abs=0.0)
    if len(set(values)) == 1:
        assert population_deviation(values) == 0.0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_any_values(values: list[float]) -> None:
    exact = statistics.pstdev(values)
    # Squares under the smallest float are lost: 1e-150 is where that begins to be seen.
    assert population_deviation(values) == pytest.approx(exact, rel=1e-12, abs=1e-150)


@settings(max_examples=150, deadline=None)
@given(anything, st.integers(1, 30))
def test_over_arrays_the_same_bits(values: list[float], period: int) -> None:
    period = min(period, len(values))
    expected = [
        population_deviation(values[i : i + period]) for i in range(len(values) - period + 1)
    ]
    assert bits(population_deviations(np.array(values), period)) == bits(np.array(expected))


def test_backtraders_own_cancels_where_ours_does_not() -> None:
    """The figures of StdDev's docstring."""

    def both(frame: Any) -> list[Any]:
        pair = computed(
            Cerebro, frame, lambda d: {"ours": ind.StdDev(d), "stock": bt.indicators.StdDev(d)}
        )
        return [lines[0][19:] for lines in pair.values()]

    off = {}
    for tick in (1e-1, 1e-3, 1e-4):
        signs = np.random.default_rng(1).choice([-1.0, 1.0], 400)
        values = np.round(60_000.0 + tick * signs, 4)
        exact = np.array([statistics.pstdev(values[i : i + 20].tolist()) for i in range(381)])
        ours, stock = both(closes(values))
        assert np.abs(ours / exact - 1.0).max() < 1e-12
        off[tick] = np.abs(stock / exact - 1.0).max()
    assert 1e-5 < off[1e-1] < 1e-4
    assert 0.3 < off[1e-3] < 0.4
    assert stock.min() == 0.0
    assert stock.max() == pytest.approx(0.0007, abs=0.00005)
    ours, stock = both(flat(60, 0.1234567))
    assert (ours == 0.0).all()
    assert stock[-1] == pytest.approx(1.3e-9, rel=0.02)


def test_bands_stand_around_any_average() -> None:
    found = computed(
        Cerebro, walk(count=200),
        lambda d: {
            "bands": ind.BollingerBands(d, period=15, devfactor=1.5, movav=bt.indicators.EMA),
            "average": ind.EMA(d, period=15), "deviation": ind.StdDev(d, period=15),
        },
    )  # fmt: skip
    mid, top, bottom = found["bands"]
    width = 1.5 * found["deviation"][0]
    assert bits(mid) == bits(found["average"][0])
    assert bits(top) == bits(mid + width)
    assert bits(bottom) == bits(mid - width)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda d: ind.StdDev(d, period=0), "period of at least 1, not 0"),
        (lambda d: ind.StdDev(d, perod=5), "no parameter 'perod'; did you mean period"),
        (lambda d: ind.StdDev(d, safepow=True), "no parameter 'safepow'; it has period"),
        (lambda d: ind.StdDev(d, 20), "got 20 without a name"),
        (lambda d: ind.StdDev(d, ind.SMA(d)), "takes one line"),
        (lambda d: ind.BollingerBands(d, devfacter=3.0), "did you mean devfactor"),
        (lambda d: ind.ADX(d, 14), "ADX got 14 without a name"),
    ],
)
def test_wrong_settings(wrong: object, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        computed(Cerebro, walk(count=60), lambda d: {"x": wrong(d)})  # type: ignore[operator]
