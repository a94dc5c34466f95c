"""Orders out: intent written, sent once, and asked for when the answer was lost."""

from __future__ import annotations

import logging
import time
from typing import Any

import backtrader as bt

from leverpack.errors import DataError, OutcomeUnknown, VenueAway, VenueError, VenueRefused
from leverpack.live.bus import LEVERAGE_MISMATCH, ORDER_REJECTED, UNPROTECTED
from leverpack.live.guard import LeverageGuard
from leverpack.live.journal import CANCELED, OPEN, REFUSED, UNKNOWN, Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import HAIR, OrderRequest, request_for
from leverpack.live.store import CCXTStore
from leverpack.margin.position import position_after_fill

logger = logging.getLogger("leverpack.live")

NOT_FOUND = ("OrderNotFound",)
DUPLICATE_CODES = ("-4116", "-4111", "110072")
PASSED_CODES = ("-2021",)  # "Order would immediately trigger"
NOTHING_LEFT_CODES = ("-2022", "110017")  # reduce-only, and there is nothing to reduce
MOST_SENDS = 10
_AGAIN_S = 1.0  # between sends of a protective order that was turned away


class Sending:
    """Layer of CCXTLiveBroker: takes Backtrader's orders to the venue, or refuses them."""

    store: CCXTStore
    guard: LeverageGuard
    journal: Journal
    live: bool
    away: str
    rejections: list[dict[str, Any]]
    working: dict[str, Working]  # by client id, those that are not done
    _of_ref: dict[int, Working]
    _recheck: bool

    def submit(self, order: Any) -> Any:
        """Send an order, or refuse it with the reason in ``order.info.reason``."""
        broker: Any = self
        market: LiveMarket = broker.market(order.data)
        market.owner = order.owner
        order.submit(broker)
        order.addcomminfo(broker.getcommissioninfo(order.data))
        broker.notify(order)
        try:
            request = request_for(order, market.key, self.store)
            self._check_opening(order, market, request)
        except VenueError as fault:
            self._reject(order, str(fault))
            return order
        feed = list(broker.markets.values()).index(market)
        work = Working(self.journal.new_client_id(feed), request, order)
        try:
            self._intend(work)
        except DataError as fault:  # what is not written down is not sent
            self._reject(order, str(fault))
            return order
        self.working[work.client_id] = work
        self._of_ref[order.ref] = work
        self._send(work)
        return order

    # -- what may leave --------------------------------------------------------------------------

    def _check_opening(self, order: Any, market: LiveMarket, request: OrderRequest) -> None:
        """Raise VenueRefused for an order that opens or grows and may not."""
        broker: Any = self
        if request.reduce_only:
            return
        size = request.amount if order.isbuy() else -request.amount
        price = request.price or order.created.price or order.created.pclose
        held = market.position.size
        _, _, _, opened = position_after_fill(held, market.position.price, size, price)
        waiting = sum(
            w.request.amount - w.filled for w in self.working.values()
            if w.request.symbol == market.key and not w.request.reduce_only
        )  # fmt: skip
        if not opened and not waiting:
            return
        why = broker.objection(order.data)
        if why:
            raise VenueRefused(why)
        least = ((self.store.market(market.key).get("limits") or {}).get("cost") or {}).get("min")
        if least and request.amount * price < least:
            raise VenueRefused(
                f"notional {request.amount * price:,.2f} is below the venue's minimum of {least:g}"
            )
        notional = (abs(held + size) + waiting) * price
        try:
            reading = self.guard.check(market.key, market.decided, notional)
        except VenueError as fault:
            broker.alert(f"no order leaves: {fault}", LEVERAGE_MISMATCH)
            raise
        market.state.leverage = reading.leverage

    def _reject(self, order: Any, reason: str, *, margin: bool = False) -> None:
        broker: Any = self
        order.addinfo(reason=reason)
        if margin:
            order.margin()
        else:
            order.reject(broker)
        market = broker.market(order.data)
        self.rejections.append({
            "time": market.bars, "symbol": market.key,
            "side": "buy" if order.isbuy() else "sell", "size": abs(order.created.size),
            "reason": reason,
        })  # fmt: skip
        self.journal.add_event("warning", f"{market.key}: order refused: {reason}")
        broker.notify(order)

    # -- sending ---------------------------------------------------------------------------------

    def _intend(self, work: Working) -> None:
        request = work.request
        tag = "" if work.order is None else str(work.order.info.get("tag") or "")
        self.journal.intend(
            work.client_id, request.symbol, request.side, request.amount,
            conditional=request.conditional, reduce_only=request.reduce_only, tag=tag,
            request={"type": request.kind, "price": request.price, **request.params},
        )  # fmt: skip

    def _send(self, work: Working) -> None:
        work.sent, work.turned_away = time.monotonic(), False
        try:
            answer = self.store.write("create_order", *work.request.arguments(work.client_id))
        except OutcomeUnknown as fault:
            work.fate_known = False
            self.journal.settle(work.client_id, UNKNOWN, why=str(fault))
            self._ask_fate(work)
        except VenueAway as fault:
            self._turned_away(work, str(fault))
        except VenueRefused as fault:
            self._refused(work, fault)
        else:
            self._taken(work, answer)

    def _taken(self, work: Working, answer: Any) -> None:
        broker: Any = self
        work.venue_id = str(answer.get("id") or work.venue_id)
        work.fate_known = True
        self.journal.settle(work.client_id, OPEN, venue_id=work.venue_id)
        if work.order is not None and work.order.status == bt.Order.Submitted:
            work.order.accept(broker)
            broker.notify(work.order)
        if not work.request.conditional:
            broker.hint()  # it may have filled

    def _refused(self, work: Working, fault: VenueRefused) -> None:
        """The venue said no: what that means depends on what was asked."""
        request = work.request
        if fault.code in DUPLICATE_CODES:
            work.fate_known = False
            self._ask_fate(work)
            return
        if request.reduce_only and request.conditional and fault.code in PASSED_CODES:
            # The market has passed the stop: it would have filled at market, so it does.
            self._end(work, REFUSED, str(fault))
            self._instead(work, request.at_market())
            return
        self._end(work, REFUSED, str(fault))
        if work.order is None:
            return
        if fault.code in NOTHING_LEFT_CODES:
            broker: Any = self
            work.order.addinfo(reason="reduce-only, and there is nothing left to reduce")
            work.order.cancel()
            broker.notify(work.order)
            broker.hint()
            return
        self._reject(work.order, str(fault), margin=fault.kind == "InsufficientFunds")

    def _instead(self, work: Working, request: OrderRequest) -> None:
        """Send another request for the same order of Backtrader's, under an id of its own."""
        instead = Working(self.journal.new_client_id(0), request, work.order)
        self._intend(instead)
        self.working[instead.client_id] = instead
        if work.order is not None:
            self._of_ref[work.order.ref] = instead
        self._send(instead)

    def go_on(self, work: Working, rest: float) -> None:
        """An order that protects has ended at the venue with a rest: that goes at market now."""
        broker: Any = self
        broker.alert(
            f"{work.request.symbol}: the venue ended an exit with {rest:g} left; that is sent at "
            "market",
            UNPROTECTED,
        )
        self._end(work, CANCELED, "ended by the venue before it was filled")
        request = work.request.at_market()
        request.amount = self.store.amount(request.symbol, rest * HAIR)
        self._instead(work, request)

    def _turned_away(self, work: Working, why: str) -> None:
        """Nothing was done: an entry is dropped, an order that protects is sent again soon."""
        broker: Any = self
        broker.alert(f"{work.request.symbol}: {why}", ORDER_REJECTED)
        if work.request.reduce_only and work.sends < MOST_SENDS:
            work.sends += 1
            work.turned_away, work.fate_known = True, False
            self._recheck = True
            return
        self._end(work, REFUSED, why)
        if work.order is not None:
            self._reject(work.order, why)

    def _ask_fate(self, work: Working) -> None:
        """Look an order up by its client id until it is clear what has become of it."""
        self._recheck = True
        try:
            answer = self._looked_up(work)
        except VenueRefused as fault:
            if fault.kind not in NOT_FOUND:
                logger.warning("%s", fault)
            elif time.monotonic() - work.sent > self.store.fate_s:
                self._never_arrived(work)
            return
        except VenueAway:
            return
        self._taken(work, answer)

    def _looked_up(self, work: Working) -> Any:
        params: dict[str, Any] = {"clientOrderId": work.client_id}
        if work.request.conditional:
            params["trigger"] = True
        return self.store.read("fetch_order", work.venue_id, work.request.symbol, params)

    def _never_arrived(self, work: Working) -> None:
        """The venue would not take the request any more, and does not know it."""
        if work.request.reduce_only and work.sends < MOST_SENDS:
            work.sends += 1
            self._send(work)  # under the same id: the venue has proved that it is free
            return
        why = "the request was lost on the way, and is not at the venue"
        self._end(work, REFUSED, why)
        if work.order is not None:
            self._reject(work.order, why)

    def settle_fates(self) -> None:
        """Go on with what is unknown, what was turned away, and what is to be cancelled."""
        for work in list(self.working.values()):
            if work.done:
                continue
            if not work.fate_known:
                if not work.turned_away:
                    self._ask_fate(work)
                elif work.cancel_wanted:
                    self.finish(work, CANCELED)
                elif time.monotonic() - work.sent > _AGAIN_S:
                    self._send(work)
            elif work.cancel_wanted:
                self._cancel(work)

    def _end(self, work: Working, state: str, why: str = "") -> None:
        work.done = True
        self.working.pop(work.client_id, None)
        self.journal.settle(work.client_id, state, why=why, child_id=work.child_id)

    # -- taking back -----------------------------------------------------------------------------

    def cancel(self, order: Any) -> bool:
        """Take an order back; False when there is nothing to take back."""
        work = self._of_ref.get(order.ref)
        if work is None or work.done:
            return False
        work.cancel_wanted = True
        self._cancel(work)
        return True

    def _cancel(self, work: Working) -> None:
        broker: Any = self
        if not work.fate_known:
            return  # first it has to be known whether it is there
        conditional = work.request.conditional and not work.child_id
        params: dict[str, Any] = {"trigger": True} if conditional else {}
        ident = work.child_id or work.venue_id
        try:
            answer = self.store.write("cancel_order", ident, work.request.symbol, params)
        except VenueError as fault:
            if isinstance(fault, VenueRefused) and fault.kind not in NOT_FOUND:
                broker.alert(f"{work.request.symbol}: {fault}", ORDER_REJECTED)
            broker.hint()  # gone already, or to be tried again
            return
        filled = float((answer or {}).get("filled") or 0.0)
        if conditional or filled <= work.filled:
            self.finish(work, CANCELED)
        else:
            broker.hint()

    def finish(self, work: Working, state: str) -> None:
        """An order is over at the venue: tell its strategy."""
        broker: Any = self
        self._end(work, state)
        order = work.order
        if order is None or not order.alive():
            return
        if state == CANCELED:
            order.cancel()
            broker.notify(order)
