"""Leverage and margin of a live run: decided here, set and read back at the venue."""

from __future__ import annotations

from typing import Any

from leverpack.errors import SettingError, VenueError
from leverpack.live.bus import LEVERAGE_MISMATCH, ORDER_REJECTED
from leverpack.live.guard import LeverageGuard
from leverpack.live.journal import Journal
from leverpack.live.market import LiveMarket
from leverpack.live.store import CCXTStore


class Leveraging:
    """Layer of CCXTLiveBroker: the margin broker's methods about leverage, on the guard."""

    store: CCXTStore
    guard: LeverageGuard
    journal: Journal
    markets: dict[Any, LiveMarket]
    p: Any

    def settable_leverage(self, data: Any, leverage: float) -> float:
        """``leverage`` as the venue can take it, rounded down to its step."""
        return max(1.0, self.guard.settable(leverage))

    def size_step(self, data: Any) -> float:
        """The step of sizes of one feed, base units."""
        broker: Any = self
        return float(broker.step_of(broker.market(data).key))

    def set_leverage(self, data: Any, leverage: float) -> float:
        """Set, read back, compare; returns what the venue has, whatever was asked.

        Where that is not ``leverage``, the reason is in ``alerts`` and no order opens.
        """
        broker: Any = self
        market: LiveMarket = broker.market(data)
        if market.decided != float(leverage):
            market.decided = float(leverage)
            self._save_decided()
        notional = abs(market.state.size) * broker.mark_price(data)
        try:
            self.guard.settle(market.key, market.decided, notional)
        except VenueError as fault:
            broker.alert(f"no order leaves: {fault}", LEVERAGE_MISMATCH)
        return market.state.leverage

    def _save_decided(self) -> None:
        decided = {m.key: m.decided for m in self.markets.values()}
        self.journal.state("decided").save(decided)

    def set_margin_mode(self, data: Any, mode: str) -> None:
        """Refused: one mode holds for a live run, and the guard keeps to it."""
        if mode != self.p.margin_mode:
            raise SettingError(
                f"the margin mode of a live run is {self.p.margin_mode}; set margin_mode before it"
            )

    def add_margin(self, data: Any, amount: float) -> None:
        """Move ``amount`` (quote; negative: take out) into an open isolated position's margin."""
        broker: Any = self
        market: LiveMarket = broker.market(data)
        method, args, params = self.store.rules.margin_call(self.store.market(market.key), amount)
        try:
            self.store.write(method, *args, **params)
        except VenueError as fault:
            broker.alert(str(fault), ORDER_REJECTED)
        broker.hint()

    def tier_table(self, data: Any) -> Any:
        """The venue's maintenance tiers of today: caps, mmrs, cums, max_leverages."""
        broker: Any = self
        market: LiveMarket = broker.market(data)
        if not market.state.size:
            market.state.tiers = self.guard.tiers(market.key)
        return market.state.tiers
