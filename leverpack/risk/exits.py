"""The steps of an exit: targets, their sizes, trailing stop, break-even, time stop.

Scalar functions without objects; all compile with ``numba.njit`` unchanged. ``side`` is +1.0
long, -1.0 short; prices are in quote currency, sizes in base units.
"""

from __future__ import annotations

from leverpack.risk.sizing import round_down


def stop_price(side: float, entry: float, distance: float) -> float:
    """The stop ``distance`` (quote) on the losing side of the executed price.

    The distance is the one that the size was made of, so that the loss at the stop is the risk
    that was asked for wherever the fill came; not below zero.

    >>> stop_price(1.0, 50_400.0, 1_500.0), stop_price(-1.0, 50_400.0, 1_500.0)
    (48900.0, 51900.0)
    """
    return max(0.0, entry - side * distance)


def target_price(side: float, entry: float, distance: float) -> float:
    """The target ``distance`` (quote) on the winning side of the executed price; 0.0: no such.

    >>> target_price(1.0, 50_000.0, 3_000.0), target_price(-1.0, 50_000.0, 3_000.0)
    (53000.0, 47000.0)
    """
    return max(0.0, entry + side * distance)


def rung_size(total: float, share_before: float, share: float, step: float) -> float:
    """Base units that one rung of a ladder closes: shares are cumulated, then cut to the step.

    Rungs never sum to more than ``total``, and what rounding takes from one the next one gets;
    the rung that reaches a share of 1 closes the exact rest.

    >>> [rung_size(0.010, before, share, 0.001) for before, share in
    ...  ((0.0, 0.33), (0.33, 0.33), (0.66, 0.34))]
    [0.003, 0.003, 0.004]
    """
    before = round_down(total * share_before, step)
    if share_before + share >= 1.0 - 1e-9:
        return max(0.0, total - before)
    return max(0.0, round_down(total * (share_before + share), step) - before)


def trailing_stop(side: float, best: float, distance: float, before: float) -> float:
    """The stop ``distance`` (fraction) behind the ``best`` price so far; it never goes back.

    ``before`` 0.0: there was none.

    >>> trailing_stop(1.0, 110.0, 0.10, 95.0), trailing_stop(1.0, 100.0, 0.10, 95.0)
    (99.0, 95.0)
    """
    stop = best * (1.0 - side * distance)
    if before <= 0.0:
        return stop
    return max(stop, before) if side > 0.0 else min(stop, before)


def trail_start(side: float, stop: float, distance: float) -> float:
    """The price that a stop at ``stop`` trails ``distance`` (fraction) behind."""
    return stop / (1.0 - side * distance)


def break_even_stop(
    side: float, stop: float, entry: float, fee_open: float, fee_close: float
) -> float:
    """``stop`` moved to where the position leaves without a loss; never back.

    >>> break_even_stop(1.0, 97.0, 100.0, 0.0, 0.0), break_even_stop(1.0, 101.0, 100.0, 0.0, 0.0)
    (100.0, 101.0)
    """
    even = break_even_price(side, entry, fee_open, fee_close)
    return max(stop, even) if side > 0.0 else min(stop, even)


def break_even_price(side: float, entry: float, fee_open: float, fee_close: float) -> float:
    """The exit price that pays both fees (fractions of notional) and leaves nothing.

    ``EP*(1 + s*f_open)/(1 - s*f_close)``.

    >>> round(break_even_price(1.0, 100.0, 0.0005, 0.0005), 4)
    100.1001
    """
    return entry * (1.0 + side * fee_open) / (1.0 - side * fee_close)


def time_is_up(bars_held: int, max_bars: int) -> bool:
    """Whether a position has been held as many candles as it may; ``max_bars`` 0: no end.

    >>> time_is_up(24, 24), time_is_up(23, 24), time_is_up(1_000, 0)
    (True, False, False)
    """
    return max_bars > 0 and bars_held >= max_bars
