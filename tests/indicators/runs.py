"""One run of a Cerebro over candles, and the whole arrays of what the indicators computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from leverpack import indicators as ind
from leverpack.candles.feed import CandleFeed
from leverpack.result import Floats
from tests.backtest.test_fastloop import walk

Built = dict[str, Any]
Build = Callable[[Any], Built]

OWN: dict[str, Callable[[Any], Any]] = {
    "SMA": lambda d: ind.SMA(d, period=10),
    "EMA": lambda d: ind.EMA(d, period=12),
    "RSI": lambda d: ind.RSI(d),
    "RSI_SMA": lambda d: ind.RSI_SMA(d),
    "RSI_EMA": lambda d: ind.RSI_EMA(d),
    "ATR": lambda d: ind.ATR(d),
    "ADX": lambda d: ind.ADX(d),
    "StdDev": lambda d: ind.StdDev(d),
    "PctChange": lambda d: ind.PctChange(d, period=1),
    "DailyVolatility": lambda d: ind.DailyVolatility(d),
    "Highest": lambda d: ind.Highest(d.high, period=20),
    "Lowest": lambda d: ind.Lowest(d.low, period=20),
    "Momentum": lambda d: ind.Momentum(d),
    "ROC": lambda d: ind.ROC(d),
    "MACD": lambda d: ind.MACD(d),
    "BollingerBands": lambda d: ind.BollingerBands(d),
}
FIRST = {  # the position of the first value of the slowest line
    "SMA": 9, "EMA": 11, "RSI": 14, "RSI_SMA": 14, "RSI_EMA": 14, "ATR": 14, "ADX": 27,
    "StdDev": 19, "PctChange": 1, "DailyVolatility": 20, "Highest": 19, "Lowest": 19,
    "Momentum": 12, "ROC": 12, "MACD": 33, "BollingerBands": 19,
}  # fmt: skip


def all_own(data: Any) -> Built:
    return {name: build(data) for name, build in OWN.items()}


def flat(count: int, price: float = 60_000.1) -> Any:
    """Candles that do not move."""
    frame = walk(count=count)
    for name in ("open", "high", "low", "close"):
        frame[name] = price
    return frame


def closes(values: Any, freq: str = "h") -> Any:
    """Candles with these closes, each opening where the one before closed."""
    values = np.asarray(values, dtype=float)
    opens = np.concatenate([values[:1], values[:-1]])
    return pd.DataFrame({
        "timestamp": pd.date_range("2025-01-06", periods=len(values), freq=freq, tz="UTC"),
        "open": opens, "high": np.maximum(opens, values), "low": np.minimum(opens, values),
        "close": values, "volume": 1.0,
    })  # fmt: skip


def computed(
    kind: type, frame: Any, build: Build, add: Callable[[Any, Any], Any] | None = None, **run: Any
) -> dict[str, list[Floats]]:
    """Every line of each indicator that ``build`` makes, from the first bar to the last."""

    class Holds(bt.Strategy):
        def __init__(self) -> None:
            self.made = build(self.data)
            self.bars = 0

        def prenext(self) -> None:
            self.bars += 1

        def next(self) -> None:
            self.bars += 1

    cerebro = kind(stdstats=False)
    if add is None:
        cerebro.adddata(CandleFeed(dataname=frame, symbol="a"))
    else:
        add(cerebro, frame)
    cerebro.addstrategy(Holds)
    strategy = cerebro.run(**run)[0]
    assert strategy.bars > 0
    if run.get("runonce", True) and getattr(cerebro, "loop", "fast") != "fast" and add is None:
        raise AssertionError(cerebro.loop)
    return {
        name: [np.array(line.array[: strategy.bars]) for line in made.lines]
        for name, made in strategy.made.items()
    }


def bits(values: Floats) -> bytes:
    """The bytes of an array, one NaN like another."""
    return np.where(np.isnan(values), np.nan, values).tobytes()
