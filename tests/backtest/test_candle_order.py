"""What happens first inside a candle: liquidation, stops and targets, as worked by hand."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import pytest

from leverpack.margin.tiers import TierTable
from tests.backtest.desk import Scripted, run

HALF_PERCENT = TierTable.flat("TEST/USDT", 0.005, 125.0, 0.0125)
QUIET = (100.0, 100.0, 100.0, 100.0)
LONG_LIQUIDATION = 90.0 / 0.995  # 10x: (margin - entry) / (mmr - 1), per unit
SHORT_LIQUIDATION = 110.0 / 1.005


def buy(size: float = 10.0, **kwargs: Any) -> Any:
    return lambda s: s.buy(size=size, **kwargs)


def sell(size: float = 10.0, **kwargs: Any) -> Any:
    return lambda s: s.sell(size=size, **kwargs)


def both(*actions: Any) -> Any:
    def do(strategy: Any) -> None:
        for action in actions:
            action(strategy)

    return do


def stop(price: float, size: float = 10.0) -> Any:
    return sell(size, exectype=bt.Order.Stop, price=price, reduce_only=True)


def target(price: float, size: float = 10.0) -> Any:
    return sell(size, exectype=bt.Order.Limit, price=price, reduce_only=True)


def run10(rows: Any, script: Any, **more: Any) -> Any:
    return run(rows, script, leverage=10.0, tiers=HALF_PERCENT, **more)


def test_a_wick_through_the_price_liquidates_there_and_the_run_goes_on():
    rows = [QUIET, QUIET, (100.0, 101.0, 85.0, 99.0), QUIET, QUIET]
    desk = run10(rows, {1: buy(), 4: buy(1.0)})
    (record,) = desk.broker.liquidations
    assert record.price == pytest.approx(LONG_LIQUIDATION)
    assert record.gap == ""
    assert desk.broker.account.wallet == pytest.approx(9_900.0)
    assert desk.fills[-1].bar == 5, "the strategy trades on after the liquidation"


def test_a_close_above_the_price_does_not_save_what_the_wick_took():
    desk = run10([QUIET, QUIET, (100.0, 100.0, 90.0, 100.0)], {1: buy()})
    assert len(desk.broker.liquidations) == 1


def test_a_wick_that_stops_short_of_the_price_does_nothing():
    desk = run10([QUIET, QUIET, (100.0, 100.0, 90.46, 100.0)], {1: buy()})
    assert not desk.broker.liquidations


def test_a_short_is_liquidated_by_the_high():
    desk = run10([QUIET, QUIET, (100.0, 112.0, 99.0, 100.0)], {1: sell()})
    assert desk.broker.liquidations[0].price == pytest.approx(SHORT_LIQUIDATION)


def test_a_gap_beyond_the_price_liquidates_at_the_open():
    desk = run10([QUIET, QUIET, (80.0, 81.0, 79.0, 80.0)], {1: buy()})
    (record,) = desk.broker.liquidations
    assert (record.price, record.gap) == (80.0, "open")
    assert record.shortfall == pytest.approx(200.0 - 100.0 + record.fee)
    assert desk.broker.account.wallet == pytest.approx(9_900.0)


def test_a_stop_above_the_price_saves_the_position():
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)]
    desk = run10(rows, {1: buy(), 2: stop(95.0)})
    assert not desk.broker.liquidations
    assert desk.fills[-1].price == 95.0


def test_a_stop_below_the_price_comes_too_late():
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)]
    desk = run10(rows, {1: buy(), 2: stop(89.0)})
    assert desk.broker.liquidations[0].price == pytest.approx(LONG_LIQUIDATION)
    assert desk.fills[-1].reason == "liquidation"


@pytest.mark.parametrize("hair", [-1e-12, 0.0, 1e-12])
def test_a_stop_at_the_price_does_not_save_the_position_whatever_the_last_bit(hair: float):
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)]
    desk = run10(rows, {1: buy(), 2: stop(LONG_LIQUIDATION * (1.0 + hair))})
    assert desk.fills[-1].reason == "liquidation"


def test_a_stop_a_tick_above_the_price_does():
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)]
    desk = run10(rows, {1: buy(), 2: stop(LONG_LIQUIDATION + 1e-6)})
    assert not desk.broker.liquidations


def test_a_candle_that_opens_beyond_both_liquidates():
    rows = [QUIET, QUIET, QUIET, (85.0, 86.0, 80.0, 85.0)]
    desk = run10(rows, {1: buy(), 2: stop(95.0)})
    assert desk.broker.liquidations[0].price == 85.0


def test_a_candle_that_opens_between_stop_and_price_fills_the_stop_at_the_open():
    rows = [QUIET, QUIET, QUIET, (93.0, 94.0, 80.0, 85.0)]
    desk = run10(rows, {1: buy(), 2: stop(95.0)})
    assert not desk.broker.liquidations
    assert desk.fills[-1].price == 93.0


def test_a_market_exit_sent_at_the_close_goes_before_the_gap():
    rows = [QUIET, QUIET, (85.0, 86.0, 80.0, 85.0)]
    desk = run10([QUIET, *rows], {1: buy(), 3: lambda s: s.close()})
    assert not desk.broker.liquidations
    assert desk.fills[-1].price == 85.0


@pytest.mark.parametrize("first", [stop(97.0), target(103.0)])
@pytest.mark.parametrize(
    ("intrabar", "expected"), [("worst", 97.0), ("ohlc", 103.0), ("olhc", 97.0)]
)
def test_stop_and_target_in_one_candle(first: Any, intrabar: str, expected: float):
    second = target(103.0) if first is not target else stop(97.0)
    rows = [QUIET, QUIET, QUIET, (100.0, 104.0, 96.0, 100.0), QUIET]
    script = {1: buy(), 2: both(stop(97.0), target(103.0)), 3: None}
    del second
    desk = run(rows, script, leverage=2.0, intrabar=intrabar)
    assert desk.fills[1].price == expected


def test_worst_for_a_short_is_up_first():
    rows = [QUIET, QUIET, QUIET, (100.0, 104.0, 96.0, 100.0)]
    script = {
        1: sell(),
        2: both(
            buy(10.0, exectype=bt.Order.Limit, price=97.0, reduce_only=True),
            buy(10.0, exectype=bt.Order.Stop, price=103.0, reduce_only=True),
        ),
    }
    assert run(rows, script, leverage=2.0).fills[1].price == 103.0


def test_a_target_that_the_open_has_passed_fills_before_a_stop_inside():
    rows = [QUIET, QUIET, QUIET, (104.0, 105.0, 96.0, 100.0)]
    desk = run(rows, {1: buy(), 2: both(stop(97.0), target(103.0))}, leverage=2.0)
    assert desk.fills[1].price == 104.0


def test_a_reduce_only_order_never_opens():
    rows = [QUIET, QUIET, QUIET, (100.0, 104.0, 96.0, 100.0), QUIET]
    desk = run(rows, {1: buy(), 2: both(stop(97.0), target(103.0))}, leverage=2.0)
    assert len(desk.fills) == 2
    assert desk.broker.account.positions["TEST/USDT"].size == 0.0


def test_a_reduce_only_order_larger_than_the_position_closes_just_that():
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 96.0, 97.0), QUIET]
    desk = run(rows, {1: buy(4.0), 2: stop(97.0, 10.0)}, leverage=2.0)
    assert desk.broker.account.positions["TEST/USDT"].size == 0.0
    assert desk.trades == [pytest.approx(-12.0)]


def test_liquidation_cancels_what_rests_for_the_symbol():
    rows = [QUIET, QUIET, QUIET, (100.0, 100.0, 80.0, 95.0), (100.0, 120.0, 80.0, 100.0)]
    desk = run10(rows, {1: buy(), 2: both(stop(85.0), target(115.0))})
    assert [f.reason for f in desk.fills] == ["", "liquidation"]
    assert not desk.broker.pending


def test_the_trade_of_a_liquidation_costs_what_the_wallet_lost():
    desk = run10([QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)], {1: buy()}, taker=0.001)
    assert sum(desk.trades) == pytest.approx(desk.broker.account.wallet - 10_000.0)
    assert sum(desk.trades) == pytest.approx(-100.0 - 1.0)


def test_the_mark_decides_about_liquidation_and_the_trade_candle_about_stops():
    wick = (100.0, 100.0, 80.0, 99.0)
    rows = [QUIET, QUIET, wick]
    calm = [QUIET, QUIET, (100.0, 100.0, 95.0, 99.0)]
    assert not run10(rows, {1: buy()}, mark=calm).broker.liquidations
    assert run10([QUIET] * 3, {1: buy()}, mark=[QUIET, QUIET, wick]).broker.liquidations


def test_cross_margin_uses_the_whole_wallet():
    rows = [QUIET, QUIET, (100.0, 100.0, 80.0, 95.0)]
    assert not run10(rows, {1: buy()}, margin_mode="cross").broker.liquidations
    desk = run10(rows, {1: buy(900.0)}, margin_mode="cross")
    expected = (10_000.0 - 90_000.0) / (900.0 * -0.995)
    assert desk.broker.liquidations[0].price == pytest.approx(expected)
    assert desk.broker.account.wallet >= -1e-9


# -- protective orders that come into being with the fill ---------------------------------------


class Protected(Scripted):
    """Sends a 3 % stop and a 6 % target the moment its entry fills."""

    def notify_fill(self, order: Any) -> None:
        if order.info.get("tag") != "entry":
            return
        price = order.executed.price
        size = abs(order.executed.size)
        guard = self.sell(
            size=size, exectype=bt.Order.Stop, price=price * 0.97, reduce_only=True, tag="stop"
        )
        self.sell(
            size=size, exectype=bt.Order.Limit, price=price * 1.06, reduce_only=True,
            tag="target", oco=guard,
        )  # fmt: skip


def test_the_stop_protects_in_the_very_candle_of_the_entry():
    rows = [QUIET, (100.0, 100.0, 80.0, 95.0), QUIET]
    desk = run10(rows, {1: buy(tag="entry")}, strategy=Protected)
    assert not desk.broker.liquidations
    assert [f.price for f in desk.fills] == [100.0, 97.0]


def test_without_it_the_same_candle_liquidates():
    rows = [QUIET, (100.0, 100.0, 80.0, 95.0), QUIET]
    assert run10(rows, {1: buy()}).broker.liquidations


def test_after_a_limit_entry_inside_the_candle_the_target_waits_for_the_next():
    entry = buy(10.0, exectype=bt.Order.Limit, price=95.0, tag="entry")
    rows = [QUIET, (100.0, 102.0, 94.0, 100.0), (100.0, 102.0, 99.0, 101.0)]
    desk = run10(rows, {1: entry}, strategy=Protected)
    assert [(f.bar, f.price) for f in desk.fills] == [(2, 95.0), (3, 100.7)]


def test_after_a_stop_entry_the_protective_stop_counts_from_the_fill_price():
    entry = buy(10.0, exectype=bt.Order.Stop, price=110.0, tag="entry")
    rows = [QUIET, (100.0, 111.0, 99.0, 110.0), QUIET]
    desk = run10(rows, {1: entry}, strategy=Protected)
    assert [f.price for f in desk.fills] == [110.0, pytest.approx(106.7)]
