"""Size by confidence, exit over a ladder of targets with a trailing stop after the first."""

from __future__ import annotations

from typing import Any

from leverpack.indicators.columns import column
from strategies.adaptive import adaptive_entry
from strategies.base import LeverageStrategy

FULL_ADX = 50.0  # as strong as trends get
FULL_REACH = 3.0  # ATRs from the average


def trend_confidence(close: float, average: float, atr: float, adx: float) -> float:
    """How sure a trend rule may be, 0..1: half from the ADX, half from the way already gone.

    The ADX counts up to 50, the distance from the average up to 3 ATR; 0.0 while warming up.

    >>> trend_confidence(103.0, 100.0, 1.0, 50.0), trend_confidence(101.5, 100.0, 1.0, 25.0)
    (1.0, 0.5)
    """
    if not atr > 0.0 or adx != adx or average != average:
        return 0.0
    return 0.5 * min(1.0, adx / FULL_ADX) + 0.5 * min(1.0, abs(close - average) / atr / FULL_REACH)


def ladder_entry(
    close: float, average: float, adx: float, volatility: float, adx_min: float,
    min_volatility: float,
) -> int:  # fmt: skip
    """The trend by the average, where it is strong and the market moves enough in a day.

    >>> ladder_entry(101.0, 100.0, 25.0, 0.04, 20.0, 0.03)
    1
    """
    if not volatility >= min_volatility:
        return 0
    return adaptive_entry(close, average, adx, adx_min)


class ConfidenceLadderStrategy(LeverageStrategy):
    """Trend entries whose size follows their confidence: x0.3 under 0.70, x1 to 0.85, x1.5 above.

    The confidence is the rule's own strength, or comes from ``confidence``, a function or class
    of yours. Targets at 6, 10 and 15 % close 30, 30 and 40 %; after the first the stops of the
    rest trail by ``trail_pct``. With ``partial_targets`` False the whole position leaves at
    ``take_profit_pct``. No entry under ``min_confidence``, nor while the daily volatility lies
    under ``min_volatility``.
    """

    params: Any = (
        ("leverage", 3.0),
        ("liquidation_stops", 2.0),
        ("min_confidence", 0.5),
        ("min_volatility", 0.03),
        ("partial_targets", True),
        ("targets", ((0.06, 0.3), (0.10, 0.3), (0.15, 0.4))),
        ("trail_pct", 0.03),
        ("average_period", 50),
        ("adx_period", 14),
        ("adx_min", 20.0),
        ("atr_period", 20),
        ("volatility_period", 20),
    )

    columns = {
        "average": column("SMA", period="average_period"),
        "atr": column("ATR", "candles", period="atr_period"),
        "adx": column("ADX", "candles", period="adx_period"),
        "volatility": column("DailyVolatility", "candles", period="volatility_period"),
    }
    rule = ladder_entry
    confidence_rule = trend_confidence

    @classmethod
    def settle(cls, p: Any) -> None:
        """As the base's; the ladder only with ``partial_targets``."""
        if not p.partial_targets:
            p.targets = ()
        super().settle(p)
