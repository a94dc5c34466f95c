"""Backtrader's orders in the words of ccxt, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backtrader import Order

from leverpack.errors import VenueRefused
from leverpack.live.store import CCXTStore

# A binary fraction may lie a hair under the step that it stands for.
HAIR = 1.0 + 1e-9
TRIGGERS = ("stopLossPrice", "triggerPrice", "stopPrice")  # what ccxt calls a trigger


class NoSuchOrder(VenueRefused):
    """An order that this broker does not send; the message says why."""


@dataclass(slots=True)
class OrderRequest:
    """One order as ccxt's ``create_order`` takes it; ``amount`` in base units on the step."""

    symbol: str
    kind: str  # "market" or "limit"
    side: str  # "buy" or "sell"
    amount: float
    price: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    conditional: bool = False
    reduce_only: bool = False

    def arguments(self, client_id: str) -> tuple[Any, ...]:
        """What ``create_order`` is called with."""
        params = {"clientOrderId": client_id, **self.params}
        if self.followed:
            del params["trailingPercent"]
        if self.reduce_only:
            params["reduceOnly"] = True
        return self.symbol, self.kind, self.side, self.amount, self.price, params

    @property
    def followed(self) -> bool:
        """Whether it is a trailing stop that to the venue is a plain one, moved from here."""
        return "trailingPercent" in self.params and trigger_in(self.params) is not None

    def at_market(self) -> OrderRequest:
        """The same size at once, for a stop whose trigger the market has already passed."""
        return OrderRequest(
            self.symbol, "market", self.side, self.amount, reduce_only=self.reduce_only
        )


def request_for(order: Any, symbol: str, store: CCXTStore) -> OrderRequest:
    """The request for one of Backtrader's orders; NoSuchOrder with the reason if there is none."""
    _check_kind(order)
    amount = store.amount(symbol, abs(order.created.size) * HAIR)
    if not amount:
        step = store.market(symbol)["precision"]["amount"]
        raise NoSuchOrder(f"size {abs(order.created.size):g} is below the step {step:g}")
    reduce_only = bool(order.info.get("reduce_only"))
    request = OrderRequest(
        symbol, "market", "buy" if order.isbuy() else "sell", amount, reduce_only=reduce_only
    )
    created = order.created

    def trigger() -> dict[str, Any]:
        at = store.price(symbol, created.price)
        return store.rules.stop_params(at, request.side, reduce_only=reduce_only)

    if order.exectype == Order.Limit:
        request.kind, request.price = "limit", store.price(symbol, created.price)
    elif order.exectype == Order.Stop:
        request.params |= trigger()
    elif order.exectype == Order.StopLimit:
        request.kind, request.price = "limit", store.price(symbol, created.pricelimit)
        request.params |= trigger()
    elif order.exectype == Order.StopTrail:
        request.params["trailingPercent"] = round(float(created.trailpercent) * 100.0, 6)
        if not store.rules.trails:
            if not reduce_only:
                raise NoSuchOrder(f"{store.exchange} takes no trailing stop that opens a position")
            request.params |= trigger()
    request.conditional = order.exectype in (Order.Stop, Order.StopLimit, Order.StopTrail)
    return request


def _check_kind(order: Any) -> None:
    kinds = (Order.Market, Order.Limit, Order.Stop, Order.StopLimit, Order.StopTrail)
    if order.exectype not in kinds:
        raise NoSuchOrder(f"{order.getordername()} orders have no counterpart at an exchange")
    if order.exectype == Order.StopTrail and not order.created.trailpercent:
        raise NoSuchOrder("a trailing stop needs trailpercent; the venue does not trail by amounts")


def trigger_in(params: Mapping[str, Any]) -> float | None:
    """The price that triggers a conditional order, from what was asked for; None without one."""
    for name in TRIGGERS:
        if params.get(name):
            return float(params[name])
    return None
