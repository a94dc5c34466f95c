"""What a live run looks out for between orders: margin, streams, limits, funding, the day."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from leverpack.candles.timeframes import DAY_MS
from leverpack.errors import VenueError
from leverpack.live.bus import (
    DAILY_SUMMARY,
    LEVERAGE_MISMATCH,
    LIMIT_TRIPPED,
    MARGIN_CALL,
    NEAR_LIQUIDATION,
    RESTARTED,
    STREAM_LOST,
    VENUE_AWAY,
)
from leverpack.live.guard import LeverageGuard
from leverpack.live.journal import Journal
from leverpack.live.market import LiveMarket
from leverpack.live.store import CCXTStore
from leverpack.margin.account import MarginAccount
from leverpack.risk.watch import EXIT, distance_share, margin_action

logger = logging.getLogger("leverpack.live")

# From here on liquidation is near: MarginMonitorStrategy leaves at the same two.
NEAR_RATIO, NEAR_SHARE = 0.9, 0.25
_OVER = 0.95  # of its threshold: below that an episode has ended
_HOUR_MS = 3_600_000
_FUNDING, _LEVERAGE = "funding", "leverage"
_NO_FUNDING_S = 60.0  # until the next question, when the answer was that there was none
_EPS = 1e-9


class Watching:
    """Layer of CCXTLiveBroker: tells people once per episode, and counters all the time.

    What costs a request is asked after strategies have decided, so that no order waits for it:
    funding when the wallet has moved and fills do not say why, the leverage of an open position
    once an hour of the venue's candles.
    """

    store: CCXTStore
    journal: Journal
    guard: LeverageGuard
    account: MarginAccount
    markets: dict[Any, LiveMarket]
    marks: dict[str, float]
    equity: float
    away: str
    live: bool

    def _start_watching(self) -> None:
        self._episodes: set[tuple[str, str]] = set()
        self._settled_once: set[str] = set()
        self._alarms_told = 0
        self._refusals_told = 0
        self._hour = self._candle_end = 0
        self._untold = False
        self._errand: set[str] = set()
        self._unexplained: float | None = None  # the wallet less all that is known to move it
        self._ask_funding_at = 0.0
        self._held: set[str] = set()
        self._silent: dict[str, bool] = {}
        self._day: dict[str, Any] = {
            "day": 0, "equity": 0.0, "funding": 0.0, **(self.journal.state("day").load() or {})
        }

    @property
    def daily_profit(self) -> float:
        """Equity now less the first of the UTC day (by the candles), quote."""
        return self.equity - float(self._day["equity"]) if self._day["day"] else 0.0

    @property
    def daily_loss_limit(self) -> float:
        """The smallest ``max_daily_loss`` of the run's strategies, quote; 0.0: none."""
        limits = (book.limits.max_daily_loss for book in self._limit_books())
        return min((limit for limit in limits if limit), default=0.0)

    def decided_leverage(self, data: Any) -> float | None:
        """What was decided for one feed; None for a position whose decision an earlier run took."""
        broker: Any = self
        market: LiveMarket = broker.market(data)
        known = market.key in self._settled_once or not market.state.size
        return market.decided if known else None

    def notice(self, text: str, kind: str) -> None:
        """Tell a person what is no alarm: log, journal, bus."""
        logger.info("%s", text)
        self.journal.add_event("info", text, kind)
        self.store.bus.tell("alert", kind=kind, text=text)

    # -- every turn ------------------------------------------------------------------------------

    def watch_out(self, fresh: Sequence[LiveMarket], *, looked: bool) -> None:
        """Once a turn of Backtrader's loop; ``looked``: the account has been asked for."""
        broker: Any = self
        for market in self.markets.values():
            silent = bool(market.data.stale)
            if silent != self._silent.get(market.key):
                self._silent[market.key] = silent
                self.store.bus.tell("stream", symbol=market.key, stale=silent)
            self._episode(
                STREAM_LOST, market.key, silent, not silent,
                f"{market.key}: the candle stream is silent; candles come by REST, and nothing is "
                "opened until it speaks again",
            )  # fmt: skip
        self._watch_strategies()
        if looked:
            self._settled_once |= self.guard.settled.keys()
            if self.away:  # told by sync
                self._episodes.add((VENUE_AWAY, ""))
            else:
                self._end_episode(VENUE_AWAY, "")
            for market in self.markets.values():
                self._watch_margin(market)
            self._watch_wallet()
        self._untold = self._untold or looked or bool(fresh)
        if fresh:  # the rest waits until strategies have decided
            self._candle_end = max(m.data.open_ms() + m.data.length_ms for m in fresh)
            return
        if self._candle_end:
            now_ms, self._candle_end = self._candle_end, 0
            self._watch_time(now_ms)
        elif self._errand:
            self._run_errand()
        if self._untold:
            self._untold = False
            self.store.bus.tell("looked", broker=broker)

    @property
    def _watching_rests(self) -> bool:
        return not (self._errand or self._candle_end or self._untold)

    def _episode(self, kind: str, symbol: str, begins: bool, ends: bool, text: str) -> None:
        if begins and (kind, symbol) not in self._episodes:
            broker: Any = self
            self._episodes.add((kind, symbol))
            broker.alert(text, kind)
        elif ends:
            self._end_episode(kind, symbol)

    def _end_episode(self, kind: str, symbol: str) -> None:
        if (kind, symbol) in self._episodes:
            self._episodes.remove((kind, symbol))
            self.store.bus.tell("cleared", kind=kind, symbol=symbol)

    # -- margin ----------------------------------------------------------------------------------

    def _watch_margin(self, market: LiveMarket) -> None:
        broker: Any = self
        key, state = market.key, market.state
        ratio = broker.margin_ratio(market.data) if state.size else None
        if ratio is None:
            self._end_episode(MARGIN_CALL, key)
            self._end_episode(NEAR_LIQUIDATION, key)
            return
        self._held.add(key)
        call, mark = broker.call_ratio(market.data), self.marks[key]
        said = f"margin ratio {ratio:.1%} at {mark:,.8g}"
        self._episode(
            MARGIN_CALL, key, ratio >= call, ratio < _OVER * call,
            f"{key}: margin call: {said}; the venue liquidates at 100%",
        )  # fmt: skip
        price, share = market.liquidation, 1.0
        if price:
            first = state.side * (state.entry - price)
            share = distance_share(state.side, mark, price, first)
            said += f", liquidation at {price:,.8g}"
        near = margin_action(ratio, share, call, NEAR_RATIO, NEAR_SHARE, NEAR_SHARE) == EXIT
        over = ratio < _OVER * NEAR_RATIO and share > NEAR_SHARE / _OVER
        self._episode(NEAR_LIQUIDATION, key, near, over, f"{key}: liquidation is near: {said}")

    # -- strategies ------------------------------------------------------------------------------

    def _strategies(self) -> Sequence[Any]:
        broker: Any = self
        return list(broker.cerebro.runningstrats)

    def _limit_books(self) -> list[Any]:
        books = (getattr(s, "limit_book", None) for s in self._strategies())
        return [book for book in books if book is not None]

    def _watch_strategies(self) -> None:
        """Tell of limits that have tripped, and of what strategies did not open."""
        broker: Any = self
        alarms = [a for s in self._strategies() for a in getattr(s, "alarms", ())]
        for alarm in alarms[self._alarms_told :]:
            broker.alert(f"everything is closed: {alarm['reason']}", LIMIT_TRIPPED)
        self._alarms_told = len(alarms)
        refusals = [r for s in self._strategies() for r in getattr(s, "refusals", ())]
        for refusal in refusals[self._refusals_told :]:
            self.store.bus.tell(
                "rejection", symbol=refusal["symbol"], reason=refusal["reason"], kind="strategy"
            )
        self._refusals_told = len(refusals)

    # -- the clock of the candles ----------------------------------------------------------------

    def _watch_time(self, now_ms: int) -> None:
        if now_ms // DAY_MS != self._day["day"]:
            self._turn_day(now_ms // DAY_MS)
        if now_ms // _HOUR_MS != self._hour:
            self._hour = now_ms // _HOUR_MS
            self._go_on_errand(_LEVERAGE)

    def _turn_day(self, day: int) -> None:
        """Say what the day was like that is over, and begin the next."""
        if self._day["day"] and self._day["equity"]:
            self.notice(self._summary(), DAILY_SUMMARY)
        self._day.update(day=day, equity=self.equity, funding=0.0)
        self.journal.state("day").save(self._day)

    def _summary(self) -> str:
        broker: Any = self
        start = int(self._day["day"]) * DAY_MS
        fills = [f for f in self.journal.fills() if start <= f["time_ms"] < start + DAY_MS]
        orders = len({f["client_id"] or f["trade_id"] for f in fills})
        return (
            f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m-%d}: equity "
            f"{self.equity:,.2f} {broker.quote} "
            f"({self.daily_profit:+,.2f}, {self.daily_profit / self._day['equity']:+.2%}), "
            f"orders filled {orders}, fees {sum(f['fee'] for f in fills):,.2f}, "
            f"funding paid {0.0 - self._day['funding']:,.2f}"
        )

    # -- what costs a request --------------------------------------------------------------------

    def _go_on_errand(self, what: str) -> None:
        if self._held:
            broker: Any = self
            self._errand.add(what)
            broker.wake()

    def _watch_wallet(self) -> None:
        """Ask for funding when the wallet has moved and nothing that is known explains it."""
        if any(market.differs_since for market in self.markets.values()):
            return  # a fill is still to come
        if self._unexplained is not None:
            moved = self._unexplained_now() - self._unexplained
            if abs(moved) <= _EPS * max(1.0, abs(self.account.wallet)):
                return
        if self._held and time.monotonic() >= self._ask_funding_at:
            self._go_on_errand(_FUNDING)

    def _unexplained_now(self) -> float:
        return self.account.wallet - self.account.costs.net()

    def _run_errand(self) -> None:
        errand, self._errand = self._errand, set()
        held = [m for m in self.markets.values() if m.key in self._held]
        try:
            if _FUNDING in errand and self.store.has("fetchFundingHistory"):
                found = sum(self._take_funding(market) for market in held)
                first = self._unexplained is None  # asked without a reason
                self._unexplained = self._unexplained_now()
                pause = 0.0 if found or first else _NO_FUNDING_S
                self._ask_funding_at = time.monotonic() + pause
                self._held = {m.key for m in held if m.state.size}
            if _LEVERAGE in errand:
                for market in held:
                    self._compare_leverage(market)
        except VenueError as fault:
            logger.warning("%s", fault)

    def _take_funding(self, market: LiveMarket) -> int:
        """Book the funding since the last time; how many payments there were.

        Cash, paid < 0, as the margin account has it.
        """
        broker: Any = self
        state = self.journal.state(f"funding {market.key}")
        start = market.data.open_ms() + market.data.length_ms - _HOUR_MS
        since = int((state.load() or {}).get("until_ms", start))
        rules = self.store.rules
        method, args, params = rules.funding_call(market.key, since, start + _HOUR_MS)
        rows = self.store.read(method, *args, **params)
        rows = [r for r in rows if int(r["timestamp"]) >= since]
        rates = broker.funding_rates(market.key, [int(r["timestamp"]) for r in rows])
        for row in rows:
            when, amount = int(row["timestamp"]), rules.funding_cash(row)
            ident = str(row.get("id") or when)
            if not self.journal.add_funding(market.key, ident, when, amount, rates.get(when)):
                continue
            for costs in (broker.account.costs, market.state.costs):
                costs.funding += amount
            self._day["funding"] += amount
            self.store.bus.tell("funding", symbol=market.key, amount=amount)
        state.save({"until_ms": max([since, *(int(r["timestamp"]) for r in rows)])})
        if rows:
            self.journal.state("day").save(self._day)
        return len(rows)

    def _compare_leverage(self, market: LiveMarket) -> None:
        """Notice what somebody else has set while a position is open."""
        decided = self.decided_leverage(market.data)
        if decided is None or not market.state.size:
            return
        there = self.guard.read(market.key).leverage
        self._episode(
            LEVERAGE_MISMATCH, market.key, there != decided, there == decided,
            f"{market.key}: a position is open, and the venue has leverage {there:g}x where "
            f"{decided:g}x was decided",
        )  # fmt: skip

    def begin_watching(self) -> None:
        """After reconciling: tell how the account stands."""
        self._tell_restart()
        self.store.bus.tell("looked", broker=self)

    def _tell_restart(self) -> None:
        """Say what was taken over from an earlier run, if anything was."""
        broker: Any = self
        held = [f"{m.position.size:g} {m.key}" for m in self.markets.values() if m.position.size]
        if not held and not broker.working:
            return
        self.notice(
            f"started again: {', '.join(held) or 'nothing'} held and {len(broker.working)} "
            "resting orders taken over",
            RESTARTED,
        )
