"""Several symbols on one cross wallet: they fall together, rise together, and one at a time."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.candles.feed import CandleFeed
from leverpack.margin.tiers import TierTable
from tests.backtest.desk import Row, frame
from tests.backtest.test_candle_order import QUIET

TABLE = TierTable.flat("ANY", 0.005, 125.0, 0.0125)


class Legs(bt.Strategy):
    """Opens one position a feed in the first candle."""

    params = (("sizes", ()),)

    def next(self) -> None:
        if len(self) == 1:
            for data, size in zip(self.datas, self.p.sizes, strict=True):
                (self.buy if size > 0 else self.sell)(data=data, size=abs(size))


def play(sizes: tuple[float, ...], *symbols: list[Row], **settings: Any) -> MarginBroker:
    values = {"cash": 1_000.0, "leverage": 20.0, "margin_mode": "cross", "maker": 0.0, "taker": 0.0}
    broker = MarginBroker(**{**values, "tiers": TABLE, **settings})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    for number, rows in enumerate(symbols):
        cerebro.adddata(CandleFeed(dataname=frame(rows), symbol=f"S{number}"))
    cerebro.addstrategy(Legs, sizes=sizes)
    cerebro.run()
    return broker


def candle(low: float, high: float = 100.0) -> list[Row]:
    return [QUIET, QUIET, (100.0, high, low, 100.0), QUIET]


def test_two_longs_that_fall_together_fail_where_neither_alone_would():
    # Each loses 600 of the 1,000 at its low: alone the account stands, together it does not.
    assert not play((60.0, 60.0), candle(90.0), candle(100.0)).liquidations
    broker = play((60.0, 60.0), candle(90.0), candle(90.0))
    assert broker.liquidations
    assert broker.account.wallet >= -1e-9
    record = broker.liquidations[0]
    # Where 1000 - 120 * drop = 0.005 * 120 * (100 - drop)
    drop = (1000.0 - 60.0) / (120.0 * 0.995)
    assert record.price == pytest.approx(100.0 - drop, rel=1e-9)


def test_a_hedged_pair_survives_a_fall_of_both():
    assert not play((60.0, -60.0), candle(90.0), candle(90.0)).liquidations


def test_a_hedged_pair_fails_when_one_leg_alone_moves_too_far():
    broker = play((110.0, -60.0), candle(89.0), candle(100.0, 100.0))
    assert broker.liquidations[0].symbol == "S0"


def test_isolated_positions_do_not_pull_each_other_down():
    broker = play((10.0, 10.0), candle(80.0), candle(99.0), margin_mode="isolated")
    assert [r.symbol for r in broker.liquidations] == ["S0"]
    assert broker.account.positions["S1"].size == 10.0


def test_the_account_never_goes_below_zero_in_a_gap():
    gap = [QUIET, QUIET, (70.0, 70.0, 70.0, 70.0), QUIET]
    broker = play((60.0, 60.0), gap, gap)
    assert len(broker.liquidations) == 2
    assert broker.account.wallet == pytest.approx(0.0, abs=1e-6)
    assert broker.account.costs.insurance > 0.0


def test_profit_of_one_carries_the_loss_of_the_other():
    rise = [QUIET, QUIET, (112.0, 112.0, 112.0, 112.0), (112.0, 112.0, 112.0, 112.0)]
    fall = [QUIET, QUIET, (88.0, 88.0, 88.0, 88.0), (88.0, 88.0, 88.0, 88.0)]
    assert not play((100.0, 100.0), rise, fall).liquidations


def test_feeds_of_different_length_share_the_wallet():
    late = [QUIET] * 2
    broker = play((60.0, 60.0), candle(90.0), late)
    assert broker.getvalue() == pytest.approx(1_000.0)
