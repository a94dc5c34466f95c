"""Liquidation and bankruptcy prices: one definition for every venue, as scalar functions.

The liquidation price is the price ``P`` at which

    wallet + side * size * (P - entry) + upnl_others = MM(P) + close_fee(P) + mm_others

Venues differ in where ``MM`` is valued and in whether the close fee is inside. ``side`` is +1.0
(long) or -1.0 (short), ``size`` is in base units and positive, prices and money are in quote
currency (inverse contracts: money in base currency). ``wallet`` is realised money: it does not
move with the price. A long is liquidated at and below the returned price, a short at and above
it, so 0.0 for a long and inf for a short mean "never"; nan means undefined. Nothing here raises,
so that everything compiles with ``numba.njit`` unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def notional_in_tier(
    side: float, backing: float, mmr: float, cum: float, close_fee: float
) -> float:
    """The notional ``V`` that solves ``backing + side*V = V*mmr - cum + V*close_fee``, not below 0.

    ``backing`` is the wallet with everything that does not depend on the price, less the entry
    notional times side. nan where a rate and fee of 1 or more leave no single answer.
    """
    slope = side - mmr - close_fee
    if side * slope <= 0.0:
        return math.nan
    notional = -(backing + cum) / slope
    return 0.0 if notional <= 0.0 else notional


def liquidation_notional(
    side: float,
    entry_notional: float,
    wallet: float,
    caps: Sequence[float],
    mmrs: Sequence[float],
    cums: Sequence[float],
    close_fee: float,
    mm_others: float,
    upnl_others: float,
) -> float:
    """Notional of the position at its liquidation price, in the tier of that very notional.

    What is left over the maintenance margin rises (long) or falls (short) all the way with the
    notional, so its sign at each cap says on which side of the cap the one root lies; that
    finds the tier without guessing and re-solving. Source of the tier rule: Binance FAQ
    b3c689c1f50a44cabb3a84e663b81d93.
    """
    backing = wallet + upnl_others - mm_others - side * entry_notional
    last = len(caps) - 1
    tier = last
    for i in range(last):
        excess = backing + cums[i] + caps[i] * (side - mmrs[i] - close_fee)
        if side * excess >= 0.0:
            tier = i
            break
    return notional_in_tier(side, backing, mmrs[tier], cums[tier], close_fee)


def linear_liquidation_price(
    side: float,
    size: float,
    entry: float,
    wallet: float,
    mmr: float,
    cum: float,
    close_fee: float,
    mm_others: float,
    upnl_others: float,
) -> float:
    """Liquidation price (quote) with one maintenance rate, in closed form.

    ``(wallet - mm_others + upnl_others + cum - side*size*entry) / (size*(mmr + close_fee - side))``
    is Binance USD-M with ``close_fee`` 0, and OKX, Gate and Bitget with the taker fee.

    >>> round(linear_liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, 0.1, 0.0, 0.0, 0.0, 0.0), 2)
    44444.44
    """
    if size <= 0.0:
        return 0.0 if side > 0.0 else math.inf
    backing = wallet + upnl_others - mm_others - side * size * entry
    return notional_in_tier(side, backing, mmr, cum, close_fee) / size


def liquidation_price(
    side: float,
    size: float,
    entry: float,
    wallet: float,
    caps: Sequence[float],
    mmrs: Sequence[float],
    cums: Sequence[float],
    close_fee: float,
    mm_others: float,
    upnl_others: float,
) -> float:
    """Liquidation price (quote) of a linear contract, with the tier at that price.

    ``wallet`` is the isolated margin, or the cross wallet; ``mm_others`` and ``upnl_others`` are
    the other cross positions' maintenance margin and signed open profit. 0.0: a long that no
    positive price liquidates.
    """
    if size <= 0.0:
        return 0.0 if side > 0.0 else math.inf
    notional = liquidation_notional(
        side, size * entry, wallet, caps, mmrs, cums, close_fee, mm_others, upnl_others
    )
    return notional / size


def inverse_liquidation_price(
    side: float,
    contracts_value: float,
    entry: float,
    wallet: float,
    caps: Sequence[float],
    mmrs: Sequence[float],
    cums: Sequence[float],
    close_fee: float,
    mm_others: float,
    upnl_others: float,
) -> float:
    """Liquidation price (quote) of an inverse (coin-margined) contract, tier at that price.

    ``contracts_value`` is contracts * contract size in quote currency; wallet, caps and cums are
    in base currency. In base currency the notional is ``contracts_value / P`` and the profit
    ``side * (contracts_value/entry - contracts_value/P)``: the linear case with the sides
    exchanged. One tier: ``N*(mmr + close_fee + side) / (wallet + cum + side*N/entry)`` (Binance
    COIN-M with ``close_fee`` 0; OKX with the taker fee). inf: a short that nothing liquidates.
    """
    if contracts_value <= 0.0:
        return 0.0 if side > 0.0 else math.inf
    if entry <= 0.0:
        return math.nan
    notional = liquidation_notional(
        -side, contracts_value / entry, wallet, caps, mmrs, cums, close_fee, mm_others, upnl_others
    )
    return math.inf if notional == 0.0 else contracts_value / notional


def bankruptcy_price(side: float, entry: float, leverage: float) -> float:
    """Price at which an isolated position's initial margin is exactly gone: entry*(1 - side/L).

    >>> bankruptcy_price(1.0, 80.0, 2.0)
    40.0
    """
    if leverage <= 0.0:
        return math.nan
    price = entry * (1.0 - side / leverage)
    return 0.0 if price < 0.0 else price


def bankruptcy_price_from_margin(side: float, size: float, entry: float, wallet: float) -> float:
    """Price at which the money behind a position (``wallet``, quote) is exactly gone.

    >>> bankruptcy_price_from_margin(-1.0, 2.0, 100.0, 50.0)
    125.0
    """
    if size <= 0.0:
        return 0.0 if side > 0.0 else math.inf
    price = entry - side * wallet / size
    return 0.0 if price < 0.0 else price
