"""A paper exchange served from a thread of its own and played on piece by piece."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

from leverpack.paper.server import PaperServer
from leverpack.paper.session import Session

_WAIT_S = 30.0


class ServedExchange:
    """A lock-step session behind HTTP and WebSocket on loopback; ``with`` starts and ends it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.exchange = session.exchange
        self._server = PaperServer(session)
        self._pieces = session.exchange.pieces()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="leverpack-rehearse", daemon=True
        )

    def __enter__(self) -> ServedExchange:
        self._thread.start()
        self._run(self._server.start())
        return self

    def __exit__(self, *problem: object) -> None:
        try:
            self._run(self._server.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_WAIT_S)
            self._loop.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def fills(self) -> int:
        """How many fills the account has had."""
        return self.exchange.books.trade_id

    def play_on(self) -> str:
        """The next piece: "event", "closed" or "opened"; "" after the last candle."""
        return str(self._run(self._next()))

    async def _next(self) -> str:
        return next(self._pieces, "")

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)
