"""What is rehearsed on real candles: three symbols through crashes, every strategy of the pack."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leverpack.backtest.settings import BacktestSettings
from tests.conftest import real

HISTORY = 100
# Parameters under which each strategy trades often; leverage None is the strategy's own.
STRATEGIES: dict[str, tuple[str, float | None, dict[str, str]]] = {
    "conservative": ("conservative", 5.0, {
        "rsi_oversold": "45", "rsi_overbought": "55", "stop_loss_pct": "0.01",
        "take_profit_pct": "0.015", "max_bars": "20",
    }),
    "adaptive": ("adaptive", None, {"adx_min": "20", "base_leverage": "4", "max_leverage": "8"}),
    "margin_monitor": ("margin_monitor", 20.0, {
        "initial_margin": "0.05", "rsi_oversold": "45", "rsi_overbought": "55",
        "stop_loss_pct": "0.04", "take_profit_pct": "0.015", "sizing": "equity",
        "equity_fraction": "0.1", "max_drawdown": "0.9", "warn_ratio": "0.2",
        "exit_ratio": "0.4",
    }),
    "micro_swing": ("micro_stake", None, {"preset": "swing", "stake": "20"}),
    "micro_scalping": ("micro_stake", None, {
        "preset": "scalping", "stake": "20", "rsi_low": "40", "rsi_high": "60",
    }),
    "ladder_trailing": ("confidence_ladder", None, {
        "adx_min": "40", "min_confidence": "0.1", "min_volatility": "0", "trail_pct": "0.01",
        "targets": "0.01:0.3,0.02:0.3,0.03:0.4", "stop_loss_pct": "0.015",
    }),
    "ladder_break_even": ("confidence_ladder", None, {
        "adx_min": "40", "min_confidence": "0.1", "min_volatility": "0", "trail_pct": "0",
        "break_even": "true", "targets": "0.01:0.3,0.02:0.3,0.03:0.4", "stop_loss_pct": "0.015",
    }),
    "liquidated": ("conservative", 50.0, {
        "rsi_oversold": "48", "rsi_overbought": "52", "stop_loss_pct": "0.05",
        "take_profit_pct": "0.02", "sizing": "equity", "equity_fraction": "0.05",
    }),
    "liquidated_cross": ("conservative", 50.0, {
        "rsi_oversold": "48", "rsi_overbought": "52", "stop_loss_pct": "0.9",
        "take_profit_pct": "0.02", "sizing": "equity", "equity_fraction": "0.7",
    }),
}  # fmt: skip
# The cascades of 2025-02-03, 2025-10-10 and 2025-04-07.
STARTS = {
    "BTC": datetime(2025, 2, 1), "SOL": datetime(2025, 10, 8), "ETH": datetime(2025, 4, 4),
}  # fmt: skip
_CANDLES = {"BTC": "20190908", "SOL": "20241231", "ETH": "20241231"}
_FUNDING = {"BTC": "20200101", "SOL": "20200913", "ETH": "20200101"}


def files(coin: str) -> tuple[Path, Path, Path]:
    """Hourly candles, mark candles and funding of a coin."""
    head = f"binanceusdm_{coin}USDT"
    return (
        real(f"{head}_perp_1h_{_CANDLES[coin]}_20260219.parquet"),
        real(f"{head}_mark_1h_20241231_20260219.parquet"),
        real(f"{head}_funding_{_FUNDING[coin]}_20260630.parquet"),
    )


def settings(coin: str, case: str, candles: int) -> BacktestSettings:
    """The case on ``candles`` hours of a coin, from shortly before the crash."""
    strategy, leverage, params = STRATEGIES[case]
    data, mark, funding = files(coin)
    start = STARTS[coin].replace(tzinfo=UTC)
    return BacktestSettings(
        data=data, mark=mark, funding=funding, symbol=f"{coin}/USDT:USDT", strategy=strategy,
        params=dict(params), leverage=leverage, cash=10_000.0,
        margin_mode="cross" if case.endswith("cross") else "isolated",
        start=start.replace(tzinfo=None),
        end=(start + timedelta(hours=candles - 1)).replace(tzinfo=None),
    )  # fmt: skip


def pairs() -> Iterable[tuple[str, str]]:
    """Every coin with every case."""
    return [(coin, case) for coin in STARTS for case in STRATEGIES]
