"""Liquidation of a hedged cross position: a long and a short leg of one symbol, scalar functions.

Both legs share one wallet, so there is one liquidation price for the pair (Binance hedge mode,
cross margin). Units and conventions as in :mod:`leverpack.margin.liquidation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from leverpack.margin.brackets import tier_index


def hedge_liquidation_price(
    long_size: float,
    long_entry: float,
    short_size: float,
    short_entry: float,
    wallet: float,
    long_mmr: float,
    long_cum: float,
    short_mmr: float,
    short_cum: float,
    mm_others: float,
    upnl_others: float,
) -> float:
    """The common price of both legs with known tiers, Binance's own closed form.

    ``(wallet - mm_others + upnl_others + cumL + cumS - qL*EPL + qS*EPS) / (qL*mmrL + qS*mmrS - qL
    + qS)``. It may lie at or below zero, where no price liquidates; nan where the price cancels.
    Source: Binance FAQ b3c689c1f50a44cabb3a84e663b81d93.
    """
    slope = long_size * long_mmr + short_size * short_mmr - long_size + short_size
    if slope == 0.0:
        return math.nan
    backing = wallet - mm_others + upnl_others + long_cum + short_cum
    return (backing - long_size * long_entry + short_size * short_entry) / slope


def hedge_liquidation_range(
    long_size: float,
    long_entry: float,
    short_size: float,
    short_entry: float,
    wallet: float,
    caps: Sequence[float],
    mmrs: Sequence[float],
    cums: Sequence[float],
    close_fee: float,
    mm_others: float,
    upnl_others: float,
) -> tuple[float, float]:
    """Prices at and below, and at and above, which both legs are liquidated; tiers at the price.

    A nearly balanced pair has both: the maintenance margin grows with the price while the
    profit stands still. (0.0, inf): never; (inf, 0.0): at every price.
    """
    fixed = wallet + upnl_others - mm_others - long_size * long_entry + short_size * short_entry
    lower, upper = math.inf, 0.0
    start = 0.0
    at_start = fixed
    if at_start > 0.0:
        lower = 0.0
    while True:
        # One stretch of price in which neither leg changes its tier.
        i = tier_index(long_size * start, caps)
        j = tier_index(short_size * start, caps)
        constant = fixed + cums[i] + cums[j]
        slope = long_size - short_size
        slope -= long_size * (mmrs[i] + close_fee) + short_size * (mmrs[j] + close_fee)
        end = min(_cap_price(long_size, i, caps, start), _cap_price(short_size, j, caps, start))
        at_end = _at(constant, slope, end)
        if at_start <= 0.0 and at_end > 0.0:
            lower = _root(constant, slope, start)
        if at_start > 0.0 and at_end <= 0.0:
            return lower, _root(constant, slope, start)
        if end == math.inf:
            return lower, math.inf if at_end > 0.0 else upper
        start, at_start = end, at_end


def _cap_price(size: float, tier: int, caps: Sequence[float], start: float) -> float:
    """The price at which ``size`` outgrows ``tier``; inf in the last one, or when it is flat."""
    if size <= 0.0 or tier == len(caps) - 1:
        return math.inf
    price = caps[tier] / size
    # Rounding may put the cap's price at or under the start; the next representable one is past it.
    return price if price > start else start * (1.0 + 1e-15) + 1e-300


def _root(constant: float, slope: float, start: float) -> float:
    """Where ``constant + slope * price`` is 0; ``start`` when rounding alone changed the sign."""
    return start if slope == 0.0 else -constant / slope


def _at(constant: float, slope: float, price: float) -> float:
    """``constant + slope * price`` where the price may be inf and the slope 0."""
    if price == math.inf:
        if slope == 0.0:
            return constant
        return math.inf if slope > 0.0 else -math.inf
    return constant + slope * price
