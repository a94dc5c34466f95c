"""An order that waits in the book: when a candle touches it, and in which order candles do."""

from __future__ import annotations

from typing import Any

import backtrader as bt

MARKET, LIMIT, STOP, STOP_LIMIT, CLOSE, HISTORICAL = range(6)

_KIND = {
    bt.Order.Market: MARKET,
    bt.Order.Limit: LIMIT,
    bt.Order.Stop: STOP,
    bt.Order.StopTrail: STOP,
    bt.Order.StopLimit: STOP_LIMIT,
    bt.Order.StopTrailLimit: STOP_LIMIT,
    bt.Order.Close: CLOSE,
    bt.Order.Historical: HISTORICAL,
}
_TRAILING = (bt.Order.StopTrail, bt.Order.StopTrailLimit)


class Resting:
    """A submitted order beside the few facts of it that every candle asks for.

    Backtrader resolves ``order.exectype``, ``order.valid`` and the like through
    ``__getattr__`` on each access; this reads them once. ``made_inside`` is the price at which
    the order came into being inside the current candle (None: it was there at the open);
    ``from_bar`` is the first bar (1 is the first) that may fill it.
    """

    __slots__ = (
        "buy", "closes", "created", "from_bar", "kind", "made_inside", "market", "order",
        "since_bar", "trailing", "tried_bar", "valid",
    )  # fmt: skip

    def __init__(self, order: Any, market: Any, bar: int) -> None:
        self.order = order
        self.market = market
        self.kind = _KIND[order.exectype]
        self.trailing = order.exectype in _TRAILING
        self.buy = bool(order.isbuy())
        self.created = order.created
        self.valid = order.valid or 0.0
        self.closes = bool(order.info.get("reduce_only")) or order.parent is not None
        self.since_bar = bar
        self.from_bar = bar
        self.tried_bar = 0
        self.made_inside: float | None = None

    def passed_at(self, price: float) -> bool:
        """Whether a candle that opens at ``price`` fills (or triggers) it there."""
        kind = self.kind
        if kind == LIMIT or (kind == STOP_LIMIT and self.order.triggered):
            limit = self.created.price if kind == LIMIT else self.created.pricelimit
            return bool(limit >= price if self.buy else limit <= price)
        if kind in (STOP, STOP_LIMIT):
            return bool(price >= self.created.price if self.buy else price <= self.created.price)
        return False

    def touch(self, start: float, high: float, low: float) -> float | None:
        """The price at which a candle from ``start`` first meets it, or None if it does not."""
        kind = self.kind
        if kind == LIMIT or (kind == STOP_LIMIT and self.order.triggered):
            limit: float = self.created.price if kind == LIMIT else self.created.pricelimit
            if self.buy:
                return min(start, limit) if low <= limit else None
            return max(start, limit) if high >= limit else None
        if kind in (STOP, STOP_LIMIT):
            stop: float = self.created.price
            if self.buy:
                return max(start, stop) if high >= stop else None
            return min(start, stop) if low <= stop else None
        return None


def first_event(prices: list[float], start: float, down_first: bool) -> int:
    """Index of the price that a candle from ``start`` meets first.

    It walks in one direction first, then in the other; on each leg what is nearer to the start
    comes first, and of equals the one listed first.
    """
    best, best_key = 0, (2, 0.0)
    for index, price in enumerate(prices):
        on_first_leg = price <= start if down_first else price >= start
        key = (0 if on_first_leg else 1, abs(price - start))
        if key < best_key:
            best, best_key = index, key
    return best


def walks_down_first(intrabar: str, size: float) -> bool:
    """Whether the candle is taken to fall before it rises: ``worst`` is against the position."""
    if intrabar == "worst":
        return size > 0.0
    return intrabar == "olhc"
