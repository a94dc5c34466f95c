"""What a candle meets on its way, and in which order: scalar functions shared by every engine.

Source: SEMANTICS of leverage, section 2: time runs forward, and the unknown inside a candle is
resolved against the trader. Prices are in quote currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_AT_THE_PRICE = 1e-9  # far below a tick, far above rounding
_BISECTIONS = 60  # halves the way from open to extreme far below one tick


def limit_touch(
    is_buy: bool, limit: float, start: float, high: float, low: float
) -> float | None:
    """The price at which a candle from ``start`` fills a limit order; None if it does not.

    >>> limit_touch(True, 99.0, 100.0, 101.0, 98.0), limit_touch(True, 99.0, 97.0, 101.0, 96.0)
    (99.0, 97.0)
    """
    if is_buy:
        return min(start, limit) if low <= limit else None
    return max(start, limit) if high >= limit else None


def stop_touch(is_buy: bool, stop: float, start: float, high: float, low: float) -> float | None:
    """The price at which a candle from ``start`` triggers a stop; None if it does not.

    >>> stop_touch(False, 99.0, 100.0, 101.0, 98.0), stop_touch(False, 99.0, 97.0, 101.0, 96.0)
    (99.0, 97.0)
    """
    if is_buy:
        return max(start, stop) if high >= stop else None
    return min(start, stop) if low <= stop else None


def first_event(
    orders: list[float], forced: list[float], start: float, down_first: bool
) -> int:
    """Index, in ``orders`` followed by ``forced``, of what a candle from ``start`` meets first.

    It walks in one direction first, then in the other; on each leg what is nearer to the start
    comes first, and of equals the one listed first. ``forced`` are liquidation prices.

    >>> first_event([95.0, 90.0], [90.0], 100.0, True), first_event([90.0], [90.0], 100.0, True)
    (0, 1)
    """
    best, best_key = 0, (2, 0.0)
    for index, price in enumerate(orders):
        key = event_key(price, start, down_first)
        if key < best_key:
            best, best_key = index, key
    for index, price in enumerate(forced, len(orders)):
        key = forced_key(price, start, down_first)
        if key < best_key:
            best, best_key = index, key
    return best


def event_key(price: float, start: float, down_first: bool) -> tuple[int, float]:
    """How soon a candle from ``start`` meets ``price``: the leg (0 or 1) and the way on it.

    >>> event_key(99.0, 100.0, True), event_key(102.0, 100.0, True)
    ((0, 1.0), (1, 2.0))
    """
    on_first_leg = price <= start if down_first else price >= start
    return 0 if on_first_leg else 1, abs(price - start)


def forced_key(price: float, start: float, down_first: bool) -> tuple[int, float]:
    """:func:`event_key` of a liquidation price, by a billionth of it sooner.

    Whether an order at that very price would still fill nobody knows, so it is taken not to.
    """
    leg, way = event_key(price, start, down_first)
    return leg, way - _AT_THE_PRICE * price


def walks_down_first(intrabar: str, size: float) -> bool:
    """Whether the candle is taken to fall before it rises: ``worst`` is against the position."""
    if intrabar == "worst":
        return size > 0.0
    return intrabar == "olhc"


def first_breach(
    cross_balance: Callable[[Mapping[Any, float]], tuple[float, float]],
    start: Mapping[Any, float],
    end: Mapping[Any, float],
) -> dict[Any, float] | None:
    """Marks on the straight way from ``start`` to ``end`` where the cross account fails.

    ``cross_balance`` gives maintenance margin and margin balance (quote) at given marks; None
    where the account still stands at ``end``.
    """

    def at(share: float) -> dict[Any, float]:
        return {k: start[k] + share * (end[k] - start[k]) for k in start}

    def fails(share: float) -> bool:
        maintenance, balance = cross_balance(at(share))
        return balance <= maintenance

    if not fails(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if fails(middle) else (middle, high)
    return at(high)
