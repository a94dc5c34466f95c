"""Interest on borrowed money and coins, as scalar functions that compile with ``numba.njit``."""

from __future__ import annotations

import math

SECONDS_PER_HOUR = 3600.0
KRAKEN_PERIOD_HOURS = 4.0


def borrowed_amount(side: float, size: float, entry: float, leverage: float) -> float:
    """What a margin position borrows: quote currency for a long, base units for a short.

    A long borrows ``size*entry*(L-1)/L``, nothing at 1x; a short borrows all of ``size``, even
    at 1x.

    >>> borrowed_amount(1.0, 30.0, 2.0, 3.0), borrowed_amount(-1.0, 30.0, 2.0, 1.0)
    (40.0, 30.0)
    """
    if side < 0.0:
        return size
    if leverage <= 1.0:
        return 0.0
    return size * entry * (leverage - 1.0) / leverage


def clock_hours(start_s: float, end_s: float) -> int:
    """Clock hours touched between two epoch seconds: one at the start, one at each full hour.

    0 when the end lies before the start. Source: Binance margin interest rules.

    >>> clock_hours(13 * 3600 + 20 * 60, 14 * 3600 + 15 * 60)
    2
    """
    if end_s < start_s:
        return 0
    first = math.floor(start_s / SECONDS_PER_HOUR)
    last = math.floor(end_s / SECONDS_PER_HOUR)
    return int(last - first) + 1


def started_hours(hours: float) -> int:
    """Hours elapsed, a started one counted whole (the reading that ignores the clock).

    >>> started_hours(4.9)
    5
    """
    if hours <= 0.0:
        return 0
    return int(math.ceil(hours))


def binance_interest(principal: float, hourly_rate: float, hours: int) -> float:
    """Interest in the unit of ``principal``: principal * hourly rate (fraction) * hours.

    >>> round(binance_interest(1_000.0, 0.00001, clock_hours(48_000, 51_300)), 9)
    0.02
    """
    return principal * hourly_rate * hours


def round_up_to_step(amount: float, step: float) -> float:
    """``amount`` rounded up to a multiple of ``step`` (a venue's smallest charge); 0 stays 0."""
    if step <= 0.0:
        return amount
    # The billionth keeps 3 steps, written as 3.0000000000000004 of them, from becoming 4.
    return math.ceil(amount / step - 1e-9) * step


def kraken_opening_fee(amount: float, opening_rate: float) -> float:
    """Kraken's margin opening fee, in the unit of ``amount`` (what the position borrows)."""
    return amount * opening_rate


def rollover_periods(hours: float, period_hours: float, round_up: bool) -> int:
    """Rollover periods in ``hours``; ``round_up`` counts the last, unfinished one whole."""
    if hours <= 0.0 or period_hours <= 0.0:
        return 0
    periods = hours / period_hours
    return int(math.ceil(periods)) if round_up else int(math.floor(periods))


def kraken_rollover(amount: float, rollover_rate: float, hours: float, round_up: bool) -> float:
    """Kraken's rollover fees for a position held ``hours``: one every 4 hours on ``amount``.

    ``amount`` is what was extended (long: quote, short: base) and the result has its unit.
    Public sources disagree on the last part-period, hence ``round_up``: True charges a started
    period whole, False only the finished ones.
    """
    return amount * rollover_rate * rollover_periods(hours, KRAKEN_PERIOD_HOURS, round_up)
