"""At leverage 1, without funding, tiers or liquidation, the trades are stock Backtrader's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import backtrader as bt
import numpy as np
import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from leverpack.candles.reader import read_candles
from tests.conftest import needs_shared, real
from tests.strategies.test_conservative import wavy

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

FEE = 0.0004
BTC = "binanceusdm_BTCUSDT_perp_1h_20190908_20260219.parquet"
SOL = "binanceusdm_SOLUSDT_perp_5m_20241231_20260219.parquet"


class Noted(bt.Strategy):
    """Notes every end of an order and of a trade, as numbers."""

    def __init__(self) -> None:
        self.orders: list[tuple[float, ...]] = []
        self.trades: list[tuple[float, ...]] = []

    def share(self, part: float) -> float:
        size: float = part * self.broker.getvalue() / self.data.close[0]
        return size

    def notify_order(self, order: Any) -> None:
        if not order.alive():
            done = order.executed
            self.orders.append(
                (len(self), order.status, order.isbuy(), done.size, done.price, done.comm, done.pnl)
            )

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.trades.append((trade.barlen, trade.price, trade.pnl, trade.pnlcomm))


class Crossing(Noted):
    """Market orders, both sides, reversing."""

    def __init__(self) -> None:
        super().__init__()
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30))

    def next(self) -> None:
        if self.cross[0]:
            if self.position:
                self.close()
            if self.cross[0] > 0:
                self.buy(size=self.share(0.5))
            else:
                self.sell(size=self.share(0.4))


class Bracketed(Noted):
    """Bracket orders, entered by limit and by market."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = bt.ind.SMA(period=10), bt.ind.SMA(period=30)
        self.sent: list[Any] = []

    def next(self) -> None:
        if self.position or any(o.alive() for o in self.sent):
            return
        price, size = self.data.close[0], self.share(0.5)
        if self.fast[0] > self.slow[0]:
            self.sent = self.buy_bracket(
                size=size, price=price * 0.999, stopprice=price * 0.985, limitprice=price * 1.02
            )
        else:
            self.sent = self.sell_bracket(
                size=size, exectype=bt.Order.Market, stopprice=price * 1.015,
                limitprice=price * 0.98,
            )  # fmt: skip


class Trailing(Noted):
    """Limit entries that expire, trailing stops out."""

    entry: Any = None
    trail: Any = None

    def next(self) -> None:
        price = self.data.close[0]
        if not self.position:
            if self.entry is None or not self.entry.alive():
                self.entry = self.buy(
                    exectype=bt.Order.Limit, price=price * 0.995, size=self.share(0.6),
                    valid=self.data.datetime.datetime() + timedelta(hours=12),
                )  # fmt: skip
                self.trail = None
        elif self.trail is None or not self.trail.alive():
            self.trail = self.sell(
                exectype=bt.Order.StopTrail, trailpercent=0.02, size=self.position.size
            )


def play(cerebro_class: type, broker: Any, strategy: type, source: Any) -> Any:
    cerebro = cerebro_class()
    cerebro.setbroker(broker)
    cerebro.adddata(CandleFeed(dataname=source, symbol="UNLISTED/USDT"))
    cerebro.addstrategy(strategy)
    cerebro.addanalyzer(bt.analyzers.TimeReturn, timeframe=bt.TimeFrame.Days, _name="days")
    return cerebro, cerebro.run()[0]


def stock_broker() -> Any:
    broker = bt.brokers.BackBroker(cash=100_000.0)
    broker.setcommission(commission=FEE)
    return broker


def assert_equal(strategy: type, source: Any, at_least: int) -> None:
    _, stock = play(bt.Cerebro, stock_broker(), strategy, source)
    broker = MarginBroker(cash=100_000.0, leverage=1.0, tiers=None, maker=FEE, taker=FEE)
    engine, ours = play(Cerebro, broker, strategy, source)
    assert engine.loop == "fast"
    assert len(stock.trades) >= at_least
    np.testing.assert_allclose(ours.orders, stock.orders, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.trades, stock.trades, rtol=1e-9, atol=1e-6)
    days, own = (s.analyzers.days.get_analysis() for s in (stock, ours))
    assert list(days) == list(own)
    np.testing.assert_allclose(list(own.values()), list(days.values()), atol=1e-9)


@pytest.mark.parametrize("strategy", [Crossing, Bracketed, Trailing])
def test_equal_on_made_candles(strategy: type):
    assert_equal(strategy, wavy(), 5)


@needs_shared
@pytest.mark.parametrize("strategy", [Crossing, Bracketed, Trailing])
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [(BTC, "2020-03-01", "2021-06-30"), (SOL, "2025-09-15", "2025-11-15")],  # with their crashes
)
def test_equal_on_real_candles(strategy: type, name: str, first: str, last: str):
    candles = read_candles(real(name))
    stretch = candles.between(*(int(np.datetime64(day, "ms").astype(int)) for day in (first, last)))
    assert len(stretch) > 10_000
    assert_equal(strategy, stretch, 30)


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Crossing, Bracketed, Trailing])
@pytest.mark.parametrize("name", [BTC, SOL])
def test_equal_on_all_of_them(strategy: type, name: str):
    assert_equal(strategy, real(name), 100)
