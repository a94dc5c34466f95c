"""Trend with pullback at low fixed leverage: the Cracktrader guide's first strategy, corrected."""

from __future__ import annotations

from typing import Any

from leverpack import indicators as ind
from strategies.base import LeverageStrategy


def conservative_entry(
    fast: float, slow: float, rsi: float, oversold: float, overbought: float
) -> int:
    """+1 to go long, -1 to go short, 0 to wait: buy a dip in an uptrend, sell a rally in none.

    >>> conservative_entry(101.0, 100.0, 30.0, 35.0, 65.0)
    1
    """
    if fast > slow:
        return 1 if rsi < oversold else 0
    return -1 if rsi > overbought else 0


class ConservativeLeverageStrategy(LeverageStrategy):
    """SMA(10) over SMA(30) with an RSI(14) pullback, both sides; 3 % stop, 6 % target, 2x.

    Parameters and defaults are the guide's; what differs, and why, is in the README.
    """

    params: Any = (
        ("fast_period", 10),
        ("slow_period", 30),
        ("rsi_period", 14),
        ("rsi_oversold", 35.0),
        ("rsi_overbought", 65.0),
    )

    def __init__(self) -> None:
        super().__init__()
        self._watched = {}
        for data in self.datas:
            fast = ind.SMA(data.close, period=self.p.fast_period)
            slow = ind.SMA(data.close, period=self.p.slow_period)
            rsi = ind.RSI(data.close, period=self.p.rsi_period)
            self._watched[id(data)] = (fast.lines[0], slow.lines[0], rsi.lines[0])

    def signal(self, data: Any) -> int:
        """Trend by the averages, pullback by the RSI."""
        fast, slow, rsi = self._watched[id(data)]
        return conservative_entry(
            fast[0], slow[0], rsi[0], self.p.rsi_oversold, self.p.rsi_overbought
        )
