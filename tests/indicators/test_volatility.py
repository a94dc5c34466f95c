"""Daily volatility against pandas, for every candle length, and what it refuses."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverpack import indicators as ind
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from leverpack.candles.timeframes import bars_per_year as bars_per_year_of_ms
from leverpack.errors import SettingError
from leverpack.indicators import scalars
from leverpack.indicators.windows import population_deviations, simple_returns
from leverpack.margin.compiled import compile_scalars
from tests.backtest.test_fastloop import walk
from tests.indicators.runs import bits, computed

Frame = Any
BARS = {"min": 1440, "5min": 288, "15min": 96, "h": 24, "4h": 6, "D": 1, "7D": 1 / 7, "30s": 2880}


def by_pandas(frame: Frame, period: int, a_day: float) -> Any:
    deviation = frame["close"].pct_change().rolling(period).std(ddof=0)
    return (deviation * np.sqrt(a_day)).to_numpy()


def volatility(data: Any, **settings: Any) -> dict[str, Any]:
    return {"v": ind.DailyVolatility(data, **settings)}


def close_to(values: Any, expected: Any) -> None:
    assert np.isfinite(values).sum() > 100
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("freq", BARS)
@pytest.mark.parametrize("runonce", [True, False])
def test_pandas_agrees_for_every_candle_length(freq: str, runonce: bool) -> None:
    frame = walk(count=200, freq=freq)
    found = computed(Cerebro, frame, volatility, runonce=runonce)["v"][0]
    assert np.isnan(found[:20]).all()
    close_to(found, by_pandas(frame, 20, BARS[freq]))


def test_the_period_and_the_bars_per_day_given() -> None:
    frame = walk(count=200)
    found = computed(Cerebro, frame, lambda d: volatility(d, period=7, bars_per_day=6.5))["v"][0]
    close_to(found, by_pandas(frame, 7, 6.5))


def test_of_a_line_of_the_feed() -> None:
    frame = walk(count=200)
    found = computed(Cerebro, frame, lambda d: volatility(d.open))["v"][0]
    close_to(found, by_pandas(frame.assign(close=frame["open"]), 20, 24))


@pytest.mark.parametrize("runonce", [True, False])
def test_each_feed_of_several_has_its_own_factor(runonce: bool) -> None:
    slow = walk(count=200, freq="4h", seed=9)

    class Both(bt.Strategy):
        def __init__(self) -> None:
            self.fast = ind.DailyVolatility(self.data0)
            self.slow = ind.DailyVolatility(self.data1.close)

    cerebro = Cerebro(stdstats=False)
    cerebro.adddata(CandleFeed(dataname=walk(count=800), symbol="a"))
    cerebro.adddata(CandleFeed(dataname=slow, symbol="b"))
    cerebro.addstrategy(Both)
    strategy = cerebro.run(runonce=runonce)[0]
    values = np.array(strategy.slow.line.array[: len(strategy.data1)])
    close_to(values, by_pandas(slow, 20, 6))
    assert strategy.fast.root == math.sqrt(24)


def test_a_resampled_feed_counts_its_own_candles() -> None:
    def add(cerebro: Any, frame: Frame) -> None:
        data = CandleFeed(dataname=frame, symbol="a")
        cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=60)

    frame = walk(count=800, freq="15min")
    found = computed(bt.Cerebro, frame, volatility, add)["v"][0]
    # The resampler closes an hour with the candle that lies on its edge, and at the end of the
    # data what it holds.
    closing = [*range(0, 800, 4), 799]
    close_to(found, by_pandas(frame.iloc[closing].reset_index(drop=True), 20, 24))


def test_the_guides_year_and_ours() -> None:
    assert round(math.sqrt(ind.bars_per_year(15)), 1) == 187.2
    assert ind.bars_per_day(15) == 96.0
    assert ind.annualised(0.0314) == pytest.approx(0.0314 * math.sqrt(365), rel=1e-15)
    assert ind.bars_per_year(60) == bars_per_year_of_ms(3_600_000)
    for wrong in (0.0, -1.0, math.nan):
        assert math.isnan(ind.bars_per_day(wrong))
        assert math.isnan(ind.bars_per_year(wrong))


def test_examples_in_the_docstrings_hold() -> None:
    outcome = doctest.testmod(scalars)
    assert outcome.failed == 0
    assert outcome.attempted >= 6


prices = st.lists(st.floats(1e-6, 1e6) | st.just(0.0), min_size=2, max_size=40)


@settings(max_examples=150, deadline=None)
@given(prices, st.integers(2, 20))
def test_over_arrays_the_same_bits(values: list[float], period: int) -> None:
    period = min(period, len(values) - 1)
    root = math.sqrt(96.0)
    count = len(values) - period
    expected = [scalars.daily_volatility(values[i : i + period + 1], root) for i in range(count)]
    found = population_deviations(simple_returns(np.array(values)), period) * root
    assert bits(found) == bits(np.array(expected))


def test_compiled_the_same_bits() -> None:
    compiled = compile_scalars(scalars)
    closes = walk(count=60)["close"].to_numpy()
    for size in (2, 3, 21, 60):
        plain = scalars.daily_volatility(closes[:size].tolist(), 9.8)
        assert compiled.daily_volatility(closes[:size], 9.8) == plain
        spread = scalars.population_deviation(closes[:size].tolist())
        assert compiled.population_deviation(closes[:size]) == spread
    assert compiled.bars_per_day(15.0) == 96.0
    assert compiled.bars_per_year(15.0) == 35_040.0
    assert compiled.annualised(0.03) == ind.annualised(0.03)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda d: volatility(d, period=1), "period of 2 or more, not 1"),
        (lambda d: volatility(d, bars_per_day=0), "bars_per_day over 0, not 0"),
        (lambda d: volatility(d, bars_per_day=math.inf), "bars_per_day over 0, not inf"),
        (lambda d: volatility(d, window=20), "no parameter 'window'"),
    ],
)
def test_wrong_settings(wrong: Callable[[Any], dict[str, Any]], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        computed(Cerebro, walk(count=60), wrong)


def by_backtraders_feed(**given: Any) -> Callable[[Any, Any], None]:
    def add(cerebro: Any, frame: Frame) -> None:
        plain = frame.set_index(frame["timestamp"].dt.tz_localize(None)).drop(columns="timestamp")
        cerebro.adddata(bt.feeds.PandasData(dataname=plain, name="BTC", **given))

    return add


@pytest.mark.parametrize("runonce", [True, False])
def test_a_feed_that_says_days_of_shorter_candles_is_refused(runonce: bool) -> None:
    frame = walk(count=60, freq="15min")
    with pytest.raises(SettingError, match=r"BTC are about 15 minutes .* timeframe is 1440; give"):
        computed(Cerebro, frame, volatility, by_backtraders_feed(), runonce=runonce)
    told = by_backtraders_feed(timeframe=bt.TimeFrame.Minutes, compression=15)
    found = computed(Cerebro, walk(count=200, freq="15min"), volatility, told, runonce=runonce)
    close_to(found["v"][0], by_pandas(walk(count=200, freq="15min"), 20, 96))


def test_ticks_have_no_length() -> None:
    ticks = by_backtraders_feed(timeframe=bt.TimeFrame.Ticks)
    with pytest.raises(SettingError, match="timeframe Ticks has no candle length"):
        computed(Cerebro, walk(count=60), volatility, ticks)
    found = computed(Cerebro, walk(count=200), lambda d: volatility(d, bars_per_day=24), ticks)
    close_to(found["v"][0], by_pandas(walk(count=200), 20, 24))
