"""Maker and taker fees in the shape that Backtrader's sizers, orders and trades ask for."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.errors import refuse_unknown


class MarginCommission(bt.CommInfoBase):
    """Percentage fees on notional; sizes stay fractional.

    Backtrader's own ``getsize`` floors to whole units, so half a bitcoin becomes none. Margin
    and liquidation are the broker's; to the rest of Backtrader the asset looks like a stock,
    which makes position value notional and profit ``size * (price - entry)``.
    """

    params = (
        ("maker", 0.0),
        ("taker", 0.0),
        ("stocklike", True),
        ("commtype", bt.CommInfoBase.COMM_PERC),
        ("percabs", True),
    )

    def __init__(self, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        self.p.commission = self.p.taker
        super().__init__()

    def getsize(self, price: float, cash: float) -> float:
        """Base units whose notional is ``cash`` at ``price``."""
        return cash / price

    def fee_rate(self, resting: bool) -> float:
        """The fee as a fraction of notional: maker for a resting limit order, else taker."""
        rate: Any = self.p.maker if resting else self.p.taker
        return float(rate)
