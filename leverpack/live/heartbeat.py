"""Countdown cancel-all: entries that nobody looks after any more are cancelled by the venue."""

from __future__ import annotations

import logging
import time
from typing import Any

from leverpack.errors import SettingError, VenueError
from leverpack.live.market import LiveMarket, Working
from leverpack.live.store import CCXTStore

logger = logging.getLogger("leverpack.live")

LEAST_S = 10.0


class Heartbeat:
    """Layer of CCXTLiveBroker: renews the venue's countdown while only entries rest on a market.

    At its end the venue cancels all orders of a market, and stops may be among them: it runs only
    while nothing is held there and no exit rests, and is taken back as soon as that changes.
    """

    store: CCXTStore
    markets: dict[Any, LiveMarket]
    working: dict[str, Working]
    p: Any

    def _start_heartbeat(self) -> None:
        self._beaten: dict[str, float] = {}  # when the countdown of a market was set last

    def _check_countdown(self) -> None:
        length, store = float(self.p.countdown_s), self.p.store
        if not length:
            return
        if not length >= LEAST_S:
            raise SettingError(f"countdown_s is 0 or at least {LEAST_S:g} s, not {length:g}")
        if store.rules.countdown_call({}, 0) is None:
            raise SettingError(
                f"{store.exchange} has no countdown for one market alone; leave countdown_s at 0"
            )

    def beat(self) -> None:
        """Set, renew or take back the countdowns; once a turn of the loop."""
        if not self.p.countdown_s:
            return
        now = time.monotonic()
        for market in self.markets.values():
            since = self._beaten.get(market.key)
            if not self._only_entries(market):
                if since is not None:
                    self._set_countdown(market, 0.0)
            elif since is None or now - since >= self.p.countdown_s / 3.0:
                self._set_countdown(market, float(self.p.countdown_s))

    def _only_entries(self, market: LiveMarket) -> bool:
        broker: Any = self
        works = [w for w in self.working.values() if w.request.symbol == market.key]
        held = market.position.size or market.state.size
        return bool(works) and not held and not any(broker.closes_only(w) for w in works)

    def _set_countdown(self, market: LiveMarket, seconds: float) -> None:
        broker: Any = self
        call = broker.store.rules.countdown_call(self.store.market(market.key), seconds)
        try:
            self.store.write(call[0], *call[1], **call[2])
        except VenueError as fault:  # once more in the next turn
            logger.warning("%s", fault)
            return
        if seconds:
            self._beaten[market.key] = time.monotonic()
        else:
            self._beaten.pop(market.key, None)
