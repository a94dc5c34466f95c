"""An order that waits in the book, and when a candle touches it."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.margin.inside import limit_touch, stop_touch

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

    def start_at(self, opening: float) -> float:
        """Where a candle that opens at ``opening`` begins for it: where it was made, if in it."""
        if self.made_inside is None or self.market.bar > self.since_bar:
            return opening
        return self.made_inside

    def touch(self, start: float, high: float, low: float) -> float | None:
        """The price at which a candle from ``start`` first meets it, or None if it does not."""
        kind = self.kind
        if kind == LIMIT or (kind == STOP_LIMIT and self.order.triggered):
            limit: float = self.created.price if kind == LIMIT else self.created.pricelimit
            return limit_touch(self.buy, limit, start, high, low)
        if kind in (STOP, STOP_LIMIT):
            return stop_touch(self.buy, self.created.price, start, high, low)
        return None
