"""Exits: the stop loses the risk, ladders close what is held, stops move only forward."""

from __future__ import annotations

import backtrader as bt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError
from leverpack.risk.sizing import round_down
from tests.backtest.desk import frame
from tests.strategies.stage import Watched, flat, once, play, to

LADDER = ((0.06, 0.3), (0.10, 0.3), (0.15, 0.4))


@settings(max_examples=150, deadline=None)
@given(
    side=st.sampled_from((1, -1)), leverage=st.floats(1.0, 20.0), risk=st.floats(0.0005, 0.02),
    stop=st.floats(0.004, 0.5), close=st.floats(10.0, 90_000.0), gap=st.floats(-0.02, 0.02),
    fee=st.sampled_from((0.0, 0.0005)), tick=st.sampled_from((0.0, 0.01)),
)  # fmt: skip
def test_the_stop_loses_the_risk_whatever_leverage_and_gap(
    side: int, leverage: float, risk: float, stop: float, close: float, gap: float, fee: float,
    tick: float,
) -> None:  # fmt: skip
    assume(stop < 0.9 / leverage * (1.0 - abs(gap)))  # the stop comes before liquidation
    assume(risk / stop < 0.9 * leverage)  # and the size is not cut by the margin
    opened = close * (1.0 + gap)
    beyond = opened - side * close * stop * 1.5
    rows = [*flat(close, 2), to(opened, opened), to(opened, beyond), *flat(beyond, 2)]
    ran = play(
        rows, once(2, side), leverage=leverage, risk_per_trade=risk, stop_loss_pct=stop,
        take_profit_pct=0.0, broker={"maker": fee, "taker": fee, "tick": tick},
    )  # fmt: skip
    (trade,) = ran.broker.ledger.trades
    assert trade.reason == "stop"
    fees = trade.size * (trade.entry_price + trade.exit_price) * fee
    assert trade.leverage == leverage
    assert -trade.net == pytest.approx(
        10_000.0 * risk + fees, rel=1e-9, abs=trade.size * 2.0 * tick + 1e-6
    )


def test_a_ladder_closes_30_30_40_at_its_targets() -> None:
    rows = [*flat(100, 2), to(100, 104), to(104, 107), to(107, 111), to(111, 116), *flat(116)]
    ran = play(rows, once(2, 1), targets=LADDER, stop_loss_pct=0.05)
    size = ran.fills[0][1]
    assert ran.fills == [
        ("entry", size, 100.0),
        ("target", pytest.approx(-0.3 * size), pytest.approx(106.0)),
        ("target", pytest.approx(-0.3 * size), pytest.approx(110.0)),
        ("target", pytest.approx(-0.4 * size), pytest.approx(115.0)),
    ]
    assert ran.getposition(ran.data).size == 0.0
    assert not ran.broker.pending


def test_rounding_in_the_parts_leaves_no_order_for_the_next_position() -> None:
    for step in range(30):
        ran = play(
            [*flat(100, 2), to(100, 111), *flat(105, 2)], once(2, 1), leverage=10.0,
            targets=((0.004, 0.3), (0.05, 0.3), (0.1, 0.4)), risk_per_trade=0.002 + step * 7.3e-5,
        )  # fmt: skip
        assert ran.getposition(ran.data).size == 0.0
        assert not [o for o in ran.broker.pending if o.alive()], step


def test_a_ladder_for_a_short_in_one_fall() -> None:
    rows = [*flat(100, 2), to(100, 80), *flat(80)]
    ran = play(rows, once(2, -1), targets=LADDER, stop_loss_pct=0.05)
    prices = [price for tag, _, price in ran.fills if tag == "target"]
    assert prices == [pytest.approx(p) for p in (94.0, 90.0, 85.0)]


def test_what_the_shares_leave_over_only_has_a_stop() -> None:
    rows = [*flat(100, 2), to(100, 120), to(120, 90), *flat(90)]
    ran = play(rows, once(2, 1), targets=((0.06, 0.5),), stop_loss_pct=0.05)
    size = ran.fills[0][1]
    assert ran.fills[1:] == [
        ("target", pytest.approx(-size / 2), 106.0), ("stop", pytest.approx(-size / 2), 95.0),
    ]  # fmt: skip


def test_after_the_first_target_the_stops_trail() -> None:
    # The candle of the target stays above the new stop: below it, the worse order is assumed.
    rows = [*flat(100, 2), to(100, 105), to(105, 107), to(107, 109), to(109, 90), *flat(90)]
    ran = play(rows, once(2, 1), targets=LADDER, stop_loss_pct=0.05, trail_pct=0.03)
    size = ran.fills[0][1]
    # The trailing stop follows closes: 109 * 0.97.
    assert ran.fills[2:] == [
        ("trail", pytest.approx(-0.3 * size), pytest.approx(109 * 0.97)),
        ("trail", pytest.approx(-0.4 * size), pytest.approx(109 * 0.97)),
    ]


def test_a_trailing_stop_that_has_gone_far_fills_where_it_stands() -> None:
    # Made at 106; by the close of 125 it stands at 121.25, and that is where it has to fill.
    rows = [*flat(100, 2), to(100, 105), to(105, 107), to(107, 125), to(125, 110), *flat(110)]
    ran = play(rows, once(2, 1), targets=((0.06, 0.5), (0.5, 0.5)), trail_pct=0.03)
    assert ran.fills[-1] == ("trail", pytest.approx(-0.5 * ran.fills[0][1]), 125 * 0.97)


def test_at_1x_a_gap_through_the_stop_fills_at_the_open() -> None:
    rows = [*flat(100, 4), to(80, 79), *flat(79)]
    ran = play(rows, once(2, 1), leverage=1.0, stop_loss_pct=0.05)
    assert ran.fills[-1] == ("stop", pytest.approx(-ran.fills[0][1]), 80.0)


def test_a_trailing_stop_is_never_under_the_one_before() -> None:
    # A wide trail: 106 * 0.8 would lie under the first stop at 95.
    rows = [*flat(100, 2), to(100, 107), to(107, 90), *flat(90)]
    ran = play(rows, once(2, 1), targets=LADDER, stop_loss_pct=0.05, trail_pct=0.2)
    prices = [price for tag, _, price in ran.fills if tag == "trail"]
    assert prices == [pytest.approx(95.0)] * 2


def test_break_even_pays_the_fees() -> None:
    rows = [*flat(100, 2), to(100, 107), to(107, 95), *flat(95)]
    ran = play(
        rows, once(2, 1), targets=((0.06, 0.5), (0.5, 0.5)), stop_loss_pct=0.04, break_even=True,
        broker={"maker": 0.0005, "taker": 0.0005},
    )  # fmt: skip
    tag, _, price = ran.fills[-1]
    assert tag == "stop"
    assert price == pytest.approx(100.0 * 1.0005 / 0.9995)


def test_time_is_up_after_so_many_candles() -> None:
    ran = play(flat(100, 20), once(2, 1), max_bars=5)
    assert [tag for tag, _, _ in ran.fills] == ["entry", "time"]
    (trade,) = ran.broker.ledger.trades
    assert trade.bars == 6  # decided at the close of the fifth, filled at the next open
    assert trade.reason == "time"
    assert not ran.broker.pending


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77])
@pytest.mark.parametrize("step", [0.0, 0.001, 0.1])
def test_partial_fills_do_not_break_the_ladder(share: float, step: float) -> None:
    def filler(order: object, price: float, ago: int) -> float:
        left = abs(order.executed.remsize)  # type: ignore[attr-defined]
        part = max(step, round_down(left * share, step))
        return part if part < left - max(step, 0.5) else left

    rows = [*flat(100, 25), to(100, 104), *[to(100 + 2 * i, 102 + 2 * i) for i in range(2, 12)]]
    rows += flat(rows[-1][3], 25)
    ran = play(
        rows, once(2, 1), targets=LADDER, stop_loss_pct=0.05, risk_per_trade=0.02,
        broker={"filler": filler, "step": step},
    )  # fmt: skip
    bought = sum(size for tag, size, _ in ran.fills if size > 0)
    sold = {}
    for tag, size, _ in ran.fills:
        if size < 0:
            sold[tag] = sold.get(tag, 0.0) - size
    assert sum(tag == "entry" for tag, _, _ in ran.fills) > 1
    assert sum(sold.values()) == pytest.approx(bought)
    assert set(sold) == {"target"}
    assert ran.getposition(ran.data).size == pytest.approx(0.0, abs=1e-9)
    assert not [o for o in ran.broker.pending if o.alive()]


def test_a_position_closed_by_other_hands_leaves_nothing_resting() -> None:
    class Impatient(Watched):
        def next(self) -> None:
            super().next()
            if len(self) == 5:
                self.close()

    ran = play(flat(100, 12), once(2, 1), strategy=Impatient, targets=LADDER)
    assert not [o for o in ran.broker.pending if o.alive()]
    assert not ran._plans
    assert not ran._exit_of


def test_a_liquidated_position_leaves_nothing_and_the_next_entry_is_protected() -> None:
    rows = [*flat(100, 2), to(100, 100), to(100, 80), *flat(80, 4), to(80, 70), *flat(70)]
    ran = play(
        rows, lambda data: 1 if len(data) in (2, 6) else 0, leverage=10.0, stop_loss_pct=0.15,
    )  # fmt: skip
    assert [t.reason for t in ran.broker.ledger.trades] == ["liquidation", "liquidation"]
    assert not [o for o in ran.broker.pending if o.alive()]


def test_exits_work_with_backtraders_own_broker() -> None:
    rows = [*flat(100, 2), to(100, 107), to(107, 111), to(111, 100), to(100, 90), *flat(90, 3)]
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(bt.brokers.BackBroker(cash=10_000.0))
    cerebro.adddata(CandleFeed(dataname=frame(rows), symbol="TEST/USDT"))
    cerebro.addstrategy(Watched, entry_rule=once(2, 1), targets=LADDER, stop_loss_pct=0.05)
    ran = cerebro.run()[0]
    assert ran.getposition(ran.data).size == pytest.approx(0.0)
    assert {tag for tag, _, _ in ran.fills} == {"entry", "target", "stop"}
    assert not [o for o in ran.broker.pending if o.alive()]


@pytest.mark.parametrize(
    "targets", [((0.1, 0.5), (0.05, 0.5)), ((0.1, 0.7), (0.2, 0.7)), ((0.1,),), "abc", ((0.1, -1),)]
)
def test_nonsense_ladders_are_named(targets: object) -> None:
    with pytest.raises(SettingError, match="targets"):
        play(flat(100, 3), once(2, 1), targets=targets)
