"""Before the first candle: what the journal says against what the exchange has."""

from __future__ import annotations

import json
from typing import Any

from leverpack.errors import VenueRefused
from leverpack.live.bus import UNKNOWN_AT_VENUE, UNPROTECTED
from leverpack.live.journal import ALIVE, OPEN, UNKNOWN
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import OrderRequest
from leverpack.live.sending import MOST_SENDS

_SAME = 1e-9


def reconcile(broker: Any, on_unknown: str) -> None:
    """Take over what earlier runs of this journal have left, and deal with what is not theirs.

    Intents without a known end are asked for by client id; fills since the last one noted are
    booked; the position must then be what the fills add up to. Orders and positions that the
    journal does not know are refused ("stop"), left alone and named ("adopt"), or cancelled and
    closed ("close"). The same path after a crash and at a first start.
    """
    for row in broker.journal.intents(*ALIVE):
        _take_over(broker, row)
    broker.settle_fates()
    for market in broker.markets.values():
        _take_fills(broker, market)
    broker.sync()
    for market in broker.markets.values():
        _settle_position(broker, market, on_unknown)
        _settle_orders(broker, market, on_unknown)
        _name_unprotected(broker, market)
        market.differs_since = 0.0
    broker._recheck = False  # the first candle looks again


def _take_over(broker: Any, row: dict[str, Any]) -> None:
    if row["symbol"] not in {m.key for m in broker.markets.values()}:
        return
    asked = dict(json.loads(row["request"]))
    request = OrderRequest(
        row["symbol"], asked.pop("type"), row["side"], row["amount"], asked.pop("price", None),
        asked, conditional=bool(row["conditional"]), reduce_only=bool(row["reduce_only"]),
    )  # fmt: skip
    work = Working(
        row["client_id"], request, venue_id=row["venue_id"] or "", child_id=row["child_id"] or "",
        fate_known=row["state"] == OPEN,
    )  # fmt: skip
    filled = [f["size"] for f in broker.journal.fills(row["symbol"])
              if f["client_id"] == work.client_id]  # fmt: skip
    work.filled = sum(filled)
    if not work.fate_known:
        # Sent by a run that has ended: the venue has long dropped what did not arrive.
        work.sent = 0.0
        work.sends = MOST_SENDS
        broker.journal.settle(work.client_id, UNKNOWN)
    broker.working[work.client_id] = work


def _take_fills(broker: Any, market: LiveMarket) -> None:
    """Start at the last fill that is noted; without one, at the newest of the account."""
    noted = [int(f["trade_id"]) for f in broker.journal.fills(market.key)]
    if noted:
        market.last_trade = max(noted)
        market.position.size = broker.journal.held(market.key)
        return
    newest = broker.store.read("fetch_my_trades", market.key, None, 1)
    own = {w.venue_id for w in broker.working.values()} | {
        w.child_id for w in broker.working.values()
    }
    if newest and str(newest[-1]["order"]) not in own:
        market.last_trade = int(newest[-1]["id"])


def _settle_position(broker: Any, market: LiveMarket, on_unknown: str) -> None:
    held, there = market.position.size, market.state.size
    if abs(held - there) <= _SAME * max(1.0, abs(there)):
        market.position.size, market.position.price = there, market.state.entry
        return
    what = f"{market.key}: the venue holds {there:g} where the journal knows of {held:g}"
    broker.alert(what, UNKNOWN_AT_VENUE)
    if on_unknown == "stop":
        raise VenueRefused(f"{what}; look at it, then start with on_unknown adopt or close")
    market.position.size, market.position.price = there, market.state.entry
    # So that the fills add up to the position from here on.
    side = "buy" if there > held else "sell"
    broker.journal.add_fill(
        market.key, f"-{broker.journal.run}", None, side, abs(there - held),
        market.state.entry or 0.0, 0.0, 0,
    )  # fmt: skip
    if on_unknown == "close" and there:
        side = "sell" if there > 0.0 else "buy"
        work = Working(
            broker.journal.new_client_id(0),
            OrderRequest(market.key, "market", side, abs(there), reduce_only=True),
        )
        broker._intend(work)
        broker.working[work.client_id] = work
        broker._send(work)
        broker.sync()


def _settle_orders(broker: Any, market: LiveMarket, on_unknown: str) -> None:
    for params in ({}, {"trigger": True}):
        for order in broker.store.read("fetch_open_orders", market.key, None, None, params):
            if order.get("clientOrderId") in broker.working:
                continue
            what = (
                f"{market.key}: an order of somebody else rests at the venue: {order['side']} "
                f"{order['amount']:g} ({order.get('clientOrderId')})"
            )
            broker.alert(what, UNKNOWN_AT_VENUE)
            if on_unknown == "stop":
                raise VenueRefused(f"{what}; look at it, then start with on_unknown adopt or close")
            if on_unknown == "close":
                broker.store.write("cancel_order", order["id"], market.key, params)


def _name_unprotected(broker: Any, market: LiveMarket) -> None:
    protected = sum(
        w.request.amount - w.filled for w in broker.working.values()
        if w.request.symbol == market.key and w.request.reduce_only and w.request.conditional
    )  # fmt: skip
    if market.position.size and protected < abs(market.position.size) * (1.0 - _SAME):
        broker.alert(
            f"{market.key}: {market.position.size:g} is held and stops rest for {protected:g} only",
            UNPROTECTED,
        )
