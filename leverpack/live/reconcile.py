"""Before the first candle: what the journal says against what the exchange has."""

from __future__ import annotations

import json
from typing import Any

from leverpack.errors import VenueRefused
from leverpack.live.bus import UNKNOWN_AT_VENUE
from leverpack.live.journal import ALIVE, OPEN, UNKNOWN
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import OrderRequest
from leverpack.live.resuming import earlier_orders, open_fills, retell
from leverpack.live.sending import MOST_SENDS

_SAME = 1e-9


def reconcile(broker: Any, on_unknown: str) -> None:
    """Take over what earlier runs of this journal have left, and deal with what is not theirs.

    Intents without a known end are asked for by client id; fills since the last one noted are
    booked; the position must then be what the fills add up to. Orders and positions that the
    journal does not know are refused ("stop"), left alone and named ("adopt"), or cancelled and
    closed ("close"). The same path after a crash and at a first start.

    Strategies get their orders of earlier runs back before anything is booked:
    ``notify_taken_over(orders, store)``, where ``store`` keeps a strategy's own record over
    restarts; ``notify_reconciled()`` follows when all is settled.
    """
    for market in broker.markets.values():
        _take_position(broker, market)
    _take_orders(broker)
    broker.settle_fates()
    for market in broker.markets.values():
        _take_fills(broker, market)
    broker.sync()
    for market in broker.markets.values():
        _settle_position(broker, market, on_unknown)
        _settle_orders(broker, market, on_unknown)
    for strategy in broker.cerebro.runningstrats:
        getattr(strategy, "notify_reconciled", bool)()
    if broker._dirty:  # an exit went out at market
        broker.sync()
    for market in broker.markets.values():
        if broker.is_bare(market):
            market.bare_named = True
            broker.protect_bare(market)
        market.differs_since = 0.0
    broker._recheck = False  # the first candle looks again


def _take_position(broker: Any, market: LiveMarket) -> None:
    """What the fills noted so far add up to, and the leverage that was decided for it."""
    retell(broker, market, open_fills(broker, market.key))
    market.position.size = broker.journal.held(market.key)
    if market.position.size:
        decided = broker.journal.state("decided").load() or {}
        market.decided = float(decided.get(market.key, market.decided))


def _take_fills(broker: Any, market: LiveMarket) -> None:
    """Start behind the fills that are noted; without one, behind those of the account."""
    store, noted = broker.store, broker.journal.fills(market.key)
    if market.fills.begin(noted, store.venue_ms()):
        return
    there = store.reads(*market.fills.calls(store.clock_ms()))
    own = {w.venue_id for w in broker.working.values()} | {
        w.child_id for w in broker.working.values()
    }
    market.fills.pass_over([trade for page in there for trade in page], own)


def _take_orders(broker: Any) -> None:
    """Know the orders of earlier runs again, and hand them to the strategies."""
    orders: dict[str, Any] = {}
    for market in broker.markets.values():
        orders.update(earlier_orders(broker, market))
    broker.relink(orders)
    trails = broker.journal.state("trails").load() or {}
    for row in broker.journal.intents(*ALIVE):
        if row["client_id"] in orders:
            work = _take_over(broker, row, orders[row["client_id"]])
            work.best = float(trails.get(work.client_id, 0.0))
    for number, strategy in enumerate(broker.cerebro.runningstrats):
        tell = getattr(strategy, "notify_taken_over", None)
        if tell is not None:
            mine = [o for o in orders.values() if o.owner is strategy]
            tell(mine, broker.journal.state(f"strategy {number}"))


def _take_over(broker: Any, row: dict[str, Any], order: Any) -> Working:
    asked = dict(json.loads(row["request"]))
    asked.pop("info", None)
    request = OrderRequest(
        row["symbol"], asked.pop("type"), row["side"], row["amount"], asked.pop("price", None),
        asked, conditional=bool(row["conditional"]), reduce_only=bool(row["reduce_only"]),
    )  # fmt: skip
    work = Working(
        row["client_id"], request, order, venue_id=row["venue_id"] or "",
        child_id=row["child_id"] or "", filled=abs(order.executed.size),
        fate_known=row["state"] == OPEN,
    )  # fmt: skip
    if not work.fate_known:
        # Sent by a run that has ended: the venue has long dropped what did not arrive.
        work.sent = 0.0
        work.sends = MOST_SENDS
        broker.journal.settle(work.client_id, UNKNOWN)
    broker.working[work.client_id] = work
    broker._of_ref[order.ref] = work
    return work


def _settle_position(broker: Any, market: LiveMarket, on_unknown: str) -> None:
    held, there = market.position.size, market.state.size
    if abs(held - there) <= _SAME * max(1.0, abs(there)):
        market.position.size, market.position.price = there, market.state.entry
        return
    what = f"{market.key}: the venue holds {there:g} where the journal knows of {held:g}"
    broker.alert(what, UNKNOWN_AT_VENUE)
    if on_unknown == "stop":
        raise VenueRefused(f"{what}; look at it, then start with on_unknown adopt or close")
    # So that the fills add up to the position from here on.
    fill = {"side": "buy" if there > held else "sell", "size": abs(there - held),
            "price": market.state.entry or market.position.price, "fee": 0.0}  # fmt: skip
    broker.journal.add_fill(market.key, f"-{broker.journal.run}", None, *fill.values(), 0)
    retell(broker, market, [fill])
    market.position.size, market.position.price = there, market.state.entry
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
    rules = broker.store.rules
    for conditional in (True,) if rules.lists_together else (False, True):
        calls = rules.open_calls(market.key, conditional=conditional, plain=not conditional)
        for order in (o for page in broker.store.reads(*calls) for o in page):
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
                params = rules.cancel_params(conditional=conditional)
                broker.store.write("cancel_order", order["id"], market.key, params)

