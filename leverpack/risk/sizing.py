"""How large a position may be: by the money at risk, the stop distance, the margin there is."""

from __future__ import annotations

import math

BY_RISK, BY_GUIDE, BY_STAKE, BY_EQUITY = range(4)
SMALLEST_AMOUNT = 1e-8  # quote
SIZINGS = ("risk", "guide", "stake", "equity")  # their names, in that order


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
    Nothing where the caps leave no leverage.

    >>> round(guide_size(10_000, 0.01, 50_000, 0.03, 2), 4)
    0.0333
    >>> guide_size(10_000, 0.01, 50_000, 0.03, 0)
    0.0
    """
    if leverage <= 0.0:
        return 0.0
    return risk_size(equity, risk_fraction, entry, stop_fraction) / leverage


def stake_size(stake: float, leverage: float, price: float) -> float:
    """Base units that a margin of ``stake`` (quote) opens at ``leverage``.

    >>> stake_size(1.0, 100.0, 50_000.0)
    0.002
    """
    return stake * leverage / price


def equity_size(equity: float, fraction: float, leverage: float, price: float) -> float:
    """Base units that ``fraction`` of equity opens as margin at ``leverage``.

    >>> equity_size(10_000.0, 0.1, 3.0, 50_000.0)
    0.06
    """
    return stake_size(equity * fraction, leverage, price)


def wanted_size(
    sizing: int, equity: float, risk_fraction: float, stake: float, equity_fraction: float,
    price: float, stop_distance: float, leverage: float,
) -> float:  # fmt: skip
    """Base units by one of the four ways to size: BY_RISK, BY_GUIDE, BY_STAKE, BY_EQUITY (0 to 3).

    ``stop_distance`` in quote currency; before limits and margin.

    >>> round(wanted_size(BY_RISK, 10_000.0, 0.01, 1.0, 0.1, 50_000.0, 1_500.0, 2.0), 4)
    0.0667
    """
    if sizing == BY_STAKE:
        return stake_size(stake, leverage, price)
    if sizing == BY_EQUITY:
        return equity_size(equity, equity_fraction, leverage, price)
    if sizing == BY_GUIDE:
        return guide_size(equity, risk_fraction, price, stop_distance / price, leverage)
    return risk_size(equity, risk_fraction, price, stop_distance / price)


def confidence_multiplier(confidence: float, minimum: float) -> float:
    """What a confidence (0..1) does to the size: 0.3 under 0.70, 1 up to 0.85, 1.5 from there.

    0.0 under ``minimum`` and for NaN.

    >>> [confidence_multiplier(c, 0.5) for c in (0.4, 0.6, 0.7, 0.85)]
    [0.0, 0.3, 1.0, 1.5]
    """
    if not confidence >= minimum:
        return 0.0
    if confidence < 0.70:
        return 0.3
    return 1.0 if confidence < 0.85 else 1.5


def tradable_size(size: float, price: float, step: float, min_notional: float) -> float:
    """``size`` on the venue's step; 0.0 where its notional is below the venue's minimum.

    Where none is given that is the last digit that venues book, 1e-8 quote: what is left of a
    ruined account would trade on for ever otherwise.

    >>> tradable_size(0.0129, 50_000.0, 0.001, 100.0), tradable_size(0.0019, 50_000.0, 0.001, 100.0)
    (0.012, 0.0)
    >>> tradable_size(1e-9, 2.0, 0.0, 0.0)
    0.0
    """
    rounded = round_down(size, step)
    if rounded <= 0.0 or rounded * price < max(min_notional, SMALLEST_AMOUNT):
        return 0.0
    return rounded


def affordable_size(free_margin: float, entry: float, leverage: float, fee_rate: float) -> float:
    """Largest size in base units whose initial margin and opening fee fit into ``free_margin``."""
    return max(0.0, free_margin) / (entry * (1.0 / leverage + fee_rate))


def round_down(size: float, step: float) -> float:
    """``size`` cut down to a multiple of ``step`` (0: left as it is), never up.

    A size that is a multiple but for float rounding stays itself: 0.3 with step 0.1 is 0.3.
    """
    if step <= 0.0:
        return size
    steps = size / step
    return multiple(math.floor(steps + max(1e-9, 1e-15 * steps)), step)


def round_to_tick(price: float, tick: float) -> float:
    """``price`` at the nearest multiple of ``tick`` (0: left as it is)."""
    if tick <= 0.0:
        return price
    return multiple(math.floor(price / tick + 0.5), tick)


def multiple(count: float, step: float) -> float:
    """``count`` steps as the float nearest to the decimal number that a venue would read.

    3 * 0.1 is 0.30000000000000004; 3 / 10 is 0.3.

    >>> multiple(3, 0.1), multiple(7, 0.05), multiple(3, 2.5)
    (0.3, 0.35, 7.5)
    """
    per_unit = math.floor(1.0 / step + 0.5)
    if per_unit >= 1.0 and abs(per_unit * step - 1.0) < 1e-9:
        return count / per_unit
    return count * step
