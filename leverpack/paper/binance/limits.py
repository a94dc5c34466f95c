"""Rate limits: request weight a minute, orders a minute and in ten seconds, 429 and then 418."""

from __future__ import annotations

import time
from collections.abc import Callable

from leverpack.paper.orders import PaperSettings
from leverpack.paper.refusal import Refusal

BAN_AFTER = 10  # refused requests in one window
BAN_S = 120.0


class Window:
    """Counts what was used in fixed stretches of ``length`` seconds; limit 0: none."""

    def __init__(self, length: float, limit: int) -> None:
        self.length = length
        self.limit = limit
        self.used = 0
        self._number = -1

    def add(self, amount: int, now: float) -> bool:
        """Count ``amount``; whether it is over the limit."""
        number = int(now // self.length)
        if number != self._number:
            self._number, self.used = number, 0
        self.used += amount
        return 0 < self.limit < self.used

    def rest(self, now: float) -> float:
        """Seconds until the count starts anew."""
        return self.length - now % self.length


class Limits:
    """What one client has used; ``spend`` raises 429, and 418 for whoever goes on regardless."""

    def __init__(
        self, settings: PaperSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.weight = Window(60.0, settings.weight_limit)
        self.orders_minute = Window(60.0, settings.order_limit_minute)
        self.orders_10s = Window(10.0, settings.order_limit_10s)
        self._refused = 0
        self._banned_until = 0.0

    def spend(self, weight: int, orders: int = 0) -> None:
        """Count one request; Refusal where it is too much."""
        now = self._clock()
        if now < self._banned_until:
            raise Refusal(-1003, "Way too many requests; IP banned.", status=418)
        over = self.weight.add(weight, now)
        if not over:
            self._refused = 0
        else:
            self._refused += 1
            if self._refused > BAN_AFTER:
                self._banned_until, self._refused = now + BAN_S, 0
            raise Refusal(-1003, limit=self.weight.limit)
        if orders:
            over_10s = self.orders_10s.add(orders, now)
            over_minute = self.orders_minute.add(orders, now)
            if over_10s or over_minute:
                window = self.orders_10s if over_10s else self.orders_minute
                interval = "10 SECOND" if over_10s else "1 MINUTE"
                raise Refusal(-1015, limit=window.limit, interval=interval)

    def headers(self, orders: bool) -> dict[str, str]:
        """The headers that tell the client what it has used."""
        used = {"X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        if orders:
            used["X-MBX-ORDER-COUNT-10S"] = str(self.orders_10s.used)
            used["X-MBX-ORDER-COUNT-1M"] = str(self.orders_minute.used)
        return used

    def retry_after(self) -> int:
        """Seconds that a refused client should wait."""
        now = self._clock()
        return max(1, round(max(self._banned_until - now, self.weight.rest(now))))
