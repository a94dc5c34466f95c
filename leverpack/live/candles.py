"""Closed candles of one market, each exactly once and in order, from stream and REST together."""

from __future__ import annotations

import logging
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import NamedTuple

from leverpack.candles.timeframes import timeframe_ms
from leverpack.errors import VenueError
from leverpack.live.store import CCXTStore

logger = logging.getLogger("leverpack.live")

PAGE = 1000  # candles a request
LAG_S = 0.5  # how much later than REST the stream may tell of a candle
GRACE_S = 2.0  # how late the stream may be with a candle that is over


class Candle(NamedTuple):
    """One closed candle: ``ts`` is its open time, epoch ms UTC; ``live`` False for warm-up."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    live: bool


class CandleSource:
    """Gives the closed candles of one market from ``history`` candles back on, for ever.

    What the stream calls final is taken from it. Whatever it leaves out (a broken connection, a
    message lost or out of order, a venue that does not say "final") comes by REST before the
    next candle is given. A stream silent for ``quiet_s`` is checked against REST; when candles
    have closed meanwhile, ``stale`` is True until it speaks again.
    """

    def __init__(
        self, store: CCXTStore, symbol: str, timeframe: str, *, history: int, quiet_s: float = 10.0
    ) -> None:
        store.market(symbol)
        store.check_timeframe(timeframe)
        self.store, self.symbol, self.timeframe = store, symbol, timeframe
        self.step_ms = timeframe_ms(timeframe)
        self.stale = False
        self.heard = time.monotonic()  # when the stream has spoken last
        self._quiet_s = quiet_s
        self._told: SimpleQueue[tuple[list[float], bool] | None] = SimpleQueue()
        self._ready: deque[Candle] = deque()
        self._final: dict[int, list[float]] = {}
        self._last = 0  # open time of the newest candle that is ready or given
        self._newest = 0  # newest open time that the stream has spoken of
        self._next_check = 0.0
        self._woken = False
        self._streams = store.has("watchOHLCV")
        self._begin(history)

    def _begin(self, history: int) -> None:
        # The stream first: whatever closes while the history is read is then heard of.
        if self._streams:
            self.store.watch_candles(
                self.symbol, self.timeframe, lambda row, final: self._told.put((row, final)),
                lambda why: self._told.put(None),
            )  # fmt: skip
        self._plan_check()
        now = self.store.venue_ms()
        start = (now // self.step_ms - max(1, history)) * self.step_ms
        self._fetch(start, now, live=False)
        if not self._last:  # a market without a trade for so long
            self._last = (now // self.step_ms - 1) * self.step_ms

    def wake(self) -> None:
        """Let ``next`` return at once: something else wants the caller's attention."""
        self._woken = True
        self._told.put(None)

    @property
    def waiting(self) -> bool:
        """Whether a candle is ready."""
        return bool(self._ready) or not self._told.empty()

    def next(self, wait_s: float) -> Candle | None:
        """The next closed candle, or None when there is none within ``wait_s``."""
        until = time.monotonic() + wait_s
        while not self._ready:
            self._listen(until - time.monotonic())
            if not self._ready:
                self._check_in_time()
            if self._ready or self._woken or time.monotonic() >= until:
                break
        self._woken = False
        return self._ready.popleft() if self._ready else None

    # -- the stream ------------------------------------------------------------------------------

    def _listen(self, wait_s: float) -> None:
        """Take what the stream has said; wait for it when it has said nothing."""
        try:
            told = self._told.get(timeout=max(0.0, wait_s)) if wait_s > 0 else \
                self._told.get_nowait()  # fmt: skip
        except Empty:
            return
        while True:
            self._hear(told)
            try:
                told = self._told.get_nowait()
            except Empty:
                break
        self._take_final()
        if self._newest > self._last + self.step_ms:
            self._catch_up()

    def _hear(self, told: tuple[list[float], bool] | None) -> None:
        if told is None:  # the connection was lost: what it says next may follow a hole
            return
        self.heard = time.monotonic()
        row, final = told
        ts = int(row[0])
        self._newest = max(self._newest, ts)
        self._plan_check()
        if self.stale:
            self.stale = False
            logger.warning("%s %s: the stream speaks again", self.symbol, self.timeframe)
        if final and ts > self._last:
            self._final[ts] = row

    def _take_final(self) -> None:
        while (row := self._final.pop(self._last + self.step_ms, None)) is not None:
            self._give(row, live=True)
        self._final = {ts: row for ts, row in self._final.items() if ts > self._last}
        if self._final:
            self._newest = max(self._newest, max(self._final) + self.step_ms)

    def _give(self, row: list[float], *, live: bool) -> None:
        self._last = int(row[0])
        opening, high, low, close, volume = (float(x) for x in row[1:6])
        self._ready.append(Candle(self._last, opening, high, low, close, volume, live))

    # -- REST ------------------------------------------------------------------------------------

    def _plan_check(self) -> None:
        quiet = self._quiet_s if self._streams else min(self._quiet_s, GRACE_S)
        self._next_check = time.monotonic() + quiet

    def _check_in_time(self) -> None:
        """Ask by REST when the stream has been silent for long, and notice that it is dead."""
        if time.monotonic() < self._next_check:
            return
        before, asked = self._last, time.monotonic()
        found = self._catch_up() and self._last > before
        if found and self._streams and not self.stale and not self._speaks(asked):
            self.stale = True
            logger.error(
                "%s %s: the stream is silent while candles close; they come by REST, and nothing "
                "is opened until it speaks again", self.symbol, self.timeframe,
            )  # fmt: skip
        self._plan_check()

    def _speaks(self, asked: float) -> bool:
        """Whether the stream has spoken since: a candle that has only just closed is on its way."""
        until = time.monotonic() + LAG_S
        while self.heard < asked and time.monotonic() < until:
            self._listen(until - time.monotonic())
        return self.heard >= asked

    def _catch_up(self) -> bool:
        """Fetch all that has closed since the last candle; False when the venue is away."""
        try:
            now = max(self.store.venue_ms(), self._newest)
            self._fetch(self._last + self.step_ms, now, live=True)
        except VenueError as fault:
            logger.warning("%s", fault)
            return False
        self._take_final()
        return True

    def _fetch(self, since: int, now: int, *, live: bool) -> None:
        """Make ready the candles from ``since`` that were over at ``now``, page by page."""
        while since + self.step_ms <= now:
            count = min(PAGE, (now - since) // self.step_ms + 1)
            rows = self.store.read(
                "fetch_ohlcv", self.symbol, self.timeframe, since, int(count)
            )
            closed = [
                row for row in sorted(rows, key=lambda r: int(r[0]))
                if int(row[0]) > self._last and since <= int(row[0]) <= now - self.step_ms
            ]  # fmt: skip
            for row in closed:
                self._give(row, live=live)
            if not closed or len(rows) < count:
                return
            since = self._last + self.step_ms
