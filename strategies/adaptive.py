"""Trend following whose leverage follows volatility, trend strength and drawdown."""

from __future__ import annotations

import math
from typing import Any

from leverpack import indicators as ind
from leverpack.errors import SettingError, nearest
from leverpack.risk.leverage import (
    drawdown_control_leverage,
    guide_leverage,
    kelly_leverage,
    smaller_leverage,
    volatility_target_leverage,
)
from strategies.base import LeverageStrategy

DAYS_A_YEAR = 365.0  # crypto trades on all of them
MODELS = ("guide", "volatility", "kelly", "drawdown")


def adaptive_entry(close: float, average: float, adx: float, adx_min: float) -> int:
    """+1 over the average, -1 under it, 0 where the trend is no stronger than ``adx_min``.

    >>> adaptive_entry(101.0, 100.0, 25.0, 20.0), adaptive_entry(101.0, 100.0, 20.0, 20.0)
    (1, 0)
    """
    if not adx > adx_min or close == average:
        return 0
    return 1 if close > average else -1


class AdaptiveLeverageStrategy(LeverageStrategy):
    """Close over SMA(50) with ADX(14) over 20, either way; ATR(20)*1.5 stop; leverage adapts.

    ``models`` names what decides the leverage, separated by commas; of several answers the
    smallest holds. "guide": base times the guide's factors, with ``volatility_threshold`` a day
    and the volatility in one time unit (a year); "volatility": ``volatility_target`` a day over
    the volatility; "kelly": ``kelly_fraction`` of Kelly on the last ``kelly_period`` returns in
    the direction of the trade; "drawdown": base down to 0 as the drawdown reaches
    ``drawdown_limit``. ``base_leverage`` None is the parameter ``leverage`` (2x).

    The guide prints no exit but the stop; here a target lies ``reward`` stop distances away
    (0: none). Leverage is decided at the entry and stands until the position is closed.
    """

    params: Any = (
        ("base_leverage", None),
        ("max_leverage", 5.0),
        ("volatility_threshold", 0.02),
        ("risk_per_trade", 0.015),
        ("liquidation_stops", 2.0),
        ("models", "guide"),
        ("volatility_target", 0.04),
        ("volatility_period", 20),
        ("kelly_fraction", 0.25),
        ("kelly_period", 200),
        ("drawdown_limit", 0.25),
        ("average_period", 50),
        ("adx_period", 14),
        ("adx_min", 20.0),
        ("atr_period", 20),
        ("atr_stop", 1.5),
        ("reward", 2.0),
    )

    def __init__(self) -> None:
        super().__init__()
        p = self.p
        self._asked = [name.strip() for name in str(p.models).split(",") if name.strip()]
        for name in self._asked:
            if name not in MODELS:
                hint = nearest(name, MODELS, f"there are {', '.join(MODELS)}")
                raise SettingError(f"models: no leverage model is called {name!r}; {hint}")
        if not self._asked:
            raise SettingError(f"models names no leverage model; there are {', '.join(MODELS)}")
        if p.base_leverage is not None and not p.base_leverage > 0:
            raise SettingError(f"base_leverage must be positive, not {p.base_leverage!r}")
        if not 0 < p.drawdown_limit < 1:
            raise SettingError(f"drawdown_limit is a fraction below 1, not {p.drawdown_limit!r}")
        self._watched = {id(data): self._watch_feed(data) for data in self.datas}

    def _watch_feed(self, data: Any) -> dict[str, Any]:
        p = self.p
        lines = {
            "average": ind.SMA(data.close, period=p.average_period).lines[0],
            "adx": ind.ADX(data, period=p.adx_period).lines[0],
            "atr": ind.ATR(data, period=p.atr_period).lines[0],
            "volatility": ind.DailyVolatility(data, period=p.volatility_period).lines[0],
        }
        if "kelly" in self._asked:
            change = data.close / data.close(-1) - 1.0
            lines["mean"] = ind.SMA(change, period=p.kelly_period).lines[0]
            lines["square"] = ind.SMA(change * change, period=p.kelly_period).lines[0]
        return lines

    @property
    def volatility(self) -> float | None:
        """The highest daily volatility of the feeds, a fraction; None while it warms up."""
        seen = [x["volatility"][0] for x in self._watched.values() if len(x["volatility"])]
        known = [v for v in seen if not math.isnan(v)]
        return max(known, default=None)

    def signal(self, data: Any) -> int:
        """Trend by the average, where it is strong enough."""
        at = self._watched[id(data)]
        return adaptive_entry(data.close[0], at["average"][0], at["adx"][0], self.p.adx_min)

    def stop_distance(self, data: Any, side: int) -> float:
        """``atr_stop`` times the ATR, quote; NaN while it warms up."""
        return float(self._watched[id(data)]["atr"][0] * self.p.atr_stop)

    def target_distance(self, data: Any, side: int) -> float:
        """``reward`` stop distances, quote."""
        return self.stop_distance(data, side) * float(self.p.reward)

    def decide_leverage(self, data: Any, side: int) -> float:
        """The smallest of what the models say, at most ``max_leverage``."""
        if self._models[id(data)] is not None:
            return super().decide_leverage(data, side)
        leverage = float(self.p.max_leverage)
        for name in self._asked:
            leverage = smaller_leverage(leverage, self.model_leverage(name, data, side))
        return leverage

    def model_leverage(self, name: str, data: Any, side: int) -> float:
        """What one of the models says for an entry now; 0.0: nothing."""
        p, at = self.p, self._watched[id(data)]
        base = p.leverage if p.base_leverage is None else p.base_leverage
        volatility = at["volatility"][0]
        if name == "guide":
            year = math.sqrt(DAYS_A_YEAR)
            return guide_leverage(
                base, volatility * year, p.volatility_threshold * year, at["adx"][0], self.drawdown
            )
        if name == "volatility":
            return volatility_target_leverage(p.volatility_target, volatility)
        if name == "drawdown":
            return drawdown_control_leverage(base, self.drawdown, p.drawdown_limit)
        mean = at["mean"][0]
        return kelly_leverage(side * mean, at["square"][0] - mean * mean, p.kelly_fraction)
