"""Any entry rule under a watch on margin ratio and liquidation distance."""

from __future__ import annotations

import logging
from typing import Any

from leverpack.errors import SettingError
from leverpack.risk.watch import CALM, EXIT, WARN, distance_share, margin_action
from strategies.conservative import ConservativeLeverageStrategy
from strategies.protection import Plan


def balance_ratio(maintenance_margin: float, notional: float, equity: float) -> float:
    """Margin ratio where the broker reports none: maintenance rate * notional / equity.

    >>> round(balance_ratio(0.1, 45_714.29, 5_714.29), 3)
    0.8
    """
    if equity <= 0.0:
        return float("inf")
    return maintenance_margin * notional / equity


class MarginMonitorStrategy(ConservativeLeverageStrategy):
    """Warns, cuts once per episode, and leaves before the exchange would.

    The rule is the conservative one unless ``entry_rule`` is given. Leverage is the smaller of
    ``leverage`` and 1 / ``initial_margin``. From ``warn_ratio`` on, or when no more than
    ``warn_share`` of the first distance to liquidation is left, ``cut_fraction`` of the position
    is closed, once; the next cut needs a calm candle in between. At ``exit_ratio`` or
    ``exit_share`` the position is closed. No entry while the account's ratio stands at or over
    ``maintenance_margin / (maintenance_margin + margin_buffer)``. ``maintenance_margin`` makes
    the ratio where the broker reports none.
    """

    params: Any = (
        ("leverage", 5.0),
        ("initial_margin", 0.2),
        ("maintenance_margin", 0.1),
        ("margin_buffer", 0.05),
        ("max_drawdown", 0.15),
        ("warn_ratio", 0.8),
        ("exit_ratio", 0.9),
        ("warn_share", 0.5),
        ("exit_share", 0.25),
        ("cut_fraction", 0.3),
    )

    @classmethod
    def settle(cls, p: Any) -> None:
        """As the base's, and the ratios and shares."""
        super().settle(p)
        for name in ("initial_margin", "maintenance_margin", "warn_ratio", "exit_ratio",
                     "cut_fraction"):  # fmt: skip
            if not 0 < getattr(p, name) <= 1:
                raise SettingError(f"{name} is a fraction up to 1, not {getattr(p, name)!r}")
        for name in ("margin_buffer", "warn_share", "exit_share"):
            if not 0 <= getattr(p, name) < 1:
                raise SettingError(f"{name} is a fraction below 1, not {getattr(p, name)!r}")

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[dict[str, Any]] = []

    @property
    def margin_level(self) -> float | None:
        """Equity / used margin; None when flat or when the broker does not know it."""
        level = self.broker.margin_level() if hasattr(self.broker, "margin_level") else None
        return None if level is None else float(level)

    @property
    def liquidation_price(self) -> float | None:
        """The first feed's liquidation price, quote; None when flat."""
        price = getattr(self.broker, "liquidation_price", lambda data: None)(self.data)
        return None if price is None else float(price)

    def decide_leverage(self, data: Any, side: int) -> float:
        """The smaller of ``leverage`` and 1 / ``initial_margin``; 0.0 while margin is short."""
        ratio = self.ratio_of(None)
        full = self.p.maintenance_margin + self.p.margin_buffer
        if ratio is not None and ratio >= self.p.maintenance_margin / full:
            self.refuse(data, f"margin_buffer: the margin ratio is {ratio:.2%}")
            return 0.0
        return min(super().decide_leverage(data, side), 1.0 / float(self.p.initial_margin))

    def ratio_of(self, data: Any) -> float | None:
        """Margin ratio of one feed, or of the account (None); None when flat."""
        if hasattr(self.broker, "margin_ratio"):
            ratio = self.broker.margin_ratio(data)
            return None if ratio is None else float(ratio)
        held = [data] if data is not None else self.datas
        notional = sum(abs(self.getposition(d).size) * d.close[0] for d in held)
        if not notional:
            return None
        return balance_ratio(self.p.maintenance_margin, notional, self.broker.getvalue())

    def tend(self, plan: Plan) -> None:
        """Judge one open position at a new candle, after the base has looked after it."""
        super().tend(plan)
        ratio = self.ratio_of(plan.data)
        if ratio is None or not plan.filled:
            return
        share = self._distance_share(plan)
        p = self.p
        action = margin_action(
            ratio, share, p.warn_ratio, p.exit_ratio, p.warn_share, p.exit_share
        )
        if action == EXIT:
            self._warn(plan, ratio, share, "closed")
            self.leave(plan.data, "margin")
        elif action == WARN and not plan.warned:
            plan.warned = True
            self._warn(plan, ratio, share, f"cut by {p.cut_fraction:.0%}")
            self.cut(plan.data, p.cut_fraction)
        elif action == CALM:
            plan.warned = False

    def _distance_share(self, plan: Plan) -> float:
        if not hasattr(self.broker, "liquidation_price"):
            return 1.0
        price = self.broker.liquidation_price(plan.data)
        if not price:
            return 1.0
        if not plan.first_distance:
            plan.first_distance = plan.side * (plan.price - price)
        mark = self.broker.mark_price(plan.data)
        return distance_share(plan.side, mark, price, plan.first_distance)

    def _warn(self, plan: Plan, ratio: float, share: float, done: str) -> None:
        symbol = str(plan.data._name)
        text = f"margin ratio {ratio:.2%}, {share:.0%} of the first distance left: {done}"
        self.warnings.append({"time": self.now_ms(), "symbol": symbol, "text": text})
        self.log(f"{symbol}: {text}", logging.WARNING)

    def cut(self, data: Any, fraction: float) -> Any:
        """Close ``fraction`` of a position at market, reduce-only; the stops follow the rest."""
        size = self.getposition(data).size
        send = self.sell if size > 0 else self.buy
        return send(data=data, size=abs(size) * fraction, reduce_only=True, tag="cut")
