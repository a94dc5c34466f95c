"""CCXTLiveBroker: Backtrader's broker over an exchange account, with the margin broker's face."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import backtrader as bt
from backtrader.order import BuyOrder, SellOrder

from leverpack.backtest.commission import MarginCommission
from leverpack.backtest.face import BrokerFace
from leverpack.errors import SettingError, refuse_unknown
from leverpack.live.bus import JOURNAL_FAILED
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.guard import LeverageGuard
from leverpack.live.halting import Halting
from leverpack.live.heartbeat import Heartbeat
from leverpack.live.journal import Journal
from leverpack.live.leveraging import Leveraging
from leverpack.live.linking import Linking
from leverpack.live.market import LiveMarket, Working
from leverpack.live.noting import Noting
from leverpack.live.protecting import WATCH_S, Protecting
from leverpack.live.reconcile import reconcile
from leverpack.live.rights import check_rights
from leverpack.live.sending import Sending
from leverpack.live.store import CCXTStore
from leverpack.live.syncing import Syncing
from leverpack.live.venues import require_traded
from leverpack.live.watching import Watching
from leverpack.margin.account import MarginAccount
from leverpack.margin.profiles import BINANCE_USDM, PROFILES

logger = logging.getLogger("leverpack.live")

_RECHECK_S = 0.25
ON_UNKNOWN = ("stop", "adopt", "close")


class CCXTLiveBroker(
    Sending, Linking, Syncing, Protecting, Halting, Heartbeat, Leveraging, Watching, Noting,
    BrokerFace, bt.BrokerBase,
):
    """Sends orders to the account of a :class:`CCXTStore` and shows what the venue has.

    ``store``; ``journal`` a path or Journal; ``leverage``, ``margin_mode`` and ``max_leverage``
    what the store's config, then the settings, say where None; ``auto_set_leverage`` False only
    checks; ``on_unknown`` "stop", "adopt" or "close": what happens at the start to orders and
    positions that the journal does not know; ``poll_s`` seconds at most between two looks at the
    account, 5 while something is held; ``kill_file`` see :class:`Halting`. A stop that somebody
    takes away at the venue is put back; ``protect`` (a fraction of the entry price; 0: none) is
    how far away a stop is rested for a position that has none, such as one that was adopted.
    ``countdown_s`` (0: none; see :class:`Heartbeat`) is after how many seconds without this run
    the venue cancels entries that rest.

    Until the first candle that closes after the start no strategy's ``next`` runs and no order
    leaves. Equity, cash, positions and leverage are the venue's; ``liquidation_price``,
    ``margin_ratio`` and the like are computed here from them, and ``venue_liquidation_price`` and
    ``venue_margin_ratio`` are what the venue itself says. Fills come from the venue's list of
    fills, each once; a strategy's ``notify_fill(order)`` is called as each is booked.
    """

    params = (
        ("store", None),
        ("mode", "live"),
        ("journal", "leverpack-live.db"),
        ("leverage", None),
        ("margin_mode", None),
        ("max_leverage", None),
        ("auto_set_leverage", None),
        ("on_unknown", "stop"),
        ("poll_s", 15.0),
        ("kill_file", None),
        ("protect", 0.0),
        ("countdown_s", 0.0),
        ("step", 0.0),
    )

    def __init__(self, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        if not isinstance(self.p.store, CCXTStore):
            raise SettingError("CCXTLiveBroker needs store: a CCXTStore")
        if self.p.mode != "live":
            raise SettingError(
                f"mode of CCXTLiveBroker is live, not {self.p.mode!r}; on paper trades "
                "CCXTPaperBroker(store=...)"
            )
        if self.p.on_unknown not in ON_UNKNOWN:
            raise SettingError(
                f"on_unknown must be one of {', '.join(ON_UNKNOWN)}, not {self.p.on_unknown!r}"
            )
        require_traded(self.p.store.rules)
        if not 0.0 <= self.p.protect < 1.0:
            raise SettingError(f"protect is a fraction below 1, not {self.p.protect!r}")
        self._check_countdown()
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
            may_set=p.auto_set_leverage, note=self.note_reading,
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
        self._disk_told = False
        self._begun = self._dirty = self._recheck = self._looking = False
        self._synced = 0.0
        self._start_linking()
        self._start_heartbeat()
        self._start_halting()
        self._start_watching()
        self._start_noting()
        check_rights(self)

    def stop(self) -> None:
        """Let go of journal and store where this broker has opened them."""
        self.end_noting()
        if self._opened_journal:
            self.journal.close()
        if self._opened_store:
            self.store.close()

    # -- the run ---------------------------------------------------------------------------------

    def next(self) -> None:
        """Once a turn of Backtrader's loop: look at candles, switches and the account."""
        if self._ending:
            self.end_if_asked()
            return
        if not self._begun:
            if not self._may_begin():
                return
            self._begin()
        fresh = [m for m in self.markets.values() if m.take_candle()]
        if not self.live and any(m.data.live for m in fresh):
            self._go_live()
        if self.live:
            self._looking = True
            try:
                looked = self._look(fresh)
                self._watch_journal()
                self.watch_out(fresh, looked=looked)
                self.write_down(idle=not fresh)
            finally:
                self._looking = False
        elif not fresh:  # until the first candle closes, what is held is looked after all the same
            self.watch_out([], looked=self._look([]))
        self.end_if_asked()
        self.store.bus.tell("turn")

    @property
    def reconciled(self) -> bool:
        """Whether the run knows its account."""
        return self._begun

    @property
    def at_rest(self) -> bool:
        """Whether all that is known to have happened has been taken in."""
        return self._watching_rests and not (
            self._dirty or self._recheck or self._looking or self._unwritten
        )

    def _look(self, fresh: list[LiveMarket]) -> bool:
        """Take in candles and, where it is time, the account; whether that was asked for."""
        for market in fresh:
            self.note_candle(market)
        ago = time.monotonic() - self._synced
        looks = bool(fresh) or self._dirty or ago > self._patience
        if looks:
            self.end_dates(fresh)
            self.settle_fates()
            self.sync()
        self.watch_switches()
        self.beat()
        if fresh:
            self.note_account(fresh)
            self.follow_trails(fresh)
        if self._dirty:
            self.wake()
        return looks

    @property
    def _patience(self) -> float:
        """Seconds until the account is looked at again, when nothing asks for it."""
        if self._recheck:
            return _RECHECK_S
        held = any(m.position.size or m.state.size for m in self.markets.values())
        return min(float(self.p.poll_s), WATCH_S) if held else float(self.p.poll_s)

    def _may_begin(self) -> bool:
        """Whether every feed has its first candle; one without history may not keep the others."""
        feeds = [d for d in self.cerebro.datas if isinstance(d, CCXTDataFeed)]
        return all(len(d) for d in feeds) or any(d.live for d in feeds)

    def _begin(self) -> None:
        """Know the markets, settle their leverage, and reconcile with the journal."""
        self._begun = True
        for data in self.cerebro.datas:
            self.market(data)
        reconcile(self, self.p.on_unknown)
        self.startingcash = self.equity
        self.note_run()
        self.begin_watching()
        for market in self.markets.values():
            self._listen(market)

    def _watch_journal(self) -> None:
        """Say once that the disk is full: what opens is refused then, what reduces still goes."""
        if self.journal.fault and not self._disk_told:
            self.alert(self.journal.fault, JOURNAL_FAILED)
        self._disk_told = bool(self.journal.fault)

    def _listen(self, market: LiveMarket) -> None:
        if self.store.has("watchOrders"):
            self.store.watch(
                "watch_orders", market.key, tell=lambda orders: self.hint(),
                lost=lambda why: self.hint(),
            )  # fmt: skip

    def _go_live(self) -> None:
        self.live = True
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
        if not (info.get("swap") and info.get("linear")):
            raise SettingError(
                f"{data.symbol} is no linear perpetual; CCXTLiveBroker trades those alone, such as "
                "BTC/USDT:USDT"
            )
        self.quote = info.get("settle") or info["quote"]
        self.comminfo[data._name] = self.comminfo[None] = MarginCommission(
            maker=float(info.get("maker") or 0.0), taker=float(info.get("taker") or 0.0)
        )
        reading = self.guard.read(data.symbol)
        state = self.account.add_position(
            data.symbol, self.guard.tiers(data.symbol), leverage=reading.leverage,
            isolated=reading.margin_mode == "isolated",
        )  # fmt: skip
        market = self.markets[data] = LiveMarket(
            data, data.symbol, state, self.store.rules.fills_of(data.symbol)
        )
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
