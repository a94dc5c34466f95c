"""A paper exchange that plays a candle every so often and notes when orders come; for bench_live.

Started as ``python -m benchmarks.live_server candles history pause_s``; prints its address, and at
the end one line of JSON: for each candle the seconds from its close to each order's arrival.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextvars import ContextVar
from typing import Any

from aiohttp import web

from leverpack.paper.binance.routes import Request
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import PaperSettings
from leverpack.paper.server import PaperServer
from leverpack.paper.session import Session
from tests.paper.stand import tape, walk

_came: ContextVar[float] = ContextVar("came")


class Noting(PaperServer):
    """Notes when a candle is put on the stream and when an order comes in."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.closed = 0.0
        self.orders: dict[str, list[float]] = {"entry": [], "exit": [], "stop": []}
        session.exchange.market_listeners.insert(0, self._candle)

    def _candle(self, tape: Any, what: str) -> None:
        if what == "closed":
            self.closed = time.monotonic()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        _came.set(time.monotonic())
        return await super()._handle(request)

    def _answer(self, asked: Request) -> tuple[str, int]:
        if asked.method == "POST" and asked.path.endswith("rder"):
            reduces = "reduceOnly=true" in asked.query + asked.body
            kind = "stop" if "algo" in asked.path else "exit" if reduces else "entry"
            self.orders[kind].append(_came.get() - self.closed)
        return super()._answer(asked)


async def main(candles: int, history: int, pause_s: float) -> None:
    """Serve, wait for a listener, play, and say what was noted."""
    settings = PaperSettings(weight_limit=0, order_limit_minute=0, order_limit_10s=0)
    exchange = Exchange(settings, [tape(walk(candles + history + 5, swing=0.0005))], None)
    session = Session(exchange)
    session.step(history)
    server = Noting(session)
    await server.start()
    print(server.url, flush=True)
    while not session.hub.streams:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    for _ in range(candles):
        session.step(1)
        await asyncio.sleep(pause_s)
    print(json.dumps(server.orders), flush=True)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
