"""The performance analyzer: any strategy, any broker, the figures from their definitions."""

from __future__ import annotations

from datetime import date
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import leverpack as lp
from analyzers import MarginAnalyzer, PerformanceAnalyzer
from strategies import ConservativeLeverageStrategy
from tests.backtest.desk import Scripted, frame
from tests.conftest import ROOT


def run(
    cerebro: type = lp.Cerebro, broker: Any = None, end: date = date(2025, 6, 30), **feed: Any
) -> Any:
    """The conservative strategy on the made candles; the strategy that ran."""
    engine = cerebro()
    if broker is not None:
        engine.setbroker(broker)
    path = str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv")
    engine.adddata(lp.CandleFeed(dataname=path, symbol="BTC/USDT:USDT", todate=end, **feed))
    engine.addstrategy(ConservativeLeverageStrategy, leverage=10)
    engine.addanalyzer(PerformanceAnalyzer, _name="performance")
    engine.addanalyzer(MarginAnalyzer if broker else bt.analyzers.TradeAnalyzer, _name="other")
    return engine.run()[0]


@pytest.fixture(scope="module")
def margin() -> Any:
    return run(broker=lp.MarginBroker(cash=10_000, leverage=10))


@pytest.fixture(scope="module")
def plain() -> Any:
    return run(cerebro=bt.Cerebro)


def test_it_has_the_guides_metrics_and_those_of_the_report(margin: Any) -> None:
    got = margin.analyzers.performance.get_analysis()
    for name in ("win_rate", "average_profit", "max_drawdown", "sharpe"):
        assert isinstance(got[name], float)
    for name in ("daily_profit", "position_size", "leverage_used", "risk_per_trade", "daily_risk"):
        assert set(got[name].values()) - {None}


def test_figures_of_the_margin_broker(margin: Any) -> None:
    analyzer = margin.analyzers.performance
    got, trades = analyzer.get_analysis(), margin.broker.trade_records()
    equity = margin.analyzers.other.series()["equity"]
    assert got["trades"] == len(trades) > 5
    assert got["average_profit"] == pytest.approx(np.mean([t.net for t in trades]))
    # risk sizing: the stop loses 1 % of the equity at the signal, and fills move it a little
    assert got["risk_per_trade"]["known"] == len(trades)
    assert got["risk_per_trade"]["average"] == pytest.approx(0.01, rel=0.01)
    assert got["daily_risk"]["highest"] >= got["risk_per_trade"]["highest"] * 0.99
    assert got["leverage_used"]["highest_set"] == 10.0
    assert got["leverage_used"]["highest"] == pytest.approx(
        margin.analyzers.other.get_analysis()["max_effective_leverage"]
    )
    assert got["position_size"]["largest"] == max(t.size * t.entry_price for t in trades)
    days = pd.Series(equity, index=pd.to_datetime(margin.analyzers.other.times(), unit="ms"))
    profits = days.resample("D").last().diff()
    profits.iloc[0] = days.resample("D").last().iloc[0] - 10_000.0
    assert got["daily_profit"]["best"] == pytest.approx(profits.max())
    assert got["daily_profit"]["average"] == pytest.approx(profits.mean())


@pytest.mark.parametrize("cerebro", [bt.Cerebro, lp.Cerebro])
def test_both_cerebros_say_the_same(margin: Any, plain: Any, cerebro: type) -> None:
    with_margin = run(cerebro=cerebro, broker=lp.MarginBroker(cash=10_000, leverage=10))
    assert (
        with_margin.analyzers.performance.get_analysis()
        == margin.analyzers.performance.get_analysis()
    )
    without = run(cerebro=cerebro)
    assert (
        without.analyzers.performance.get_analysis() == plain.analyzers.performance.get_analysis()
    )


def test_backtraders_broker_and_what_it_cannot_say(plain: Any) -> None:
    got = plain.analyzers.performance.get_analysis()
    theirs = plain.analyzers.other.get_analysis()
    assert got["trades"] == theirs.total.closed
    assert got["wins"] == theirs.won.total
    assert got["average_profit"] == pytest.approx(theirs.pnl.net.average)
    assert got["losing_streak"] == theirs.streak.lost.longest
    assert got["leverage_used"]["highest_set"] is None
    assert got["risk_per_trade"] == {"average": None, "highest": None, "known": 0}
    assert got["leverage_used"]["highest"] > 0.0


def test_drawdown_is_backtraders_own() -> None:
    engine = lp.Cerebro()
    engine.adddata(
        lp.CandleFeed(dataname=str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv"), symbol="BTC/USDT")
    )
    engine.addstrategy(ConservativeLeverageStrategy)
    engine.addanalyzer(PerformanceAnalyzer, _name="performance")
    engine.addanalyzer(bt.analyzers.DrawDown, _name="theirs")
    ran = engine.run()[0]
    assert ran.analyzers.performance.get_analysis()["max_drawdown"] == pytest.approx(
        ran.analyzers.theirs.get_analysis().max.drawdown / 100.0
    )


def test_frames(margin: Any, plain: Any) -> None:
    frame = margin.analyzers.performance.to_frame()
    assert len(frame) == len(margin.broker.trade_records())
    assert str(frame["exit_time"].dt.tz) == "UTC"
    assert set(frame["exit_reason"]) <= {"stop", "target", "liquidation"}
    assert (frame["exit_time"] - frame["entry_time"] == frame["duration"]).all()
    days = margin.analyzers.performance.daily_frame()
    end = margin.analyzers.other.series()["equity"][-1]
    assert days["profit"].sum() == pytest.approx(end - 10_000.0)
    assert plain.analyzers.performance.to_frame()["leverage"].isna().all()


def test_the_margin_frame_is_the_history(margin: Any) -> None:
    analyzer = margin.analyzers.other
    frame = analyzer.to_frame()
    history = analyzer.get_analysis()["margin_history"]
    assert len(frame) == len(history)
    held = int(np.flatnonzero(frame["position"].to_numpy())[0])
    row = history[held]
    assert frame.index[held] == pd.Timestamp(row.pop("datetime"), tz="UTC")
    assert {k: frame[k].iloc[held] for k in row} == pytest.approx(row)
    assert np.isnan(frame["margin_ratio"].iloc[0])


def test_print_shows_the_figures(margin: Any, capsys: pytest.CaptureFixture[str]) -> None:
    margin.analyzers.performance.print()
    shown = capsys.readouterr().out
    assert "win_rate" in shown
    assert "risk_per_trade" in shown
    margin.analyzers.other.print()
    shown = capsys.readouterr().out
    assert "worst_margin_ratio" in shown
    assert len(shown) < 20_000, "the history by candle is named, not printed"


def test_a_run_without_a_trade_and_one_of_one_candle() -> None:
    for rows in ([(100.0, 101.0, 99.0, 100.0)] * 30, [(100.0, 101.0, 99.0, 100.0)]):
        engine = lp.Cerebro()
        engine.setbroker(lp.MarginBroker(cash=1_000))
        engine.adddata(lp.CandleFeed(dataname=frame(rows), symbol="T/USDT"))
        engine.addstrategy(Scripted, script={}, desk=type("D", (), {"values": []}))
        engine.addanalyzer(PerformanceAnalyzer, _name="performance")
        got = engine.run()[0].analyzers.performance.get_analysis()
        assert (got["trades"], got["win_rate"], got["sharpe"]) == (0, None, None)
        assert got["daily_profit"]["average"] == 0.0
        assert engine.runstrats[0][0].analyzers.performance.to_frame().empty
