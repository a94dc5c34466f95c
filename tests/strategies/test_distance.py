"""With the distance cap no resting stop is overtaken by liquidation, save through a gap."""

from __future__ import annotations

from typing import Any

import pytest

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from strategies import STRATEGIES
from tests.conftest import needs_shared
from tests.strategies.realdata import RealSet, real_sets

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

SETS = real_sets()
SHORT = [s for s in SETS if s.timeframe in ("1h", "15m")]
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "conservative": ("conservative", {"liquidation_stops": 2.0}),
    "adaptive": ("adaptive", {"max_leverage": 100.0}),
    "momentum": ("micro_stake", {"preset": "momentum", "max_daily_loss": 0.0}),
}


def run(real: RealSet, mode: str, leverage: float) -> Any:
    name, params = MODES[mode]
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(cash=10_000.0))
    cerebro.adddata(
        CandleFeed(
            dataname=real.trade, mark=real.mark, funding=real.funding, symbol=real.symbol,
            on_fault="drop",
        )
    )  # fmt: skip
    cerebro.addstrategy(STRATEGIES[name], leverage=leverage, **params)
    return cerebro.run()[0].broker


def check(real: RealSet, mode: str, leverage: float) -> None:
    broker = run(real, mode, leverage)
    trades = broker.ledger.trades
    assert trades
    assert all(x.gap in ("open", "mark") for x in broker.liquidations), broker.liquidations
    assert sum(t.reason == "liquidation" for t in trades) == len(broker.liquidations)
    assert not [r for r in broker.rejections if "leverage" in r["reason"]]


@needs_shared
@pytest.mark.parametrize("real", SETS, ids=str)
def test_at_a_hundred_times_with_the_usual_stop(real: RealSet) -> None:
    check(real, "conservative", 100.0)


@needs_shared
@pytest.mark.parametrize("real", SHORT, ids=str)
def test_at_a_hundred_times_with_a_stop_of_half_a_percent(real: RealSet) -> None:
    check(real, "momentum", 100.0)


@needs_shared
def test_there_are_gaps_in_the_real_candles_and_they_are_said() -> None:
    seen: set[str] = set()
    for real in SHORT:
        if "GASUSDT" in str(real) or "HYPEUSDT" in str(real):
            seen |= {x.gap for x in run(real, "momentum", 100.0).liquidations}
    assert seen == {"open", "mark"}


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("leverage", [10.0, 25.0, 50.0, 100.0])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("real", SETS, ids=str)
def test_everywhere(real: RealSet, mode: str, leverage: float) -> None:
    check(real, mode, leverage)
