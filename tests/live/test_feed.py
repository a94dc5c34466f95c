"""The live feed on a real paper exchange: every closed candle once, in order, whatever breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from datetime import time as clock
from typing import Any

import backtrader as bt
import pytest
from backtrader import resamplerfilter

from leverpack.candles.feed import CandleFeed
from leverpack.candles.series import Candles
from leverpack.candles.timeframes import timeframe_ms
from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.candles import Candle, CandleSource
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.store import CCXTStore
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import PaperSettings
from leverpack.paper.session import Session
from tests.paper.stand import HOUR, START, SYMBOL, UNIFIED, Stand, serving, session, tape, walk

BEFORE = 30  # candles of history


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(walk(120))) as held:
        held.step(BEFORE)
        yield held


@pytest.fixture
def store(stand: Stand) -> Iterator[CCXTStore]:
    with CCXTStore("binanceusdm", url=stand.url, settings=Settings(), env_file=None) as opened:
        yield opened


def listening(stand: Stand) -> None:
    until = time.monotonic() + 5.0
    while not stand.session.hub.streams and time.monotonic() < until:
        time.sleep(0.01)
    assert stand.session.hub.streams


def taken(source: CandleSource, count: int, within: float = 8.0) -> list[Candle]:
    found: list[Candle] = []
    until = time.monotonic() + within
    while len(found) < count and time.monotonic() < until:
        candle = source.next(0.05)
        if candle is not None:
            found.append(candle)
    return found


def check(stand: Stand, found: list[Candle], first: int, count: int) -> None:
    """``found`` are the tape's candles from number ``first`` on, to the last digit."""
    candles = stand.session.exchange.tapes[SYMBOL].candles
    assert [c.ts for c in found] == [START + (first + i) * HOUR for i in range(count)]
    for i, candle in enumerate(found, first):
        row = (candles.open[i], candles.high[i], candles.low[i], candles.close[i])
        assert candle[1:5] == row


def test_history_then_live_candles_each_once(stand: Stand, store: CCXTStore):
    source = CandleSource(store, UNIFIED, "1h", history=10)
    history = taken(source, 10)
    check(stand, history, BEFORE - 10, 10)
    assert not any(c.live for c in history)
    assert source.next(0.0) is None  # the candle that forms is not given
    listening(stand)
    for i in range(5):
        stand.step()
        check(stand, taken(source, 1), BEFORE + i, 1)
    stand.step(7)
    found = taken(source, 7)
    check(stand, found, BEFORE + 5, 7)
    assert all(c.live for c in found)
    assert source.next(0.1) is None


@pytest.mark.parametrize("kind", ["ws_drop", "ws_duplicate", "ws_reorder"])
def test_a_bad_stream_loses_doubles_and_disorders_nothing(
    stand: Stand, store: CCXTStore, kind: str
):
    source = CandleSource(store, UNIFIED, "1h", history=1, quiet_s=0.3)
    taken(source, 1)
    listening(stand)
    found = []
    for i in range(8):
        if i % 2:
            stand.admin("POST", "faults", kind=kind, count=3)
        stand.step()
        found += taken(source, 1)
    check(stand, found, BEFORE, 8)
    assert source.next(0.5) is None


def test_a_dead_stream_is_noticed_and_rest_takes_over(stand: Stand, store: CCXTStore):
    source = CandleSource(store, UNIFIED, "1h", history=1, quiet_s=0.2)
    taken(source, 1)
    listening(stand)
    assert not taken(source, 1, within=0.5)
    assert not source.stale  # silent, but nothing has closed
    stand.admin("POST", "faults", kind="ws_half_open")
    stand.step(3)
    check(stand, taken(source, 3), BEFORE, 3)
    assert source.stale
    for listener in stand.session.hub.listeners:
        listener.muted = False
    stand.step()
    check(stand, taken(source, 1), BEFORE + 3, 1)
    assert not source.stale


def test_a_stream_that_is_late_is_not_dead(
    stand: Stand, store: CCXTStore, monkeypatch: pytest.MonkeyPatch
):
    """REST knows of a candle that has only just closed before the stream tells of it."""
    watch = store.watch_candles

    def late(symbol: str, timeframe: str, tell: Any, lost: Any) -> None:
        watch(symbol, timeframe, lambda *said: threading.Timer(0.1, tell, said).start(), lost)

    monkeypatch.setattr(store, "watch_candles", late)
    source = CandleSource(store, UNIFIED, "1h", history=1, quiet_s=0.3)
    taken(source, 1)
    listening(stand)
    for i in range(6):
        assert source.next(0.05 * i) is None
        stand.step()
        check(stand, taken(source, 1), BEFORE + i, 1)
        assert not source.stale
        assert source.next(0.25) is None


def test_it_waits_while_the_venue_is_away(stand: Stand, store: CCXTStore):
    source = CandleSource(store, UNIFIED, "1h", history=1, quiet_s=0.2)
    taken(source, 1)
    listening(stand)
    stand.admin("POST", "faults", kind="ws_half_open")
    stand.admin("POST", "faults", kind="error_before", path="/fapi/v1/klines", times=7)
    stand.step(2)
    check(stand, taken(source, 2, within=20.0), BEFORE, 2)


class Notes(bt.Strategy):
    """Writes down what it sees; ends the run after ``count`` live candles, or slow bars of all."""

    params = (("count", 4), ("slow", 99))

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, bool]] = []
        self.bars: list[list[tuple[float, ...]]] = []
        self.nexts: list[float] = []

    def next(self) -> None:
        self.nexts.append(self.datas[0].close[0])
        self.note()

    def prenext(self) -> None:
        self.note()

    def note(self) -> None:
        data = self.datas[0]
        self.seen.append((len(data), data.close[0], data.live))
        self.bars.append([
            (len(d), d.datetime[0], d.open[0], d.high[0], d.low[0], d.close[0])
            for d in self.datas if len(d)
        ])  # fmt: skip
        slow = self.datas[1::2]
        if sum(live for *_, live in self.seen) >= self.p.count or \
                (slow and all(len(d) >= self.p.slow for d in slow)):
            self.env.runstop()


def slower(cerebro: bt.Cerebro, feed: Any, how: str, hours: int) -> None:
    """Add candles of ``hours``: "resampledata" or "replaydata", beside the feed or "alone"."""
    way, _, alone = how.partition(" ")
    if not alone:
        cerebro.adddata(feed)
    getattr(cerebro, way)(feed, timeframe=bt.TimeFrame.Minutes, compression=60 * hours)


def run(
    stand: Stand, store: CCXTStore, *, how: str = "", steps: int = 4, count: int = 4,
    pause: float = 0.05,
) -> Notes:  # fmt: skip
    cerebro = bt.Cerebro(stdstats=False)
    feed = CCXTDataFeed(store=store, symbol="BTC/USDT", timeframe="1h", history=8, qcheck=0.02)
    if how:
        slower(cerebro, feed, how, 4)
    else:
        cerebro.adddata(feed)
    cerebro.addstrategy(Notes, count=count)
    return ran(cerebro, stand, steps, pause)


def ran(cerebro: bt.Cerebro, stand: Stand, steps: int, pause: float) -> Notes:
    """What its strategy sees while the exchange plays ``steps`` candles, one after each pause."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.extend(cerebro.run()), daemon=True)
    thread.start()
    listening(stand)
    for _ in range(steps):
        stand.step()
        time.sleep(pause)
    thread.join(15)
    assert not thread.is_alive()
    return result[0]


def backtested(candles: Candles, how: str) -> Notes:
    """What a strategy sees of the same candles in a backtest."""
    cerebro = bt.Cerebro(stdstats=False, preload=False, runonce=False)
    feed = CandleFeed(dataname=candles)
    feed.live = False
    slower(cerebro, feed, how, 4)
    cerebro.addstrategy(Notes, count=99)
    return cerebro.run()[0]


def test_in_a_plain_cerebro(stand: Stand, store: CCXTStore):
    notes = run(stand, store)
    closes = stand.session.exchange.tapes[SYMBOL].candles.close
    assert [close for _, close, _ in notes.seen] == list(closes[BEFORE - 8 : BEFORE + 4])
    assert [live for *_, live in notes.seen] == [False] * 8 + [True] * 4
    assert notes.nexts == list(closes[BEFORE : BEFORE + 4])  # none in the warm-up
    assert notes.data0.symbol == UNIFIED


@pytest.mark.parametrize("how", [
    "resampledata", "replaydata", "resampledata alone", "replaydata alone",
])  # fmt: skip
def test_slower_candles_as_in_a_backtest(
    stand: Stand, store: CCXTStore, how: str, monkeypatch: pytest.MonkeyPatch
):
    """Backtrader would close them by the machine's clock, of which it reads the time of day."""

    class Late(datetime):
        @classmethod
        def utcnow(cls) -> datetime:
            return datetime.combine(datetime.now(UTC), clock(23, 58))

    monkeypatch.setattr(resamplerfilter, "datetime", Late)
    # Alone and resampled, the strategy is only called when four hours are over.
    count = 2 if how == "resampledata alone" else 9
    notes = run(stand, store, how=how, steps=9, count=count, pause=0.1)
    candles = stand.session.exchange.tapes[SYMBOL].candles.slice(BEFORE - 8, BEFORE + 9)
    tested = backtested(candles, how)
    assert len(notes.bars) == (4 if how == "resampledata alone" else 17)
    assert notes.bars == tested.bars[: len(notes.bars)]
    assert notes.bars[-1][-1][0] == (5 if "replay" in how else 4)


def test_slower_candles_of_a_market_that_is_heard_of_later(monkeypatch: pytest.MonkeyPatch):
    """Its bars wait for their last candles, though another market's have come."""
    names = ("ETHUSDT", SYMBOL)
    tapes = [tape(walk(120, seed=seed), symbol=name) for seed, name in enumerate(names)]
    held = Session(Exchange(PaperSettings(weight_limit=0), tapes), speed=0.0)
    with serving(held) as stand, CCXTStore(
        "binanceusdm", url=stand.url, settings=Settings(), env_file=None
    ) as store:
        stand.step(BEFORE)
        watch = store.watch_candles

        def late(symbol: str, timeframe: str, tell: Any, lost: Any) -> None:
            lag = 0.1 if symbol == UNIFIED else 0.0
            watch(symbol, timeframe, lambda *x: threading.Timer(lag, tell, x).start(), lost)

        monkeypatch.setattr(store, "watch_candles", late)
        cerebro = bt.Cerebro(stdstats=False)
        for symbol in ("ETH/USDT", "BTC/USDT"):
            feed = CCXTDataFeed(store=store, symbol=symbol, history=8, qcheck=0.02)
            slower(cerebro, feed, "resampledata", 4)
        cerebro.addstrategy(Notes, count=99, slow=4)
        notes = ran(cerebro, stand, 9, 0.25)
    for at, played in enumerate(tapes):
        tested = backtested(played.candles.slice(BEFORE - 8, BEFORE + 9), "resampledata")
        wanted = {bar[0]: bar[1:] for _, *slow in tested.bars for bar in slow}
        found = {b[2 * at + 1][0]: b[2 * at + 1][1:] for b in notes.bars if len(b) == 4}
        assert found == {n: wanted[n] for n in (1, 2, 3, 4)}


def test_wrong_settings(store: CCXTStore):
    with pytest.raises(SettingError, match="needs store"):
        CCXTDataFeed(symbol=UNIFIED)
    with pytest.raises(SettingError, match="needs symbol"):
        CCXTDataFeed(store=store)
    with pytest.raises(SettingError, match="timeframe"):
        CCXTDataFeed(store=store, symbol=UNIFIED, timeframe="1hour")
    with pytest.raises(SettingError, match="did you mean quiet_s"):
        CCXTDataFeed(store=store, symbol=UNIFIED, quiet=3)
    assert CCXTDataFeed(store=store, symbol=UNIFIED, timeframe=bt.TimeFrame.Minutes,
                        compression=15).length == "15m"  # fmt: skip
    assert timeframe_ms("15m") == 900_000
