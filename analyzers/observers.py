"""Backtrader observers to plot: margin ratio, leverage and liquidation price by candle.

    cerebro.addobserver(MarginRatio)
    cerebro.addobserver(Leverage)
    cerebro.addobservermulti(LiquidationPrice)  # one a feed, drawn over its candles

They work with any broker that has leverpack's broker methods; with another their lines are NaN.
"""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

_NAN = math.nan


def _ask(broker: Any, name: str, *of: Any) -> float:
    """What the broker's method answers; NaN for None and for a broker without margin.

    Backtrader's own broker has a ``get_leverage()`` too, which says something else.
    """
    if not hasattr(broker, "set_leverage"):
        return _NAN
    method = getattr(broker, name, None)
    answer = None if method is None else method(*of)
    return _NAN if answer is None else float(answer)


class MarginRatio(bt.Observer):
    """Maintenance margin over margin balance in percent: 100 is liquidation; NaN while flat.

    Line ``worst`` is the ratio at the candle's worst mark, ``call`` where the venue calls.
    """

    _stclock = True
    lines: Any = ("margin_ratio", "worst", "call")
    plotinfo = {
        "plot": True, "subplot": True, "plotname": "Margin ratio, %", "plotlinelabels": True,
    }  # fmt: skip
    plotlines = {
        "margin_ratio": {"color": "#d97706"},
        "worst": {"color": "#d97706", "ls": ":"},
        "call": {"color": "#dc2626", "ls": "--"},
    }

    def next(self) -> None:
        """Take the readings of this candle."""
        broker = self._owner.broker
        ratio = _ask(broker, "margin_ratio")
        lines = self.lines
        lines.margin_ratio[0] = 100.0 * ratio
        lines.worst[0] = 100.0 * _ask(broker, "worst_margin_ratio")
        lines.call[0] = _NAN if math.isnan(ratio) else 100.0 * _ask(broker, "call_ratio")


class Leverage(bt.Observer):
    """Leverage in effect (notional over equity) and, while in a position, as it is set; x.

    With several positions ``decided`` is the highest leverage that is set for one of them.
    """

    _stclock = True
    lines: Any = ("effective", "decided")
    plotinfo = {
        "plot": True, "subplot": True, "plotname": "Leverage, x", "plotlinelabels": True,
    }  # fmt: skip
    plotlines = {"effective": {"color": "#2563eb"}, "decided": {"color": "#64748b", "ls": "--"}}

    def next(self) -> None:
        """Take the readings of this candle."""
        strategy = self._owner
        broker = strategy.broker
        self.lines.effective[0] = _ask(broker, "effective_leverage")
        decided = [
            _ask(broker, "get_leverage", data)
            for data in strategy.datas
            if len(data) and strategy.getposition(data).size
        ]
        self.lines.decided[0] = max(decided, default=_NAN)


class LiquidationPrice(bt.Observer):
    """The price that liquidates the feed's position, over its candles; NaN while flat.

    Also NaN where no price does. Drawn without stretching the price axis to it.
    """

    lines: Any = ("liquidation",)
    plotinfo = {
        "plot": True, "subplot": False, "plotname": "Liquidation price", "plotlinelabels": True,
    }  # fmt: skip
    plotlines = {"liquidation": {"color": "#dc2626", "lw": 1.2}}

    def next(self) -> None:
        """Take the reading of this candle."""
        data = self.data
        price = _ask(self._owner.broker, "liquidation_price", data) if len(data) else _NAN
        self.lines.liquidation[0] = price if 0.0 < price < math.inf else _NAN
