"""The kernel's trades are Cerebro's: random sets of every strategy, made and real candles."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from leverpack.sweep import Outcome, SweepEngine
from leverpack.sweep.outcome import COMPILED
from leverpack.sweep.records import TRADE
from strategies import STRATEGIES
from tests.conftest import needs_shared
from tests.strategies.realdata import RealSet, real_sets
from tests.sweep.conftest import made_settings, real_settings
from tests.sweep.randomsets import random_set

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

MOST = 100_000  # trades of one run
SETS = real_sets()
# One with funding that changes its interval and a crash, one with 8-hour marks.
SLICE = [s for s in SETS if str(s).endswith(("SOLUSDT_perp_15m_20221001_20230102",))]


def near(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if one == other or (one != one and other != other):
        return True
    return bool(abs(one - other) <= 1e-9 * max(1.0, abs(other)))


def assert_same(fast: Outcome, slow: Outcome) -> None:
    """Every trade, every figure and every day of equity, to 1e-9."""
    assert fast.refused == slow.refused
    assert len(fast.trades) == len(slow.trades)
    for name in TRADE.names or ():
        for index, (x, y) in enumerate(zip(fast.trades[name], slow.trades[name], strict=True)):
            assert near(x, y), f"trade {index}, {name}: {x!r} and {y!r}"
    for name, y in slow.figures.items():
        assert near(fast.figures[name], y), f"{name}: {fast.figures[name]!r} and {y!r}"
    np.testing.assert_allclose(fast.daily, slow.daily, rtol=1e-9)


def compare(engine: SweepEngine, params: dict[str, Any]) -> Outcome:
    """Run a set by both engines; the one that ran compiled is given back."""
    fast = engine.outcome(params, most_trades=MOST)
    slow = engine.through_cerebro(0, params, "", most_trades=MOST)
    try:
        assert_same(fast, slow)
    except AssertionError as fault:
        account = {n: getattr(engine.settings, n) for n in ("margin_mode", "intrabar", "slippage")}
        raise AssertionError(f"{engine.settings.strategy} {params} on {account}: {fault}") from None
    assert fast.refused or fast.engine == COMPILED, fast.why
    return fast


def account(rng: random.Random) -> dict[str, Any]:
    return {
        "slippage": rng.choice((0.0, 0.0005)),
        "margin_mode": rng.choice(("isolated", "isolated", "cross")),
        "intrabar": rng.choice(("worst", "worst", "ohlc", "olhc")),
        "venue": rng.choice(("binanceusdm", "binanceusdm", "okx", "hyperliquid")),
    }


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_defaults_on_the_shipped_year(strategy: str) -> None:
    found = compare(SweepEngine(made_settings(strategy)), {})
    assert found.figures["trades"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_random_sets_on_the_shipped_year(strategy: str) -> None:
    rng = random.Random(f"made {strategy}")
    engine = SweepEngine(made_settings(strategy, **account(rng)))
    trades = sum(compare(engine, random_set(strategy, rng)).figures["trades"] or 0
                 for _ in range(2))  # fmt: skip
    assert trades


@needs_shared
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("real", SLICE, ids=str)
def test_random_sets_on_real_candles(real: RealSet, strategy: str) -> None:
    rng = random.Random(f"slice {strategy}")
    engine = SweepEngine(real_settings(real, strategy))
    for _ in range(2):
        compare(engine, random_set(strategy, rng))


@needs_shared
def test_a_margin_ratio_that_falls_while_the_price_comes_nearer() -> None:
    # At little leverage a step between tiers does that: the ratio counts where it came nearest.
    (doge,) = (s for s in SETS if "DOGEUSDT_perp_1h" in str(s))
    engine = SweepEngine(real_settings(doge, "adaptive", slippage=0.0005, margin_mode="cross"))
    params = {
        "leverage": 33.3, "max_leverage": 10.0, "liquidation_stops": 0.0, "risk_per_trade": 0.05,
        "take_profit_pct": 0.02, "trail_pct": 0.005, "max_bars": 48, "max_daily_trades": 3,
        "volatility_threshold": 0.005, "volatility_target": 0.5, "kelly_period": 112,
        "drawdown_limit": 0.5, "average_period": 36, "adx_period": 9, "adx_min": 10.03,
        "reward": 1.0,
    }  # fmt: skip
    assert compare(engine, params).figures["trades"] > 73


@needs_shared
def test_two_parts_closed_at_one_price_are_equally_near_to_liquidation() -> None:
    (sol,) = (s for s in SETS if "SOLUSDT_perp_1h_2021" in str(s))
    engine = SweepEngine(real_settings(sol, "conservative", slippage=0.0005, intrabar="ohlc"))
    params = {
        "max_leverage": 75.0, "liquidation_stops": 4.0, "auto_set_leverage": False,
        "margin_reserve": 0.01, "stop_loss_pct": 0.003, "take_profit_pct": 0.02,
        "targets": ((0.02, 0.4),), "max_bars": 48, "max_risk_per_trade": 0.0, "max_stake": 0.0,
        "max_notional_per_trade": 0.0, "max_gross_exposure": 30_000.0, "max_daily_loss": 100.0,
        "max_daily_trades": 0, "max_drawdown": 0.3, "fast_period": 13, "slow_period": 30,
        "rsi_period": 13, "rsi_oversold": 43.73,
    }  # fmt: skip
    assert compare(engine, params).figures["trades"] > 27


@needs_shared
def test_an_account_with_next_to_nothing_left_trades_on() -> None:
    (eth,) = (s for s in SETS if "ETHUSDT_perp_1h_20200101" in str(s))
    engine = SweepEngine(real_settings(
        eth, "micro_stake", slippage=0.0005, margin_mode="cross", intrabar="olhc"
    ))  # fmt: skip
    params = {
        "liquidation_stops": 0.0, "risk_per_trade": 0.05, "stake": 500.0, "sides": "short",
        "take_profit_pct": 0.01, "targets": ((0.004, 0.3), (0.01, 0.3), (0.05, 0.4)),
        "break_even": True, "max_risk_per_trade": 0.0, "max_stake": 0.0, "preset": "swing",
        "max_notional_per_trade": 0.0, "max_gross_exposure": 30_000.0, "min_notional": 0.0,
        "max_daily_trades": 3, "rsi_period": 10,
    }  # fmt: skip
    found = compare(engine, params)
    assert found.figures["end_equity"] < 1e-3


@needs_shared
def test_a_stop_at_the_liquidation_price_is_a_liquidation() -> None:
    # So it lies with one stop distance to liquidation; the last bit would decide which is nearer.
    (doge,) = (s for s in SETS if "DOGEUSDT_perp_5m" in str(s))
    engine = SweepEngine(real_settings(doge, "micro_stake", slippage=0.0005, venue="okx"))
    found = compare(engine, {
        "leverage": 75.0, "max_leverage": 75.0, "liquidation_stops": 1.0, "sizing": "risk",
        "risk_per_trade": 0.01, "stop_loss_pct": 0.02, "targets": ((0.01, 0.5), (0.03, 0.5)),
        "take_profit_pct": 0.01, "margin_reserve": 0.0, "max_risk_per_trade": 0.02,
        "max_notional_per_trade": 0.0, "max_gross_exposure": 0.0, "min_notional": 0.0,
        "max_daily_loss": 0.0, "max_daily_trades": 1, "preset": "momentum", "rsi_period": 9,
    })  # fmt: skip
    assert found.figures["liquidations"] > 50


@pytest.mark.parametrize("sizing", ["risk", "guide", "equity"])
def test_a_size_beyond_the_last_tier_is_not_entered(sizing: str) -> None:
    engine = SweepEngine(made_settings(cash=1e14))
    asked = {"sizing": sizing, "leverage": 2.0, "liquidation_stops": 2.0}
    assert compare(engine, asked).figures["trades"] == 0


def test_liquidations_are_the_same_ones() -> None:
    engine = SweepEngine(made_settings())
    found = compare(
        engine, {"leverage": 20.0, "stop_loss_pct": 0.2, "risk_per_trade": 0.05}
    )  # fmt: skip
    assert found.figures["liquidations"]
    assert found.figures["insurance"] is not None


@pytest.mark.parametrize("venue", ["okx", "hyperliquid"])
@pytest.mark.parametrize("margin_mode", ["isolated", "cross"])
def test_the_venues_that_the_kernel_knows(venue: str, margin_mode: str) -> None:
    engine = SweepEngine(made_settings(venue=venue, margin_mode=margin_mode))
    compare(engine, {"leverage": 20.0, "stop_loss_pct": 0.1, "liquidation_stops": 0.0})
    compare(engine, {"leverage": 20.0, "liquidation_stops": 2.0})


@pytest.mark.parametrize("venue", ["bybit", "kucoinfutures"])
def test_another_liquidation_rule_goes_through_cerebro(venue: str) -> None:
    found = SweepEngine(made_settings(venue=venue)).outcome({})
    assert (found.engine, found.refused) == ("cerebro", "")
    assert "liquidation rule" in found.why


def test_a_set_that_a_backtest_refuses_is_refused_in_the_same_words() -> None:
    engine = SweepEngine(made_settings())
    for params in ({"leverage": 500.0}, {"stop_loss_pct": 2.0}, {"max_drawdown": 1.5}):
        fast = engine.outcome(params)
        assert fast.refused
        assert fast.refused == engine.through_cerebro(0, params, "").refused
        assert set(fast.figures.values()) == {None}


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("real", SETS, ids=str)
def test_fifty_random_sets_everywhere(real: RealSet, strategy: str) -> None:
    rng = random.Random(f"{real} {strategy}")
    for _ in range(5):
        engine = SweepEngine(real_settings(real, strategy, **account(rng)))
        for _ in range(10):
            compare(engine, random_set(strategy, rng))
