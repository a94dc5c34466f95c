"""The guide's own helpers under their own names, with what they compute put right.

Source: Cracktrader guide "Using Leverage", "Leverage Best Practices".
"""

from __future__ import annotations

import math
from typing import Any

from leverpack.margin.ratios import effective_leverage, margin_level
from leverpack.risk.sizing import guide_size, risk_size

LEVERAGE_PROGRESSION = {"beginner": 1.5, "intermediate": 2.5, "advanced": 5.0}  # by experience


class LeverageRiskRules:
    """The guide's three rules: 2 % risk a trade, 3x at most, 2x over the whole portfolio.

    >>> round(LeverageRiskRules().calculate_position_size(50_000, 48_500, 2, 10_000), 4)
    0.1333
    """

    def __init__(
        self, max_risk_per_trade: float = 0.02, max_leverage: float = 3.0,
        max_portfolio_leverage: float = 2.0,
    ) -> None:  # fmt: skip
        self.max_risk_per_trade = max_risk_per_trade
        self.max_leverage = max_leverage
        self.max_portfolio_leverage = max_portfolio_leverage

    def calculate_position_size(
        self, entry_price: float, stop_price: float, leverage: float, portfolio_value: float,
        sizing: str = "risk",
    ) -> float:  # fmt: skip
        """Base units that lose ``max_risk_per_trade`` of ``portfolio_value`` at the stop.

        Never more than the smaller of ``leverage`` and ``max_leverage`` on the portfolio, nor
        than ``max_portfolio_leverage``. ``sizing="guide"`` divides by the leverage as printed.
        0.0 when entry and stop are the same.
        """
        stop_fraction = abs(entry_price - stop_price) / entry_price
        if stop_fraction <= 0.0:
            return 0.0
        sizes = (portfolio_value, self.max_risk_per_trade, entry_price, stop_fraction)
        size = guide_size(*sizes, leverage) if sizing == "guide" else risk_size(*sizes)
        most = min(leverage, self.max_leverage, self.max_portfolio_leverage)
        return min(size, most * portfolio_value / entry_price)


class LeverageMetrics:
    """Effective leverage, margin level, open profit and liquidation distance of one position.

    ``metrics`` has the guide's keys; flat, the margin level is None and not 1.0, and the
    distance (a fraction of the price) is inf.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, float | None] = {}
        self._flat()

    def _flat(self) -> None:
        self.metrics.update(
            effective_leverage=0.0, margin_level=None, unrealized_pnl=0.0,
            liquidation_distance=math.inf,
        )  # fmt: skip

    def update_metrics(
        self, position: Any, current_price: float, account_value: float,
        used_margin: float | None = None, liquidation_price: float | None = None,
    ) -> None:  # fmt: skip
        """Read a position (``size`` signed, ``price`` its average entry) at a price.

        ``account_value`` is equity, ``used_margin`` what the venue locks (the guide's assumed
        10 % of the notional without it), both in quote currency.
        """
        if not position or not position.size:
            self._flat()
            return
        notional = abs(position.size) * current_price
        used = 0.1 * notional if used_margin is None else used_margin
        distance = math.inf
        if liquidation_price is not None:
            distance = abs(current_price - liquidation_price) / current_price
        self.metrics.update(
            effective_leverage=effective_leverage(notional, account_value),
            margin_level=margin_level(account_value, used),
            unrealized_pnl=(current_price - position.price) * position.size,
            liquidation_distance=distance,
        )


class EmergencyProtocol:
    """Closes everything when margin ratio, drawdown or volatility pass their trigger.

    The guide's margin trigger, equity / used margin under 0.15, is passed only long after the
    liquidation; here it is the margin ratio (maintenance / margin balance) from 0.9 on.
    ``strategy`` offers ``broker``, ``drawdown`` and ``volatility`` (fractions; volatility a day,
    or None) and ``close_everything(reason)``; a pack strategy does.
    """

    def __init__(self, strategy: Any, **triggers: float) -> None:
        self.strategy = strategy
        self.emergency_triggers = {
            "margin_ratio": 0.9, "drawdown": 0.20, "volatility": 0.08, **triggers,
        }  # fmt: skip

    def check_emergency_conditions(self) -> str:
        """What is wrong, in one sentence, or "" (which is false) when nothing is."""
        readings = {
            "margin_ratio": _margin_ratio(self.strategy.broker),
            "drawdown": self.strategy.drawdown,
            "volatility": self.strategy.volatility,
        }
        for name, bound in self.emergency_triggers.items():
            value = readings[name]
            if bound and value is not None and value >= bound:
                return f"{name.replace('_', ' ')} {value:.2%} is at or over {bound:.2%}"
        return ""

    def execute_emergency_exit(self, reason: str = "asked for") -> None:
        """Close all positions of all feeds, reduce-only, and stay out until somebody resets."""
        self.strategy.close_everything(f"emergency: {reason}")


def _margin_ratio(broker: Any) -> float | None:
    ratio = broker.margin_ratio() if hasattr(broker, "margin_ratio") else None
    return None if ratio is None else float(ratio)
