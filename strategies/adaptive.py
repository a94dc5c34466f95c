"""Trend following whose leverage follows volatility, trend strength and drawdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from leverpack.errors import SettingError, nearest
from leverpack.indicators.columns import Column, column
from leverpack.risk.leverage import MODELS, model_leverage, smaller_leverage
from strategies.base import LeverageStrategy

KELLY_COLUMNS = {
    "mean": column("SMA", "change", period="kelly_period"),
    "square": column("SMA", "squared change", period="kelly_period"),
}


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

    columns = {
        "average": column("SMA", period="average_period"),
        "adx": column("ADX", "candles", period="adx_period"),
        "atr": column("ATR", "candles", period="atr_period"),
        "volatility": column("DailyVolatility", "candles", period="volatility_period"),
    }
    rule = adaptive_entry

    @staticmethod
    def model_names(p: Any) -> list[str]:
        """What ``models`` names; SettingError for one that there is not, and for none."""
        asked = [name.strip() for name in str(p.models).split(",") if name.strip()]
        for name in asked:
            if name not in MODELS:
                hint = nearest(name, MODELS, f"there are {', '.join(MODELS)}")
                raise SettingError(f"models: no leverage model is called {name!r}; {hint}")
        if not asked:
            raise SettingError(f"models names no leverage model; there are {', '.join(MODELS)}")
        return asked

    @classmethod
    def settle(cls, p: Any) -> None:
        """As the base's, and the names of the models."""
        super().settle(p)
        cls.model_names(p)
        if p.base_leverage is not None and not p.base_leverage > 0:
            raise SettingError(f"base_leverage must be positive, not {p.base_leverage!r}")
        if not 0 < p.drawdown_limit < 1:
            raise SettingError(f"drawdown_limit is a fraction below 1, not {p.drawdown_limit!r}")

    @classmethod
    def columns_for(cls, p: Any) -> Mapping[str, Column]:
        """Kelly's mean and mean square only where it is asked."""
        return {**cls.columns, **KELLY_COLUMNS} if "kelly" in cls.model_names(p) else cls.columns

    @property
    def volatility(self) -> float | None:
        """The highest daily volatility of the feeds, a fraction; None while it warms up."""
        lines = [of_feed["volatility"] for of_feed in self._columns.values()]
        known = [line[0] for line in lines if len(line) and not math.isnan(line[0])]
        return max(known, default=None)

    def stop_distance(self, data: Any, side: int) -> float:
        """``atr_stop`` times the ATR, quote; NaN while it warms up."""
        return float(self.at(data, "atr") * self.p.atr_stop)

    def target_distance(self, data: Any, side: int) -> float:
        """``reward`` stop distances, quote."""
        return self.stop_distance(data, side) * float(self.p.reward)

    def decide_leverage(self, data: Any, side: int) -> float:
        """The smallest of what the models say, at most ``max_leverage``."""
        if self._models[id(data)] is not None:
            return super().decide_leverage(data, side)
        leverage = float(self.p.max_leverage)
        for name in self.model_names(self.p):
            leverage = smaller_leverage(leverage, self.model_leverage(name, data, side))
        return leverage

    def model_leverage(self, name: str, data: Any, side: int) -> float:
        """What one of the models says for an entry now; 0.0: nothing."""
        p, known = self.p, self._columns[id(data)]
        base = p.leverage if p.base_leverage is None else p.base_leverage
        mean, square = (known[n][0] if n in known else math.nan for n in KELLY_COLUMNS)
        return model_leverage(
            MODELS.index(name), base, float(side), self.drawdown, p.drawdown_limit,
            known["volatility"][0], p.volatility_threshold, p.volatility_target, known["adx"][0],
            mean, square, p.kelly_fraction,
        )  # fmt: skip
