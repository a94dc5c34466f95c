"""CCXTLiveBroker: Backtrader's broker over an exchange account, with the margin broker's face."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import backtrader as bt
from backtrader.order import BuyOrder, SellOrder

from leverpack.backtest.commission import MarginCommission
from leverpack.backtest.face import BrokerFace
from leverpack.errors import SettingError, VenueError, refuse_unknown
from leverpack.live.bus import LEVERAGE_MISMATCH, ORDER_REJECTED
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.guard import LeverageGuard, Reading
from leverpack.live.halting import Halting
from leverpack.live.journal import Journal
from leverpack.live.market import LiveMarket, Working
from leverpack.live.reconcile import reconcile
from leverpack.live.sending import Sending
from leverpack.live.store import CCXTStore
from leverpack.live.syncing import Syncing
from leverpack.margin.account import MarginAccount
from leverpack.margin.profiles import BINANCE_USDM, PROFILES

logger = logging.getLogger("leverpack.live")

_RECHECK_S = 0.25
# Where the ids of fills rise, which is what "each once, in order" stands on.
TRADED = ("binanceusdm",)
ON_UNKNOWN = ("stop", "adopt", "close")


class CCXTLiveBroker(Sending, Syncing, Halting, BrokerFace, bt.BrokerBase):
    """Sends orders to the account of a :class:`CCXTStore` and shows what the venue has.

    ``store``; ``journal`` a path or Journal; ``leverage``, ``margin_mode`` and ``max_leverage``
    what the store's config, then the settings, say where None; ``auto_set_leverage`` False only
    checks; ``on_unknown`` "stop", "adopt" or "close": what happens at the start to orders and
    positions that the journal does not know; ``poll_s`` seconds at most between two looks at the
    account; ``kill_file`` see :class:`Halting`.

    Until the first candle that closes after the start no strategy's ``next`` runs and no order
    leaves. Equity, cash, positions and leverage are the venue's; ``liquidation_price``,
    ``margin_ratio`` and the like are computed here from them, and ``venue_liquidation_price`` and
    ``venue_margin_ratio`` are what the venue itself says. Fills come from the venue's list of
    fills, each once; a strategy's ``notify_fill(order)`` is called as each is booked.
    """

    params = (
        ("store", None),
        ("journal", "leverpack-live.db"),
        ("leverage", None),
        ("margin_mode", None),
        ("max_leverage", None),
        ("auto_set_leverage", None),
        ("on_unknown", "stop"),
        ("poll_s", 15.0),
        ("kill_file", None),
        ("step", 0.0),
    )

    def __init__(self, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        if not isinstance(self.p.store, CCXTStore):
            raise SettingError("CCXTLiveBroker needs store: a CCXTStore")
        if self.p.on_unknown not in ON_UNKNOWN:
            raise SettingError(
                f"on_unknown must be one of {', '.join(ON_UNKNOWN)}, not {self.p.on_unknown!r}"
            )
        if self.p.store.exchange not in TRADED:
            raise SettingError(
                f"CCXTLiveBroker trades on {', '.join(TRADED)} only so far, not on "
                f"{self.p.store.exchange}"
            )
        super().__init__()
        self.store = self.p.store
        self._take_settings()

    def _take_settings(self) -> None:
        p, settings, store = self.p, self.p.store.settings, self.p.store
        if p.margin_mode is None:
            p.margin_mode = store.margin_mode or settings.margin_mode
        if p.max_leverage is None:
            p.max_leverage = settings.max_leverage
        if p.auto_set_leverage is None:
            p.auto_set_leverage = settings.auto_set_leverage
        if p.leverage is None:
            p.leverage = store.leverage or 1.0
        if p.leverage > p.max_leverage:
            raise SettingError(
                f"leverage {p.leverage:g} is above MAX_LEVERAGE ({p.max_leverage:g}); lower it"
            )
        self.guard = LeverageGuard(
            store, margin_mode=p.margin_mode, max_leverage=p.max_leverage,
            may_set=p.auto_set_leverage, note=self._note_reading,
        )  # fmt: skip

    def start(self) -> None:
        """Connect and open the journal: Backtrader calls it before a run."""
        super().start()
        self._opened_store = not self.store.is_open
        self.store.open()
        self.guard.require_venue()
        given = self.p.journal
        self._opened_journal = not isinstance(given, Journal)
        self.journal = Journal(Path(given)) if self._opened_journal else given
        self.profile = PROFILES.get(self.store.exchange, BINANCE_USDM)
        self.account = MarginAccount(0.0, profile=self.profile)
        self.markets: dict[Any, LiveMarket] = {}  # type: ignore[assignment]
        self.marks: dict[str, float] = {}
        self.working: dict[str, Working] = {}
        self._of_ref: dict[int, Working] = {}
        self.rejections: list[dict[str, Any]] = []
        self.liquidations: list[dict[str, Any]] = []
        self.alerts: list[str] = []
        self.equity = self.free = self.startingcash = 0.0
        self.quote = "USDT"
        self.live = False
        self.away = ""
        self._notices: list[Any] = []
        self._minperiods: list[tuple[Any, Any]] = []
        self._begun = self._dirty = self._recheck = self._looking = False
        self._synced = 0.0
        self._start_halting()

    def stop(self) -> None:
        """Let go of journal and store where this broker has opened them."""
        if self._opened_journal:
            self.journal.close()
        if self._opened_store:
            self.store.close()

    # -- the run ---------------------------------------------------------------------------------

    def next(self) -> None:
        """Once a turn of Backtrader's loop: look at candles, switches and the account."""
        if not self._begun:
            self._begin()
        fresh = [m for m in self.markets.values() if m.take_candle()]
        if not self.live and any(m.data.live for m in fresh):
            self._go_live()
        if self.live:
            self._looking = True
            try:
                self._look(fresh)
            finally:
                self._looking = False
        self.end_if_asked()

    @property
    def at_rest(self) -> bool:
        """Whether all that is known to have happened has been taken in."""
        return not (self._dirty or self._recheck or self._looking)

    def _look(self, fresh: list[LiveMarket]) -> None:
        for market in fresh:
            self._note_candle(market)
        ago = time.monotonic() - self._synced
        overdue = ago > (_RECHECK_S if self._recheck else self.p.poll_s)
        if fresh or self._dirty or overdue:
            self.settle_fates()
            self.sync()
        self.watch_switches()
        for market in fresh:
            self._note_margin(market)
        if self._dirty:
            self.wake()

    def _begin(self) -> None:
        """Know the markets, settle their leverage, and reconcile with the journal."""
        self._begun = True
        for data in self.cerebro.datas:
            self.market(data)
        for strategy in self.cerebro.runningstrats:
            # Warm-up: to the strategy the minimum period is not over yet.
            self._minperiods.append((strategy, list(strategy._minperiods)))
            strategy._minperiods = [sys.maxsize] * len(strategy._minperiods)
        reconcile(self, self.p.on_unknown)
        self.startingcash = self.equity
        for market in self.markets.values():
            self._listen(market)

    def _listen(self, market: LiveMarket) -> None:
        if self.store.has("watchOrders"):
            self.store.watch(
                "watch_orders", market.key, tell=lambda orders: self.hint(),
                lost=lambda why: self.hint(),
            )  # fmt: skip

    def _go_live(self) -> None:
        self.live = True
        for strategy, periods in self._minperiods:
            strategy._minperiods = [
                max(period, len(data))
                for period, data in zip(periods, strategy.datas, strict=True)
            ]
        self._minperiods = []
        self.journal.add_event("info", "live")

    def hint(self) -> None:
        """Something has happened at the venue: look soon. May be called from any thread."""
        self._dirty = True
        self.wake()

    def wake(self) -> None:
        """Let Backtrader's loop go round at once."""
        for market in list(self.markets.values()):
            market.data.wake()

    def alert(self, text: str, kind: str) -> None:
        """Say something that a person should know: log, journal, ``alerts``, bus.

        ``kind`` is one of :data:`leverpack.live.bus.ALERT_KINDS`.
        """
        logger.error("%s", text)
        self.alerts.append(text)
        self.journal.add_event("alert", text, kind)
        self.store.bus.tell("alert", kind=kind, text=text)

    # -- markets ---------------------------------------------------------------------------------

    def market(self, data: Any) -> LiveMarket:  # type: ignore[override]
        """The broker's record of one feed, or of the feed that it was resampled from."""
        while isinstance(data, bt.feed.DataClone):
            data = data.p.dataname
        found = self.markets.get(data)
        return found if found is not None else self._new_market(data)

    def _new_market(self, data: Any) -> LiveMarket:
        if not isinstance(data, CCXTDataFeed):
            raise SettingError("CCXTLiveBroker trades on feeds of CCXTDataFeed only")
        info = self.store.market(data.symbol)
        self.quote = info.get("settle") or info["quote"]
        self.comminfo[data._name] = self.comminfo[None] = MarginCommission(
            maker=float(info.get("maker") or 0.0), taker=float(info.get("taker") or 0.0)
        )
        reading = self.guard.read(data.symbol)
        state = self.account.add_position(
            data.symbol, self.guard.tiers(data.symbol), leverage=reading.leverage,
            isolated=reading.margin_mode == "isolated",
        )  # fmt: skip
        market = self.markets[data] = LiveMarket(data, data.symbol, state)
        market.decided = float(self.p.leverage)
        return market

    def objection(self, data: Any) -> str:
        """Why nothing may be opened on a feed now, or ""."""
        if not self.live:
            return "warm-up: no candle has closed since the start"
        if self.halted:
            return f"halted: {self.halt_reason}"
        if self.away:
            return f"the venue is away: {self.away}"
        if self.market(data).data.stale:
            return "the candle stream is silent"
        return ""

    # -- orders ----------------------------------------------------------------------------------

    def buy(self, owner: Any, data: Any, size: float, price: Any = None, plimit: Any = None,
            **kwargs: Any) -> Any:  # fmt: skip
        """As Backtrader's; takes ``reduce_only=True``."""
        return self.submit(_order(BuyOrder, owner, data, size, price, plimit, kwargs))

    def sell(self, owner: Any, data: Any, size: float, price: Any = None, plimit: Any = None,
             **kwargs: Any) -> Any:  # fmt: skip
        """As Backtrader's; takes ``reduce_only=True``."""
        return self.submit(_order(SellOrder, owner, data, size, price, plimit, kwargs))

    def notify(self, order: Any) -> None:
        """Queue a notification for the strategy."""
        self._notices.append(order.clone())

    def get_notification(self) -> Any:
        """The next notification, or None (Backtrader calls it)."""
        return self._notices.pop(0) if self._notices else None

    @property
    def pending(self) -> list[Any]:
        """The orders that may still fill."""
        return [w.order for w in self.working.values() if w.order is not None]

    # -- leverage --------------------------------------------------------------------------------

    def settable_leverage(self, data: Any, leverage: float) -> float:
        """``leverage`` as the venue can take it: rounded down to whole numbers on Binance."""
        return max(1.0, self.guard.settable(leverage))

    def size_step(self, data: Any) -> float:
        """The step of sizes of one feed, base units."""
        return self.step_of(self.market(data).key)

    def set_leverage(self, data: Any, leverage: float) -> float:
        """Set, read back, compare; returns what the venue has, whatever was asked.

        Where that is not ``leverage``, the reason is in ``alerts`` and no order opens.
        """
        market = self.market(data)
        market.decided = float(leverage)
        notional = abs(market.state.size) * self.mark_price(data)
        try:
            self.guard.settle(market.key, market.decided, notional)
        except VenueError as fault:
            self.alert(f"no order leaves: {fault}", LEVERAGE_MISMATCH)
        return market.state.leverage

    def set_margin_mode(self, data: Any, mode: str) -> None:
        """Refused: one mode holds for a live run, and the guard keeps to it."""
        if mode != self.p.margin_mode:
            raise SettingError(
                f"the margin mode of a live run is {self.p.margin_mode}; set margin_mode before it"
            )

    def add_margin(self, data: Any, amount: float) -> None:
        """Move ``amount`` (quote; negative: take out) into an open isolated position's margin."""
        market = self.market(data)
        method = "add_margin" if amount >= 0.0 else "reduce_margin"
        try:
            self.store.write(method, market.key, abs(amount))
        except VenueError as fault:
            self.alert(str(fault), ORDER_REJECTED)
        self.hint()

    def tier_table(self, data: Any) -> Any:
        """The venue's maintenance tiers of today: caps, mmrs, cums, max_leverages."""
        market = self.market(data)
        if not market.state.size:
            market.state.tiers = self.guard.tiers(market.key)
        return market.state.tiers

    def _note_reading(self, symbol: str, reading: Reading) -> None:
        self.journal.add_leverage(symbol, reading.leverage, reading.margin_mode, reading.hedged)
        for market in self.markets.values():
            if market.key == symbol:
                market.state.leverage = reading.leverage
                if not market.state.size:
                    market.state.isolated = reading.margin_mode == "isolated"

    # -- readings --------------------------------------------------------------------------------

    def getposition(self, data: Any) -> Any:
        """Backtrader's Position of one feed, from the fills."""
        return self.market(data).position

    def get_cash(self) -> float:
        """What the venue lets be opened with, quote."""
        return self.free

    getcash = get_cash

    def free_margin(self) -> float:
        """What the venue lets be opened with, quote."""
        return self.free

    def get_value(self, datas: Any = None, mkt: bool = False, lever: bool = False) -> float:
        """Equity at the venue; with ``datas`` the signed notional of those positions."""
        if datas is None:
            return self.equity
        return float(sum(self.getposition(d).size * d.close[0] for d in datas))

    getvalue = get_value

    def venue_liquidation_price(self, data: Any) -> float | None:
        """The liquidation price as the venue itself says it; None when flat or not said."""
        said = self.market(data).venue.get("liquidationPrice")
        return None if said is None else float(said)

    def venue_margin_ratio(self, data: Any) -> float | None:
        """The margin ratio as the venue says it; None when flat or not said."""
        said = self.market(data).venue.get("marginRatio")
        return None if said is None else float(said)

    def trade_records(self) -> list[Any]:
        """Not kept by this broker: the journal has every fill."""
        return []

    # -- the journal -----------------------------------------------------------------------------

    def _note_candle(self, market: LiveMarket) -> None:
        data = market.data
        self.journal.add_candle(
            market.key, data.length, data.open_ms(), *market.mark, float(data.volume[0])
        )

    def _note_margin(self, market: LiveMarket) -> None:
        if not market.state.size:
            return
        data = market.data
        self.journal.add_snapshot(
            data.open_ms(), market.key, self.equity, self.free, market.state.size,
            market.state.entry, self.marks[market.key], market.liquidation,
            self.venue_liquidation_price(data), self.margin_ratio(data),
            self.venue_margin_ratio(data),
        )  # fmt: skip


def _order(
    make: Any, owner: Any, data: Any, size: float, price: Any, plimit: Any, given: dict[str, Any]
) -> Any:
    own = {
        name: given.pop(name) for name in
        ("exectype", "valid", "tradeid", "oco", "trailamount", "trailpercent", "parent", "transmit")
        if name in given
    }  # fmt: skip
    for name in ("histnotify", "_checksubmit"):
        given.pop(name, None)
    order = make(owner=owner, data=data, size=size, price=price, pricelimit=plimit, **own)
    order.addinfo(**given)
    return order
