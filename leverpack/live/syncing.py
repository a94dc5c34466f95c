"""The venue's truth in: fills in their order, orders that ended, positions, money."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import backtrader as bt
from backtrader.order import BuyOrder, SellOrder

from leverpack.errors import VenueError
from leverpack.live.bus import LIQUIDATION, UNKNOWN_AT_VENUE, VENUE_AWAY
from leverpack.live.journal import CANCELED, CLOSED, Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.store import CCXTStore
from leverpack.live.venues import Call
from leverpack.margin.account import MarginAccount
from leverpack.margin.position import position_after_fill, realised_pnl

logger = logging.getLogger("leverpack.live")

_EPS = 1e-9
_PATIENCE_S = 5.0  # while fills and position may disagree: answers of different moments
_ENDED = ("closed", "canceled", "expired", "rejected")


class Syncing:
    """Layer of CCXTLiveBroker: brings what is known here to what is true there."""

    store: CCXTStore
    journal: Journal
    account: MarginAccount
    markets: dict[Any, LiveMarket]
    marks: dict[str, float]
    working: dict[str, Working]
    away: str
    _dirty: bool
    _recheck: bool

    def sync(self) -> None:
        """Ask the venue for fills, open orders, positions and money, and take them in."""
        broker: Any = self
        self._dirty = self._recheck = False
        self._synced = time.monotonic()
        markets = list(self.markets.values())
        calls: list[Call] = [("fetch_balance", (), {})]
        calls += self.store.rules.position_calls([m.key for m in markets])
        first_fills = len(calls)
        fills = [m.fills.calls(self._now_ms(m)) for m in markets]
        calls += [call for asked in fills for call in asked]
        first_list = len(calls)
        calls += self._list_calls()
        asked = {w.client_id for w in self.working.values() if w.fate_known}
        try:
            answers = self.store.reads(*calls)
        except VenueError as fault:
            if not self.away:
                broker.alert(f"the venue is away, and nothing is opened: {fault}", VENUE_AWAY)
            self.away = str(fault)
            self._recheck = True
            return
        self.away = ""
        listed = {str(o.get("clientOrderId")) for rows in answers[first_list:] for o in rows}
        gone = [self.working[c] for c in asked - listed if c in self.working]
        ended = [found for work in gone if (found := self.what_became_of(work)) is not None]
        parts = iter(answers[first_fills:first_list])
        for market, asked_for in zip(markets, fills, strict=True):
            self._take_trades(market, [trade for _ in asked_for for trade in next(parts)])
        self._take_account(answers[0], [p for rows in answers[1:first_fills] for p in rows])
        for work, status, filled in ended:
            self.take_end(work, status, filled)
        for market in markets:
            self._compare(market)
        broker.settle_links()
        broker.watch_stops()
        if any(w.cancel_wanted or not w.fate_known for w in self.working.values()):
            self._recheck = True

    def _now_ms(self, market: LiveMarket) -> int:
        """The venue's clock; a replay's runs on with its candles."""
        data = market.data
        closed = data.open_ms() + data.length_ms if len(data) else 0
        return max(self.store.clock_ms(), closed)

    def _list_calls(self) -> list[Call]:
        """The requests for the open orders, of the kinds that are out."""
        calls: list[Call] = []
        for symbol in sorted({w.request.symbol for w in self.working.values()}):
            kinds = {w.request.conditional for w in self.working.values()
                     if w.request.symbol == symbol}  # fmt: skip
            calls += self.store.rules.open_calls(
                symbol, conditional=True in kinds, plain=False in kinds
            )
        return calls

    # -- orders ----------------------------------------------------------------------------------

    def what_became_of(self, work: Working) -> tuple[Working, str, float] | None:
        """How an order ended that the venue lists no more: status and base units filled."""
        broker: Any = self
        try:
            found = broker._looked_up(work)
            if work.request.conditional:
                self._note_child(work, found)
                if work.child_id and work.child_id != work.venue_id:
                    found = self.store.read("fetch_order", work.child_id, work.request.symbol)
        except VenueError as fault:
            self._recheck = True
            logger.warning("%s", fault)
            return None
        status = str(found.get("status"))
        return (work, status, float(found.get("filled") or 0.0)) if status in _ENDED else None

    def _note_child(self, work: Working, found: Any) -> None:
        child = self.store.rules.child_id(found)
        if child and child != work.child_id:
            work.child_id = child
            self.journal.settle(work.client_id, "open", child_id=child)

    def take_end(self, work: Working, status: str, filled: float) -> None:
        broker: Any = self
        if work.done:
            return
        if filled > work.filled + _EPS * max(1.0, filled):
            self._recheck = True  # its fills are still to come
            return
        rest = work.request.amount - work.filled
        if rest >= self.step_of(work.request.symbol) * (1.0 - _EPS) and status == "closed":
            status = "canceled"  # what ccxt says of some orders that were cancelled half-way
        if work.order is not None and status != "closed":
            work.order.addinfo(venue_status=status)
        if self._must_go_on(work, rest):
            broker.go_on(work, rest)
            return
        if broker.taken_away(work, status):
            broker.put_back(work, status)
            return
        broker.finish(work, CLOSED if work.filled and status == "closed" else CANCELED)

    def _must_go_on(self, work: Working, rest: float) -> bool:
        """Whether an exit at market that was under way has left a part of the position open."""
        request = work.request
        under_way = bool(work.child_id) or not request.conditional
        if not (request.reduce_only and request.kind == "market" and under_way):
            return False
        if work.cancel_wanted or rest < self.step_of(request.symbol) * (1.0 - _EPS):
            return False
        held = next(m.state.size for m in self.markets.values() if m.key == request.symbol)
        return held > 0.0 if request.side == "sell" else held < 0.0

    # -- fills -----------------------------------------------------------------------------------

    def _take_trades(self, market: LiveMarket, trades: Iterable[Any]) -> None:
        """Book the fills that are new, in the venue's order; one word for each order in a row."""
        last: Any = None
        new = market.fills.fresh(trades)
        self._recheck = self._recheck or market.fills.behind
        for trade in new:
            work = self._owner_of(trade, market)
            order = work.order if work is not None else self._foreign_order(trade, market)
            if last is not None and (order is None or last.ref != order.ref):
                self._tell_fill(last)
                last = None
            self._book(market, trade, work, order)
            last = order if order is not None else last
        if last is not None:
            self._tell_fill(last)

    def _owner_of(self, trade: Any, market: LiveMarket) -> Working | None:
        ident = str(trade["order"])
        waiting = [w for w in self.working.values() if w.request.symbol == market.key]
        for work in waiting:
            if ident in (work.venue_id, work.child_id):
                return work
        for work in waiting:  # triggered since the orders were listed
            if work.request.conditional and work.fate_known and not work.child_id:
                self.what_became_of(work)
                if ident == work.child_id:
                    return work
        for work in waiting:  # its answer was lost, and here is its fill
            if not work.fate_known:
                broker: Any = self
                broker._ask_fate(work)
                if ident == work.venue_id:
                    return work
        return None

    def _foreign_order(self, trade: Any, market: LiveMarket) -> Any:
        """A record for a fill of an order that nobody here has sent, told to the strategy."""
        broker: Any = self
        why = "somebody else"
        try:
            rules = self.store.rules
            said = rules.fill_client_id(trade)
            if said is None:
                method, args, params = rules.order_call(market.key, str(trade["order"]))
                said = self.store.read(method, *args, **params).get("clientOrderId")
            client_id = str(said or "")
            if self.journal.is_own(client_id):
                return None  # of an earlier run
            why = rules.forced(trade, client_id) or why
        except VenueError as fault:
            logger.warning("%s", fault)
        broker.alert(
            f"{market.key}: {trade['side']} of {trade['amount']:g} at {trade['price']:g} by {why}",
            LIQUIDATION if why in ("liquidation", "adl") else UNKNOWN_AT_VENUE,
        )
        if why in ("liquidation", "adl"):
            broker.liquidations.append({"symbol": market.key, "kind": why, **_plain(trade)})
        owner = market.owner or next(iter(broker.cerebro.runningstrats), None)
        make = BuyOrder if trade["side"] == "buy" else SellOrder
        order = make(
            owner=owner, data=market.data, size=float(trade["amount"]),
            price=float(trade["price"]), exectype=bt.Order.Market,
        )  # fmt: skip
        order.addinfo(reason=why, foreign=True, liquidation=why == "liquidation")
        order.submit(broker)
        order.accept(broker)
        return order

    def _book(self, market: LiveMarket, trade: Any, work: Working | None, order: Any) -> None:
        size, price = float(trade["amount"]), float(trade["price"])
        fee = float((trade.get("fee") or {}).get("cost") or 0.0)
        client_id = None if work is None else work.client_id
        market.fills.take(trade)
        fresh = self.journal.add_fill(
            market.key, str(trade["id"]), client_id, trade["side"], size, price, fee,
            int(trade["timestamp"] or 0),
            "" if work is not None or order is None else str(order.info.get("reason") or ""),
        )  # fmt: skip
        if not fresh:
            return
        self.store.bus.tell(
            "fill", symbol=market.key, side=trade["side"], size=size, price=price, fee=fee
        )
        signed = size if trade["side"] == "buy" else -size
        position = market.position
        entry = position.price
        held, new_entry, closed, opened = position_after_fill(position.size, entry, signed, price)
        if abs(held) < _EPS:
            held, new_entry = 0.0, 0.0
        position.price_orig, position.adjbase = entry, price
        position.size, position.price = held, new_entry
        position.upopened, position.upclosed = opened, closed
        realised = realised_pnl(closed, entry, price)
        for costs in (self.account.costs, market.state.costs):
            costs.fees += fee
            costs.realised += realised
        if work is not None:
            work.filled += size
        if order is not None:
            order.addinfo(fill_bar=_bar_of(market, int(trade["timestamp"] or 0)))
            self._execute(market, order, signed, price, closed, opened, entry, fee, realised)
        if work is not None and work.filled >= work.request.amount * (1.0 - _EPS):
            broker: Any = self
            broker._end(work, CLOSED)

    def _execute(
        self, market: LiveMarket, order: Any, signed: float, price: float, closed: float,
        opened: float, entry: float, fee: float, realised: float,
    ) -> None:  # fmt: skip
        broker: Any = self
        share = abs(closed) / abs(signed)
        # The strategy's size may lie between two steps: what was sent is all there is to fill.
        rest = order.executed.remsize - signed
        if abs(rest) < self.step_of(market.key) * (1.0 - _EPS):
            order.executed.remsize = signed
        info = broker.getcommissioninfo(order.data)
        order.execute(
            market.data.datetime[0], signed, price,
            closed, -closed * entry, fee * share,
            opened, opened * price, fee * (1.0 - share),
            info.margin, realised, market.position.size, market.position.price,
        )  # fmt: skip
        order.addcomminfo(info)
        broker.notify(order)

    def step_of(self, symbol: str) -> float:
        """The step of amounts, base units."""
        return float(self.store.market(symbol)["precision"]["amount"] or 0.0)

    def _tell_fill(self, order: Any) -> None:
        tell = getattr(order.owner, "notify_fill", None)
        if tell is not None:
            tell(order)

    # -- money and positions ---------------------------------------------------------------------

    def _take_account(self, balance: Any, positions: Any) -> None:
        broker: Any = self
        quote = broker.quote
        open_profit = sum(float(p.get("unrealizedPnl") or 0.0) for p in positions)
        money = self.store.rules.money(balance, quote, open_profit)
        broker.equity, broker.free = money.equity, money.free
        self.account.wallet = money.wallet
        by_symbol = {p["symbol"]: p for p in positions if float(p.get("contracts") or 0.0)}
        for market in self.markets.values():
            self._take_position(market, by_symbol.get(market.key))
        for market in self.markets.values():
            market.liquidation = None
            if market.state.size:
                market.liquidation = self.account.liquidation_price(market.key, self.marks)

    def _take_position(self, market: LiveMarket, found: Any) -> None:
        state = market.state
        market.venue = found or {}
        if not found:
            state.size = state.entry = state.margin = 0.0
            if len(market.data):
                self.marks[market.key] = float(market.data.close[0])
            return
        size = float(found["contracts"]) * float(found.get("contractSize") or 1.0)
        state.size = size if found["side"] == "long" else -size
        state.entry = float(found["entryPrice"])
        if found.get("marginMode"):  # else it is what the guard has read
            state.isolated = found["marginMode"] == "isolated"
        self.marks[market.key] = float(found.get("markPrice") or market.data.close[0])
        state.margin = self.store.rules.position_margin(found) if state.isolated else 0.0

    def _compare(self, market: LiveMarket) -> None:
        """Fills and position must say the same; the venue's position wins in the end."""
        broker: Any = self
        if abs(market.position.size - market.state.size) <= _EPS * max(1.0, abs(market.state.size)):
            market.differs_since = 0.0
            return
        now = time.monotonic()
        market.differs_since = market.differs_since or now
        self._recheck = True
        if now - market.differs_since < _PATIENCE_S:
            return
        broker.alert(
            f"{market.key}: the venue holds {market.state.size:g} and the fills say "
            f"{market.position.size:g}; the venue's is taken",
            UNKNOWN_AT_VENUE,
        )
        market.position.size, market.position.price = market.state.size, market.state.entry
        market.differs_since = 0.0


def _bar_of(market: LiveMarket, time_ms: int) -> int:
    """The candle that a fill belongs to, counted from 1: the last one, or the one that forms."""
    data = market.data
    return len(data) + int(bool(len(data)) and time_ms >= data.open_ms() + data.length_ms)


def _plain(trade: Any) -> dict[str, Any]:
    return {k: trade[k] for k in ("side", "amount", "price", "timestamp")}


