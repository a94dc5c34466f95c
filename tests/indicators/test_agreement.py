"""On real candles the indicators are Backtrader's own and those of ``ta``, to 1e-9."""

from __future__ import annotations

import statistics
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
import ta

from leverpack import indicators as ind
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from tests.conftest import needs_shared, real
from tests.indicators.runs import bits, computed

pytestmark = needs_shared
FILES = {
    "BTC 1h": "binanceusdm_BTCUSDT_perp_1h_20190908_20260219.parquet",
    "SOL 5m": "binanceusdm_SOLUSDT_perp_5m_20241231_20260219.parquet",
}
COUNT = 3_000


def build(data: Any) -> dict[str, Any]:
    return {
        "SMA": ind.SMA(data, period=30), "EMA": ind.EMA(data, period=20), "RSI": ind.RSI(data),
        "ATR": ind.ATR(data), "ADX": ind.ADX(data), "StdDev": ind.StdDev(data),
        "Highest": ind.Highest(data.high, period=20), "Lowest": ind.Lowest(data.low, period=20),
        "ROC": ind.ROC(data), "MACD": ind.MACD(data), "Bands": ind.BollingerBands(data),
        "PctChange": ind.PctChange(data, period=1), "DailyVolatility": ind.DailyVolatility(data),
    }  # fmt: skip


def backtraders(data: Any) -> dict[str, Any]:
    return {
        "RSI": bt.indicators.RSI(data, safediv=True), "ADX": bt.indicators.ADX(data),
        "StdDev": bt.indicators.StdDev(data), "Bands": bt.indicators.BollingerBands(data),
        "SMA": bt.indicators.SMA(data, period=30), "MACD": bt.indicators.MACD(data),
    }  # fmt: skip


class Market:
    """One stretch of real candles, what the pack makes of it, and what Backtrader does."""

    def __init__(self, file: str) -> None:
        feed = CandleFeed(dataname=real(file))
        candles = feed.candles.slice(30_000, 30_000 + COUNT)
        self.high, self.low, self.close = (
            pd.Series(np.array(x)) for x in (candles.high, candles.low, candles.close)
        )
        self.minutes = candles.timeframe_ms / 60_000
        self.found = computed(Cerebro, candles, build)
        self.stock = computed(bt.Cerebro, candles, backtraders)


@pytest.fixture(scope="module", params=list(FILES))
def market(request: pytest.FixtureRequest) -> Market:
    return Market(FILES[request.param])


# How many bars after the first value both agree, and the position of that first value.
SAME = 0
WARM_UP: dict[str, tuple[int, int]] = {
    "SMA": (SAME, 29), "EMA": (15 * 20, 19), "RSI": (25 * 14, 14), "ATR": (25 * 14, 14),
    "ADX": (SAME, 27), "StdDev": (SAME, 19), "Highest": (SAME, 19), "Lowest": (SAME, 19),
    "ROC": (SAME, 12), "MACD": (15 * 26, 25), "signal": (15 * 26 + 15 * 9, 33),
    "top": (SAME, 19), "bottom": (SAME, 19), "PctChange": (SAME, 1), "DailyVolatility": (SAME, 20),
}  # fmt: skip


def tas(m: Market) -> dict[str, Any]:
    bands = ta.volatility.BollingerBands(m.close)
    macd = ta.trend.MACD(m.close)
    extremes = ta.volatility.DonchianChannel(m.high, m.low, m.close)
    returns = m.close.pct_change()
    return {
        "SMA": ta.trend.SMAIndicator(m.close, 30).sma_indicator(),
        "EMA": ta.trend.EMAIndicator(m.close, 20).ema_indicator(),
        "RSI": ta.momentum.RSIIndicator(m.close).rsi(),
        "ATR": ta.volatility.AverageTrueRange(m.high, m.low, m.close).average_true_range(),
        "ADX": ta.trend.ADXIndicator(m.high, m.low, m.close).adx(),
        "StdDev": (bands.bollinger_hband() - bands.bollinger_mavg()) / 2.0,
        "Highest": extremes.donchian_channel_hband(),
        "Lowest": extremes.donchian_channel_lband(),
        "ROC": ta.momentum.ROCIndicator(m.close).roc() / 100.0,
        "MACD": macd.macd(), "signal": macd.macd_signal(),
        "top": bands.bollinger_hband(), "bottom": bands.bollinger_lband(),
        "PctChange": returns,
        "DailyVolatility": returns.rolling(20).std(ddof=0) * np.sqrt(1_440 / m.minutes),
    }  # fmt: skip


def ours(m: Market) -> dict[str, Any]:
    lines = {name: lines[0] for name, lines in m.found.items()}
    lines["signal"] = m.found["MACD"][1]
    lines["top"], lines["bottom"] = m.found["Bands"][1:]
    return lines


def test_ta_agrees(market: Market) -> None:
    theirs, own = tas(market), ours(market)
    for name, (warm_up, first) in WARM_UP.items():
        values, reference = own[name], np.asarray(theirs[name])
        assert np.isnan(values[:first]).all(), name
        assert np.isfinite(values[first:]).all(), name
        off = np.abs(values - reference)[first + warm_up :].max()
        allowed = 1e-9
        if name in ("StdDev", "top", "bottom"):  # pandas' running sums carry their rounding along
            allowed = 1e-12 * float(market.close.max())
        assert off < allowed, name


def test_ta_starts_otherwise_where_the_docstrings_say_so(market: Market) -> None:
    theirs, own = tas(market), ours(market)
    for name in ("EMA", "RSI", "ATR", "MACD"):
        first = WARM_UP[name][1]
        assert abs(own[name][first] - theirs[name][first]) > 1e-6, name
    for name in ("ATR", "ADX"):  # not NaN
        assert theirs[name][0] == 0.0


def test_backtrader_agrees(market: Market) -> None:
    for name in ("RSI", "ADX", "SMA", "MACD"):
        for one, other in zip(market.found[name], market.stock[name], strict=True):
            assert bits(one) == bits(other), name
    scale = float(market.close.max())
    for name in ("StdDev", "Bands"):
        for one, other in zip(market.found[name], market.stock[name], strict=True):
            assert np.nanmax(np.abs(one - other)) < 1e-9 * scale, name


def test_the_deviation_is_nearer_to_the_truth_than_backtraders(market: Market) -> None:
    close = market.close.tolist()
    at = range(19, COUNT, 37)
    exact = np.array([statistics.pstdev(close[i - 19 : i + 1]) for i in at])
    values, stock = market.found["StdDev"][0][list(at)], market.stock["StdDev"][0][list(at)]
    assert (np.abs(values / exact - 1.0)).max() < 1e-14
    assert (np.abs(stock / exact - 1.0)).max() > 1e-12
