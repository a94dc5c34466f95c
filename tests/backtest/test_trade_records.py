"""How a trade ended and what was planned for it, whatever kind of strategy sent the orders."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import pytest

from leverpack.result import EXIT_REASONS, TradeRecord
from tests.backtest.desk import run
from tests.backtest.test_candle_order import QUIET, both, buy, sell

UP, DOWN = (100.0, 112.0, 100.0, 110.0), (100.0, 100.0, 88.0, 90.0)
STOP, LIMIT, TRAIL = bt.Order.Stop, bt.Order.Limit, bt.Order.StopTrail


def bracket(strategy: Any) -> None:
    strategy.buy_bracket(
        size=10.0, exectype=bt.Order.Market, stopprice=95.0, limitprice=110.0
    )


def ended(rows: list[Any], script: Any, **settings: Any) -> list[TradeRecord]:
    broker = run(rows, script, **{"leverage": 2.0, **settings}).broker
    return [*broker.ledger.trades, *broker.ledger.still_open(list(broker.markets.values()))]


@pytest.mark.parametrize(
    ("rows", "script", "why", "stop", "target"),
    [
        ([DOWN], {1: bracket}, "stop", 95.0, 110.0),
        ([UP], {1: bracket}, "target", 95.0, 110.0),
        ([UP], {1: buy(), 2: both(sell(exectype=STOP, price=94.0),
                                  sell(exectype=LIMIT, price=111.0))}, "target", 94.0, 111.0),
        ([DOWN], {1: buy(), 2: sell(exectype=TRAIL, trailpercent=0.04)}, "trailing", 96.0, None),
        ([QUIET], {1: buy(), 2: sell()}, "signal", None, None),
        ([QUIET], {1: buy(), 2: sell(20.0)}, "signal", None, None),
        ([DOWN], {1: buy(), 2: sell(20.0, exectype=STOP, price=95.0)}, "signal", 95.0, None),
        ([QUIET], {1: buy(), 2: sell(tag="emergency")}, "emergency", None, None),
        ([QUIET], {1: buy(), 2: sell(tag="time")}, "time", None, None),
        ([QUIET], {1: buy()}, "end", None, None),
        ([(60.0, 60.0, 40.0, 40.0)], {1: buy()}, "liquidation", None, None),
    ],
)  # fmt: skip
def test_the_reason_and_the_plan(
    rows: list[Any], script: Any, why: str, stop: float | None, target: float | None
) -> None:
    trade = ended([QUIET, QUIET, *rows, rows[-1]], script)[0]
    assert trade.exit_reason == why
    assert why in EXIT_REASONS
    assert (trade.stop_price, trade.target_price) == (stop, target)


def test_profit_on_margin_and_duration() -> None:
    (trade,) = ended([QUIET, QUIET, UP, UP, UP], {1: buy(), 3: sell()}, taker=0.001, leverage=5.0)
    assert trade.margin == 200.0
    assert trade.net == pytest.approx(0.0 - 1.0 - 1.0)
    assert trade.profit_on_margin == pytest.approx(trade.net / 200.0)
    assert trade.duration_ms == 2 * 3_600_000
    (still,) = ended([QUIET, QUIET, UP, UP, UP], {1: buy()})
    assert still.duration_ms == 3 * 3_600_000


def test_a_stop_left_from_before_is_no_plan_of_the_next_trade() -> None:
    script = {1: buy(), 2: both(sell(exectype=STOP, price=50.0), sell()), 3: buy()}
    first, second = ended([QUIET] * 6, script)
    assert first.stop_price == 50.0
    assert second.stop_price is None
