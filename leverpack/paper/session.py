"""One running paper exchange: exchange, protocol, streams, faults and clock put together."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from leverpack.errors import SettingError
from leverpack.margin.tiers import TierTable, next_maintenance_amount
from leverpack.paper.binance.market import sides
from leverpack.paper.binance.marketfeed import MarketFeed
from leverpack.paper.binance.userfeed import UserFeed
from leverpack.paper.binance.venue import Venue
from leverpack.paper.bybit.feeds import BybitFeeds
from leverpack.paper.exchange import Exchange
from leverpack.paper.faults import Fault, Faults
from leverpack.paper.hub import Hub
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape

PAGE_LEVELS = 5
_MOST_PATHS = 1_000


class Session:
    """An exchange with a Binance face; ``speed`` times real time, 0.0 is lock-step."""

    def __init__(self, exchange: Exchange, *, speed: float = 0.0) -> None:
        if speed < 0.0:
            raise SettingError(f"speed must not be negative, not {speed:g}")
        self.exchange = exchange
        self.speed = speed
        self.venue = Venue(exchange, lock_step=speed == 0.0)
        self.hub = Hub()
        self.requests: Counter[str] = Counter()  # by method and path, those of the protocol
        self.user_feed = UserFeed(self.venue, self.hub)
        self.market_feed = MarketFeed(self.venue, self.hub)
        self.bybit_feeds = BybitFeeds(self.venue, self.hub)
        self.faults = Faults(self.act, exchange.settings.seed)
        self._first = next(iter(exchange.tapes.values()))
        self.faults.candle = self._first.at + 1
        exchange.market_listeners.append(self._candle)
        self.start_clock()

    def count(self, method: str, path: str) -> None:
        """Count a request, unless somebody makes up paths without end."""
        name = f"{method} {path}"
        if name in self.requests or len(self.requests) < _MOST_PATHS:
            self.requests[name] += 1

    def _candle(self, tape: Tape, what: str) -> None:
        if what == "opened" and tape is self._first:
            self.faults.candle_opened(tape.at + 1)

    # -- the clock -------------------------------------------------------------------------------

    def start_clock(self) -> None:
        """From now on the replay runs on from where it stands (no effect in lock-step)."""
        self._replay_from, self._wall_from = self.exchange.now, time.monotonic()

    def step(self, candles: int) -> int:
        """Play candles in lock-step; how many there were."""
        if self.speed:
            raise SettingError(f"the replay runs at speed {self.speed:g}; start it with speed 0")
        done = 0
        while done < candles and self.exchange.step():
            done += 1
            self.venue.run_countdowns()
        return done

    def tick(self) -> None:
        """Play on to where the machine's clock says."""
        if self.speed and not self.exchange.finished:
            passed = (time.monotonic() - self._wall_from) * 1000.0 * self.speed
            self.exchange.advance(self._replay_from + round(passed))
        self.venue.run_countdowns()

    # -- what breaks -----------------------------------------------------------------------------

    def act(self, fault: Fault) -> None:
        """Let an event of the faults happen."""
        getattr(self, f"_do_{fault.kind}")(fault)

    def _symbol(self, fault: Fault) -> str:
        symbol = fault.symbol or self._first.instrument.symbol
        if symbol not in self.exchange.tapes:
            raise SettingError(f"fault {fault.kind}: no contract {symbol}")
        return symbol

    def _do_ws_drop(self, fault: Fault) -> None:
        for listener in list(self.hub.listeners):
            listener.close()

    def _do_ws_half_open(self, fault: Fault) -> None:
        for listener in self.hub.listeners:
            listener.muted = True

    def _do_ws_duplicate(self, fault: Fault) -> None:
        for listener in self.hub.listeners:
            listener.doubled += fault.count

    def _do_ws_reorder(self, fault: Fault) -> None:
        for listener in self.hub.listeners:
            listener.swapped += fault.count

    def _do_listen_key_expired(self, fault: Fault) -> None:
        self.venue.drop_listen_key()

    def _do_clock_skew(self, fault: Fault) -> None:
        self.venue.skew_ms = fault.ms

    def _do_partial_fill(self, fault: Fault) -> None:
        """The next order fills in part, and the user stream says nothing of it."""
        self.exchange.fill_share = fault.share
        self.user_feed.silence_fills(fault.count)
        self.bybit_feeds.silence_fills(fault.count)

    def _do_leverage_stays(self, fault: Fault) -> None:
        self.venue.leverage_stays[fault.symbol and self._symbol(fault)] += fault.count

    def _do_adl(self, fault: Fault) -> None:
        """The venue closes positions to cover somebody else's loss."""
        self._do_closed_elsewhere(fault, "adl_autoclose")

    def _do_closed_elsewhere(self, fault: Fault, sign: str = "web_") -> None:
        try:
            self.exchange.close_elsewhere(self._symbol(fault), sign)
        except Refusal as refusal:
            raise SettingError(f"fault {fault.kind}: {refusal}") from refusal

    def _do_tier_change(self, fault: Fault) -> None:
        table = self.exchange.books.position(self._symbol(fault)).tiers
        self.exchange.change_tiers(harder(table, fault.factor))

    def _do_funding_interval(self, fault: Fault) -> None:
        if not 1 <= fault.hours <= 24:
            raise SettingError(f"hours of {fault.kind} must lie in 1..24, not {fault.hours}")
        self.exchange.tapes[self._symbol(fault)].settle_every(fault.hours)

    # -- what the page and the tests look at -----------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The state in brief, as plain values."""
        exchange, shapes = self.exchange, self.venue.shapes
        account = exchange.books.account
        ratio = account.margin_ratio(exchange.books.marks)
        return {
            "now": exchange.now,
            "finished": exchange.finished,
            "speed": self.speed,
            "candle": self.faults.candle,
            "symbols": {
                s: {"last": exchange.last(s), "mark": exchange.books.marks[s],
                    "candles": len(t), "played": t.at + 1}
                for s, t in exchange.tapes.items()
            },
            "book": sides(self.venue, self._first.instrument.symbol, PAGE_LEVELS),
            "account": self.venue.shapes.totals() | {"deposits": account.deposits},
            "margin_ratio": ratio,
            "costs": {
                name: getattr(account.costs, name) for name in
                ("realised", "fees", "funding", "liquidation_fees", "insurance")
            },
            "positions": [
                shapes.risk_v2(k) for s in exchange.tapes for k in exchange.books.held(s)
            ],
            "orders": [shapes.order(o) for o in exchange.desk.orders.all_open()],
            "algos": [shapes.algo(a) for a in exchange.desk.algos.all_open()],
            "liquidations": len(exchange.forced),
            "listeners": len(self.hub.listeners),
            "faults": self.faults.listed(),
        }  # fmt: skip


def harder(table: TierTable, factor: float) -> TierTable:
    """The same tiers with ``factor`` times the maintenance rates and leverages through it."""
    if not factor >= 1.0:
        raise SettingError(f"factor of tier_change must be 1 or more, not {factor:g}")
    rates = tuple(min(0.99, rate * factor) for rate in table.mmrs)
    cums = [0.0]
    for i in range(1, len(rates)):
        cums.append(next_maintenance_amount(cums[-1], table.floors[i], rates[i - 1], rates[i]))
    leverages = tuple(max(1.0, float(int(x / factor))) for x in table.max_leverages)
    return replace(table, mmrs=rates, cums=tuple(cums), max_leverages=leverages)
