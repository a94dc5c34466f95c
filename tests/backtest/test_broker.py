"""The margin broker: money, refusals with reasons, funding, settings, and its public methods."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.errors import SettingError
from leverpack.margin.tiers import TierTable
from tests.backtest.desk import run
from tests.backtest.test_candle_order import HALF_PERCENT, QUIET, buy, sell

UP = (100.0, 110.0, 100.0, 110.0)
TWO_TIERS = TierTable(
    "TEST/USDT", HALF_PERCENT.valid_from, (0.0, 50_000.0), (50_000.0, 1e9), (0.005, 0.01),
    (0.0, 250.0), (125.0, 20.0), 0.0125,
)  # fmt: skip


def test_value_and_cash_of_a_leveraged_long():
    seen: list[tuple[float, float]] = []
    look = lambda s: seen.append((s.broker.getvalue(), s.broker.getcash()))  # noqa: E731
    run([QUIET, UP, UP], {1: buy(100.0), 2: look}, leverage=5.0)
    assert seen == [(11_000.0, 8_000.0)]


def test_order_beyond_the_margin_is_refused_with_the_reason():
    desk = run([QUIET, QUIET], {1: buy(501.0)}, leverage=5.0)
    assert desk.refused == [("Margin", "margin is short by 20.00")]
    assert desk.broker.rejections[0]["reason"] == "margin is short by 20.00"


def test_a_short_needs_margin_too():
    assert run([QUIET, QUIET], {1: sell(101.0)}).refused[0][0] == "Margin"
    assert not run([QUIET, QUIET], {1: sell(100.0)}).refused


def test_leverage_above_the_tier_of_the_notional_is_refused():
    desk = run([QUIET, QUIET], {1: buy(600.0)}, leverage=50.0, tiers=TWO_TIERS)
    assert desk.refused == [
        ("Rejected", "leverage 50 is above the 20x allowed at a notional of 60,000.00")
    ]


def test_leverage_above_the_table_is_refused_at_once():
    with pytest.raises(SettingError, match="above the 125x"):
        run([QUIET, QUIET], {1: buy(1.0)}, leverage=126.0, tiers=TWO_TIERS)


def test_minimum_notional_blocks_entries_and_never_exits():
    script = {1: buy(1.0), 2: lambda s: s.sell(size=0.99), 3: lambda s: s.close()}
    desk = run([QUIET] * 5, script, min_notional=50.0)
    assert [f.size for f in desk.fills] == [1.0, 0.99, pytest.approx(0.01)]
    refused = run([QUIET] * 3, {1: buy(0.4)}, min_notional=50.0).refused
    assert refused == [("Rejected", "notional 40.00 is below the minimum of 50.00")]


def test_sizes_and_prices_go_on_the_grid():
    entry = buy(1.2345, exectype=bt.Order.Limit, price=99.97)
    desk = run([QUIET, (100.0, 100.0, 99.0, 99.5)], {1: entry}, step=0.01, tick=0.05)
    assert (desk.fills[0].size, desk.fills[0].price) == (1.23, 99.95)
    assert run([QUIET] * 2, {1: buy(0.004)}, step=0.01).refused == [
        ("Rejected", "size 0.004 is below the step 0.01")
    ]


def test_half_a_coin_is_not_none():
    desk = run([QUIET] * 3, {1: lambda s: s.order_target_percent(target=0.005)})
    assert desk.fills[0].size == pytest.approx(0.5)


def test_maker_for_resting_limits_taker_for_the_rest():
    rows = [QUIET, QUIET, (100.0, 100.0, 94.0, 96.0), (96.0, 96.0, 96.0, 96.0)]
    resting = buy(1.0, exectype=bt.Order.Limit, price=95.0)
    desk = run(rows, {1: resting}, maker=0.001, taker=0.01)
    assert desk.broker.costs().fees == pytest.approx(0.095)
    crossing = buy(1.0, exectype=bt.Order.Limit, price=101.0)
    assert run(rows, {1: crossing}, maker=0.001, taker=0.01).broker.costs().fees == 1.0
    assert run(rows, {1: buy(1.0)}, maker=0.001, taker=0.01).broker.costs().fees == 1.0


def test_slippage_is_against_the_trader():
    desk = run([QUIET, (100.0, 105.0, 95.0, 100.0)], {1: buy(1.0)}, slippage=0.01)
    assert desk.fills[0].price == 101.0


FUNDED = {"2025-01-01T02:00Z": 0.01, "2025-01-01T03:00Z": -0.02}


def test_funding_is_charged_at_the_open_before_orders_once_a_settlement():
    script = {1: buy(10.0), 3: lambda s: s.close()}
    desk = run([QUIET] * 6, script, rates=FUNDED, mark=[(100.0, 100.0, 100.0, 100.0)] * 6)
    # Bought at the open of 01:00; 02:00 is paid; the close fills at 03:00, after its settlement.
    assert desk.broker.costs().funding == pytest.approx(-10.0 + 20.0)


def test_a_position_opened_at_the_settlement_does_not_pay_it():
    desk = run([QUIET] * 6, {2: buy(10.0), 4: lambda s: s.close()}, rates=FUNDED)
    assert desk.broker.costs().funding == pytest.approx(20.0)


def test_shorts_receive_what_longs_pay():
    desk = run([QUIET] * 4, {1: sell(10.0)}, rates={"2025-01-01T02:00Z": 0.01})
    assert desk.broker.costs().funding == pytest.approx(10.0)


def test_no_position_no_funding():
    assert run([QUIET] * 6, {}, rates=FUNDED).broker.costs().funding == 0.0


def test_hourly_interest_counts_the_clock_hours_touched():
    script = {1: buy(10.0), 3: lambda s: s.close()}
    desk = run([QUIET] * 6, script, leverage=2.0, interest_hourly=0.001)
    # Borrowed 500: an hour at the borrowing (01:00), one at 02:00, one at 03:00.
    assert desk.broker.costs().interest == pytest.approx(1.5)


def test_setcommission_of_backtrader_sets_both_fees():
    broker = MarginBroker(cash=1000.0)
    broker.setcommission(commission=0.002, leverage=3.0)
    info = broker.comminfo[None]
    assert (info.fee_rate(True), info.fee_rate(False), info.p.leverage) == (0.002, 0.002, 3.0)
    with pytest.raises(SettingError, match="mult"):
        broker.setcommission(commission=2.0, mult=10.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cash": -1.0}, "cash must be positive"),
        ({"leverage": 0.0}, "leverage must be positive"),
        ({"margin_mode": "both"}, "isolated or cross"),
        ({"intrabar": "best"}, "intrabar must be"),
        ({"tick": -1.0}, "tick must not be negative"),
        ({"laverage": 2.0}, "did you mean leverage"),
    ],
)
def test_nonsense_settings_are_named(settings: dict[str, Any], words: str):
    with pytest.raises(SettingError, match=words):
        MarginBroker(**settings)


def test_the_broker_face():
    seen: dict[str, Any] = {}

    def look(s: Any) -> None:
        b = s.broker
        seen.update(
            leverage=b.get_leverage(s.data), effective=b.get_leverage(), ratio=b.margin_ratio(),
            level=b.margin_level(), price=b.liquidation_price(s.data), free=b.free_margin(),
            mode=b.get_margin_mode(s.data), used=b.used_margin(), unrealised=b.unrealised(),
        )  # fmt: skip

    script = {1: lambda s: (s.broker.set_leverage(s.data, 20.0), s.buy(size=10.0)), 3: look}
    run([QUIET] * 4, script, leverage=5.0, tiers=HALF_PERCENT)
    assert seen["leverage"] == 20.0
    assert seen["effective"] == pytest.approx(0.1)
    assert seen["ratio"] == pytest.approx(5.0 / 50.0)
    assert seen["level"] == pytest.approx(200.0)
    assert seen["price"] == pytest.approx(95.0 / 0.995)
    assert (seen["free"], seen["used"], seen["mode"]) == (9_950.0, 50.0, "isolated")
    assert seen["unrealised"] == 0.0


def test_flat_has_no_ratio():
    seen: list[Any] = []
    look = lambda s: seen.extend(  # noqa: E731
        [s.broker.margin_ratio(), s.broker.margin_level(), s.broker.liquidation_price(s.data)]
    )
    run([QUIET] * 2, {1: look})
    assert seen == [None, None, None]


def test_added_cash_and_the_invariant_hold_together():
    desk = run([QUIET] * 4, {1: lambda s: s.broker.add_cash(500.0), 2: buy(1.0)})
    assert desk.broker.account.deposits == 10_500.0
    assert desk.broker.getvalue() == 10_500.0


def test_two_runs_on_one_broker_start_afresh():
    broker = MarginBroker(cash=1000.0, tiers=None)
    broker.init()
    broker.account.deposit(5.0)
    broker.init()
    assert broker.account.wallet == 1000.0


def test_an_order_filled_in_parts_leaves_no_rounding_behind():
    orders: list[Any] = []
    script = {1: lambda s: orders.append(s.buy(size=0.3))}
    desk = run([QUIET] * 8, script, filler=bt.fillers.FixedSize(size=0.1))
    assert [f.bar for f in desk.fills] == [2, 3, 4]  # 0.3 - 0.1 - 0.1 - 0.1 is 3e-17
    assert orders[0].status == bt.Order.Completed
    assert orders[0].executed.remsize == 0.0
    assert desk.fills[-1].size == pytest.approx(0.3, abs=1e-15)


def test_a_filler_that_offers_more_than_is_left_fills_what_is_left():
    script = {1: buy(1.0), 2: sell(5.0)}
    desk = run([QUIET] * 4, script, filler=lambda order, price, ago: 100.0)
    assert [f.size for f in desk.fills] == [1.0, 5.0]
