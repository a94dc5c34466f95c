"""Every strategy of the pack with nothing but Backtrader's own Cerebro and broker around it.

Cracktrader's are of that kind: they have Backtrader's methods, and none about leverage.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import backtrader as bt
import pytest

from analyzers import MarginAnalyzer
from leverpack.candles.feed import CandleFeed
from strategies import STRATEGIES
from tests.conftest import ROOT


class OnlyBacktraders(bt.brokers.BackBroker):
    """Tells the methods that a broker is asked for and does not have."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            MISSED.add(name)
        raise AttributeError(name)


MISSED: set[str] = set()


class Naked(bt.Analyzer):
    """Candles at whose close a position stands that neither a stop nor a way out covers."""

    def start(self) -> None:
        self.found: list[int] = []

    def next(self) -> None:
        broker = self.strategy.broker
        waiting = [o for o in (*broker.pending, *broker.submitted) if o]
        if self.strategy.position.size * self.data.close[0] > 1e-6 and not waiting:
            self.found.append(len(self.data))


def test_a_refused_target_leaves_no_position_without_its_stop():
    """Without shortcash Backtrader's broker takes a target for a short sale, refuses it, and
    takes the stop away with it."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt.brokers.BackBroker(cash=100_000.0, shortcash=False))
    cerebro.adddata(CandleFeed(
        dataname=ROOT / "data" / "made_BTCUSDT_1h_2025.csv", todate=date(2025, 3, 1)))
    cerebro.addstrategy(
        STRATEGIES["micro_stake"], sides="long", sizing="equity", max_risk_per_trade=0.0,
        max_notional_per_trade=0.0, max_stake=0.0,
    )  # fmt: skip
    cerebro.addanalyzer(Naked, _name="naked")
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    ran = cerebro.run()[0]
    assert ran.analyzers.trades.get_analysis().total.closed > 2
    assert not ran.analyzers.naked.found


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_trades_with_stops_and_counts_as_one_times(name: str):
    MISSED.clear()
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(OnlyBacktraders(cash=100_000.0))
    cerebro.broker.setcommission(commission=0.0005)
    cerebro.adddata(CandleFeed(
        dataname=ROOT / "data" / "made_BTCUSDT_1h_2025.csv", todate=date(2025, 6, 1)))
    cerebro.addstrategy(STRATEGIES[name])
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
    ran = cerebro.run()[0]
    trades, found = ran.analyzers.trades.get_analysis(), ran.analyzers.margin.get_analysis()
    assert trades.total.closed >= 2, name
    assert 0.0 < found["max_effective_leverage"] < 1.05  # it cannot set leverage, so it uses none
    assert found["margin_calls"] is None
    assert {"margin_ratio", "set_leverage"} <= MISSED
    # A position never stands without the stop that its plan wants.
    resting = [*cerebro.broker.pending, *cerebro.broker.submitted]
    assert ran.is_flat(ran.data0) or any(
        order.exectype in (bt.Order.Stop, bt.Order.StopTrail) for order in resting if order
    )
