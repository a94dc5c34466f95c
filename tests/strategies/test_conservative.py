"""The conservative strategy: its rule, its size, its stops, and that it runs anywhere."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError
from strategies import ConservativeLeverageStrategy
from strategies.conservative import conservative_entry


def wavy(bars: int = 3000, seed: int = 5) -> pd.DataFrame:
    """Candles that trend and pull back, so that the strategy finds entries on both sides."""
    rng = np.random.default_rng(seed)
    waves = 8 * np.sin(np.arange(bars) / 90.0) + 2.5 * np.sin(np.arange(bars) / 9.0)
    close = 100.0 + waves + np.cumsum(rng.normal(0, 0.15, bars))
    opened = np.concatenate([[close[0]], close[:-1]])
    high = np.maximum(opened, close) + rng.random(bars) * 0.4
    low = np.minimum(opened, close) - rng.random(bars) * 0.4
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2025-01-01", periods=bars, freq="h", tz="UTC"),
            "open": opened, "high": high, "low": low, "close": close, "volume": 1.0,
        }
    )  # fmt: skip


def trade(cerebro_class: type, broker: Any, table: pd.DataFrame, **params: Any) -> Any:
    cerebro = cerebro_class(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(CandleFeed(dataname=table, symbol="TEST/USDT"))
    cerebro.addstrategy(ConservativeLeverageStrategy, **params)
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    return cerebro.run()[0]


def test_the_rule_buys_dips_in_uptrends_and_sells_rallies_elsewhere():
    assert conservative_entry(101, 100, 34.9, 35, 65) == 1
    assert conservative_entry(101, 100, 70.0, 35, 65) == 0
    assert conservative_entry(99, 100, 65.1, 35, 65) == -1
    assert conservative_entry(99, 100, 30.0, 35, 65) == 0


def test_it_trades_both_sides_with_the_margin_broker():
    broker = MarginBroker(cash=10_000.0, tiers=None)
    trade(Cerebro, broker, wavy())
    sides = {t.side for t in broker.ledger.trades}
    assert sides == {"long", "short"}
    assert {t.reason for t in broker.ledger.trades} <= {"stop", "target"}


def test_it_runs_in_a_plain_cerebro_with_the_plain_broker():
    broker = bt.brokers.BackBroker(cash=10_000.0)
    ran = trade(bt.Cerebro, broker, wavy())
    assert ran.analyzers.trades.get_analysis().total.closed > 5


@pytest.mark.parametrize("leverage", [1.0, 2.0, 5.0, 20.0])
def test_a_stop_loses_the_risk_per_trade_whatever_the_leverage(leverage: float):
    broker = MarginBroker(cash=10_000.0, tiers=None, maker=0.0, taker=0.0)
    trade(Cerebro, broker, wavy(), leverage=leverage, risk_per_trade=0.01)
    equity = 10_000.0
    stopped = 0
    for t in broker.ledger.trades:
        if t.reason == "stop":
            # Sized at the signal's close, filled at the next open: these candles have no gap.
            assert -t.net == pytest.approx(0.01 * equity, rel=1e-6)
            stopped += 1
        assert t.leverage == leverage
        equity += t.net
    assert stopped > 3


def test_guide_sizing_risks_half_at_two_times():
    broker = MarginBroker(cash=10_000.0, tiers=None, maker=0.0, taker=0.0)
    trade(Cerebro, broker, wavy(), leverage=2.0, sizing="guide")
    first = broker.ledger.trades[0]
    share = 0.005 if first.reason == "stop" else -0.01
    assert -first.net == pytest.approx(share * 10_000.0, rel=1e-6)


def test_the_stop_counts_from_the_executed_price():
    table = wavy()
    broker = MarginBroker(cash=10_000.0, tiers=None, maker=0.0, taker=0.0, slippage=0.002)
    trade(Cerebro, broker, table)
    for t in broker.ledger.trades:
        if t.reason == "target":
            side = 1 if t.side == "long" else -1
            # Next opens equal closes here, so that the fill is the signal's close and slippage;
            # the distance is 6 % of the close, so that size and stop speak of the same price.
            close = t.entry_price / (1 + side * 0.002)
            assert t.exit_price == pytest.approx(t.entry_price + side * 0.06 * close)


def test_an_unknown_parameter_raises_with_the_nearest_name():
    with pytest.raises(SettingError, match="did you mean stop_loss_pct"):
        trade(Cerebro, MarginBroker(), wavy(100), stop_los_pct=0.05)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sizing": "bold"}, "sizing must be"),
        ({"leverage": 0.0}, "leverage must be"),
        ({"risk_per_trade": 2.0}, "risk_per_trade"),
        ({"stop_loss_pct": 0.0}, "stop_loss_pct"),
        ({"max_positions": 0}, "max_positions"),
    ],
)
def test_nonsense_parameters_are_named(params: dict[str, Any], words: str):
    with pytest.raises(SettingError, match=words):
        trade(Cerebro, MarginBroker(), wavy(100), **params)


def test_rejected_orders_do_not_use_up_positions():
    broker = MarginBroker(cash=10_000.0, tiers=None, min_notional=1e9)
    ran = trade(Cerebro, broker, wavy(), max_positions=1)
    assert len(broker.rejections) > 3
    assert ran.open_count() == 0


def test_max_positions_counts_over_all_feeds():
    broker = MarginBroker(cash=10_000.0, tiers=None)
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    for number in range(3):
        cerebro.adddata(CandleFeed(dataname=wavy(), symbol=f"S{number}/USDT"))
    cerebro.addstrategy(ConservativeLeverageStrategy, max_positions=2)
    cerebro.run()
    assert {t.symbol for t in broker.ledger.trades} == {"S0/USDT", "S1/USDT"}
