"""The observers show what the broker says, in both loops, and nothing where it says nothing."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pytest

import leverpack as lp
from analyzers import MarginAnalyzer
from analyzers.observers import Leverage, LiquidationPrice, MarginRatio
from strategies import ConservativeLeverageStrategy
from tests.conftest import ROOT


def run(cerebro: type, *, margin: bool = True, feeds: int = 1) -> Any:
    engine = cerebro(stdstats=False)
    if margin:
        engine.setbroker(lp.MarginBroker(cash=10_000, leverage=10))
        engine.addanalyzer(MarginAnalyzer, _name="margin")
    path = str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv")
    for number in range(feeds):
        engine.adddata(lp.CandleFeed(dataname=path, symbol=f"S{number}/USDT"))
    engine.addstrategy(ConservativeLeverageStrategy, leverage=10)
    engine.addobserver(MarginRatio)
    engine.addobserver(Leverage)
    engine.addobservermulti(LiquidationPrice)
    return engine.run()[0]


def lines(ran: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {
        f"{type(observer).__name__} {number} {name}": np.array(getattr(observer.lines, name).array)
        for number, observer in enumerate(ran.getobservers())
        for name in observer.lines.getlinealiases()
    }


@pytest.mark.parametrize("feeds", [1, 2])
def test_they_show_what_the_analyzer_reads(feeds: int) -> None:
    ran = run(lp.Cerebro, feeds=feeds)
    assert ran.cerebro.loop == "fast"
    got, account = lines(ran), ran.analyzers.margin.series()
    equal = np.testing.assert_allclose
    assert np.isfinite(account["margin_ratio"]).sum() > 100
    equal(got["MarginRatio 0 margin_ratio"], 100.0 * account["margin_ratio"])
    equal(got["MarginRatio 0 worst"], 100.0 * account["worst_margin_ratio"])
    equal(got["MarginRatio 0 call"], 100.0 * account["call_ratio"])
    equal(got["Leverage 1 effective"], account["effective_leverage"])
    equal(got["Leverage 1 decided"], account["decided_leverage"])
    for number in range(feeds):
        column = ran.analyzers.margin.feed_series(number)["liquidation_price"]
        equal(got[f"LiquidationPrice {2 + number} liquidation"], column)


def test_both_loops_write_the_same_lines() -> None:
    fast, slow = lines(run(lp.Cerebro)), lines(run(bt.Cerebro))
    assert set(fast) == set(slow)
    for name, line in fast.items():
        np.testing.assert_array_equal(line, slow[name][: len(line)], err_msg=name)


def test_a_broker_without_margin_leaves_them_empty() -> None:
    for name, line in lines(run(bt.Cerebro, margin=False)).items():
        assert np.isnan(line).all(), name
