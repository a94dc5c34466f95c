"""The public guide's worked numbers: what it prints, and what is true, row by row."""

from __future__ import annotations

import math
from typing import Any

import pytest

from leverpack.indicators import bars_per_year
from leverpack.margin.funding import funding_cash
from leverpack.margin.liquidation import linear_liquidation_price
from leverpack.risk.sizing import guide_size, risk_size
from strategies import AdaptiveLeverageStrategy
from strategies.margin_monitor import CALM, margin_action
from tests.strategies.stage import flat, once, play, to


def test_bars_a_year_of_a_market_that_never_closes() -> None:
    assert math.sqrt(252) == pytest.approx(15.9, abs=0.03)
    assert math.sqrt(bars_per_year(15)) == pytest.approx(187.2, abs=0.05)


def test_the_liquidation_price_comes_from_the_wallet_and_not_from_live_equity() -> None:
    # Long 1 BTC from 50,000, wallet 10,000, maintenance 10 %.
    def guides(price: float) -> float:
        equity = 10_000.0 + price - 50_000.0
        return 50_000.0 * (1.0 - (equity / 50_000.0 - 0.1))

    assert guides(47_000.0) == pytest.approx(48_000.0)  # above the market of 47,000
    truth = linear_liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, 0.1, 0.0, 0.0, 0.0, 0.0)
    assert truth == pytest.approx(44_444.44, abs=0.005)


def test_five_percent_from_the_price_is_the_entry_itself_from_18x_on() -> None:
    for leverage in (18.0, 20.0, 50.0):
        price = linear_liquidation_price(
            1.0, 1.0, 100.0, 100.0 / leverage, 0.01, 0.0, 0.0, 0.0, 0.0
        )
        assert (100.0 - price) / 100.0 < 0.05  # the guide leaves here, at the entry
        ratio = 0.01 * 100.0 / (100.0 / leverage)
        assert margin_action(ratio, 1.0, 0.8, 0.9, 0.5, 0.25) == CALM


def test_a_fill_above_the_signals_close_loses_126_there_and_100_here() -> None:
    size = risk_size(10_000.0, 0.01, 50_000.0, 0.03)
    assert size * (50_400.0 - 50_000.0 * 0.97) == pytest.approx(126.67, abs=0.01)
    rows = [*flat(50_000, 2), to(50_400, 50_400), to(50_400, 48_000), *flat(48_000)]
    ran = play(rows, once(2, 1), take_profit_pct=0.0)
    (trade,) = ran.broker.ledger.trades
    assert (trade.entry_price, trade.exit_price) == (50_400.0, pytest.approx(48_900.0))
    assert trade.net == pytest.approx(-100.0)


@pytest.mark.parametrize("sizing", ["guide", "risk"])
def test_the_printed_size_and_the_corrected_one_in_a_run(sizing: str) -> None:
    ran = play(flat(50_000, 6), once(2, 1), sizing=sizing)
    bought = ran.fills[0][1]
    printed = guide_size(10_000.0, 0.01, 50_000.0, 0.03, 2.0)
    assert bought == pytest.approx(printed if sizing == "guide" else 2.0 * printed)


def test_a_wick_of_six_percent_at_20x_meets_the_stop_or_the_exchange() -> None:
    wick = (100.0, 100.0, 94.0, 99.0)
    rows = [*flat(100, 2), (100.0, 100.0, 100.0, 100.0), wick, *flat(99, 2)]
    # On the close, 1 % down, the guide sees nothing.
    assert wick[3] > 100.0 * 0.97
    stopped = play(rows, once(2, 1), leverage=20.0, take_profit_pct=0.0)
    assert [t.reason for t in stopped.broker.ledger.trades] == ["stop"]
    bare = play(rows, once(2, 1), leverage=20.0, stop_loss_pct=0.5, take_profit_pct=0.0)
    assert [t.reason for t in bare.broker.ledger.trades] == ["liquidation"]


def test_what_the_model_decides_is_what_the_broker_has() -> None:
    decided: list[float] = []
    seen: list[float] = []

    class Asked(AdaptiveLeverageStrategy):
        def decide_leverage(self, data: Any, side: int) -> float:
            decided.append(super().decide_leverage(data, side))
            return decided[-1]

        def notify_fill(self, order: Any) -> None:
            if order.info.get("tag") == "entry":
                seen.append(self.broker.get_leverage(order.data))
            super().notify_fill(order)

    from leverpack import CandleFeed, Cerebro, MarginBroker
    from tests.strategies.test_conservative import wavy

    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(cash=10_000.0, tiers=None))
    cerebro.adddata(CandleFeed(dataname=wavy(), symbol="TEST/USDT"))
    cerebro.addstrategy(Asked, liquidation_stops=0.0, base_leverage=3.0)
    cerebro.run()
    assert len(seen) > 10
    assert len(set(seen)) > 3
    assert set(seen) <= {max(1.0, x) for x in decided}


def test_three_times_at_a_hundredth_of_a_percent_is_a_third_of_equity_a_year() -> None:
    paid = sum(funding_cash(1.0, 3.0, 10_000.0, 0.0001) for _ in range(3 * 365))
    assert abs(paid) / 10_000.0 == pytest.approx(0.33, abs=0.005)
