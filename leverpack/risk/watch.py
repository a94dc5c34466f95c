"""Watching an open position: how near liquidation is, and what to do about it; scalar functions.

All compile with ``numba.njit`` unchanged. ``side`` is +1.0 long, -1.0 short; prices and money are
in quote currency.
"""

from __future__ import annotations

CALM, WARN, EXIT = range(3)
DISTANCE_SLACK = 1e-9  # of the price: rounding when a distance is compared with what was asked


def margin_action(
    ratio: float, distance_share: float, warn_ratio: float, exit_ratio: float,
    warn_share: float, exit_share: float,
) -> int:  # fmt: skip
    """CALM, WARN or EXIT (0, 1, 2), by whichever of the two readings is worse.

    ``ratio`` is maintenance / margin balance (1.0 is liquidation), ``distance_share`` what is
    left of the distance that the position had to its liquidation price when it was opened. A
    distance to the price alone would fire at the entry from 18x on. A reading that is at a bound
    but for rounding counts as there.

    >>> margin_action(0.5, 0.9, 0.8, 0.9, 0.5, 0.25), margin_action(0.85, 0.9, 0.8, 0.9, 0.5, 0.25)
    (0, 1)
    >>> margin_action(0.3 - 0.2, 0.9, 0.1, 0.9, 0.5, 0.25)  # a hair under 0.1
    1
    """
    ratio, distance_share = ratio * (1.0 + 1e-12), distance_share * (1.0 - 1e-12)
    if ratio >= exit_ratio or distance_share <= exit_share:
        return EXIT
    if ratio >= warn_ratio or distance_share <= warn_share:
        return WARN
    return CALM


def distance_share(side: float, mark: float, liquidation: float, first: float) -> float:
    """What is left of the ``first`` distance to the liquidation price; 0.0 without a first one.

    >>> distance_share(1.0, 95.0, 90.0, 10.0), distance_share(-1.0, 105.0, 110.0, 10.0)
    (0.5, 0.5)
    """
    return side * (mark - liquidation) / first if first > 0.0 else 0.0


def lacking_margin(
    side: float, stop: float, liquidation: float, stop_distance: float, stops: float, size: float
) -> float:
    """Margin (quote) that puts the liquidation price back ``stops`` stop distances from the entry.

    The entry left ``stops - 1`` stop distances behind the stop; 0.0 as long as half of that
    remains. ``size`` in base units.

    >>> [lacking_margin(1.0, 97.0, liquidated, 3.0, 2.0, 10.0) for liquidated in (96.0, 95.0)]
    [20.0, 0.0]
    """
    room = (stops - 1.0) * stop_distance
    left = side * (stop - liquidation)
    if left >= 0.5 * room:
        return 0.0
    return (room - left) * size


def is_far_enough(
    side: float, price: float, liquidation: float, stop_distance: float, stops: float
) -> bool:
    """Whether the liquidation price lies ``stops`` stop distances (quote) from ``price``.

    >>> is_far_enough(1.0, 100.0, 94.0, 3.0, 2.0), is_far_enough(-1.0, 100.0, 105.0, 3.0, 2.0)
    (True, False)
    """
    wanted = price - side * stops * stop_distance
    return side * (wanted - liquidation) >= -DISTANCE_SLACK * price
