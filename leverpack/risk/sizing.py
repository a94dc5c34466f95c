"""How large a position may be: by the money at risk, the stop distance, the margin there is."""

from __future__ import annotations

import math


def risk_size(equity: float, risk_fraction: float, entry: float, stop_fraction: float) -> float:
    """Base units that lose ``equity * risk_fraction`` when ``entry`` moves by ``stop_fraction``.

    Leverage has no part in it: it decides the margin that is locked, not the loss at the stop.

    >>> round(risk_size(10_000, 0.01, 50_000, 0.03), 4)
    0.0667
    """
    return equity * risk_fraction / (entry * stop_fraction)


def guide_size(
    equity: float, risk_fraction: float, entry: float, stop_fraction: float, leverage: float
) -> float:
    """The size the Cracktrader guide prints: :func:`risk_size` divided once more by the leverage.

    It risks ``risk_fraction / leverage`` of equity; kept for whoever wants the printed numbers.

    >>> round(guide_size(10_000, 0.01, 50_000, 0.03, 2), 4)
    0.0333
    """
    return risk_size(equity, risk_fraction, entry, stop_fraction) / leverage


def affordable_size(free_margin: float, entry: float, leverage: float, fee_rate: float) -> float:
    """Largest size in base units whose initial margin and opening fee fit into ``free_margin``."""
    return max(0.0, free_margin) / (entry * (1.0 / leverage + fee_rate))


def round_down(size: float, step: float) -> float:
    """``size`` cut down to a multiple of ``step`` (0: left as it is), never up.

    A size that is a multiple but for float rounding stays itself: 0.3 with step 0.1 is 0.3.
    """
    if step <= 0.0:
        return size
    steps = math.floor(size / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step))) + 2
    return round(steps * step, digits)


def round_to_tick(price: float, tick: float) -> float:
    """``price`` at the nearest multiple of ``tick`` (0: left as it is)."""
    if tick <= 0.0:
        return price
    digits = max(0, -math.floor(math.log10(tick))) + 2
    return round(round(price / tick) * tick, digits)
