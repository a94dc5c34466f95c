"""Whole arrays in a backtest, bar by bar live: the same bits; NaN and no crash while warming up."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pytest
import ta

from leverpack import indicators as ind
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from tests.backtest.test_fastloop import walk
from tests.conftest import needs_shared, real
from tests.indicators.runs import FIRST, OWN, all_own, bits, closes, computed, flat

MODES: dict[str, tuple[type, dict[str, Any]]] = {
    "stock, arrays": (bt.Cerebro, {}),
    "stock, bar by bar": (bt.Cerebro, {"runonce": False}),
    "ours, bar by bar": (Cerebro, {"runonce": False}),
    "saved memory": (bt.Cerebro, {"exactbars": -1}),
}


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return computed(Cerebro, walk(count=600), all_own)


@pytest.fixture(scope="module", params=list(MODES))
def others(request: pytest.FixtureRequest) -> dict[str, Any]:
    kind, run = MODES[request.param]
    return computed(kind, walk(count=600), all_own, **run)


@pytest.mark.parametrize("name", OWN)
def test_every_mode_gives_the_same_bits(
    name: str, ours: dict[str, Any], others: dict[str, Any]
) -> None:
    for one, other in zip(ours[name], others[name], strict=True):
        assert np.isfinite(one).sum() > 500
        assert bits(one) == bits(other)


@pytest.mark.parametrize("name", OWN)
def test_nan_until_the_first_value_and_never_after(name: str, ours: dict[str, Any]) -> None:
    lines = np.array(ours[name])
    first = FIRST[name]
    assert np.isnan(lines[:, :first]).any(axis=0).all()
    assert np.isfinite(lines[:, first:]).all()
    # What is there before the slowest line has its first value is no filler either.
    assert np.isnan(lines[:, 0]).all()
    assert not (lines[:, :first] == 0.0).any()


@needs_shared
@pytest.mark.parametrize(
    "file",
    [
        "binanceusdm_BTCUSDT_perp_1h_20190908_20260219.parquet",
        "binanceusdm_SOLUSDT_perp_5m_20241231_20260219.parquet",
    ],
)
def test_the_same_bits_on_real_candles(file: str) -> None:
    candles = CandleFeed(dataname=real(file)).candles.slice(3_000, 3_600)
    arrays = computed(Cerebro, candles, all_own)
    singly = computed(bt.Cerebro, candles, all_own, runonce=False)
    for name in OWN:
        for one, other in zip(arrays[name], singly[name], strict=True):
            assert bits(one) == bits(other), name


def test_the_same_bits_across_blocks() -> None:
    steps = np.random.default_rng(5).normal(0.0, 1e-4, 8_300)
    frame = closes(60_000.0 * np.exp(np.cumsum(steps)), "min")

    def build(data: Any) -> dict[str, Any]:
        return {"StdDev": ind.StdDev(data, period=33), "DailyVolatility": ind.DailyVolatility(data)}

    arrays = computed(Cerebro, frame, build)
    singly = computed(bt.Cerebro, frame, build, runonce=False)
    for name in arrays:
        assert bits(arrays[name][0]) == bits(singly[name][0])


def test_of_other_indicators_and_of_operations() -> None:
    def build(data: Any) -> dict[str, Any]:
        average = ind.SMA(data, period=7)
        return {
            "deviation of an average": ind.StdDev(average, period=9),
            "volatility of an average": ind.DailyVolatility(average, period=9),
            "volatility of an operation": ind.DailyVolatility((data.high + data.low) / 2.0),
            "average of a volatility": ind.SMA(ind.DailyVolatility(data.close), period=5),
        }

    arrays = computed(Cerebro, walk(count=300), build)
    singly = computed(bt.Cerebro, walk(count=300), build, runonce=False)
    firsts = []
    for name in arrays:
        assert bits(arrays[name][0]) == bits(singly[name][0])
        firsts.append(int(np.isfinite(arrays[name][0]).argmax()))
    assert firsts == [14, 15, 20, 24]


@pytest.mark.parametrize("count", [1, 2, 12, 15, 21])
@pytest.mark.parametrize("runonce", [True, False])
def test_fewer_candles_than_the_warm_up_are_no_crash(count: int, runonce: bool) -> None:
    frame = walk(count=count)
    found = computed(Cerebro, frame, all_own, runonce=runonce)
    for name, lines in found.items():
        slowest = min(np.isfinite(line).sum() for line in lines)
        assert slowest == max(0, count - FIRST[name]), name


@pytest.mark.parametrize("runonce", [True, False])
def test_too_few_candles_are_no_crash_on_backtraders_loop_either(runonce: bool) -> None:
    def build(data: Any) -> dict[str, Any]:
        return {"a": ind.StdDev(data), "b": ind.DailyVolatility(data)}

    found = computed(bt.Cerebro, walk(count=5), build, runonce=runonce)
    assert [len(lines[0]) for lines in found.values()] == [5, 5]
    assert all(np.isnan(lines[0]).all() for lines in found.values())


@pytest.mark.parametrize("kind", [bt.Cerebro, Cerebro])
@pytest.mark.parametrize("runonce", [True, False])
def test_a_market_that_does_not_move(kind: type, runonce: bool) -> None:
    found = computed(kind, flat(120), all_own, runonce=runonce)
    for name, value in {
        "RSI": 50.0, "RSI_SMA": 50.0, "RSI_EMA": 50.0, "ADX": 0.0, "ATR": 0.0, "StdDev": 0.0,
        "DailyVolatility": 0.0, "ROC": 0.0, "PctChange": 0.0, "Momentum": 0.0,
    }.items():  # fmt: skip
        assert (found[name][0][FIRST[name] :] == value).all(), name
        assert np.isnan(found[name][0][: FIRST[name]]).all(), name
    mid, top, bottom = found["BollingerBands"]
    assert bits(mid) == bits(top) == bits(bottom)


@pytest.mark.parametrize("runonce", [True, False])
def test_a_market_that_only_rises_then_falls(runonce: bool) -> None:
    up = 100.0 + np.arange(60.0)
    found = computed(Cerebro, closes([*up, *up[::-1]]), all_own, runonce=runonce)
    for name in ("RSI", "RSI_SMA", "RSI_EMA"):
        assert (found[name][0][14:60] == 100.0).all()
        assert (found[name][0][62:] < 100.0).all()
    assert (found["RSI_SMA"][0][-20:] == 0.0).all()
    assert found["ADX"][0][59] == 100.0


def test_candles_that_lie_inside_the_ones_before() -> None:
    frame = walk(count=200)
    inside = 60.0 / (1.0 + np.arange(60.0))
    for name, distance in {"high": inside, "low": -inside, "open": 0.0, "close": 0.0}.items():
        frame.loc[:59, name] = 100.0 + distance
    frame.loc[60, "open"] = 100.0
    frame["high"] = frame[["open", "high", "close"]].max(axis=1)
    frame["low"] = frame[["open", "low", "close"]].min(axis=1)
    found = computed(Cerebro, frame, all_own)["ADX"][0]
    theirs = ta.trend.ADXIndicator(frame["high"], frame["low"], frame["close"]).adx()
    assert (found[27:60] == 0.0).all()
    assert found[60:].min() > 0.0
    assert np.abs(found[27:] - theirs[27:]).max() < 1e-9


def test_what_ta_says_of_a_flat_market() -> None:
    frame = flat(60)
    high, low, close = (frame[name] for name in ("high", "low", "close"))
    assert ta.momentum.RSIIndicator(close).rsi().iloc[-1] == 100.0
    assert ta.trend.ADXIndicator(high, low, close).adx().iloc[-1] == 0.0


@pytest.mark.parametrize("name", ["RSI", "ADX"])
def test_what_backtraders_own_does_on_a_flat_market(name: str) -> None:
    """The reason for the pack's own; when this fails, they are no longer needed."""
    with pytest.raises(ZeroDivisionError):
        computed(bt.Cerebro, flat(120), lambda d: {name: getattr(bt.indicators, name)(d)})
