"""A real paper exchange on loopback for tests: made candles, a server in a thread, clients."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np

from leverpack.candles.series import Candles, Funding
from leverpack.margin.tiers import TierBook
from leverpack.paper.exchange import Exchange
from leverpack.paper.instrument import Instrument, instrument_for
from leverpack.paper.orders import PaperSettings
from leverpack.paper.server import PaperServer
from leverpack.paper.session import Session
from leverpack.paper.tape import Tape

MINUTE, HOUR = 60_000, 3_600_000
START = 1_735_689_600_000  # 2025-01-01T00:00Z
SYMBOL, UNIFIED = "BTCUSDT", "BTC/USDT:USDT"
Row = tuple[float, float, float, float]


def candles(
    rows: Sequence[Row], *, step: int = HOUR, start: int = START, kind: str = "trade",
    volume: float = 1_000.0, symbol: str = SYMBOL,
) -> Candles:  # fmt: skip
    """Candles of open, high, low, close."""
    table = np.array(rows, float)
    ts = start + step * np.arange(len(table), dtype=np.int64)
    return Candles(
        ts, *(np.ascontiguousarray(table[:, i]) for i in range(4)), np.full(len(table), volume),
        step, symbol, kind, "made",
    )  # fmt: skip


def walk(count: int, *, seed: int = 5, price: float = 100_000.0, swing: float = 0.003) -> list[Row]:
    """A random walk of candles on a grid of 0.1."""
    dice = np.random.default_rng(seed)
    rows, last = [], price
    for _ in range(count):
        close = round(last * float(np.exp(dice.normal(0.0, swing))), 1)
        high = round(max(last, close) * (1.0 + abs(float(dice.normal(0.0, swing / 2)))), 1)
        low = round(min(last, close) * (1.0 - abs(float(dice.normal(0.0, swing / 2)))), 1)
        rows.append((last, high, low, close))
        last = close
    return rows


def tape(
    rows: Sequence[Row], *, mark: Sequence[Row] | None = None,
    funding: Sequence[tuple[int, float]] = (), instrument: Instrument | None = None, **more: Any,
) -> Tape:  # fmt: skip
    """A tape of made candles; ``funding`` are (candle, rate)."""
    trades = candles(rows, **more)
    settled = None
    if funding:
        ts = np.array([int(trades.ts[at]) for at, _ in funding], np.int64)
        settled = Funding(ts, np.array([rate for _, rate in funding]))
    marks = None if mark is None else candles(mark, kind="mark", **more)
    return Tape(instrument or instrument_for(trades), trades, marks, settled)


def session(
    rows: Sequence[Row] | Tape, *, speed: float = 0.0, tiers: TierBook | None = None,
    funding: Sequence[tuple[int, float]] = (), **settings: Any,
) -> Session:  # fmt: skip
    """A lock-step session without rate limits on made candles."""
    limits = {"weight_limit": 0, "order_limit_minute": 0, "order_limit_10s": 0}
    played = rows if isinstance(rows, Tape) else tape(rows, funding=funding)
    exchange = Exchange(PaperSettings(**{**limits, **settings}), [played], tiers)
    return Session(exchange, speed=speed)


@contextmanager
def serving(held: Session, host: str = "127.0.0.1") -> Iterator[Stand]:
    """The session served from a thread of its own for as long as the block lasts."""
    server = PaperServer(held, host=host)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    try:
        yield Stand(held, server.url, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass
class Reply:
    """An HTTP answer: status, headers, JSON (or text where it is none)."""

    status: int
    headers: Any
    body: Any


@dataclass
class Stand:
    """A running exchange and plain ways to talk to it."""

    session: Session
    url: str
    loop: asyncio.AbstractEventLoop

    def raw(
        self, method: str, path: str, body: bytes | None = None,
        headers: dict[str, str] | None = None, timeout: float = 10.0,
    ) -> Reply:  # fmt: skip
        """One request as it is."""
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Reply(answer.status, answer.headers, _json(answer.read()))
        except urllib.error.HTTPError as answer:
            return Reply(answer.code, answer.headers, _json(answer.read()))

    def signed(self, method: str, path: str, /, **params: Any) -> Reply:
        """One signed request."""
        settings = self.session.exchange.settings
        stamped = {"timestamp": time.time_ns() // 1_000_000, **params}
        query = urlencode(stamped)
        signature = hmac.new(settings.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        path = f"/fapi/v1/{path}?{query}&signature={signature}"
        return self.raw(method, path, headers={"X-MBX-APIKEY": settings.api_key})

    def admin(self, method: str, name: str, /, **sent: Any) -> Any:
        """One request to the exchange's own control."""
        return self.raw(method, f"/paper/v1/{name}", json.dumps(sent).encode()).body

    def step(self, count: int = 1) -> Any:
        """Play candles."""
        return self.admin("POST", "step", candles=count)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
