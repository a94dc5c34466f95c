"""The same strategy, live on the paper exchange and in a backtest, on the same candles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from strategies import LeverageStrategy
from tests.live.desk import HISTORY, trading
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session, walk

LENGTH, BEFORE = 160, 40
RULES: list[dict[str, Any]] = [
    {"leverage": 3.0, "stop_loss_pct": 0.004, "take_profit_pct": 0.006},
    {"leverage": 10.0, "stop_loss_pct": 0.006, "take_profit_pct": 0.0, "max_bars": 7},
    {"leverage": 5.0, "stop_loss_pct": 0.006, "targets": ((0.003, 0.3), (0.006, 0.3), (0.01, 0.4))},
]  # fmt: skip


class Turns(LeverageStrategy):
    """Follows every third candle; keeps what its trades brought."""

    def __init__(self) -> None:
        super().__init__()
        self.trades: list[tuple[float, float]] = []
        self.equity: list[float] = []

    def signal(self, data: Any) -> int:
        if round(data.open[0] * 10) % 3:
            return 0
        return 1 if data.close[0] > data.open[0] else -1

    def next(self) -> None:
        super().next()
        self.equity.append(self.broker.getvalue())

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.trades.append((trade.pnl, trade.commission))


def backtest(stand: Stand, params: dict[str, Any]) -> Turns:
    tape = stand.session.exchange.tapes[SYMBOL]
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(
        cash=10_000.0, leverage=params["leverage"], maker=0.0002, taker=0.0005, step=0.001,
        tick=0.1, min_notional=100.0,
    ))  # fmt: skip
    candles = tape.candles.slice(BEFORE, LENGTH)
    cerebro.adddata(CandleFeed(dataname=candles, symbol=UNIFIED))
    cerebro.addstrategy(Turns, **params)
    return cerebro.run()[0]


@pytest.mark.parametrize("params", RULES)
def test_same_trades_as_in_the_backtest(tmp_path: Path, params: dict[str, Any]):
    with serving(session(walk(LENGTH, swing=0.004))) as stand:
        stand.step(BEFORE)
        with trading(stand, tmp_path / "j.db", strategy=Turns, **params) as desk:
            desk.step(LENGTH - BEFORE - 1)
            live = desk.strategy
            alerts = desk.broker.alerts
        tested = backtest(stand, params)
    assert HISTORY and not alerts
    assert len(live.trades) > 10
    for (pnl, fee), (wanted_pnl, wanted_fee) in zip(live.trades, tested.trades, strict=False):
        # The venue gives money with eight digits.
        assert (pnl, fee) == pytest.approx((wanted_pnl, wanted_fee), abs=1e-5)
    # The last candle's are told one candle later.
    assert 0 <= len(tested.trades) - len(live.trades) <= 1
    assert live.equity == pytest.approx(tested.equity[: len(live.equity)], rel=1e-4)
