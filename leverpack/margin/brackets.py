"""Maintenance margin and largest leverage from a venue's notional brackets, as scalar functions.

A table is given as columns of equal length, one entry per tier in rising order: ``caps`` (largest
notional, quote), ``mmrs`` (maintenance margin rate, fraction), ``cums`` (maintenance amount,
quote), ``max_leverages``. Nothing here raises, so that everything compiles with ``numba.njit``
unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence


def tier_index(notional: float, caps: Sequence[float]) -> int:
    """Index of the tier that ``notional`` (quote) is valued in, counted from 0.

    A notional that equals a cap belongs to the tier above it, as venues list the floor of a
    bracket as included; the margin is the same on both sides. Beyond the last cap: the last tier.

    >>> tier_index(50_000.0, (50_000.0, 250_000.0))
    1
    """
    last = len(caps) - 1
    for i in range(last):
        if notional < caps[i]:
            return i
    return last


def maintenance_margin(
    notional: float, caps: Sequence[float], mmrs: Sequence[float], cums: Sequence[float]
) -> float:
    """Maintenance margin (quote): notional * mmr - cum of its tier, never below zero.

    Source: Binance FAQ b3c689c1f50a44cabb3a84e663b81d93.

    >>> maintenance_margin(300_000.0, (250_000.0, 1e6), (0.005, 0.01), (0.0, 1_250.0))
    1750.0
    """
    i = tier_index(notional, caps)
    margin = notional * mmrs[i] - cums[i]
    return 0.0 if margin < 0.0 else margin


def next_maintenance_amount(cum: float, floor: float, mmr_below: float, mmr: float) -> float:
    """Maintenance amount (quote) of the tier that starts at ``floor``, from the tier below it.

    ``cum_n = cum_(n-1) + floor_n * (mmr_n - mmr_(n-1))`` keeps the margin continuous at the
    floor. Source: Binance FAQ b3c689c1f50a44cabb3a84e663b81d93.

    >>> round(next_maintenance_amount(50.0, 250_000.0, 0.005, 0.01), 9)
    1300.0
    """
    return cum + floor * (mmr - mmr_below)


def max_leverage_for_notional(
    notional: float, caps: Sequence[float], max_leverages: Sequence[float]
) -> float:
    """Largest leverage that a position of ``notional`` (quote) may have; caps are included.

    0.0 beyond the last cap: no leverage makes so large a position possible.
    """
    for i in range(len(caps)):
        if notional <= caps[i]:
            return max_leverages[i]
    return 0.0


def max_leverage_for_collateral(
    collateral: float, caps: Sequence[float], max_leverages: Sequence[float]
) -> float:
    """Largest leverage at which ``collateral`` (quote) can be used in full.

    ``max over tiers of min(tier leverage, tier cap / collateral)``; -1.0 when the collateral
    alone is over every cap.

    >>> max_leverage_for_collateral(1_500.0, (10_000.0, 50_000.0), (75.0, 50.0))
    33.333333333333336
    """
    last = len(caps) - 1
    if collateral > caps[last]:
        return -1.0
    if collateral <= 0.0:
        return max_leverages[0]
    best = 0.0
    for i in range(len(caps)):
        reach = min(max_leverages[i], caps[i] / collateral)
        if reach > best:
            best = reach
    return best
