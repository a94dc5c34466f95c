"""The margin analyzer: the guide's keys, episodes instead of candles, arrays instead of dicts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import backtrader as bt
import numpy as np
import pytest

from analyzers import MarginAnalyzer
from leverpack.backtest.broker import MarginBroker
from leverpack.candles.feed import CandleFeed
from tests.backtest.desk import Desk, Scripted, frame, funding
from tests.backtest.test_candle_order import HALF_PERCENT, QUIET, buy


def analyse(rows: Any, script: Any, *, rates: Any = None, **settings: Any) -> tuple[Any, Any]:
    values = {"cash": 10_000.0, "maker": 0.0, "taker": 0.0, "tiers": HALF_PERCENT, **settings}
    broker = MarginBroker(**values)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    paid = funding(rates) if rates else None
    cerebro.adddata(CandleFeed(dataname=frame(rows), funding=paid, symbol="TEST/USDT"))
    cerebro.addstrategy(Scripted, script=script, desk=Desk(broker))
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    analyzer = cerebro.run()[0].analyzers.margin
    return analyzer, analyzer.get_analysis()


def test_the_guides_keys_are_there():
    _, got = analyse([QUIET] * 4, {1: buy(10.0)}, leverage=10.0)
    assert {"margin_history", "min_margin_level", "margin_calls"} <= set(got)
    row = got["margin_history"][-1]
    assert row["datetime"] == datetime(2025, 1, 1, 3)
    assert row["current_price"] == 100.0
    assert row["liquidation_price"] == pytest.approx(90.0 / 0.995)
    assert row["margin_level"] == pytest.approx(100.0)
    assert row["margin_ratio"] == pytest.approx(0.05)
    assert row["effective_leverage"] == pytest.approx(0.1)
    assert row["liquidation_distance"] == pytest.approx(1.0 - 0.9 / 0.995)
    assert got["min_margin_level"] == pytest.approx(100.0)


def test_history_behaves_like_a_list():
    _, got = analyse([QUIET] * 5, {})
    history = got["margin_history"]
    assert len(history) == 5
    assert history[0]["margin_level"] is None
    assert [r["equity"] for r in history[1:3]] == [10_000.0, 10_000.0]
    assert [r["equity"] for r in history] == [10_000.0] * 5
    with pytest.raises(IndexError):
        history[5]


def test_an_empty_history_is_a_valid_report():
    _, got = analyse([QUIET] * 3, {})
    assert got["min_margin_level"] is None
    assert got["worst_margin_ratio"] is None
    assert got["nearest_liquidation"] is None
    assert (got["margin_calls"], got["max_effective_leverage"]) == (0, 0.0)


NEAR = (91.0, 91.0, 90.55, 91.0)  # 90.45 liquidates
SAFE = (96.0, 96.0, 96.0, 96.0)


def test_a_call_is_an_episode_not_a_candle():
    rows = [QUIET, QUIET, NEAR, NEAR, NEAR, SAFE, NEAR, NEAR]
    _, got = analyse(rows, {1: buy(10.0)}, leverage=10.0)
    assert got["margin_calls"] == 2
    first, second = got["margin_call_episodes"]
    assert (first.bars, second.bars) == (3, 2)
    assert first.end is not None
    assert second.end is None
    mm, balance = 10.0 * 90.55 * 0.005, 100.0 - 10.0 * 9.45
    assert first.worst_margin_ratio == pytest.approx(mm / balance)


def test_the_nearest_approach_counts_the_wick():
    rows = [QUIET, QUIET, (100.0, 100.0, 92.0, 99.0), QUIET]
    _, got = analyse(rows, {1: buy(10.0)}, leverage=10.0)
    assert got["nearest_liquidation"] == pytest.approx((92.0 - 90.0 / 0.995) / 92.0)
    assert got["nearest_liquidation_time"] == datetime(2025, 1, 1, 2)


def test_a_liquidation_is_reported_with_price_fee_and_shortfall():
    rows = [QUIET, QUIET, (100.0, 100.0, 80.0, 95.0), QUIET]
    _, got = analyse(rows, {1: buy(10.0)}, leverage=10.0)
    (record,) = got["liquidations"]
    assert record.price == pytest.approx(90.0 / 0.995)
    assert record.fee == pytest.approx(10.0 * record.price * 0.0125)
    assert got["insurance"] == record.shortfall > 0.0
    assert got["nearest_liquidation"] == 0.0
    assert got["margin_calls"] == 1
    assert got["worst_margin_ratio"] >= 1.0


def test_costs_to_date():
    analyzer, got = analyse(
        [QUIET] * 5, {1: buy(10.0)}, rates={"2025-01-01T02:00Z": 0.01}, taker=0.001
    )
    assert analyzer.series()["funding"].tolist() == [0.0, 0.0, -10.0, -10.0, -10.0]
    assert analyzer.series()["fees"].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert (got["funding"], got["fees"], got["interest"]) == (-10.0, 1.0, 0.0)


def test_series_are_arrays_of_eight_bytes_a_value():
    analyzer, _ = analyse([QUIET] * 50, {1: buy(10.0)})
    assert all(v.dtype == np.float64 and len(v) == 50 for v in analyzer.series().values())
    assert analyzer.feed_series(0)["position"].tolist() == [0.0] + [10.0] * 49
    assert analyzer.times()[1] - analyzer.times()[0] == 3_600_000


def test_of_a_broker_without_margin_it_reads_what_there_is(caplog: pytest.LogCaptureFixture):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt.brokers.BackBroker(cash=10_000.0))
    cerebro.adddata(CandleFeed(dataname=frame([QUIET] * 5), symbol="TEST/USDT"))
    cerebro.addstrategy(Scripted, script={1: buy(10.0)}, desk=Desk(None))
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    got = cerebro.run()[0].analyzers.margin.get_analysis()
    assert "BackBroker has no margin_ratio()" in caplog.text
    unknown = ("margin_calls", "min_margin_level", "worst_margin_ratio", "fees", "funding")
    assert [got[name] for name in unknown] == [None] * 5
    assert (got["liquidations"], got["margin_call_episodes"]) == ([], [])
    assert got["max_effective_leverage"] == pytest.approx(0.1)
    last = got["margin_history"][-1]
    assert (last["equity"], last["position"], last["margin_level"]) == (10_000.0, 10.0, None)
