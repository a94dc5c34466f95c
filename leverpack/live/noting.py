"""What a live run writes down for others to read: the account by candle, and how it stands now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from leverpack.errors import DataError, VenueError
from leverpack.live.guard import Reading
from leverpack.live.journal import Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.requests import trigger_in
from leverpack.live.store import CCXTStore
from leverpack.margin.account import MarginAccount
from leverpack.margin.position import initial_margin_required
from leverpack.result import TradeRecord

logger = logging.getLogger("leverpack.live")

NOW = "now"  # the journal's record of how the run stands
PULSE_S = 1.0  # at most so often while things change
STILL_S = 5.0  # and so often while they do not, so that a reader sees the run alive
_RATE_WITHIN_MS = 60_000


class Noting:
    """Layer of CCXTLiveBroker: readings for the report, the page and the audit.

    They are taken when a candle has closed and written in the next turn without one, in one
    transaction: no order waits for the disk because of them.
    """

    store: CCXTStore
    journal: Journal
    account: MarginAccount
    markets: dict[Any, LiveMarket]
    marks: dict[str, float]
    working: dict[str, Working]
    equity: float
    free: float

    def _start_noting(self) -> None:
        self._unwritten: list[Callable[[], object]] = []
        self._pulsed = -STILL_S
        self._stood: dict[str, Any] = {}

    def note_run(self) -> None:
        """Write what this run is, once it knows its markets."""
        broker: Any = self
        strategies = list(broker.cerebro.runningstrats)
        first = next(iter(self.markets.values()), None)
        self.journal.describe({
            "strategy": ", ".join(type(s).__name__ for s in strategies),
            "params": {k: v for s in strategies for k, v in s.params._getkwargs().items()
                       if isinstance(v, (bool, int, float, str, type(None)))},
            "symbols": [m.key for m in self.markets.values()],
            "timeframe": None if first is None else first.data.length,
            "venue": self.store.exchange,
            "real_money": self.store.trades_real_money,
            "store": repr(self.store),
            "leverage": next((float(s.p.leverage) for s in strategies
                              if getattr(s.p, "leverage", None)), broker.p.leverage),
            "margin_mode": broker.p.margin_mode,
            "cash": self.equity,
            "quote": broker.quote,
        })  # fmt: skip

    def note_reading(self, symbol: str, reading: Reading) -> None:
        """Write and take in what the venue was read to have for a symbol."""
        self.journal.add_leverage(symbol, reading.leverage, reading.margin_mode, reading.hedged)
        self.store.bus.tell("leverage", symbol=symbol, leverage=reading.leverage)
        for market in self.markets.values():
            if market.key == symbol:
                market.state.leverage = reading.leverage
                market.state.isolated = reading.margin_mode == "isolated"

    # -- by candle -------------------------------------------------------------------------------

    def note_candle(self, market: LiveMarket) -> None:
        """Take a candle that has closed, and tell of it."""
        data = market.data
        self._unwritten.append(partial(
            self.journal.add_candle, market.key, data.length, data.open_ms(), *market.mark,
            float(data.volume[0]),
        ))  # fmt: skip
        closed_ms = data.open_ms() + data.length_ms
        self.store.bus.tell(
            "candle", symbol=market.key, length_s=data.length_ms / 1000.0,
            lag_s=self.store.seconds_since(closed_ms),
        )  # fmt: skip

    def note_account(self, fresh: Sequence[LiveMarket]) -> None:
        """Take the readings of the candles that have just closed; they are written later."""
        add = self._unwritten.append
        add(partial(self.journal.add_account, **self._account_row(fresh)))
        for market in fresh:
            if market.state.size:
                add(partial(self.journal.add_snapshot, **self._position_row(market)))

    def _account_row(self, fresh: Sequence[LiveMarket]) -> dict[str, Any]:
        broker: Any = self
        return {
            "time_ms": max(m.data.open_ms() for m in fresh),
            "equity": self.equity,
            "wallet": self.account.wallet,
            "free_margin": self.free,
            "used_margin": broker.used_margin(),
            "unrealised": broker.unrealised(),
            "maintenance": self.account.maintenance(self.marks),
            "margin_ratio": broker.margin_ratio(),
            "worst_margin_ratio": broker.worst_margin_ratio(),
            "margin_level": broker.margin_level(),
            "effective_leverage": broker.effective_leverage(),
            "decided_leverage": self._decided(),
            "call_ratio": broker.call_ratio(),
            "liquidating_move": broker.liquidating_move(),
            # A candle that has ended a position has come near it all the same.
            "nearest": min((m.candle_nearest for m in fresh if m.candle_nearest is not None),
                           default=None),
            "open_orders": len(self.working),
            "stream_age_s": self._stream_age(),
        }

    def _decided(self) -> float | None:
        """Notional over the initial margin that the decided leverages ask for it; None flat."""
        notional = margin = 0.0
        for m in self.markets.values():
            if m.state.size:
                mark = self.marks[m.key]
                notional += abs(m.state.size) * mark
                margin += initial_margin_required(m.state.size, mark, m.decided)
        return notional / margin if margin else None

    def _stream_age(self) -> float | None:
        """Seconds since the candle stream that has been silent longest has spoken."""
        now = time.monotonic()
        ages = [now - m.data.source.heard for m in self.markets.values()
                if m.data.source is not None]  # fmt: skip
        return max(ages, default=None)

    def _position_row(self, market: LiveMarket) -> dict[str, Any]:
        broker: Any = self
        return {
            "time_ms": market.data.open_ms(),
            "equity": self.equity,
            "free": self.free,
            "worst_margin_ratio": self._worst_ratio(market),
            "nearest": market.candle_nearest,
            **broker.reading(market.data),
        }

    def _worst_ratio(self, market: LiveMarket) -> float | None:
        """The margin ratio of one position at the candle's worst price for it."""
        worst = market.mark[2] if market.state.size > 0.0 else market.mark[1]
        return self.account.margin_ratio({**self.marks, market.key: worst}, market.key)

    def venue_liquidation_price(self, data: Any) -> float | None:
        """The liquidation price as the venue itself says it; None when flat or not said."""
        broker: Any = self
        said = broker.market(data).venue.get("liquidationPrice")
        return None if said is None else float(said)

    def venue_margin_ratio(self, data: Any) -> float | None:
        """The margin ratio as the venue says it; None when flat or not said."""
        broker: Any = self
        said = broker.market(data).venue.get("marginRatio")
        return None if said is None else float(said)

    def reading(self, data: Any) -> dict[str, Any]:
        """One position as it stands, ours beside the venue's: size, prices, ratios, leverage."""
        broker: Any = self
        market: LiveMarket = broker.market(data)
        held = bool(market.state.size)
        return {
            "symbol": market.key,
            "size": market.state.size,
            "entry": market.state.entry,
            "mark": broker.mark_price(data),
            "liquidation": market.liquidation,
            "venue_liquidation": broker.venue_liquidation_price(data),
            "margin_ratio": broker.margin_ratio(data) if held else None,
            "venue_margin_ratio": broker.venue_margin_ratio(data),
            "leverage": market.state.leverage,
            "decided": market.decided,
        }

    # -- now -------------------------------------------------------------------------------------

    def write_down(self, *, idle: bool) -> None:
        """Write what was taken, in a turn without a candle or when a second candle has come."""
        if self._unwritten and (idle or len(self._unwritten) > 2 * len(self.markets) + 2):
            rows, self._unwritten = self._unwritten, []
            with self.journal.together():
                for write in rows:
                    write()
        # While the disk is full nobody could read it, and what waits for the disk would pile up.
        if idle and not self.journal.fault and time.monotonic() - self._pulsed >= PULSE_S:
            self._pulse()

    def _pulse(self, *, ended: bool = False) -> None:
        """Write how the run stands, where that has changed or nothing was written for long."""
        stands = self.standing() | {"ended": ended}
        now = time.monotonic()
        if stands == self._stood and now - self._pulsed < STILL_S:
            return
        self._stood, self._pulsed = stands, now
        said = {"time_ms": time.time_ns() // 1_000_000, **stands}
        self.journal.state(NOW).save(said)

    def end_noting(self) -> None:
        """Write what is still to be written, and that the run has ended; never raises."""
        if not hasattr(self, "_unwritten") or not self.markets:
            return
        with suppress(DataError, VenueError):
            self.write_down(idle=True)
            self._pulse(ended=True)

    def standing(self) -> dict[str, Any]:
        """The run as it stands, as plain values: account, positions, orders, feeds, halt."""
        broker: Any = self
        return {
            "run": self.journal.run,
            "live": broker.live,
            "away": broker.away,
            "halted": broker.halted,
            "halt_reason": broker.halt_reason,
            "equity": self.equity,
            "wallet": self.account.wallet,
            "free_margin": self.free,
            "used_margin": broker.used_margin(),
            "unrealised": broker.unrealised(),
            "margin_ratio": broker.margin_ratio(),
            "call_ratio": broker.call_ratio(),
            "effective_leverage": broker.effective_leverage(),
            "fees": self.account.costs.fees,
            "funding": self.account.costs.funding,
            "day_profit": broker.daily_profit,
            "positions": [
                broker.reading(m.data) | {"unrealised": m.state.unrealised(self.marks[m.key]),
                                          "isolated": m.state.isolated}
                for m in self.markets.values() if m.state.size
            ],
            "orders": [_order_row(w) for w in self.working.values()],
            "feeds": [
                {"symbol": m.key, "timeframe": m.data.length, "stale": bool(m.data.stale),
                 "candle_ms": m.data.open_ms() if len(m.data) else None, "close": m.mark[3]}
                for m in self.markets.values()
            ],
        }  # fmt: skip

    # -- what the journal knows ------------------------------------------------------------------

    def trade_records(self) -> list[TradeRecord]:
        """The positions that were closed in this run, from flat to flat, from the journal."""
        from leverpack.live.trades import replayed

        return replayed(self.journal).closed_in(self.journal.run)

    def funding_rates(self, symbol: str, times: Sequence[int]) -> dict[int, float]:
        """The rates that were settled at ``times`` (epoch ms), as far as the venue tells them."""
        if not times or not self.store.has("fetchFundingRateHistory"):
            return {}
        try:
            rows = self.store.read(
                "fetch_funding_rate_history", symbol, min(times) - _RATE_WITHIN_MS, 100
            )
        except VenueError as fault:
            logger.info("%s", fault)
            return {}
        found = {}
        for at in times:
            near = [r for r in rows if abs(int(r["timestamp"]) - at) <= _RATE_WITHIN_MS]
            if near:
                found[at] = float(near[0]["fundingRate"])
        return found


def _order_row(work: Working) -> dict[str, Any]:
    request = work.request
    tag = "" if work.order is None else str(work.order.info.get("tag") or "")
    return {
        "client_id": work.client_id, "symbol": request.symbol, "side": request.side,
        "kind": request.kind, "amount": request.amount, "filled": work.filled,
        "price": request.price, "trigger": trigger_in(request.params), "tag": tag,
        "conditional": request.conditional, "reduce_only": request.reduce_only,
        "known": work.fate_known,
    }  # fmt: skip
