"""How much leverage a position gets: models to choose from, then caps that always hold.

Scalar functions without objects; all compile with ``numba.njit`` unchanged. A model that cannot
be answered (a value still warming up, a volatility of zero) gives 0.0: no trade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from leverpack.margin.brackets import maintenance_margin

STRONG_TREND, WEAK_TREND = 25.0, 15.0  # ADX
DEEP_DRAWDOWN, DRAWDOWN = 0.10, 0.05  # fractions of the peak
LOWEST_VOLATILITY_FACTOR = 0.5
DAYS_A_YEAR = 365.0  # crypto trades on all of them
GUIDE, VOLATILITY, KELLY, DRAWDOWN_CONTROL = range(4)
MODELS = ("guide", "volatility", "kelly", "drawdown")  # their names, in that order


def volatility_factor(volatility: float, threshold: float) -> float:
    """1.0 up to ``threshold``, then less by the excess, never under 0.5; both in one time unit.

    Source: Cracktrader guide "Using Leverage", which compares a yearly volatility with a daily
    threshold: 60 % a year against 2 % always gives 0.5. Against 2 % a day, which is 38.2 % a
    year, it is 0.78.

    >>> volatility_factor(0.60, 0.02), round(volatility_factor(0.60, 0.02 * 365**0.5), 2)
    (0.5, 0.78)
    """
    if not volatility > threshold:
        return 1.0
    return max(LOWEST_VOLATILITY_FACTOR, 1.0 - (volatility - threshold))


def trend_factor(adx: float) -> float:
    """1.2 in a strong trend (ADX over 25), 0.8 in a weak one (under 15), else 1.0; the guide's.

    >>> trend_factor(30.0), trend_factor(20.0), trend_factor(10.0)
    (1.2, 1.0, 0.8)
    """
    if adx > STRONG_TREND:
        return 1.2
    return 0.8 if adx < WEAK_TREND else 1.0


def drawdown_factor(drawdown: float) -> float:
    """0.5 beyond a drawdown of 10 % of the peak, 0.8 beyond 5 %, else 1.0; the guide's.

    >>> drawdown_factor(0.12), drawdown_factor(0.07), drawdown_factor(0.02)
    (0.5, 0.8, 1.0)
    """
    if drawdown > DEEP_DRAWDOWN:
        return 0.5
    return 0.8 if drawdown > DRAWDOWN else 1.0


def guide_leverage(
    base: float, volatility: float, threshold: float, adx: float, drawdown: float
) -> float:
    """The guide's dynamic leverage: base times the three factors, volatilities in one time unit.

    0.0 while ``volatility`` or ``adx`` is NaN. Source: Cracktrader guide "Using Leverage".

    >>> round(guide_leverage(2.0, 0.30, 0.382, 30.0, 0.0), 9)
    2.4
    """
    if volatility != volatility or adx != adx:
        return 0.0
    factor = volatility_factor(volatility, threshold) * trend_factor(adx)
    return base * factor * drawdown_factor(drawdown)


def volatility_target_leverage(target: float, volatility: float) -> float:
    """Leverage at which the position moves by ``target``: target / volatility, in one time unit.

    Source: Moreira and Muir, "Volatility-Managed Portfolios", Journal of Finance 72 (2017), in
    its form with the standard deviation.

    >>> volatility_target_leverage(0.04, 0.02)
    2.0
    """
    if not volatility > 0.0:
        return 0.0
    return target / volatility


def kelly_leverage(mean: float, variance: float, fraction: float) -> float:
    """``fraction`` of the Kelly leverage mean / variance, of returns of one period; 0.0 at a loss.

    Source: Thorp, "The Kelly Criterion in Blackjack, Sports Betting, and the Stock Market"
    (2006), section 7.1, for an interest rate of zero.

    >>> kelly_leverage(0.001, 0.0004, 0.5)
    1.25
    """
    if not variance > 0.0 or not mean > 0.0:
        return 0.0
    return fraction * mean / variance


def drawdown_control_leverage(base: float, drawdown: float, max_drawdown: float) -> float:
    """``base`` shrunk so that it reaches 0 as the drawdown reaches its bound.

    Exposure in proportion to the part of the wealth above the floor, ``(D - d)/(D*(1 - d))``.
    Source: Grossman and Zhou, "Optimal Investment Strategies for Controlling Drawdowns",
    Mathematical Finance 3 (1993), scaled to ``base`` at the peak.

    >>> drawdown_control_leverage(3.0, 0.0, 0.2), drawdown_control_leverage(3.0, 0.2, 0.2)
    (3.0, 0.0)
    """
    if not drawdown < max_drawdown:
        return 0.0
    if drawdown <= 0.0:
        return base
    # Rounding may carry a drawdown next to 0 an ulp over the base.
    return min(base, base * (max_drawdown - drawdown) / (max_drawdown * (1.0 - drawdown)))


def model_leverage(
    model: int, base: float, side: float, drawdown: float, drawdown_limit: float,
    volatility: float, volatility_threshold: float, volatility_target: float, adx: float,
    mean: float, mean_square: float, kelly_fraction: float,
) -> float:  # fmt: skip
    """What one model says for an entry: GUIDE, VOLATILITY, KELLY or DRAWDOWN_CONTROL (0 to 3).

    Volatilities are fractions a day, ``mean`` and ``mean_square`` those of the returns of single
    candles; what a model does not read may be NaN. 0.0: no trade.

    >>> model_leverage(VOLATILITY, 2.0, 1.0, 0.0, 0.2, 0.02, 0.02, 0.04, 30.0, 0.0, 0.0, 0.5)
    2.0
    """
    if model == GUIDE:
        year = math.sqrt(DAYS_A_YEAR)
        return guide_leverage(base, volatility * year, volatility_threshold * year, adx, drawdown)
    if model == VOLATILITY:
        return volatility_target_leverage(volatility_target, volatility)
    if model == DRAWDOWN_CONTROL:
        return drawdown_control_leverage(base, drawdown, drawdown_limit)
    return kelly_leverage(side * mean, mean_square - mean * mean, kelly_fraction)


def smaller_leverage(one: float, other: float) -> float:
    """The smaller of two answers; NaN counts as 0.0, for what is not known is not traded on.

    >>> smaller_leverage(3.0, 2.0), smaller_leverage(3.0, float("nan"))
    (2.0, 0.0)
    """
    if one != one or other != other:
        return 0.0
    return min(one, other)


def portfolio_leverage_cap(max_portfolio: float, equity: float, gross_notional: float) -> float:
    """Leverage on the whole equity that still fits beside what is open; ``max_portfolio`` 0: inf.

    >>> portfolio_leverage_cap(2.0, 10_000.0, 5_000.0)
    1.5
    """
    if max_portfolio <= 0.0:
        return float("inf")
    if equity <= 0.0:
        return 0.0
    return max(0.0, max_portfolio - gross_notional / equity)


def liquidation_distance_cap(
    side: float,
    size: float,
    entry: float,
    stop_distance: float,
    stops: float,
    caps: Sequence[float],
    mmrs: Sequence[float],
    cums: Sequence[float],
    close_fee: float,
) -> float:
    """Largest leverage whose isolated liquidation price lies ``stops`` stop distances away.

    The margin has to carry the loss up to that price and the maintenance there, with the tier at
    that price: ``L = q*EP / (stops*d*q + MM(P*) + fee(P*))``, ``P* = EP - s*stops*d``. It is the
    general liquidation equation solved for the leverage. ``size`` in base units (> 0),
    ``stop_distance`` in quote currency, ``close_fee`` a fraction; inf without a stop.

    >>> round(liquidation_distance_cap(
    ...     1.0, 1.0, 50_000.0, 1_500.0, 2.0, (1e9,), (0.1,), (0.0,), 0.0), 4)
    6.4935
    """
    if stop_distance <= 0.0 or stops <= 0.0 or size <= 0.0:
        return float("inf")
    price = max(0.0, entry - side * stops * stop_distance)
    notional = size * price
    needed = maintenance_margin(notional, caps, mmrs, cums) + close_fee * notional
    return size * entry / (stops * stop_distance * size + needed)
