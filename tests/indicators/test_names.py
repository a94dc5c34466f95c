"""``ct.indicators`` has the guide's names, and all of Backtrader's."""

from __future__ import annotations

import subprocess
import sys

import backtrader as bt
import pytest

import leverpack as ct

GUIDE = [
    "SMA", "EMA", "RSI", "ATR", "ADX", "StdDev", "PctChange", "DailyVolatility", "Highest",
    "Lowest", "Momentum", "ROC", "MACD", "BollingerBands",
]  # fmt: skip


def test_the_guides_names() -> None:
    for name in GUIDE:
        assert issubclass(getattr(ct.indicators, name), bt.Indicator)
        assert name in ct.indicators.__all__


def test_every_indicator_of_backtrader_is_there() -> None:
    listed = dir(ct.indicators)
    count = 0
    for name, value in vars(bt.indicators).items():
        if isinstance(value, type) and issubclass(value, bt.Indicator):
            assert issubclass(getattr(ct.indicators, name), bt.Indicator)
            assert name in listed
            count += 1
    assert count > 200
    assert ct.indicators.HullMovingAverage is bt.indicators.HullMovingAverage


def test_one_meaning_whatever_it_is_called() -> None:
    own = ct.indicators
    assert own.StandardDeviation is own.StdDev
    assert own.BBands is own.BollingerBands
    assert own.RelativeStrengthIndex is own.RSI_Wilder is own.RSI_SMMA is own.RSI
    assert own.AverageDirectionalMovementIndex is own.ADX
    assert own.RSI.params.safediv and own.RSI_SMA.params.safediv and own.RSI_EMA.params.safediv
    assert own.RSI.params.period == bt.indicators.RSI.params.period == 14
    assert not bt.indicators.RSI.params.safediv


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(AttributeError, match="did you mean DailyVolatility"):
        _ = ct.indicators.DailyVolatilty
    with pytest.raises(AttributeError):
        _ = ct.indicators._absent
    assert "indicators" in dir(ct)


def test_the_pack_alone_does_not_import_backtrader() -> None:
    code = (
        "import sys, leverpack as ct; assert 'backtrader' not in sys.modules; "
        "print(ct.indicators.RSI.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "leverpack.indicators.wilder"
