"""Stops that stay: what somebody takes away is put back, what has none is named or gets one."""

from __future__ import annotations

import time
from typing import Any

from backtrader import Order

from leverpack.live.bus import ORDER_REJECTED, UNPROTECTED
from leverpack.live.journal import CANCELED, Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.trailing import follow
from leverpack.risk.exits import stop_price, trailing_stop

# A position whose stop is gone has it back within this, while the venue answers: the time until
# the next look, and the requests. A request whose answer is lost adds the store's ``fate_s``.
UNPROTECTED_S = 8.0
WATCH_S = 5.0  # between two looks at the account while something is held
GUARDS = ("floor", "protect")  # stops that this broker rests of itself
_SAME = 1e-9


class Protecting:
    """Layer of CCXTLiveBroker: sees to it that the stops of a position rest at the venue."""

    journal: Journal
    markets: dict[Any, LiveMarket]
    working: dict[str, Working]
    p: Any

    # -- what is there ---------------------------------------------------------------------------

    def closes_only(self, work: Working) -> bool:
        """Whether an order can but close what is held now: reduce-only, or no larger than that."""
        request = work.request
        if request.reduce_only:
            return True
        held = next(
            (m.position.size for m in self.markets.values() if m.key == request.symbol), 0.0
        )
        against = held > 0.0 if request.side == "sell" else held < 0.0
        rest = request.amount - work.filled
        return bool(against and rest <= abs(held) * (1.0 + _SAME))

    def protected(self, market: LiveMarket) -> float:
        """Base units of the position that stops at the venue would close."""
        return sum(
            w.request.amount - w.filled for w in self.working.values()
            if w.request.symbol == market.key and w.request.conditional and not w.turned_away
            and self.closes_only(w)
        )  # fmt: skip

    def is_bare(self, market: LiveMarket) -> bool:
        """Whether a part of the position has no stop at the venue."""
        held = float(abs(market.position.size))
        return held > 0.0 and self.protected(market) < held * (1.0 - _SAME)

    # -- what was taken away ---------------------------------------------------------------------

    def taken_away(self, work: Working, status: str) -> bool:
        """Whether an exit has ended at the venue without anybody here having wanted it.

        Decided when fills and position agree: until then the next look has to tell.
        """
        request = work.request
        if not request.reduce_only or work.cancel_wanted or status == "closed":
            return False
        if not request.conditional and request.kind == "market":
            return False
        broker: Any = self
        market = next(m for m in self.markets.values() if m.key == request.symbol)
        rest = request.amount - work.filled
        if rest < broker.step_of(market.key) * (1.0 - _SAME):
            return False
        side = _side_of(work)
        return bool(market.position.size * side > 0.0 and market.state.size * side > 0.0)

    def put_back(self, work: Working, status: str) -> None:
        """Rest an exit again that was taken away, for what is left of it."""
        broker: Any = self
        request = work.request
        rest = broker.store.amount(request.symbol, (request.amount - work.filled) * (1.0 + _SAME))
        what = "a stop" if request.conditional else "a target"
        broker.alert(
            f"{request.symbol}: {what} of {rest:g} was taken away at the venue ({status}); it is "
            "put back",
            UNPROTECTED if request.conditional else ORDER_REJECTED,
        )
        broker._end(work, CANCELED, f"taken away at the venue: {status}")
        request.amount = rest
        if work.order is not None and work.trails and work.best and not request.followed:
            # The venue would trail from the price of now: what was reached already is kept.
            self._guard(
                work.order.data, "floor",
                trailing_stop(_side_of(work), work.best, work.trails, 0.0), rest,
            )  # fmt: skip
        broker._instead(work, request)

    def _guard(self, data: Any, tag: str, price: float, size: float) -> None:
        broker: Any = self
        market = broker.market(data)
        leave = broker.sell if market.position.size > 0.0 else broker.buy
        owner = market.owner or next(iter(broker.cerebro.runningstrats), None)
        leave(owner, data, size, price, exectype=Order.Stop, reduce_only=True, tag=tag)

    # -- what has no stop ------------------------------------------------------------------------

    def protect_bare(self, market: LiveMarket) -> None:
        """Name what no stop protects, and rest one where ``protect`` says how far from the entry.

        A guard whose price the market has passed already closes at once.
        """
        broker: Any = self
        held = market.position.size
        bare = abs(held) - self.protected(market)
        side = 1.0 if held > 0.0 else -1.0
        entry = market.position.price or market.state.entry
        price = stop_price(side, entry, entry * self.p.protect)
        told = f"; one is rested at {price:g} now" if self.p.protect else ""
        broker.alert(
            f"{market.key}: {held:g} is held and stops rest for {abs(held) - bare:g} only{told}",
            UNPROTECTED,
        )
        if self.p.protect:
            self._guard(market.data, "protect", price, bare)

    def watch_stops(self) -> None:
        """After a look at the account: nothing that had a stop, or must have one, stays without.

        Guards of this broker's own go with their position.
        """
        for market in self.markets.values():
            held = market.position.size
            if not held:
                market.was_covered, market.bare_since = False, 0.0
                if not market.state.size:
                    self._drop_guards(market)
                continue
            if not self.is_bare(market):
                market.was_covered, market.bare_since = True, 0.0
                continue
            if market.bare_named or not (market.was_covered or self.p.protect):
                continue
            now = time.monotonic()
            market.bare_since = market.bare_since or now
            if now - market.bare_since >= UNPROTECTED_S:
                market.bare_named = True
                self.protect_bare(market)
        for market in self.markets.values():
            if not self.is_bare(market):
                market.bare_named = False

    def _drop_guards(self, market: LiveMarket) -> None:
        broker: Any = self
        for work in list(self.working.values()):
            guards = work.order is not None and work.order.info.get("tag") in GUARDS
            if guards and work.request.symbol == market.key and not work.cancel_wanted:
                broker.cancel(work.order)

    # -- trails ----------------------------------------------------------------------------------

    def follow_trails(self, fresh: list[LiveMarket]) -> None:
        """Note how far the candles have carried each trailing stop, over restarts too.

        Of an order's first candle only the close counts: its extreme may be older than the order.
        """
        by_symbol = {m.key: m for m in fresh}
        moved = False
        for work in list(self.working.values()):
            market = by_symbol.get(work.request.symbol)
            if market is None or not work.trails:
                continue
            _, high, low, close = market.mark
            best = close
            if work.best:
                best = max(work.best, high) if _side_of(work) > 0.0 else min(work.best, low)
            moved = moved or best != work.best
            work.best = best
            if work.request.followed:
                follow(self, work, _side_of(work), close)
        if moved:
            trails = {w.client_id: w.best for w in self.working.values() if w.trails and w.best}
            self.journal.state("trails").save(trails)


def _side_of(work: Working) -> float:
    """The side of the position that an exit closes: +1.0 long, -1.0 short."""
    return 1.0 if work.request.side == "sell" else -1.0
