"""Orders out: intent written, sent once, and asked for when the answer was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import backtrader as bt

from leverpack.errors import DataError, OutcomeUnknown, VenueAway, VenueError, VenueRefused
from leverpack.live.bus import LEVERAGE_MISMATCH, ORDER_REJECTED, UNPROTECTED
from leverpack.live.guard import LeverageGuard
from leverpack.live.journal import CANCELED, OPEN, REFUSED, SENDING, UNKNOWN, Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import HAIR, OrderRequest, request_for
from leverpack.live.resuming import plain_info
from leverpack.live.store import CCXTStore
from leverpack.live.venues import Call
from leverpack.margin.position import position_after_fill

logger = logging.getLogger("leverpack.live")

NOT_FOUND = ("OrderNotFound",)
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
        if order.parent is not None or not order.transmit:
            broker.link(order)
        else:
            self.dispatch(order)
            broker.join_group(order)
        return order

    def dispatch(self, order: Any) -> None:
        """Send an order that waits for no other, or refuse it."""
        broker: Any = self
        market: LiveMarket = broker.market(order.data)
        try:
            request = request_for(order, market.key, self.store)
            self._check_opening(order, market, request)
        except VenueError as fault:
            self._reject(order, str(fault), kind=getattr(fault, "kind", ""))
            return
        self.launch(order, request)

    def launch(self, order: Any, request: OrderRequest) -> None:
        """Write down what is asked for an order, then send it."""
        broker: Any = self
        feed = list(broker.markets.values()).index(broker.market(order.data))
        work = Working(self.journal.new_client_id(feed), request, order)
        try:
            self._intend(work)
        except DataError as fault:  # what is not written down is not sent
            self._reject(order, str(fault))
            return
        self.working[work.client_id] = work
        self._of_ref[order.ref] = work
        self._send(work)

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
        self._name_leverage(market, request)

    def _name_leverage(self, market: LiveMarket, request: OrderRequest) -> None:
        """Where leverage is no setting, an opening order says it, out of what the market allows."""
        rules = self.store.rules
        why = rules.objection(self.store.market(market.key), request.side, market.decided)
        if why:
            raise VenueRefused(why, kind="leverage")
        request.params |= rules.order_params(market.decided)

    def _reject(self, order: Any, reason: str, *, kind: str = "", margin: bool = False) -> None:
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
        refused = self.rejections[-1]
        self.journal.add_rejection(
            market.data.open_ms(), market.key, refused["side"], refused["size"], reason
        )
        self.store.bus.tell("rejection", symbol=market.key, reason=reason, kind=kind)
        broker.notify(order)
        # Backtrader tells a strategy at the next candle: too late where a stop was refused.
        at_once = getattr(order.owner, "exit_refused", None)
        if at_once is not None:
            at_once(order)

    # -- sending ---------------------------------------------------------------------------------

    def _intend(self, work: Working) -> None:
        broker: Any = self
        request, order = work.request, work.order
        info: dict[str, Any] = {}
        if order is not None:
            info = plain_info(order.info)
            if order.data in broker.cerebro.datas:
                info["feed"] = broker.cerebro.datas.index(order.data)
            if order.valid:
                info["valid"] = float(order.valid)
            if work.trails and order.params.price:
                info["behind"] = float(order.params.price)
        self.journal.intend(
            work.client_id, request.symbol, request.side, request.amount,
            conditional=request.conditional, reduce_only=request.reduce_only,
            tag=str(info.get("tag", "")),
            request={
                "type": request.kind, "price": request.price, **request.params, "info": info,
            },
        )  # fmt: skip
        self._tell_state(work, SENDING)

    def _tell_state(self, work: Working, state: str) -> None:
        self.store.bus.tell("order", symbol=work.request.symbol, state=state)

    def _send(self, work: Working) -> None:
        work.sent, work.turned_away = time.monotonic(), False
        try:
            answer = self.store.write("create_order", *work.request.arguments(work.client_id))
        except OutcomeUnknown as fault:
            work.fate_known = False
            self.journal.settle(work.client_id, UNKNOWN, why=str(fault))
            self._tell_state(work, UNKNOWN)
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
        self._tell_state(work, OPEN)
        if work.order is not None and work.order.status == bt.Order.Submitted:
            work.order.accept(broker)
            broker.notify(work.order)
        if not work.request.conditional:
            broker.hint()  # it may have filled

    def _refused(self, work: Working, fault: VenueRefused) -> None:
        """The venue said no: what that means depends on what was asked."""
        request = work.request
        if fault.code in self.store.rules.duplicate:
            work.fate_known = False
            self._ask_fate(work)
            return
        if request.reduce_only and request.conditional and fault.code in self.store.rules.passed:
            # The market has passed the stop: it would have filled at market, so it does.
            self._end(work, REFUSED, str(fault))
            self._instead(work, request.at_market())
            return
        self._end(work, REFUSED, str(fault))
        if work.order is None:
            return
        broker: Any = self
        if fault.code in self.store.rules.nothing_left:
            work.order.addinfo(reason="reduce-only, and there is nothing left to reduce")
            work.order.cancel()
            broker.notify(work.order)
            broker.hint()
            return
        broker.alert(f"{request.symbol}: the venue refuses an order: {fault}", ORDER_REJECTED)
        margin = fault.kind == "InsufficientFunds"
        self._reject(work.order, str(fault), kind=fault.kind or "ExchangeError", margin=margin)

    def _instead(self, work: Working, request: OrderRequest, *, later: bool = False) -> None:
        """Send another request for the same order of Backtrader's, under an id of its own.

        ``later``: as one that was turned away, in ``_AGAIN_S``.
        """
        instead = Working(self.journal.new_client_id(0), request, work.order)
        self._intend(instead)
        self.working[instead.client_id] = instead
        if work.order is not None:
            self._of_ref[work.order.ref] = instead
        if later:
            instead.turned_away, instead.fate_known, self._recheck = True, False, True
        else:
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
        # What the venue's book could not fill now it cannot fill a moment later either.
        too_soon = not work.request.conditional and time.monotonic() - work.sent < _AGAIN_S
        self._instead(work, request, later=too_soon)

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
            self._reject(work.order, why, kind="away")

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
        request, fault = work.request, VenueRefused("no order", kind=NOT_FOUND[0])
        for method, args, params in self.store.rules.lookup_calls(
            request.symbol, work.client_id, work.venue_id, conditional=request.conditional
        ):
            try:
                found = self.store.read(method, *args, **params)
            except VenueRefused as refused:
                if refused.kind not in NOT_FOUND:
                    raise
                fault = refused
                continue
            if not isinstance(found, list):
                return found
            mine = [o for o in found if o.get("clientOrderId") == work.client_id]
            if mine:
                return mine[0]
        raise fault

    def _never_arrived(self, work: Working) -> None:
        """The venue would not take the request any more, and does not know it."""
        if work.request.reduce_only and work.sends < MOST_SENDS:
            work.sends += 1
            self._send(work)  # under the same id: the venue has proved that it is free
            return
        why = "the request was lost on the way, and is not at the venue"
        self._end(work, REFUSED, why)
        broker: Any = self
        broker.alert(f"{work.request.symbol}: {why}", ORDER_REJECTED)
        if work.order is not None:
            self._reject(work.order, why, kind="lost")

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
        broker: Any = self
        order = work.order
        if order is not None and self._of_ref.get(order.ref) is work and not broker.links(order):
            del self._of_ref[order.ref]  # a run of months would keep every order it has sent
        self.journal.settle(work.client_id, state, why=why, child_id=work.child_id)
        self._tell_state(work, state)

    # -- taking back -----------------------------------------------------------------------------

    def cancel(self, order: Any) -> bool:
        """Take an order back; False when there is nothing to take back."""
        broker: Any = self
        work = self._of_ref.get(order.ref)
        if work is None or work.done:
            return bool(broker.cancel_waiting(order))
        work.cancel_wanted = True
        self._cancel(work)
        broker.settle_links()
        return True

    def _cancel(self, work: Working) -> None:
        self.cancel_all([work])

    def cancel_all(self, works: Sequence[Working]) -> None:
        """Ask for the end of several orders, all requests at once."""
        for work in works:
            work.cancel_wanted = True
        there = [w for w in works if w.fate_known]  # of the others it has to be known first
        calls: list[Call] = []
        for work in there:
            conditional = work.request.conditional and not work.child_id
            params = self.store.rules.cancel_params(conditional=conditional)
            ident = work.child_id or work.venue_id
            calls.append(("cancel_order", (ident, work.request.symbol, params), {}))
        if calls:
            for work, answer in zip(there, self.store.writes(*calls), strict=True):
                self._take_cancel(work, answer)

    def _take_cancel(self, work: Working, answer: Any) -> None:
        broker: Any = self
        conditional = work.request.conditional and not work.child_id
        if isinstance(answer, VenueError):
            if isinstance(answer, VenueRefused) and answer.kind not in NOT_FOUND:
                broker.alert(f"{work.request.symbol}: {answer}", ORDER_REJECTED)
            broker.hint()  # gone already, or to be tried again
            return
        filled = float((answer or {}).get("filled") or 0.0)
        if self.store.rules.cancels_at_once and (conditional or filled <= work.filled):
            self.finish(work, CANCELED)
            return
        broker.hint()
        if not self.store.rules.cancels_at_once:  # only acknowledged: what came of it is asked for
            ended = broker.what_became_of(work)
            if ended is not None:
                broker.take_end(*ended)

    def finish(self, work: Working, state: str) -> None:
        """An order is over at the venue: tell its strategy."""
        broker: Any = self
        self._end(work, state)
        order = work.order
        if order is None or work.replaced or not order.alive():
            return
        if state == CANCELED:
            if work.expired:
                order.status = bt.Order.Expired
            else:
                order.cancel()
            broker.notify(order)
