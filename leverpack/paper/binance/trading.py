"""The order endpoints: new, test, batch, amend, cancel, countdown, queries, fills."""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import Shape
from leverpack.paper.binance.venue import Venue
from leverpack.paper.orders import CONDITIONAL_KINDS, Order
from leverpack.paper.refusal import Refusal

TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
MAX_BATCH = 5
MAX_CANCELS = 10
_GTD_AHEAD_MS = 600_000
_LAST_DATE = 253_402_300_799_000
_LONGEST_MS = 7 * 86_400_000


def new_order(venue: Venue, params: Params) -> Shape:
    """POST order; the answer is ACK unless newOrderRespType asks for RESULT."""
    answer = params.one_of("newOrderRespType", ("ACK", "RESULT"), -1130, "ACK")
    order = venue.exchange.desk.place(read_order(venue, params))
    return venue.shapes.order(order, ack=answer == "ACK")


def test_order(venue: Venue, params: Params) -> Shape:
    """POST order/test: all checks and nothing else."""
    order = read_order(venue, params)
    venue.exchange.desk.check(order)
    return venue.shapes.order(order, ack=True)


def read_order(venue: Venue, params: Params) -> Order:
    """The order that a request describes, with a fresh id."""
    instrument = venue.instrument(params)
    sign = 1 if params.one_of("side", ("BUY", "SELL"), -1117) == "BUY" else -1
    kind = params.one_of("type", ("LIMIT", "MARKET", *CONDITIONAL_KINDS), -1116)
    if kind in CONDITIONAL_KINDS:
        raise Refusal(-4120)
    if params.flag("closePosition"):
        raise Refusal(-4136, kind=kind)
    limit = kind == "LIMIT"
    tif, good_till = read_time_in_force(venue, params, required=limit)
    price = params.price("price", instrument) if limit else 0.0
    if not limit and "price" in params:
        raise Refusal(-1106, name="price")
    units = params.quantity("quantity", instrument, market=not limit)
    order_id = venue.exchange.desk.orders.new_id()
    return Order(
        order_id, params.client_id("newClientOrderId", f"paper{order_id}"), instrument.symbol,
        sign, kind, units, price, tif, venue.side(params), params.flag("reduceOnly"),
        good_till=good_till,
    )  # fmt: skip


def read_time_in_force(venue: Venue, params: Params, *, required: bool) -> tuple[str, int]:
    """Time in force and, with GTD, until when (epoch ms)."""
    if not required:
        return "GTC", 0
    tif = params.one_of("timeInForce", TIMES_IN_FORCE, -1115)
    if tif != "GTD":
        return tif, 0
    date = params.whole("goodTillDate")
    if not venue.exchange.now + _GTD_AHEAD_MS < date < _LAST_DATE:
        raise Refusal(-5040)
    return tif, date


def amend_order(venue: Venue, params: Params) -> Shape:
    """PUT order: another quantity and price for a resting limit order."""
    order = find(venue, params)
    instrument = venue.instrument(params)
    units = params.quantity("quantity", instrument)
    return venue.shapes.order(
        venue.exchange.desk.amend(order, units, params.price("price", instrument))
    )


def cancel_order(venue: Venue, params: Params) -> Shape:
    """DELETE order."""
    order = find(venue, params, unknown=-2011)
    return venue.shapes.order(venue.exchange.desk.cancel(order))


def cancel_all(venue: Venue, params: Params) -> Shape:
    """DELETE allOpenOrders."""
    venue.exchange.desk.cancel_all(venue.instrument(params).symbol)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def find(venue: Venue, params: Params, unknown: int = -2013) -> Order:
    """The order that ``orderId`` or ``origClientOrderId`` names."""
    symbol = venue.instrument(params).symbol
    order_id = params.maybe_whole("orderId")
    client_id = params.values.get("origClientOrderId")
    if order_id is None and not client_id:
        raise Refusal(-1102, f"Param '{'origClientOrderId'}' or 'orderId' must be sent, but both "
                      "were empty/null!")  # fmt: skip
    order = venue.exchange.desk.orders.find(symbol, order_id, client_id)
    if order is None:
        raise Refusal(unknown)
    return order


# -- batches -------------------------------------------------------------------------------------


def batch_new(venue: Venue, params: Params) -> list[Shape]:
    """POST batchOrders: each one taken or refused by itself."""
    return [_one(venue, new_order, row) for row in _listed(params, "batchOrders", MAX_BATCH)]


def batch_amend(venue: Venue, params: Params) -> list[Shape]:
    """PUT batchOrders."""
    return [_one(venue, amend_order, row) for row in _listed(params, "batchOrders", MAX_BATCH)]


def batch_cancel(venue: Venue, params: Params) -> list[Shape]:
    """DELETE batchOrders."""
    symbol = params.text("symbol")
    name = "orderIdList" if "orderIdList" in params else "orderidlist"
    rows: list[dict[str, Any]] = []
    if name in params:
        rows = [{"symbol": symbol, "orderId": x} for x in _listed(params, name, MAX_CANCELS)]
    else:
        name = "origClientOrderIdList" if "origClientOrderIdList" in params else \
            "origclientorderidlist"  # fmt: skip
        ids = _listed(params, name, MAX_CANCELS)
        rows = [{"symbol": symbol, "origClientOrderId": x} for x in ids]
    return [_one(venue, cancel_order, row) for row in rows]


def _one(venue: Venue, endpoint: Any, row: Any) -> Shape:
    try:
        if not isinstance(row, dict):
            raise Refusal(-1130, name="batchOrders")
        values = {str(k): _word(v) for k, v in row.items() if v is not None}
        shape: Shape = endpoint(venue, Params(values))
    except Refusal as refusal:
        return refusal.shape()
    return shape


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(params: Params, name: str, most: int) -> list[Any]:
    try:
        rows = json.loads(params.text(name))
    except (ValueError, RecursionError):
        raise Refusal(-1130, name=name) from None
    if not isinstance(rows, list) or not 1 <= len(rows) <= most:
        raise Refusal(-1130, name=name)
    return rows


# -- the dead man's switch -----------------------------------------------------------------------


def countdown(venue: Venue, params: Params) -> Shape:
    """POST countdownCancelAll: cancel all orders of a contract unless asked again in time."""
    symbol = venue.instrument(params).symbol
    length = params.whole("countdownTime", least=0, most=_LONGEST_MS)
    if length:
        venue.countdowns[symbol] = venue.countdown_ms() + length
    else:
        venue.countdowns.pop(symbol, None)
    return {"symbol": symbol, "countdownTime": str(length)}


# -- queries -------------------------------------------------------------------------------------


def query_order(venue: Venue, params: Params) -> Shape:
    """GET order."""
    return venue.shapes.order(find(venue, params))


def open_order(venue: Venue, params: Params) -> Shape:
    """GET openOrder: an open one, else -2013."""
    order = find(venue, params)
    if not order.live:
        raise Refusal(-2013)
    return venue.shapes.order(order)


def open_orders(venue: Venue, params: Params) -> list[Shape]:
    """GET openOrders."""
    orders = venue.exchange.desk.orders
    return [venue.shapes.order(o) for s in venue.symbols(params) for o in orders.of(s)]


def asked_for(
    venue: Venue, params: Params, first: str, moment: str, rows: Iterable[Any]
) -> list[Any]:
    """Rows of a symbol, oldest first: from the id in ``first`` or startTime on, else the newest.

    ``moment`` is the rows' attribute that startTime and endTime are held against.
    """
    symbol, when = venue.instrument(params).symbol, attrgetter(moment)
    start, end = params.maybe_whole("startTime"), params.maybe_whole("endTime")
    from_id = params.maybe_whole(first)
    limit = params.whole("limit", 500, least=1, most=1000)
    found = [
        row for row in rows
        if row.symbol == symbol
        and (from_id is None or row.id >= from_id)
        and (start is None or when(row) >= start)
        and (end is None or when(row) <= end)
    ]  # fmt: skip
    return found[-limit:] if from_id is None and start is None else found[:limit]


def all_orders(venue: Venue, params: Params) -> list[Shape]:
    """GET allOrders: from an id on, or the newest in a stretch of time, oldest first."""
    orders = venue.exchange.desk.orders.all.values()
    found = asked_for(venue, params, "orderId", "created", orders)
    return [venue.shapes.order(o) for o in found]


def user_trades(venue: Venue, params: Params) -> list[Shape]:
    """GET userTrades: fills, oldest first."""
    order_id = params.maybe_whole("orderId")
    trades = venue.exchange.books.trades
    of_order = [t for t in trades if order_id is None or t.order_id == order_id]
    found = asked_for(venue, params, "fromId", "time", of_order)
    return [venue.shapes.trade(t) for t in found]


def force_orders(venue: Venue, params: Params) -> list[Shape]:
    """GET forceOrders: the account's liquidations."""
    symbols = venue.symbols(params)
    limit = params.whole("limit", 50, least=1, most=100)
    found = [f for f in venue.exchange.forced if f.order.symbol in symbols]
    return [venue.shapes.forced(f) for f in found[-limit:]]
