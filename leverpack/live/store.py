"""CCXTStore: the connection to one exchange account, and the one place that touches ccxt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt
import ccxt.pro
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

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
from leverpack.live.faults import may_retry, translated
from leverpack.live.keys import CREDENTIALS, find_keys
from leverpack.live.loop import LoopThread
from leverpack.wire import point_at

logger = logging.getLogger("leverpack.live")

ATTEMPTS = 5
REQUEST_S = 10.0  # one request
CALL_S = 60.0  # one read with its retries
CLOSE_S = 4.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A clock further off than this is no clock of today: a replay's, whose server takes the machine's.
_BELIEVABLE_MS = 600_000
_SAY_FINAL = frozenset({"binance", "binanceusdm", "binancecoinm"})
_DERIVATIVES = ("future", "swap", "linear")
_FOR_FUTURES = {"binance": "binanceusdm", "kucoin": "kucoinfutures", "kraken": "krakenfutures"}

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class CCXTStore:
    """An exchange account through ccxt: reads with retries, writes exactly once, streams.

    ``exchange`` is ccxt's name ("binanceusdm"); ``config`` what ccxt takes, of which
    ``options.defaultType`` "future" or "swap" chooses the exchange's futures,
    ``options.leverage`` and ``options.margin`` (or ``marginMode``) are what the leverage guard
    sets and checks. Keys come from the environment or ``.env``, or from ``config``.
    ``sandbox`` talks to the venue's test network; without it ENABLE_LIVE_TRADING must be true.
    ``url`` is another server that speaks the venue's protocol, such as ``leverpack paper``; one
    that is not on this machine counts as real money. ``settings`` are read as everywhere when
    None. Nothing is connected before :meth:`open`; ``with CCXTStore(...) as store`` does both.

    Raises SettingError for a name, key or setting that cannot be, VenueAway and VenueRefused
    from the venue; no message, log line or ``repr`` holds a key.
    """

    def __init__(
        self, exchange: str = "binanceusdm", config: Mapping[str, Any] | None = None,
        sandbox: bool = True, url: str | None = None, *, settings: Settings | None = None,
        env_file: Path | None = Path(".env"),
    ) -> None:  # fmt: skip
        config = dict(config or {})
        options = dict(config.get("options") or {})
        self.exchange = _exchange_for(exchange, str(options.get("defaultType", "")))
        self.leverage: float | None = _number(options.pop("leverage", None), "options.leverage")
        mode = options.pop("margin", options.pop("marginMode", None))
        if mode not in (None, "isolated", "cross"):
            raise SettingError(f"options.margin must be isolated or cross, not {mode!r}")
        self.margin_mode: str | None = mode
        self.url = url.rstrip("/") if url else None
        self.sandbox = bool(config.pop("sandbox", sandbox))
        self._keys = find_keys(self.exchange, config, env_file=env_file)
        self._config = {k: v for k, v in config.items() if k not in CREDENTIALS}
        # The venue drops a request older than this: then its fate is sealed.
        options.setdefault("recvWindow", 5_000)
        self.fate_s = float(options["recvWindow"]) / 1000.0 + 1.0
        self._config["options"] = options
        self.settings = load_settings(env_file=env_file).settings if settings is None else settings
        self.clock_offset_ms = 0
        self.last_answer = time.monotonic()  # of any request or stream
        self._client: Any = None
        self._loop: LoopThread | None = None
        self.bus = Bus()
        self._kline_ears: dict[tuple[str, str], Callable[[list[float], bool], None]] = {}

    def __repr__(self) -> str:
        where = self.url or ("sandbox" if self.sandbox else "REAL MONEY")
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
        if self.url is not None:
            return urlsplit(self.url).hostname not in _LOOPBACK
        return not self.sandbox

    def open(self) -> None:
        """Connect, read the markets and compare clocks; no effect when it is open."""
        if self.is_open:
            return
        if self.trades_real_money:
            require_live(self.settings)
        if not self._keys and self.url is None:
            raise SettingError(
                f"no API key for {self.exchange}: set {self.exchange.upper()}_API_KEY and "
                f"{self.exchange.upper()}_API_SECRET in the environment or in .env"
            )
        self._loop = LoopThread(f"leverpack-{self.exchange}")
        try:
            self._client = self._loop.run(self._made())
            self.read("load_markets")
            self._loop.run(self._compare_clocks())
        except BaseException:
            self.close()
            raise

    async def _made(self) -> Any:
        local = self.url is not None and not self.trades_real_money
        keys = self._keys.for_client() or ({"apiKey": "paper", "secret": "paper"} if local else {})
        client = getattr(ccxt.pro, self.exchange)(
            {"enableRateLimit": not local, "timeout": int(REQUEST_S * 1000), **self._config, **keys}
        )
        _refuse_mangled(client)
        self._tap_klines(client)
        if self.url is not None:
            return point_at(client, self.url)
        if self.sandbox:
            try:
                if "demo" in client.urls and "test" not in client.urls:
                    client.enable_demo_trading(True)
                else:
                    client.set_sandbox_mode(True)
            except ccxt.NotSupported:
                await client.close()
                raise SettingError(
                    f"{self.exchange} has no sandbox; trade on `leverpack paper` (url=...) first"
                ) from None
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
        if self.trades_real_money:
            require_live(self.settings)
        return self._wait(self._write(method, args, kwargs), 3.0 * REQUEST_S, OutcomeUnknown)

    def _wait(self, work: Any, timeout: float, late: type[VenueError] = VenueAway) -> Any:
        if self._loop is None:
            work.close()
            raise VenueAway(f"{self.exchange}: the store is closed; open it first")
        try:
            return self._loop.run(work, timeout)
        except TimeoutError:
            raise late(f"{self.exchange}: no answer within {timeout:g} s") from None

    async def _all(self, calls: tuple[Call, ...]) -> list[Any]:
        return list(await asyncio.gather(*(self._read(call) for call in calls)))

    async def _read(self, call: Call) -> Any:
        method, args, kwargs = call
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS), retry=retry_if_exception(may_retry),
            wait=_Wait(self), before_sleep=self._before_retry(method), reraise=True,
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
            if isinstance(fault, ccxt.InvalidNonce) and method != "fetch_time":
                await self._compare_clocks()

        return note

    def _translated(self, fault: Exception, method: str, *, writing: bool) -> Exception:
        found = translated(fault, f"{self.exchange}: {method}", writing=writing)
        said = self._keys.hidden(str(found))
        if isinstance(found, VenueRefused):
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

        ``is_final`` where the venue itself says that the candle is closed (Binance); ccxt drops
        that word, so it is taken from the message. Elsewhere it is always False.
        """
        if self.exchange in _SAY_FINAL:
            self._kline_ears[self.market(symbol)["id"], timeframe] = tell
            self.watch("watch_ohlcv", symbol, timeframe, tell=lambda rows: None, lost=lost)
            return

        def told(rows: Any) -> None:
            for row in list(rows)[-2:]:
                tell(list(row), False)

        self.watch("watch_ohlcv", symbol, timeframe, tell=told, lost=lost)

    def _tap_klines(self, client: Any) -> None:
        if self.exchange not in _SAY_FINAL:
            return
        handle = client.handle_ohlcv

        def tapped(line: Any, message: Any) -> None:
            handle(line, message)
            kline = message.get("k") or {}
            tell = self._kline_ears.get((str(kline.get("s")), str(kline.get("i"))))
            if tell is not None:
                row = [float(kline[name]) for name in ("t", "o", "h", "l", "c", "v")]
                tell(row, bool(kline.get("x")))

        client.handle_ohlcv = tapped

    def venue_ms(self) -> int:
        """The venue's clock now, epoch ms UTC: asked for, as a replay's does not run as ours."""
        if self.has("fetchTime"):
            return int(self.read("fetch_time"))
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

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


class _Wait(wait_base):
    """Longer with each attempt, and never shorter than the venue asked for."""

    def __init__(self, store: CCXTStore) -> None:
        self._store = store
        self._usual = wait_random_exponential(multiplier=0.2, max=8.0)

    def __call__(self, state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        headers = getattr(self._store._client, "last_response_headers", None) or {}
        fault = state.outcome.exception() if state.outcome is not None else None
        asked = 0.0
        if isinstance(fault, (ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            text = str({k.lower(): v for k, v in headers.items()}.get("retry-after", "0"))
            asked = float(text) if text.isdigit() else 0.0
        return max(min(asked, CALL_S / 2), self._usual(state))


def _refuse_mangled(client: Any) -> None:
    """Let ``client`` raise for an answer that is no JSON.

    ccxt parses such a text as if it were an empty answer: an order without an id, a flat account.
    """
    handle = client.handle_errors

    def checked(code: int, reason: str, url: str, method: str, headers: Any, body: str,
                response: Any, *request: Any) -> Any:  # fmt: skip
        found = handle(code, reason, url, method, headers, body, response, *request)
        if response is None and code < 300:
            raise ccxt.BadResponse(f"the answer is no JSON ({len(body or '')} characters)")
        return found

    client.handle_errors = checked


def _exchange_for(name: str, market_type: str) -> str:
    """ccxt's exchange for ``name``, its futures where ``market_type`` asks for them."""
    name = name.strip().lower()
    if market_type in _DERIVATIVES:
        name = _FOR_FUTURES.get(name, name)
    if name not in ccxt.pro.exchanges:
        hint = nearest(name, ccxt.pro.exchanges, "see ccxt's list of exchanges with streams")
        raise SettingError(f"exchange {name!r} is not known; {hint}")
    return name


def _number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1.0:
        raise SettingError(f"{name} must be a number from 1 on, not {value!r}")
    return float(value)
