"""When a limit stops trading, as scalar functions that compile with ``numba.njit`` unchanged."""

from __future__ import annotations


def drawdown_of(equity: float, peak: float) -> float:
    """How far ``equity`` lies under its highest value ``peak``, a fraction of that.

    >>> drawdown_of(75.0, 100.0), drawdown_of(75.0, 0.0)
    (0.25, 0.0)
    """
    return 1.0 - equity / peak if peak > 0.0 else 0.0


def day_is_lost(day_equity: float, equity: float, max_daily_loss: float) -> bool:
    """Whether the day's loss (quote, from its first equity) has reached its limit; 0.0: none.

    >>> day_is_lost(1_000.0, 950.0, 50.0), day_is_lost(1_000.0, 950.0, 0.0)
    (True, False)
    """
    return max_daily_loss > 0.0 and day_equity - equity >= max_daily_loss


def drawdown_is_full(peak: float, equity: float, max_drawdown: float) -> bool:
    """Whether equity has fallen by ``max_drawdown`` (fraction) of its peak; 0.0: no limit.

    >>> drawdown_is_full(100.0, 80.0, 0.2), drawdown_is_full(100.0, 81.0, 0.2)
    (True, False)
    """
    return max_drawdown > 0.0 and equity <= peak * (1.0 - max_drawdown)
