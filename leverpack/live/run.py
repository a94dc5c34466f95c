"""One live run: store, feeds, broker, strategy and journal put together, and ended in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import backtrader as bt

from leverpack.config import Loaded, require_live, strategy_params
from leverpack.errors import SettingError
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.journal import Journal
from leverpack.live.paperbroker import NOT_CHARGED, CCXTPaperBroker
from leverpack.live.store import CCXTStore
from leverpack.live.switch import kill_file_of
from leverpack.live.venues import require_traded


@dataclass(slots=True)
class LiveSettings:
    """What one live run is; the limits, venue and margin mode are those of the settings.

    ``protect`` and ``countdown_s`` are CCXTLiveBroker's. ``paper``: on live candles with the
    margin broker filling; then there is no journal.
    """

    loaded: Loaded
    strategy: type
    params: dict[str, Any]
    symbols: list[str]
    timeframe: str
    journal: Path
    history: int = 500
    url: str | None = None
    on_unknown: str = "stop"
    reset: bool = False
    analyzers: dict[str, type] = field(default_factory=dict)
    paper: bool = False
    protect: float = 0.0
    countdown_s: float = 0.0


def store_for(settings: LiveSettings) -> CCXTStore:
    """The account of a run, not yet connected; orders need ENABLE_LIVE_TRADING where they cost."""
    held = settings.loaded.settings
    store = CCXTStore(
        held.venue, sandbox=held.sandbox, url=settings.url, settings=held, public=settings.paper
    )
    if not settings.paper:
        require_traded(store.rules)
    if store.trades_real_money:
        require_live(held)
    return store


def run_live(
    settings: LiveSettings, store: CCXTStore, say: Callable[[str], None] = lambda text: None
) -> Any:
    """Trade until a signal ends it; returns the strategy. What rests at the venue stays there.

    On SIGINT or SIGTERM the entries are cancelled and the run ends; stops and targets stay.
    Raises SettingError, DataError and VenueError, whose one sentence says what to do.
    """
    _check_symbols(settings)
    with store:  # first: nothing is made or reset by a run that cannot connect
        switch = kill_file_of(settings.journal)
        journal = Journal(settings.journal)
        try:
            if settings.reset:
                switch.unlink(missing_ok=True)
                journal.state("halt").save({})
            broker, cerebro = _assembled(settings, store, journal, switch)
            say(f"live at {store!r} on {', '.join(settings.symbols)}; journal {journal.path}")
            with _ended_by_signals(broker, cerebro):
                ran = cerebro.run()
            return ran[0]
        finally:
            journal.close()


def run_paper(
    settings: LiveSettings, store: CCXTStore, say: Callable[[str], None] = lambda text: None
) -> Any:
    """Trade on live candles with the margin broker filling, until a signal; the strategy.

    Starts flat with the settings' ``cash``; nothing is sent, and nothing is kept.
    """
    _check_symbols(settings)
    held = settings.loaded.settings
    params, leverage = _params_and_leverage(settings, store)
    with store:
        broker = CCXTPaperBroker(
            store=store, cash=held.cash, leverage=leverage, margin_mode=held.margin_mode,
            maker=held.maker, taker=held.taker, slippage=held.slippage,
            interest_hourly=held.interest_hourly, intrabar=held.intrabar,
        )  # fmt: skip
        cerebro = _cerebro(settings, store, broker, params)
        say(
            f"paper trading at {store!r} on {', '.join(settings.symbols)}: flat with "
            f"{held.cash:,.2f}, nothing is kept when it ends; {NOT_CHARGED}"
        )
        with _ended_by_signals(broker, cerebro):
            ran = cerebro.run()
        return ran[0]


def _check_symbols(settings: LiveSettings) -> None:
    if len(set(settings.symbols)) != len(settings.symbols):
        raise SettingError("--symbol: each symbol once")


def _params_and_leverage(
    settings: LiveSettings, store: CCXTStore
) -> tuple[dict[str, Any], float]:
    """The strategy's parameters, and the leverage that the broker starts with, as can be set."""
    known = set(settings.strategy.params._getkeys())  # type: ignore[attr-defined]
    params = {**strategy_params(settings.loaded, known), **settings.params}
    leverage = float(params.get("leverage") or settings.loaded.settings.leverage)
    return params, max(1.0, store.rules.settable(leverage))


def _assembled(
    settings: LiveSettings, store: CCXTStore, journal: Journal, switch: Path
) -> tuple[CCXTLiveBroker, bt.Cerebro]:
    params, leverage = _params_and_leverage(settings, store)
    if "limit_store" in settings.strategy.params._getkeys():  # type: ignore[attr-defined]
        params.setdefault("limit_store", journal.state("limits"))
    broker = CCXTLiveBroker(
        store=store, journal=journal, on_unknown=settings.on_unknown, kill_file=str(switch),
        leverage=leverage, protect=settings.protect, countdown_s=settings.countdown_s,
    )  # fmt: skip
    return broker, _cerebro(settings, store, broker, params)


def _cerebro(
    settings: LiveSettings, store: CCXTStore, broker: Any, params: dict[str, Any]
) -> bt.Cerebro:
    cerebro = bt.Cerebro(stdstats=False, quicknotify=True)
    cerebro.setbroker(broker)
    for symbol in settings.symbols:
        cerebro.adddata(CCXTDataFeed(
            store=store, symbol=symbol, timeframe=settings.timeframe, history=settings.history
        ))  # fmt: skip
    cerebro.addstrategy(settings.strategy, **params)
    for name, analyzer in settings.analyzers.items():
        cerebro.addanalyzer(analyzer, _name=name)
    return cerebro


@contextmanager
def _ended_by_signals(broker: Any, cerebro: bt.Cerebro) -> Iterator[None]:
    def end(number: int, frame: Any) -> None:
        broker.end_run()

    before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

