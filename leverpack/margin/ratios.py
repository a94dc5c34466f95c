"""Margins, ratios and returns that people and venues read off a position, as scalar functions.

Money is in quote currency unless said; everything compiles with ``numba.njit`` unchanged.
"""

from __future__ import annotations

import math

from leverpack.margin.liquidation import bankruptcy_price


def initial_margin(notional: float, leverage: float) -> float:
    """Margin that opening a position locks: notional / leverage; nan without a leverage."""
    if leverage <= 0.0:
        return math.nan
    return notional / leverage


def initial_margin_at_rate(notional: float, rate: float) -> float:
    """Initial margin where the venue states it as a rate (fraction of the notional)."""
    return notional * rate


def close_fee_reserve(
    side: float, size: float, entry: float, leverage: float, taker_fee: float
) -> float:
    """The taker fee (fraction) on closing at the bankruptcy price, which some venues lock too.

    Bybit and KuCoin. Source: Bybit "order cost", KuCoin ``posComm``.
    """
    return size * bankruptcy_price(side, entry, leverage) * taker_fee


def initial_margin_with_close_fee(
    side: float, size: float, entry: float, leverage: float, taker_fee: float
) -> float:
    """Position margin at Bybit: initial margin plus the reserved fee to close.

    >>> round(initial_margin_with_close_fee(1.0, 0.5, 1_073.85, 10.0, 0.0006), 7)
    53.9824395
    """
    reserve = close_fee_reserve(side, size, entry, leverage, taker_fee)
    return initial_margin(size * entry, leverage) + reserve


def maintenance_margin_at_rate(notional: float, mmr: float, cum: float, close_fee: float) -> float:
    """Maintenance margin of a known tier: notional*mmr - cum (quote) + close_fee (quote)."""
    return notional * mmr - cum + close_fee


def margin_ratio(maintenance: float, balance: float) -> float:
    """Maintenance margin over margin balance: 1.0 is liquidation, inf a balance at or below 0."""
    if balance <= 0.0:
        return math.inf
    return maintenance / balance


def liquidation_distance(side: float, price: float, liquidation: float) -> float:
    """How far a mark ``price`` is from the liquidation price, a fraction of it; 0.0 beyond.

    >>> liquidation_distance(1.0, 100.0, 90.0), liquidation_distance(-1.0, 100.0, 90.0)
    (0.1, 0.0)
    """
    return max(0.0, side * ((price - liquidation) / price))


def is_nearer(distance: float, nearest: float) -> bool:
    """Whether a distance is smaller than the smallest so far, by more than rounding.

    >>> is_nearer(0.1, 0.2), is_nearer(0.1 - 1e-17, 0.1), is_nearer(0.1, math.inf)
    (True, False, True)
    """
    return distance < nearest * (1.0 - 1e-12)


def margin_level(equity: float, used_margin: float) -> float:
    """Equity over used margin (1.0 is 100 %), as spot margin venues report it; nan when flat."""
    if used_margin <= 0.0:
        return math.nan
    return equity / used_margin


def effective_leverage(notional: float, equity: float) -> float:
    """Notional over the equity behind it: 0.0 without a position, inf without equity.

    >>> effective_leverage(1_000.0, 80.0), effective_leverage(1_000.0, 0.0)
    (12.5, inf)
    """
    if notional == 0.0:
        return 0.0
    return notional / equity if equity > 0.0 else math.inf


def available_margin(wallet: float, locked_notional: float, leverage: float) -> float:
    """Wallet less the margin that positions or open orders of ``locked_notional`` lock."""
    return wallet - initial_margin(locked_notional, leverage)


def return_on_margin(pnl: float, size: float, entry: float, leverage: float) -> float:
    """Profit over the initial margin, a fraction (venues show it as ROI in percent)."""
    margin = initial_margin(size * entry, leverage)
    if not margin > 0.0:
        return math.nan
    return pnl / margin


def liquidation_buffer_price(entry: float, liquidation: float, buffer: float) -> float:
    """A price short of liquidation by ``buffer`` (fraction) of the way back to the entry.

    >>> round(liquidation_buffer_price(18.884, 17.47, 0.05), 4)
    17.5407
    """
    return liquidation + buffer * (entry - liquidation)


def min_collateral(min_notional: float, leverage: float) -> float:
    """Least margin with which an order of the venue's smallest notional can be placed."""
    return initial_margin(min_notional, leverage)


def round_trip_fees(
    size: float, entry: float, exit_price: float, fee_open: float, fee_close: float
) -> float:
    """Fees (quote) of opening and closing; rates are fractions of the notional."""
    return size * (entry * fee_open + exit_price * fee_close)


def margin_trade_profit(
    side: float,
    size: float,
    entry: float,
    exit_price: float,
    fee_open: float,
    fee_close: float,
    interest: float,
    funding: float,
) -> float:
    """Profit (quote) of a closed trade after fees, interest and funding.

    ``interest`` is in the borrowed unit: quote for a long; base for a short, which buys back
    that much more and pays the fee on it. ``funding`` is signed cash (paid < 0).
    """
    bought_back = size + interest if side < 0.0 else size
    owed = interest if side > 0.0 else 0.0
    opened = size * entry * (1.0 + side * fee_open)
    closed = bought_back * exit_price * (1.0 - side * fee_close)
    return side * (closed - opened) - owed + funding
