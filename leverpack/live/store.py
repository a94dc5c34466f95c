"""CCXTStore: the connection to one exchange account, and the one place that touches ccxt."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt
import ccxt.pro
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from leverpack.config import Settings, load_settings, require_live
from leverpack.errors import (
    OutcomeUnknown,
    SettingError,
    VenueAway,
    VenueError,
    VenueRefused,
    nearest,
)
from leverpack.live.bus import Bus
from leverpack.live.client import (
    OPTIONS,
    Wait,
    exchange_for,
    into_sandbox,
    leverage_of,
    margin_mode,
    refuse_mangled,
)
from leverpack.live.faults import may_retry, translated
from leverpack.live.keys import CREDENTIALS, find_keys
from leverpack.live.loop import LoopThread
from leverpack.live.venues import Call as Call
from leverpack.live.venues import venue_rules
from leverpack.wire import point_at

logger = logging.getLogger("leverpack.live")

URL_VARIABLE = "LEVERPACK_URL"
ATTEMPTS = 5
REQUEST_S = 10.0  # one request
CALL_S = 60.0  # one read with its retries
CLOSE_S = 1.5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A clock further off than this is no clock of today: a replay's, whose server takes the machine's.
_BELIEVABLE_MS = 600_000



class CCXTStore:
    """An exchange account through ccxt: reads with retries, writes exactly once, streams.

    ``exchange`` is ccxt's name ("binanceusdm"); ``config`` what ccxt takes, of which
    ``options.defaultType`` "future" or "swap" chooses the exchange's futures,
    ``options.leverage`` and ``options.margin`` (or ``marginMode``) are what the leverage guard
    sets and checks. Keys come from the environment or ``.env``, or from ``config``.
    ``sandbox`` talks to the venue's test network; without it ENABLE_LIVE_TRADING must be true.
    ``url`` (else the variable LEVERPACK_URL) is another server that speaks the venue's protocol,
    such as ``leverpack paper``; one that is not on this machine counts as real money. ``public``
    only reads what needs no key, of the real market: for candles, and for paper trading.
    ``settings`` are read as everywhere when None. Nothing is connected before :meth:`open`;
    ``with CCXTStore(...) as store`` does both.

    Raises SettingError for a name, key or setting that cannot be, VenueAway and VenueRefused
    from the venue; no message, log line or ``repr`` holds a key. ``read_only`` looks at an account
    of real money without ENABLE_LIVE_TRADING, and refuses every write.
    """

    def __init__(
        self, exchange: str = "binanceusdm", config: Mapping[str, Any] | None = None,
        sandbox: bool = True, url: str | None = None, *, settings: Settings | None = None,
        env_file: Path | None = Path(".env"), read_only: bool = False, public: bool = False,
    ) -> None:  # fmt: skip
        config = dict(config or {})
        options = dict(config.get("options") or {})
        self.exchange = exchange_for(exchange, str(options.get("defaultType", "")))
        self.rules = venue_rules(self.exchange)
        self.leverage: float | None = leverage_of(options.pop("leverage", None), "options.leverage")
        self.margin_mode = margin_mode(options)
        self.public = public
        self.read_only = read_only
        url = url or os.environ.get(URL_VARIABLE, "").strip()
        self.url = url.rstrip("/") if url else None
        self.sandbox = bool(config.pop("sandbox", sandbox))
        self._keys = find_keys(self.exchange, config, env_file=env_file)
        self._config = {k: v for k, v in config.items() if k not in CREDENTIALS}
        # The venue drops a request older than this: then its fate is sealed.
        self._config["options"] = options = {**OPTIONS, **options}
        self.fate_s = float(options["recvWindow"]) / 1000.0 + 1.0
        self.settings = load_settings(env_file=env_file).settings if settings is None else settings
        self.clock_offset_ms = 0
        self.last_answer = time.monotonic()  # of any request or stream
        self._client: Any = None
        self._loop: LoopThread | None = None
        self._deadline = math.inf  # monotonic: no request is waited for any longer
        self.bus = Bus()
        self._kline_ears: dict[tuple[str, str], Callable[[list[float], bool], None]] = {}

    def __repr__(self) -> str:
        where = self.url or ("sandbox" if self.sandbox else "REAL MONEY")
        where = f"{self.url or 'real market'}, only read" if self.public else where
        return f"CCXTStore({self.exchange!r}, {where}, {'open' if self.is_open else 'closed'})"

    def __enter__(self) -> CCXTStore:
        self.open()
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    # -- opening and closing ---------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._client is not None

    @property
    def trades_real_money(self) -> bool:
        """Whether orders sent through it cost real money, as far as can be known."""
        if self.public:
            return False
        if self.url is not None:
            return not self._is_local
        return not self.sandbox

    @property
    def _is_local(self) -> bool:
        return self.url is not None and urlsplit(self.url).hostname in _LOOPBACK

    def only_read(self) -> None:
        """From now on it only reads, without a key (``public``); before it is opened."""
        if self.is_open and not self.public:
            raise SettingError(f"{self!r} is open for trading already; make it with public=True")
        self.public = True

    def open(self) -> None:
        """Connect, read the markets and compare clocks; no effect when it is open."""
        if self.is_open:
            return
        if self.trades_real_money and not self.read_only:
            require_live(self.settings)
        if not self._keys and self.url is None and not self.public:
            raise SettingError(
                f"no API key for {self.exchange}: set {self.exchange.upper()}_API_KEY and "
                f"{self.exchange.upper()}_API_SECRET in the environment or in .env, or trade on "
                "paper, which needs none"
            )
        self._loop = LoopThread(f"leverpack-{self.exchange}", self.hidden)
        self._deadline = math.inf
        try:
            self._client = self._loop.run(self._made())
            self.read("load_markets")
            self._loop.run(self._compare_clocks())
        except BaseException:
            self.close()
            raise

    async def _made(self) -> Any:
        local = self._is_local
        keys = self._keys.for_client() or ({"apiKey": "paper", "secret": "paper"} if local else {})
        if self.public and not local:
            keys = {}
        client = getattr(ccxt.pro, self.exchange)(
            {"enableRateLimit": not local, "timeout": int(REQUEST_S * 1000), **self._config, **keys}
        )
        refuse_mangled(client)
        self.rules.prepare(client)
        self._tap_klines(client)
        if self.url is not None:
            return point_at(client, self.url)
        if self.sandbox and not self.public:
            await into_sandbox(client)
        return client

    async def _compare_clocks(self) -> None:
        """Measure how far the venue's clock is ahead of this one, and let ccxt allow for it."""
        if not self._client.has.get("fetchTime"):
            return
        before = time.time_ns() // 1_000_000
        theirs = await self._read(("fetch_time", (), {}))
        after = time.time_ns() // 1_000_000
        self.clock_offset_ms = int(theirs) - (before + after) // 2
        if abs(self.clock_offset_ms) < _BELIEVABLE_MS:
            self._client.options["timeDifference"] = -self.clock_offset_ms

    def close(self) -> None:
        """Close streams and connections and end the thread, within five seconds."""
        client, loop = self._client, self._loop
        self._client = self._loop = None
        if loop is None:
            return
        if client is not None:
            try:
                loop.run(client.close(), CLOSE_S)
            except Exception as fault:  # it is closed all the same
                logger.warning("%s: closing: %s", self.exchange, type(fault).__name__)
        loop.stop(1.0)

    # Backtrader starts and stops the stores that a Cerebro knows.
    start = open
    stop = close

    # -- requests --------------------------------------------------------------------------------

    def read(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """One of ccxt's methods that change nothing, tried again where that can help."""
        return self._wait(self._read((method, args, kwargs)), CALL_S)

    def reads(self, *calls: Call) -> list[Any]:
        """Several of them at once; the first that fails raises."""
        found: list[Any] = self._wait(self._all(calls), CALL_S)
        return found

    def write(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """One of ccxt's methods that change something: sent once, whatever happens.

        Raises VenueRefused (nothing was done), VenueAway (nothing was done) or OutcomeUnknown.
        """
        if self.read_only or self.public:
            raise SettingError(f"{self.exchange}: {method} from a store that only reads")
        if self.trades_real_money:
            require_live(self.settings)
        return self._wait(self._write(method, args, kwargs), 3.0 * REQUEST_S, OutcomeUnknown)

    def writes(self, *calls: Call) -> list[Any]:
        """Several of them at once, each sent once; a VenueError in place of each that failed."""
        if self.read_only or self.public:
            raise SettingError(f"{self.exchange}: writes from a store that only reads")
        if self.trades_real_money:
            require_live(self.settings)
        try:
            found: list[Any] = self._wait(self._all_written(calls), 3.0 * REQUEST_S, OutcomeUnknown)
        except VenueError as fault:
            return [fault] * len(calls)
        return found

    async def _all_written(self, calls: tuple[Call, ...]) -> list[Any]:
        waits = (self._write(*call) for call in calls)
        found = await asyncio.gather(*waits, return_exceptions=True)
        for fault in found:
            if isinstance(fault, BaseException) and not isinstance(fault, VenueError):
                raise fault
        return list(found)

    def end_by(self, seconds: float) -> None:
        """Let no request take longer than this from now on; may be called from any thread."""
        self._deadline = time.monotonic() + seconds

    def _wait(self, work: Any, timeout: float, late: type[VenueError] = VenueAway) -> Any:
        if self._loop is None:
            work.close()
            raise VenueAway(f"{self.exchange}: the store is closed; open it first")
        try:
            return self._loop.run(work, timeout, lambda: self._deadline)
        except TimeoutError:
            raise late(f"{self.exchange}: no answer in time") from None

    async def _all(self, calls: tuple[Call, ...]) -> list[Any]:
        return list(await asyncio.gather(*(self._read(call) for call in calls)))

    async def _read(self, call: Call) -> Any:
        method, args, kwargs = call
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(may_retry), reraise=True,
            wait=Wait(self._client, CALL_S / 2), before_sleep=self._before_retry(method),
        )  # fmt: skip
        try:
            async for attempt in attempts:
                with attempt:
                    found = await getattr(self._client, method)(*args, **kwargs)
                    self.last_answer = time.monotonic()
        except Exception as fault:
            raise self._translated(fault, method, writing=False) from None
        return found

    async def _write(self, method: str, args: Any, kwargs: Any) -> Any:
        try:
            found = await getattr(self._client, method)(*args, **kwargs)
        except Exception as fault:
            raise self._translated(fault, method, writing=True) from None
        self.last_answer = time.monotonic()
        return found

    def _before_retry(self, method: str) -> Callable[[RetryCallState], Any]:
        async def note(state: RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome is not None else None
            logger.info("%s: %s again after %s", self.exchange, method, type(fault).__name__)
            self.bus.tell("retry", method=method, fault=type(fault).__name__)
            if isinstance(fault, ccxt.InvalidNonce) and method != "fetch_time":
                await self._compare_clocks()

        return note

    def _translated(self, fault: Exception, method: str, *, writing: bool) -> Exception:
        found = translated(fault, f"{self.exchange}: {method}", writing=writing)
        said = self._keys.hidden(str(found))
        if isinstance(found, VenueRefused):
            if writing and found.code in self.rules.unclear:
                return OutcomeUnknown(f"{said}; it may have happened all the same")
            return VenueRefused(said, kind=found.kind, code=found.code)
        return type(found)(said)

    # -- streams ---------------------------------------------------------------------------------

    def watch(
        self, method: str, *args: Any, tell: Callable[[Any], None],
        lost: Callable[[str], None] = lambda why: None,
    ) -> None:  # fmt: skip
        """Call ``tell`` in the loop's thread with all that a ccxt.pro stream says, until close.

        A stream that breaks is taken up again after a pause, and ``lost`` hears why.
        """
        if self._loop is None:
            raise VenueAway(f"{self.exchange}: the store is closed; open it first")
        self._loop.spawn(self._watch(method, args, tell, lost))

    async def _watch(
        self, method: str, args: Any, tell: Callable[[Any], None], lost: Callable[[str], None]
    ) -> None:
        pause = 0.1
        while True:
            try:
                found = await getattr(self._client, method)(*args)
                self.last_answer = time.monotonic()
                pause = 0.1
                tell(found)
            except Exception as fault:
                why = str(self._translated(fault, method, writing=False))
                self.bus.tell("stream_break", method=method, fault=type(fault).__name__)
                lost(why)
                if isinstance(fault, (ccxt.NotSupported, ccxt.AuthenticationError)):
                    logger.warning("no stream: %s", why)
                    return
                logger.info("stream: %s", why)
                await asyncio.sleep(pause)
                pause = min(10.0, 2.0 * pause)

    def watch_candles(
        self, symbol: str, timeframe: str, tell: Callable[[list[float], bool], None],
        lost: Callable[[str], None] = lambda why: None,
    ) -> None:  # fmt: skip
        """Call ``tell(row, is_final)`` for every update of a candle, ``lost`` as in ``watch``.

        ``is_final`` where the venue itself says that the candle is closed; ccxt drops that
        word, so it is taken from the message. Elsewhere it is always False.
        """
        if self.rules.says_final:
            interval = str(self._opened().timeframes[timeframe])
            self._kline_ears[self.market(symbol)["id"], interval] = tell
            self.watch("watch_ohlcv", symbol, timeframe, tell=lambda rows: None, lost=lost)
            return

        def told(rows: Any) -> None:
            for row in list(rows)[-2:]:
                tell(list(row), False)

        self.watch("watch_ohlcv", symbol, timeframe, tell=told, lost=lost)

    def _tap_klines(self, client: Any) -> None:
        if not self.rules.says_final:
            return
        handle = client.handle_ohlcv

        def tapped(line: Any, message: Any) -> None:
            handle(line, message)
            for market, interval, row, closed in self.rules.klines(message):
                tell = self._kline_ears.get((market, interval))
                if tell is not None:
                    tell(row, closed)

        client.handle_ohlcv = tapped

    def venue_ms(self) -> int:
        """The venue's clock now, epoch ms UTC: asked for, as a replay's does not run as ours."""
        if self.has("fetchTime"):
            return int(self.read("fetch_time"))
        return self.clock_ms()

    def clock_ms(self) -> int:
        """The venue's clock as it was compared at the start, epoch ms UTC: costs no request."""
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def seconds_since(self, time_ms: int) -> float | None:
        """How long ago a time (epoch ms UTC) was by the venue's clock; None for a replay's."""
        if abs(self.clock_offset_ms) >= _BELIEVABLE_MS:
            return None
        return (time.time_ns() // 1_000_000 + self.clock_offset_ms - time_ms) / 1000.0

    def hidden(self, text: str) -> str:
        """``text`` without any credential of this account in it."""
        return self._keys.hidden(text)

    # -- what the venue is like ------------------------------------------------------------------

    def has(self, feature: str) -> bool:
        """Whether ccxt can do this here (``setLeverage``, ``watchOHLCV``, ...)."""
        return bool(self._opened().has.get(feature))

    def market(self, symbol: str) -> dict[str, Any]:
        """ccxt's market of ``symbol``; SettingError with the nearest name if there is none."""
        client = self._opened()
        try:
            market: dict[str, Any] = client.market(symbol)
        except ccxt.BaseError:
            hint = nearest(symbol, client.markets, "`leverpack universe` lists symbols")
            raise SettingError(f"{self.exchange} has no symbol {symbol!r}; {hint}") from None
        return market

    def contracts(self) -> list[str]:
        """ccxt's names of the linear futures that trade here, perpetual and dated, sorted."""
        return sorted(
            symbol for symbol, market in self._opened().markets.items()
            if market.get("contract") and market.get("linear") and not market.get("option")
            and market.get("active") is not False
        )  # fmt: skip

    def check_timeframe(self, timeframe: str) -> None:
        """SettingError for a candle length that the venue does not have."""
        known = self._opened().timeframes or {}
        if timeframe not in known:
            raise SettingError(
                f"{self.exchange} has no timeframe {timeframe!r}; it has {', '.join(known)}"
            )

    def amount(self, symbol: str, amount: float) -> float:
        """``amount`` (base) cut to the venue's step; 0.0 when it is less than one."""
        try:
            return float(self._opened().amount_to_precision(symbol, amount))
        except ccxt.InvalidOrder:
            return 0.0

    def price(self, symbol: str, price: float) -> float:
        """``price`` on the venue's grid."""
        return float(self._opened().price_to_precision(symbol, price))

    def _opened(self) -> Any:
        if self._client is None:
            raise VenueAway(f"{self.exchange}: the store is closed; open it first")
        return self._client
