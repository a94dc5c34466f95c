"""Random parameter sets that reach every branch: leverage, exits, limits, models, presets."""

from __future__ import annotations

import random
from typing import Any

LADDERS = (
    (), (), ((0.01, 0.5), (0.03, 0.5)), ((0.02, 0.4),), ((0.004, 0.3), (0.01, 0.3), (0.05, 0.4)),
)  # fmt: skip


def random_set(strategy: str, rng: random.Random) -> dict[str, Any]:
    """One set for a strategy of the pack, by its short name."""
    found = {**_account(rng), **_exits(rng), **_limits(rng), **_OWN[strategy](rng)}
    names = list(found)
    # Some at their defaults: the combinations that people run.
    return {n: found[n] for n in names if rng.random() < 0.7 or n in ("preset", "models")}


def _account(rng: random.Random) -> dict[str, Any]:
    return {
        "leverage": rng.choice((1.0, 1.5, 2.0, 5.0, 10.0, 20.0, 33.3, 50.0, 75.0)),
        "max_leverage": rng.choice((2.0, 10.0, 75.0, 75.0)),
        "liquidation_stops": rng.choice((0.0, 0.0, 1.0, 1.3, 2.0, 4.0)),
        "auto_set_leverage": rng.random() < 0.9,
        "sizing": rng.choice(("risk", "risk", "guide", "stake", "equity")),
        "risk_per_trade": rng.choice((0.002, 0.01, 0.05, 0.2)),
        "stake": rng.choice((1.0, 50.0, 2_000.0)),
        "equity_fraction": rng.choice((0.05, 0.3, 1.0)),
        "margin_reserve": rng.choice((0.0, 0.01, 0.2)),
        "sides": rng.choice(("both", "both", "long", "short")),
    }


def _exits(rng: random.Random) -> dict[str, Any]:
    return {
        "stop_loss_pct": rng.choice((0.003, 0.01, 0.03, 0.08, 0.3)),
        "take_profit_pct": rng.choice((0.0, 0.004, 0.02, 0.06, 0.3)),
        "targets": rng.choice(LADDERS),
        "trail_pct": rng.choice((0.0, 0.0, 0.005, 0.03)),
        "break_even": rng.random() < 0.3,
        "max_bars": rng.choice((0, 0, 1, 5, 48)),
    }


def _limits(rng: random.Random) -> dict[str, Any]:
    return {
        "max_risk_per_trade": rng.choice((0.0, 0.0, 0.02)),
        "max_stake": rng.choice((0.0, 0.0, 500.0)),
        "max_notional_per_trade": rng.choice((0.0, 0.0, 3_000.0)),
        "max_notional_per_symbol": rng.choice((0.0, 0.0, 20_000.0)),
        "max_gross_exposure": rng.choice((0.0, 0.0, 30_000.0)),
        "max_portfolio_leverage": rng.choice((0.0, 0.0, 2.0)),
        "min_notional": rng.choice((0.0, 0.0, 100.0)),
        "max_daily_loss": rng.choice((0.0, 0.0, 100.0, 400.0)),
        "max_daily_trades": rng.choice((0, 0, 1, 3)),
        "max_drawdown": rng.choice((0.0, 0.0, 0.3, 0.8)),
    }


def _conservative(rng: random.Random) -> dict[str, Any]:
    return {
        "fast_period": rng.randint(3, 20),
        "slow_period": rng.randint(21, 60),
        "rsi_period": rng.randint(5, 20),
        "rsi_oversold": rng.uniform(25.0, 50.0),
        "rsi_overbought": rng.uniform(50.0, 75.0),
    }


def _adaptive(rng: random.Random) -> dict[str, Any]:
    return {
        "models": rng.choice(("guide", "volatility", "kelly", "drawdown", "guide,drawdown",
                              "kelly, volatility")),
        "base_leverage": rng.choice((None, 1.0, 4.0, 20.0)),
        "volatility_threshold": rng.choice((0.005, 0.02, 0.05)),
        "volatility_target": rng.choice((0.02, 0.1, 0.5)),
        "kelly_fraction": rng.choice((0.25, 1.0)),
        "kelly_period": rng.randint(50, 300),
        "drawdown_limit": rng.choice((0.1, 0.5)),
        "average_period": rng.randint(10, 60),
        "adx_period": rng.randint(7, 20),
        "adx_min": rng.uniform(10.0, 35.0),
        "atr_period": rng.randint(5, 30),
        "atr_stop": rng.choice((0.5, 1.5, 4.0)),
        "reward": rng.choice((0.0, 1.0, 2.0)),
    }  # fmt: skip


def _monitor(rng: random.Random) -> dict[str, Any]:
    return {
        **_conservative(rng),
        "initial_margin": rng.choice((0.02, 0.05, 0.2, 1.0)),
        "warn_ratio": rng.choice((0.1, 0.3, 0.8)),
        "exit_ratio": rng.choice((0.4, 0.9)),
        "warn_share": rng.choice((0.0, 0.5, 0.9)),
        "exit_share": rng.choice((0.0, 0.25)),
        "cut_fraction": rng.choice((0.3, 0.5, 1.0)),
    }


def _micro(rng: random.Random) -> dict[str, Any]:
    return {
        "preset": rng.choice(("swing", "scalping", "momentum")),
        "leverage": rng.choice((None, 10.0, 75.0)),
        "stop_loss_pct": rng.choice((None, 0.004, 0.02)),
        "take_profit_pct": rng.choice((None, 0.01)),
        "max_bars": rng.choice((None, 0, 12)),
        "slow_period": rng.choice((None, 15, 40)),
        "stake": rng.choice((1.0, 20.0, 500.0)),
        "rsi_period": rng.randint(4, 10),
    }


def _ladder(rng: random.Random) -> dict[str, Any]:
    return {
        "min_confidence": rng.choice((0.0, 0.4, 0.75)),
        "min_volatility": rng.choice((0.0, 0.01, 0.03)),
        "partial_targets": rng.random() < 0.7,
        "average_period": rng.randint(10, 60),
        "atr_period": rng.randint(5, 30),
        "volatility_period": rng.randint(5, 40),
    }


_OWN = {
    "conservative": _conservative, "adaptive": _adaptive, "margin_monitor": _monitor,
    "micro_stake": _micro, "confidence_ladder": _ladder,
}  # fmt: skip
