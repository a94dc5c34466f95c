"""Orders that hang together: brackets, one-cancels-other groups, orders with an end date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backtrader import Order

from leverpack.candles.timeframes import DAY_MS
from leverpack.errors import VenueError
from leverpack.live.bus import UNPROTECTED
from leverpack.live.journal import SENDING, Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import HAIR, NoSuchOrder, request_for
from leverpack.live.resuming import plain_info, remade

_CHILDREN = (Order.Limit, Order.Stop, Order.StopLimit, Order.StopTrail)


@dataclass(slots=True)
class Bracket:
    """An entry and the exits that wait for its fills; one of them fills, the others go."""

    key: str
    parent: Any
    children: list[Any] = field(default_factory=list)
    sent: bool = False
    before: float = 0.0  # base units that exits of an earlier run have closed under other ids


class Linking:
    """Layer of CCXTLiveBroker: what the venue does not link is linked here.

    A bracket's parent is sent when its last child has come. The children wait here, and rest at
    the venue, reduce-only, for exactly what the parent has filled and they have not closed; when
    that is nothing and the parent is over, they go. Of an ``oco`` group all rest at once; when one
    has filled, was cancelled or has expired, the others are cancelled (entries at the first part
    of a fill, exits when nothing is left). A child or member that the venue refuses ends alone.

    An order with ``valid`` is cancelled when the last candle is over that it may fill in, as by
    Backtrader's own broker; but the exits of a bracket stay as long as their position. All this is
    written in the journal, and outlives the run.
    """

    journal: Journal
    working: dict[str, Working]
    markets: dict[Any, LiveMarket]
    _of_ref: dict[int, Working]

    def _start_linking(self) -> None:
        self._brackets: dict[str, Bracket] = {}
        self._groups: list[list[Any]] = []
        self._links_saved: dict[str, Any] = {}

    # -- in --------------------------------------------------------------------------------------

    def link(self, order: Any) -> None:
        """Take a part of a bracket; with the one that transmits, the parent is sent."""
        broker: Any = self
        if order.parent is None:
            key = f"{self.journal.run}-{order.ref}"
            order.addinfo(bracket=key)
            self._brackets[key] = Bracket(key, order)
            return
        bracket = self._brackets.get(str(order.parent.info.get("bracket")))
        if bracket is None or not bracket.parent.alive():
            broker._reject(order, "the bracket that it belongs to is over, or has been refused")
            return
        order.addinfo(bracket=bracket.key, child=len(bracket.children), reduce_only=True)
        bracket.children.append(order)
        if not order.transmit:
            return
        try:
            for child in bracket.children:
                self._check_child(bracket, child)
        except VenueError as fault:
            broker._reject(bracket.parent, f"bracket: {fault}")
            self._drop(bracket)
            return
        if not bracket.sent:
            bracket.sent = True
            self._save_links()  # before the parent: what fills must have its exits
            broker.dispatch(bracket.parent)
        self.settle_links()

    def _check_child(self, bracket: Bracket, child: Any) -> None:
        if child.exectype not in _CHILDREN:
            raise NoSuchOrder(f"an exit cannot be a {child.getordername()} order")
        if child.isbuy() == bracket.parent.isbuy() or child.data is not bracket.parent.data:
            raise NoSuchOrder("an exit must close what the entry opens")
        broker: Any = self
        request_for(child, broker.market(child.data).key, broker.store)

    def join_group(self, order: Any) -> None:
        """``oco=other``: the order and that one, with those that it hangs together with."""
        other = order.p.oco
        if other is None or not order.alive():
            return
        group = next((g for g in self._groups if any(o.ref == other.ref for o in g)), None)
        if group is None:
            alive = next((w.order for w in self.working.values()
                          if w.order is not None and w.order.ref == other.ref), other)  # fmt: skip
            group = [alive]
            self._groups.append(group)
        group.append(order)
        self.settle_links()

    # -- what follows from what ------------------------------------------------------------------

    def settle_links(self) -> None:
        """Bring what rests in line with what has filled and ended; after every look, too."""
        for bracket in list(self._brackets.values()):
            if bracket.sent:
                self._settle_bracket(bracket)
        for group in list(self._groups):
            self._settle_group(group)
        self._save_links()

    def _settle_bracket(self, bracket: Bracket) -> None:
        broker: Any = self
        parent, children = bracket.parent, bracket.children
        market = broker.market(parent.data)
        step = broker.step_of(market.key) or 0.0
        closed = bracket.before + sum(abs(c.executed.size) for c in children)
        left = abs(parent.executed.size) - closed
        over = left < max(0.5 * step, 1e-12)
        away = any(c.status in (Order.Canceled, Order.Expired) for c in children)
        if parent.alive() and (away or any(c.status == Order.Completed for c in children)):
            broker.cancel(parent)
        side = 1.0 if parent.isbuy() else -1.0
        gone = not over and not parent.alive() and market.position.size * side <= 0.0
        if away or gone or (over and not parent.alive()):
            self._drop(bracket)
            return
        if over:
            return
        for child in children:
            if child.alive():
                self._rest_child(market, child, left)
        if not any(c.alive() for c in children):
            broker.alert(f"{market.key}: a bracket has no exit left that rests", UNPROTECTED)
            self._drop(bracket)

    def _rest_child(self, market: LiveMarket, child: Any, left: float) -> None:
        """Have a child rest for ``left``; the larger one goes out before the smaller is cancelled.

        Parts that were closed before count as filled: what is left completes the order.
        """
        broker: Any = self
        work = self._of_ref.get(child.ref)
        request = request_for(child, market.key, broker.store)
        request.amount = broker.store.amount(market.key, left * HAIR)
        if not request.amount:
            return
        if work is not None and not work.done:
            rests = work.request.amount - work.filled
            if abs(rests - request.amount) <= 1e-9 * request.amount or work.cancel_wanted:
                return
        child.executed.remsize = request.amount if child.isbuy() else -request.amount
        if work is None or work.done:
            broker.launch(child, request)
            return
        broker._instead(work, request)
        work.replaced = work.cancel_wanted = True
        broker._cancel(work)

    def _drop(self, bracket: Bracket) -> None:
        self._brackets.pop(bracket.key, None)
        for child in bracket.children:
            self._take_back(child)

    def _settle_group(self, group: list[Any]) -> None:
        ended = [o for o in group if not o.alive()]
        over = any(o.status in (Order.Completed, Order.Canceled, Order.Expired) for o in ended)
        begun = any(o.executed.size and not self._closes(o) for o in group)
        rest = [o for o in group if o.alive()]
        if over or begun:
            for order in rest:
                if over or not order.executed.size:
                    self._take_back(order)
        if over or begun or len(rest) < 2:
            self._groups.remove(group)
            for order in ended:
                self._of_ref.pop(order.ref, None)

    def links(self, order: Any) -> bool:
        """Whether a bracket or a group still goes by what becomes of ``order``."""
        return any(o.ref == order.ref for g in self._groups for o in g) or any(
            o.ref == order.ref for b in self._brackets.values() for o in (b.parent, *b.children)
        )

    def _closes(self, order: Any) -> bool:
        broker: Any = self
        work = self._of_ref.get(order.ref)
        return work is not None and bool(broker.closes_only(work))

    def _take_back(self, order: Any) -> None:
        """Cancel an order, whether it is at the venue or still waits here."""
        broker: Any = self
        if not order.alive():
            return
        work = self._of_ref.get(order.ref)
        if work is not None and not work.done:
            if not work.cancel_wanted:
                work.cancel_wanted = True
                broker._cancel(work)
            return
        order.cancel()
        broker.notify(order)

    def cancel_waiting(self, order: Any) -> bool:
        """Take back an order that waits here for its bracket; False where it does not."""
        key = str(order.info.get("bracket"))
        bracket = self._brackets.get(key)
        if bracket is None or not order.alive():
            return False
        if order.ref == bracket.parent.ref:
            self._take_back(order)
            self._drop(bracket)
        else:
            self._take_back(order)
            self.settle_links()
        return True

    # -- end dates -------------------------------------------------------------------------------

    def end_dates(self, fresh: list[LiveMarket]) -> None:
        """Cancel what may not fill in the candle that opens now."""
        opens = {m.key: m.data.datetime[0] + m.data.length_ms / DAY_MS for m in fresh}
        for work in list(self.working.values()):
            valid = None if work.order is None else work.order.valid
            if not valid or work.cancel_wanted or work.order.exectype == Order.Market:
                continue
            exit_of_bracket = work.order.info.get("child") is not None
            if opens.get(work.request.symbol, 0.0) > valid and not exit_of_bracket:
                broker: Any = self
                work.expired = work.cancel_wanted = True
                broker._cancel(work)

    # -- over restarts ---------------------------------------------------------------------------

    def _save_links(self) -> None:
        found = {
            "brackets": {b.key: self._stated(b) for b in self._brackets.values() if b.sent},
            "groups": [
                [self._of_ref[o.ref].client_id for o in g if o.ref in self._of_ref]
                for g in self._groups
            ],
        }  # fmt: skip
        if found != self._links_saved and (self._links_saved or any(found.values())):
            self.journal.state("links").save(found)
            self._links_saved = found

    def _stated(self, bracket: Bracket) -> dict[str, Any]:
        broker: Any = self
        key = broker.market(bracket.parent.data).key
        rows = []
        for child in bracket.children:
            request = request_for(child, key, broker.store)
            info = {**plain_info(child.info), "valid": child.valid}
            rows.append({
                "type": request.kind, "price": request.price, **request.params, "info": info,
                "side": request.side, "amount": abs(child.created.size),
            })  # fmt: skip
        return {"symbol": key, "children": rows, "before": bracket.before}

    def relink(self, orders: Mapping[str, Any]) -> None:
        """Know the links of an earlier run's orders again; ``orders`` by client id."""
        saved = self.journal.state("links").load() or {}
        for key, stated in dict(saved.get("brackets") or {}).items():
            mine = [o for o in orders.values() if o.info.get("bracket") == key]
            parent = next((o for o in mine if o.info.get("child") is None), None)
            if parent is not None:
                self._brackets[key] = self._bracket_of(key, stated, parent, mine)
        for ids in saved.get("groups") or []:
            group = [orders[i] for i in ids if i in orders]
            if len(group) > 1:
                self._groups.append(group)
        self._links_saved = saved

    def _bracket_of(
        self, key: str, stated: Mapping[str, Any], parent: Any, orders: list[Any]
    ) -> Bracket:
        broker: Any = self
        bracket = Bracket(key, parent, sent=True, before=float(stated["before"]))
        market = broker.market(parent.data)
        for number, row in enumerate(stated["children"]):
            known = [o for o in orders if o.info.get("child") == number]
            bracket.before += sum(abs(o.executed.size) for o in known[:-1])
            if known:
                bracket.children.append(known[-1])
                continue
            asked = {k: v for k, v in row.items() if k not in ("side", "amount")}
            child = remade(broker, market, {
                "request": json.dumps(asked), "side": row["side"], "amount": row["amount"],
                "reduce_only": 1, "tag": row["info"].get("tag"), "state": SENDING,
            }, [])  # fmt: skip
            bracket.children.append(child)
        return bracket
