"""The orders that the exchange knows: open ones by contract, all of them by id and client id."""

from __future__ import annotations

from typing import Generic, TypeVar

from leverpack.paper.orders import Algo, Order

KEPT = 50_000  # closed orders that can still be asked for

Kept = TypeVar("Kept", Order, Algo)


class Store(Generic[Kept]):
    """Orders of one kind; ids rise and are never given twice.

    A client id names the newest order that carried it, as at the venue.
    """

    def __init__(self, first_id: int) -> None:
        self.next_id = first_id
        self.all: dict[int, Kept] = {}
        self.open: dict[str, dict[int, Kept]] = {}
        self._by_client: dict[tuple[str, str], int] = {}

    def new_id(self) -> int:
        """The next id."""
        self.next_id += 1
        return self.next_id - 1

    def add(self, order: Kept) -> None:
        """Take in a new order."""
        self.all[order.id] = order
        self._by_client[order.symbol, order.client_id] = order.id
        if order.live:
            self.open.setdefault(order.symbol, {})[order.id] = order
        elif len(self.all) > KEPT:
            self._forget_oldest()

    def close(self, order: Kept) -> None:
        """The order is no longer open."""
        self.open.get(order.symbol, {}).pop(order.id, None)
        if len(self.all) > KEPT:
            self._forget_oldest()

    def clear(self) -> None:
        """Forget everything."""
        for known in (self.all, self.open, self._by_client):
            known.clear()

    def _forget_oldest(self) -> None:
        oldest = next((o for o in self.all.values() if not o.live), None)
        if oldest is not None:
            del self.all[oldest.id]
            place = (oldest.symbol, oldest.client_id)
            if self._by_client.get(place) == oldest.id:
                del self._by_client[place]

    def of(self, symbol: str) -> list[Kept]:
        """The open orders of a contract, oldest first."""
        return list(self.open.get(symbol, {}).values())

    def all_open(self) -> list[Kept]:
        """All open orders, by contract, oldest first."""
        return [o for orders in self.open.values() for o in orders.values()]

    def count(self, symbol: str) -> int:
        """How many orders of a contract are open."""
        return len(self.open.get(symbol, ()))

    def find(self, symbol: str, order_id: int | None, client_id: str | None) -> Kept | None:
        """An order by id or, without one, by client id."""
        if order_id is None:
            order_id = self._by_client.get((symbol, client_id or ""))
        order = self.all.get(order_id) if order_id is not None else None
        return order if order is not None and order.symbol == symbol else None

    def find_any(self, order_id: int | None, client_id: str | None) -> Kept | None:
        """As :meth:`find`, whatever the contract."""
        if order_id is not None:
            return self.all.get(order_id)
        for symbol in self.open:
            found = self.find(symbol, None, client_id)
            if found is not None:
                return found
        return None

    def live_client_id(self, symbol: str, client_id: str) -> bool:
        """Whether an open order has this client id."""
        found = self.find(symbol, None, client_id)
        return found is not None and found.live
