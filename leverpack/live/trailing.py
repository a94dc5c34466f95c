"""Trailing stops on venues that take none as orders: a plain stop, moved after each candle."""

from __future__ import annotations

import logging
from typing import Any

from leverpack.errors import VenueError, VenueRefused
from leverpack.live.market import Working
from leverpack.live.requests import HAIR, TRIGGERS, trigger_in
from leverpack.risk.exits import trailing_stop

logger = logging.getLogger("leverpack.live")


def follow(broker: Any, work: Working, side: float, last: float) -> None:
    """Move the stop of ``work`` behind the best price so far; it never goes back.

    ``side`` of the position that it closes (+1.0 long), ``last`` price. Where the market has
    passed the new stop already it leaves at market. What cannot be moved now stays where it is,
    and the next candle tries again.
    """
    request, rules = work.request, broker.store.rules
    before = trigger_in(request.params) or 0.0
    level = broker.store.price(
        request.symbol, trailing_stop(side, work.best, work.trails, before)
    )
    waits = work.fate_known and not work.child_id and not work.cancel_wanted
    if level == before or not waits:
        return
    if (last - level) * side <= 0.0:
        _leave(broker, work)
        return
    method, args, params = rules.move_call(request.symbol, work.venue_id, request.side, level)
    try:
        broker.store.write(method, *args, **params)
    except VenueError as fault:
        if isinstance(fault, VenueRefused) and fault.code in rules.passed:
            _leave(broker, work)
            return
        logger.warning("%s", fault)
        broker.hint()
        return
    name = next(n for n in TRIGGERS if request.params.get(n))
    request.params[name] = level


def _leave(broker: Any, work: Working) -> None:
    """At market instead of at the stop, which is taken back; both can only reduce."""
    work.replaced = work.cancel_wanted = True
    request = work.request.at_market()
    request.amount = broker.store.amount(request.symbol, (request.amount - work.filled) * HAIR)
    broker._instead(work, request)
    broker._cancel(work)
