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
from leverpack.live.store import CCXTStore


@dataclass(slots=True)
class LiveSettings:
    """What one live run is; the limits, venue and margin mode are those of the settings."""

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


def kill_file_of(journal: Path) -> Path:
    """The file that halts a run: ``leverpack stop`` writes it."""
    return journal.with_name(f"{journal.name}.stop")


def store_for(settings: LiveSettings) -> CCXTStore:
    """The account of a run, not yet connected; orders need ENABLE_LIVE_TRADING where they cost."""
    held = settings.loaded.settings
    store = CCXTStore(held.venue, sandbox=held.sandbox, url=settings.url, settings=held)
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
    if len(set(settings.symbols)) != len(settings.symbols):
        raise SettingError("--symbol: each symbol once")
    switch = kill_file_of(settings.journal)
    if settings.reset:
        switch.unlink(missing_ok=True)
    journal = Journal(settings.journal)
    try:
        if settings.reset:
            journal.state("halt").save({})
        with store:
            broker, cerebro = _assembled(settings, store, journal, switch)
            say(f"live at {store!r} on {', '.join(settings.symbols)}; journal {journal.path}")
            with _ended_by_signals(broker, cerebro):
                ran = cerebro.run()
            return ran[0]
    finally:
        journal.close()


def _assembled(
    settings: LiveSettings, store: CCXTStore, journal: Journal, switch: Path
) -> tuple[CCXTLiveBroker, bt.Cerebro]:
    known = set(settings.strategy.params._getkeys())  # type: ignore[attr-defined]
    params = {**strategy_params(settings.loaded, known), **settings.params}
    if "limit_store" in known:
        params.setdefault("limit_store", journal.state("limits"))
    leverage = float(params.get("leverage") or settings.loaded.settings.leverage)
    broker = CCXTLiveBroker(
        store=store, journal=journal, on_unknown=settings.on_unknown, kill_file=str(switch),
        leverage=max(1.0, float(int(leverage))),
    )  # fmt: skip
    cerebro = bt.Cerebro(stdstats=False, quicknotify=True)
    cerebro.setbroker(broker)
    for symbol in settings.symbols:
        cerebro.adddata(CCXTDataFeed(
            store=store, symbol=symbol, timeframe=settings.timeframe, history=settings.history
        ))  # fmt: skip
    cerebro.addstrategy(settings.strategy, **params)
    for name, analyzer in settings.analyzers.items():
        cerebro.addanalyzer(analyzer, _name=name)
    return broker, cerebro


@contextmanager
def _ended_by_signals(broker: CCXTLiveBroker, cerebro: bt.Cerebro) -> Iterator[None]:
    def end(number: int, frame: Any) -> None:
        broker.end_run()

    before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

