"""A broker that knows no margin, read as far as that goes: what it cannot say is not made up."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from leverpack.margin.books import Costs
from leverpack.margin.ratios import effective_leverage


class PlainFace:
    """Backtrader's own broker, or one like it, with the methods that MarginAnalyzer asks for.

    Position, equity and effective leverage are right; what stands on maintenance margin is None,
    and costs are NaN.
    """

    def __init__(self, broker: Any, datas: list[Any]) -> None:
        self._broker, self._datas = broker, datas
        self.getposition, self.getvalue = broker.getposition, broker.getvalue
        self.free_margin = broker.getcash

    def mark_price(self, data: Any) -> float:
        """The last close."""
        return float(data.close[0])

    def effective_leverage(self) -> float:
        """Notional of all positions over equity."""
        notional = sum(
            abs(self.getposition(d).size) * self.mark_price(d) for d in self._datas if len(d)
        )
        return effective_leverage(notional, self.getvalue())

    def unrealised(self) -> float:
        """Open profit of all positions, quote."""
        held = ((self.getposition(d), d) for d in self._datas if len(d))
        return float(sum(p.size * (self.mark_price(d) - p.price) for p, d in held))

    def unknown(self, data: Any = None) -> None:
        """None: this broker does not say."""

    margin_ratio = worst_margin_ratio = margin_level = unknown
    liquidation_price = nearest_liquidation = unknown

    def unknown_number(self, data: Any = None) -> float:
        """NaN: this broker does not say."""
        return math.nan

    used_margin = get_leverage = call_ratio = unknown_number

    def costs(self, data: Any = None) -> Costs:
        """NaN throughout: this broker keeps no such books."""
        return Costs(*(math.nan for _ in fields(Costs)))
