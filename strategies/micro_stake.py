"""A fixed small stake at high fixed leverage, with three presets and hard daily limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leverpack.errors import SettingError, nearest
from leverpack.indicators.columns import Column, column
from strategies.base import LeverageStrategy


def swing_entry(close: float, fast: float, slow: float) -> int:
    """With the trend of two averages, once the price has come back to the fast one.

    >>> swing_entry(101.0, 102.0, 100.0), swing_entry(103.0, 102.0, 100.0)
    (1, 0)
    """
    if fast > slow and slow < close <= fast:
        return 1
    return -1 if fast < slow and slow > close >= fast else 0


def scalping_entry(
    fast: float, slow: float, rsi: float, rsi_low: float, rsi_high: float
) -> int:
    """A dip (RSI under ``rsi_low``) over a rising pair of averages, a rally under a falling one.

    >>> scalping_entry(101.0, 100.0, 25.0, 30.0, 70.0)
    1
    """
    if fast > slow and rsi < rsi_low:
        return 1
    return -1 if fast < slow and rsi > rsi_high else 0


def momentum_entry(
    close: float, highest: float, lowest: float, volume: float, usual_volume: float
) -> int:
    """A close beyond the range of the candles before it, on more volume than usual.

    >>> momentum_entry(111.0, 110.0, 90.0, 5.0, 4.0), momentum_entry(111.0, 110.0, 90.0, 3.0, 4.0)
    (1, 0)
    """
    if not volume > usual_volume:
        return 0
    if close > highest:
        return 1
    return -1 if close < lowest else 0


@dataclass(frozen=True, slots=True)
class Preset:
    """What a style trades with; fractions of the price, candles, leverage x."""

    leverage: float
    stop_loss_pct: float
    take_profit_pct: float
    max_bars: int
    fast_period: int
    slow_period: int


PRESETS = {
    "swing": Preset(20.0, 0.015, 0.045, 96, 20, 50),
    "scalping": Preset(100.0, 0.0025, 0.005, 30, 9, 21),
    "momentum": Preset(50.0, 0.005, 0.015, 48, 20, 20),
}
RULES: dict[str, Callable[..., int]] = {
    "swing": swing_entry, "scalping": scalping_entry, "momentum": momentum_entry,
}  # fmt: skip
COLUMNS: dict[str, Mapping[str, Column]] = {
    "swing": {
        "fast": column("SMA", period="fast_period"),
        "slow": column("SMA", period="slow_period"),
    },
    "scalping": {
        "fast": column("EMA", period="fast_period"),
        "slow": column("EMA", period="slow_period"),
        "rsi": column("RSI", period="rsi_period"),
    },
    "momentum": {
        "highest": column("Highest", "high", ago=1, period="slow_period"),
        "lowest": column("Lowest", "low", ago=1, period="slow_period"),
        "usual_volume": column("SMA", "volume", ago=1, period="slow_period"),
    },
}
_FROM_PRESET = (
    "leverage", "stop_loss_pct", "take_profit_pct", "max_bars", "fast_period", "slow_period",
)  # fmt: skip


class MicroStakeStrategy(LeverageStrategy):
    """Stakes 1 USDT at up to 100x where the tier allows it; at most 50 lost and 100 trades a day.

    ``preset`` "swing", "scalping" or "momentum" sets the rule and whatever of leverage, stop,
    target, holding time and periods is None. The leverage is lowered until the liquidation price
    lies ``liquidation_stops`` stop distances away, and with it the position: the stake stays.
    """

    params: Any = (
        ("preset", "swing"),
        ("sizing", "stake"),
        ("stake", 1.0),
        ("leverage", None),
        ("stop_loss_pct", None),
        ("take_profit_pct", None),
        ("max_bars", None),
        ("fast_period", None),
        ("slow_period", None),
        ("max_leverage", 100.0),
        ("liquidation_stops", 1.5),
        ("max_daily_loss", 50.0),
        ("max_daily_trades", 100),
        ("rsi_period", 7),
        ("rsi_low", 30.0),
        ("rsi_high", 70.0),
    )

    @classmethod
    def settle(cls, p: Any) -> None:
        """Put the preset's values where none was given, then check as the base does."""
        if p.preset not in PRESETS:
            hint = nearest(p.preset, PRESETS, f"there are {', '.join(PRESETS)}")
            raise SettingError(f"preset: there is no {p.preset!r}; {hint}")
        for name in _FROM_PRESET:
            if getattr(p, name) is None:
                setattr(p, name, getattr(PRESETS[p.preset], name))
        super().settle(p)

    @classmethod
    def columns_for(cls, p: Any) -> Mapping[str, Column]:
        """What the preset's rule reads."""
        return COLUMNS[p.preset]

    @classmethod
    def rule_for(cls, p: Any) -> Callable[..., int]:
        """The preset's rule."""
        return RULES[p.preset]
