"""Orders and open trades of an earlier run, made anew from the journal for its strategies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backtrader import Order
from backtrader.order import BuyOrder, SellOrder

from leverpack.live.journal import CANCELED, CLOSED, REFUSED
from leverpack.live.market import LiveMarket
from leverpack.live.requests import trigger_in
from leverpack.margin.position import position_after_fill, realised_pnl

_ENDS = {CLOSED: Order.Completed, CANCELED: Order.Canceled, REFUSED: Order.Rejected}
_SAME = 1e-9


def plain_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """What of an order's info can be written down, and is to outlive the run."""
    return {k: v for k, v in info.items() if isinstance(v, (str, int, float, bool))}


def open_fills(broker: Any, symbol: str) -> list[dict[str, Any]]:
    """The fills in the journal since the position of ``symbol`` was flat for the last time."""
    found: list[dict[str, Any]] = []
    held = 0.0
    for fill in broker.journal.fills(symbol):
        found.append(fill)
        held += _signed(fill)
        if abs(held) <= _SAME * fill["size"]:
            held = 0.0
            found.clear()
    return found


def earlier_orders(broker: Any, market: LiveMarket) -> dict[str, Any]:
    """The orders of Backtrader's, by client id, that belong to the open position or may fill yet.

    They are told to nobody; what they have filled is in ``order.executed``.
    """
    fills = open_fills(broker, market.key)
    first = next((f["client_id"] for f in fills if f["client_id"]), None)
    filled: dict[str, list[dict[str, Any]]] = {}
    for fill in broker.journal.fills(market.key):
        filled.setdefault(fill["client_id"], []).append(fill)
    begun, found = False, {}
    for row in broker.journal.intents():
        ident = row["client_id"]
        begun = begun or ident == first
        if row["symbol"] == market.key and (begun or row["state"] not in _ENDS):
            found[ident] = remade(broker, market, row, filled.get(ident, []))
    return found


def remade(
    broker: Any, market: LiveMarket, row: dict[str, Any], fills: list[dict[str, Any]]
) -> Any:
    """The order of Backtrader's that one row of the journal's intents stands for."""
    asked = dict(json.loads(row["request"]))
    info = dict(asked.get("info") or {})
    trigger = trigger_in(asked)
    trail = asked.get("trailingPercent")
    limit = asked["price"] if asked["type"] == "limit" else None
    if trail is not None:
        how = {"exectype": Order.StopTrail, "trailpercent": float(trail) / 100.0}
    elif trigger is not None:
        how = {"exectype": Order.Stop if limit is None else Order.StopLimit}
    else:
        how = {"exectype": Order.Market if limit is None else Order.Limit}
    make = BuyOrder if row["side"] == "buy" else SellOrder
    order = make(
        owner=owner_of(broker, market), data=_feed_of(broker, market, info), size=row["amount"],
        price=float((trail and info.get("behind")) or trigger or limit or 0.0),
        pricelimit=limit if trigger is not None else None,
        simulated=True,  # no feed needs to have a candle yet
        **how,
    )  # fmt: skip
    order.params.simulated = False
    order.valid = info.get("valid")
    order.addinfo(**{**info, "reduce_only": bool(row["reduce_only"]), "tag": row["tag"] or ""})
    order.submit(broker)
    order.addcomminfo(broker.getcommissioninfo(order.data))
    order.accept(broker)
    for fill in fills:
        size = _signed(fill)
        order.execute(0.0, size, fill["price"], 0.0, 0.0, 0.0, size, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        order.partial()
    order.clone()  # so that these fills count as told
    if row["state"] in _ENDS:
        order.status = _ENDS[row["state"]]
    return order


def owner_of(broker: Any, market: LiveMarket) -> Any:
    """The strategy that trades on a feed, or the first one."""
    return market.owner or next(iter(broker.cerebro.runningstrats), None)


def retell(broker: Any, market: LiveMarket, fills: list[dict[str, Any]]) -> None:
    """Let Backtrader's record of trades, and the broker's position, begin with these fills.

    Without it the exit of a position that an earlier run has opened would look like an entry.
    """
    owner = owner_of(broker, market)
    info = broker.getcommissioninfo(market.data)
    position = market.position
    for fill in fills:
        size, price = _signed(fill), float(fill["price"])
        entry = position.price
        held, new_entry, closed, opened = position_after_fill(position.size, entry, size, price)
        position.size, position.price = held, new_entry
        if owner is None:
            continue
        share = abs(closed) / abs(size)
        make = BuyOrder if size > 0.0 else SellOrder
        order = make(owner=owner, data=market.data, size=abs(size), price=price, simulated=True)
        order.addcomminfo(info)
        order.execute(
            0.0, size, price, closed, -closed * entry, fill["fee"] * share, opened,
            opened * price, fill["fee"] * (1.0 - share), info.margin,
            realised_pnl(closed, entry, price), held, new_entry,
        )  # fmt: skip
        owner._addnotification(order.clone())


def _feed_of(broker: Any, market: LiveMarket, info: Mapping[str, Any]) -> Any:
    """The feed that the order was given for: the market's own, or one resampled from it."""
    at, feeds = info.get("feed"), broker.cerebro.datas
    if isinstance(at, int) and 0 <= at < len(feeds) and broker.market(feeds[at]) is market:
        return feeds[at]
    return market.data


def _signed(fill: Mapping[str, Any]) -> float:
    return float(fill["size"] if fill["side"] == "buy" else -fill["size"])
