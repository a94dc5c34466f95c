"""Trend with pullback at low fixed leverage: the Cracktrader guide's first strategy, corrected."""

from __future__ import annotations

from typing import Any

from leverpack.indicators.columns import column
from strategies.base import LeverageStrategy


def conservative_entry(
    fast: float, slow: float, rsi: float, rsi_oversold: float, rsi_overbought: float
) -> int:
    """+1 to go long, -1 to go short, 0 to wait: buy a dip in an uptrend, sell a rally in none.

    >>> conservative_entry(101.0, 100.0, 30.0, 35.0, 65.0)
    1
    """
    if fast > slow:
        return 1 if rsi < rsi_oversold else 0
    return -1 if rsi > rsi_overbought else 0


class ConservativeLeverageStrategy(LeverageStrategy):
    """SMA(10) over SMA(30) with an RSI(14) pullback, both sides; 3 % stop, 6 % target, 2x.

    Parameters and defaults are the guide's; what differs, and why, is in docs/strategies.md.
    """

    params: Any = (
        ("fast_period", 10),
        ("slow_period", 30),
        ("rsi_period", 14),
        ("rsi_oversold", 35.0),
        ("rsi_overbought", 65.0),
    )
    columns = {
        "fast": column("SMA", period="fast_period"),
        "slow": column("SMA", period="slow_period"),
        "rsi": column("RSI", period="rsi_period"),
    }
    rule = conservative_entry
