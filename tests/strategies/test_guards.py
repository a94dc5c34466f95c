"""Limits, emergency and liquidation distance at work in a run."""

from __future__ import annotations

from typing import Any

import pytest

from leverpack.errors import SettingError
from leverpack.risk.limits import DAY_MS
from leverpack.risk.state import MemoryStore
from tests.strategies.stage import Watched, flat, once, play, to


def always(data: Any) -> int:
    return 1


def entries(ran: Any) -> list[tuple[str, float, float]]:
    return [fill for fill in ran.fills if fill[0] == "entry"]


# --- sizes: each limit trips, and just does not -------------------------------------------------

# Equity 10,000, price 100, risk 1 % over a stop of 3 %: 33.33 units, 3,333 quote, 2x.
SIZED = {
    "max_risk_per_trade": (0.005, 0.0101, 0.5),
    "max_stake": (500.0, 1_667.0, 0.3),
    "max_notional_per_trade": (2_000.0, 3_334.0, 0.6),
    "max_notional_per_symbol": (1_000.0, 3_334.0, 0.3),
    "max_gross_exposure": (2_500.0, 3_334.0, 0.75),
    "max_portfolio_leverage": (0.25, 0.3334, 0.75),
}


@pytest.mark.parametrize("name", SIZED)
def test_a_size_limit_cuts_the_order_and_says_so(name: str) -> None:
    tight, loose, share = SIZED[name]
    full = 10_000.0 * 0.01 / 3.0
    cut = play(flat(100, 6), once(2, 1), **{name: tight})
    assert entries(cut)[0][1] == pytest.approx(full * share)
    assert [r["reason"].split(":")[0] for r in cut.refusals] == [name]
    whole = play(flat(100, 6), once(2, 1), **{name: loose})
    assert entries(whole)[0][1] == pytest.approx(full)
    assert whole.refusals == []


def test_the_minimum_notional_refuses() -> None:
    assert not entries(play(flat(100, 6), once(2, 1), min_notional=3_334.0))
    assert entries(play(flat(100, 6), once(2, 1), min_notional=3_333.0))


def test_an_exit_is_never_blocked_by_the_minimum_notional() -> None:
    rows = [*flat(100, 2), to(100, 120), *flat(120)]
    ran = play(
        rows, once(2, 1), min_notional=3_000.0, targets=((0.05, 0.01), (0.1, 0.99)),
        broker={"min_notional": 3_000.0},
    )  # fmt: skip
    assert ran.getposition(ran.data).size == pytest.approx(0.0)


def test_open_positions_over_all_feeds() -> None:
    feeds = {f"S{i}/USDT": flat(100, 6) for i in range(4)}
    for allowed in (1, 2, 4):
        assert len(entries(play(feeds, always, max_positions=allowed))) == allowed


def test_gross_exposure_counts_orders_under_way_and_other_feeds() -> None:
    feeds = {f"S{i}/USDT": flat(100, 6) for i in range(3)}
    ran = play(feeds, always, max_gross_exposure=5_000.0)
    sizes = [size * 100 for _, size, _ in entries(ran)]
    assert sizes == [pytest.approx(3_333.33, abs=0.01), pytest.approx(1_666.67, abs=0.01)]


# --- days ---------------------------------------------------------------------------------------


def losing_days() -> list[Any]:
    """Two days of hours in which every entry is stopped out at once."""
    return flat(100, 4) + [(100.0, 100.0, 90.0, 100.0)] * 44


def test_trades_per_day_start_anew_at_midnight() -> None:
    ran = play(losing_days(), always, max_daily_trades=3)
    days = [t.entry_time // DAY_MS for t in ran.broker.ledger.trades]
    assert [days.count(d) for d in sorted(set(days))] == [3, 3]
    free = play(losing_days(), always)
    assert len(free.broker.ledger.trades) > 6


def test_the_daily_loss_closes_everything_until_midnight() -> None:
    ran = play(losing_days(), always, max_daily_loss=250.0)
    days = [t.entry_time // DAY_MS for t in ran.broker.ledger.trades]
    # Each trade loses about 100: the third passes 250.
    assert [days.count(d) for d in sorted(set(days))] == [3, 3]
    assert [a["reason"].split(":")[0] for a in ran.alarms] == ["max_daily_loss"] * 2
    assert ran.alarms[1]["time"] // DAY_MS == ran.alarms[0]["time"] // DAY_MS + 1
    assert not play(losing_days(), always, max_daily_loss=5_000.0).alarms


def test_the_drawdown_closes_what_is_open_reduce_only_on_all_feeds() -> None:
    fall = [*flat(100, 3), to(100, 99), to(99, 98), to(98, 97.5), *flat(97.5, 4)]
    feeds = {"A/USDT": fall, "B/USDT": fall}
    ran = play(feeds, always, stop_loss_pct=0.2, risk_per_trade=0.05, max_drawdown=0.01)
    assert [a["reason"].split(":")[0] for a in ran.alarms] == ["max_drawdown"]
    assert {t.reason for t in ran.broker.ledger.trades} == {"emergency"}
    assert len(ran.broker.ledger.trades) == 2
    assert all(not ran.getposition(d).size for d in ran.datas)
    assert not [o for o in ran.broker.pending if o.alive()]


def test_a_drawdown_just_under_the_bound_changes_nothing() -> None:
    fall = [*flat(100, 3), to(100, 99), to(99, 98), to(98, 97.5), *flat(97.5, 4)]
    ran = play(fall, once(2, 1), stop_loss_pct=0.2, risk_per_trade=0.05, max_drawdown=0.0063)
    assert not ran.alarms  # 25 units lose 62.50 of 10,000
    ran = play(fall, once(2, 1), stop_loss_pct=0.2, risk_per_trade=0.05, max_drawdown=0.0062)
    assert len(ran.alarms) == 1


def test_the_limits_remember_over_a_restart() -> None:
    store = MemoryStore()
    first = play(losing_days()[:10], always, max_daily_trades=2, limit_store=store)
    assert len(entries(first)) == 2
    again = play(losing_days()[:10], always, max_daily_trades=2, limit_store=store)
    assert not entries(again)


# --- emergency ----------------------------------------------------------------------------------


def test_an_emergency_closes_all_and_stays_closed() -> None:
    rows = [*flat(100, 3), to(100, 96), *flat(96, 10)]
    ran = play(
        rows, always, stop_loss_pct=0.5, risk_per_trade=0.5, leverage=5.0,
        emergency={"drawdown": 0.03},
    )  # fmt: skip
    assert len(entries(ran)) == 1
    assert "emergency: drawdown 4.00%" in ran.alarms[0]["reason"]
    assert [t.reason for t in ran.broker.ledger.trades] == ["emergency"]
    calm = play(
        rows, always, stop_loss_pct=0.5, risk_per_trade=0.5, leverage=5.0,
        emergency={"drawdown": 0.05},
    )  # fmt: skip
    assert not calm.alarms


def test_the_margin_ratio_is_an_emergency_before_it_is_a_liquidation() -> None:
    rows = [*flat(100, 3), to(100, 82), *flat(82, 5)]
    ran = play(
        rows, once(2, 1), stop_loss_pct=0.5, leverage=5.0, emergency={"margin_ratio": 0.4},
        broker={"tiers": "builtin"},
    )  # fmt: skip
    assert "margin ratio" in ran.alarms[0]["reason"]
    assert [t.reason for t in ran.broker.ledger.trades] == ["emergency"]


# --- rejected orders ------------------------------------------------------------------------------


def test_three_rejected_orders_do_not_stop_a_strategy() -> None:
    tries: list[int] = []

    class Refused(Watched):
        def notify_order(self, order: Any) -> None:
            if order.status == order.Rejected:
                tries.append(len(self))
                if len(tries) == 3:  # the venue lowers its minimum
                    self.broker.p.min_notional = 0.0
            super().notify_order(order)

    ran = play(
        flat(100, 12), always, strategy=Refused, max_positions=1,
        broker={"min_notional": 5_000.0},
    )  # fmt: skip
    assert len(tries) == 3
    assert len(entries(ran)) == 1


# --- leverage -----------------------------------------------------------------------------------


def test_leverage_is_lowered_until_liquidation_lies_beyond_the_stop() -> None:
    rows = [*flat(100, 3), to(100, 89), *flat(89, 3)]
    bare = play(rows, once(2, 1), leverage=20.0, stop_loss_pct=0.1)
    assert [t.reason for t in bare.broker.ledger.trades] == ["liquidation"]
    safe = play(rows, once(2, 1), leverage=20.0, stop_loss_pct=0.1, liquidation_stops=2.0)
    (trade,) = safe.broker.ledger.trades
    assert trade.reason == "stop"
    assert trade.leverage == pytest.approx(5.0)  # no maintenance, no fee: 1 / (2 * 10 %)


def test_leverage_follows_the_tier_of_the_notional() -> None:
    ran = play(
        {"BTC/USDT:USDT": flat(50_000, 6)}, once(2, 1), leverage=100.0, liquidation_stops=1.0,
        sizing="equity", equity_fraction=0.9, stop_loss_pct=0.002, take_profit_pct=0.0,
        broker={"tiers": "builtin", "cash": 1_000_000.0},
    )  # fmt: skip
    # 900,000 at 100x would be 90 million; the table allows far less at that size.
    size = entries(ran)[0][1]
    table = ran.broker.tier_table(ran.data)
    assert ran.broker.get_leverage(ran.data) <= table.max_leverage(size * 50_000)
    assert not ran.broker.rejections


def test_a_leverage_that_the_broker_does_not_take_sends_no_order() -> None:
    class Stubborn(Watched):
        def start(self) -> None:
            self.broker.set_leverage = lambda data, leverage: 3.0

    ran = play(flat(100, 6), once(2, 1), strategy=Stubborn, leverage=2.0)
    assert not ran.fills
    assert "the broker has 1x where 2x was set" in ran.refusals[0]["reason"]


@pytest.mark.parametrize("sizing", ["risk", "guide"])
def test_caps_that_leave_no_leverage_are_said(sizing: str) -> None:
    ran = play(
        {"BTC/USDT:USDT": flat(100, 6)}, once(2, 1), leverage=2.0, sizing=sizing,
        liquidation_stops=2.0, broker={"tiers": "builtin", "cash": 1e14},
    )  # fmt: skip
    assert not ran.fills
    (refused,) = ran.refusals
    assert refused["reason"].startswith("leverage: the caps leave none for")


def test_auto_set_leverage_off_leaves_the_brokers_own() -> None:
    for auto, expected in ((True, 7.0), (False, 3.0)):
        ran = play(
            flat(100, 6), once(2, 1), leverage=7.0, auto_set_leverage=auto, broker={"leverage": 3.0}
        )
        assert ran.broker.get_leverage(ran.data) == expected


def test_a_leverage_that_may_not_be_set_and_is_too_high_sends_no_order() -> None:
    for own, count in ((20.0, 0), (4.0, 1)):
        ran = play(
            flat(100, 6), once(2, 1), auto_set_leverage=False, liquidation_stops=2.0,
            stop_loss_pct=0.1, broker={"leverage": own},
        )  # fmt: skip
        assert len(entries(ran)) == count
    assert "auto_set_leverage is off" in play(
        flat(100, 6), once(2, 1), auto_set_leverage=False, liquidation_stops=2.0,
        stop_loss_pct=0.1, broker={"leverage": 20.0},
    ).refusals[0]["reason"]  # fmt: skip


def test_max_leverage_and_a_model_of_the_users() -> None:
    capped = play(flat(100, 6), once(2, 1), leverage=7.0, max_leverage=4.0)
    assert capped.broker.get_leverage(capped.data) == 4.0
    for model, expected in ((lambda data, side: 3.5, 3.5), (lambda data, side: 50.0, 10.0)):
        ran = play(flat(100, 6), once(2, 1), leverage_model=model, max_leverage=10.0)
        assert ran.broker.get_leverage(ran.data) == expected
    assert not play(flat(100, 6), once(2, 1), leverage_model=lambda d, s: 0.0).fills


def test_classes_of_the_users_are_made_for_each_feed() -> None:
    made: list[Any] = []

    class Rule:
        def __init__(self, data: Any) -> None:
            made.append(data)
            self.data = data

        def __call__(self) -> int:
            return -1 if len(self.data) == 2 else 0

    class Half:
        def __init__(self, data: Any) -> None:
            self.data = data

        def __call__(self, side: int) -> float:
            return 0.6 if side < 0 else 0.0

    feeds = {"A/USDT": flat(100, 6), "B/USDT": flat(50, 6)}
    ran = play(feeds, Rule, confidence=Half)
    assert len(made) == 2
    full = 10_000.0 * 0.01 / 3.0
    assert [size for _, size, _ in entries(ran)] == [
        pytest.approx(-0.3 * full), pytest.approx(-0.6 * full),
    ]  # fmt: skip


def test_an_answer_that_is_no_side_is_refused() -> None:
    with pytest.raises(SettingError, match="answers 1, -1 or 0"):
        play(flat(100, 6), lambda data: 0.5)


@pytest.mark.parametrize(("sides", "count"), [("both", 2), ("long", 1), ("short", 1)])
def test_sides(sides: str, count: int) -> None:
    rule = lambda data: {2: 1, 6: -1}.get(len(data), 0)  # noqa: E731
    assert len(entries(play(flat(100, 12), rule, sides=sides, max_bars=2))) == count


# --- funding eats the distance --------------------------------------------------------------------


def test_margin_that_funding_has_eaten_is_added_again() -> None:
    from leverpack.backtest.broker import MarginBroker
    from leverpack.backtest.cerebro import Cerebro
    from leverpack.candles.feed import CandleFeed
    from tests.backtest.desk import frame, funding

    def run(stops: float) -> Any:
        rates = {f"2025-01-01T{h:02d}:00:00": 0.03 for h in range(3, 20)}
        cerebro = Cerebro(stdstats=False)
        cerebro.setbroker(MarginBroker(cash=10_000.0, tiers=None, maker=0.0, taker=0.0))
        cerebro.adddata(
            CandleFeed(dataname=frame(flat(100, 24)), funding=funding(rates), symbol="A/USDT")
        )
        cerebro.addstrategy(
            Watched, entry_rule=once(2, 1), leverage=5.0, stop_loss_pct=0.09,
            liquidation_stops=stops,
        )  # fmt: skip
        return cerebro.run()[0]

    assert [t.reason for t in run(0.0).broker.ledger.trades] == ["liquidation"]
    kept = run(2.0)
    assert not kept.broker.liquidations
    assert kept.getposition(kept.data).size
    price = kept.broker.liquidation_price(kept.data)
    assert price < 91.0  # the stop still comes first
