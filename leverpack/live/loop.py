"""One asyncio loop in one thread, and the way into it from ordinary code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import ccxt

try:  # ccxt brings it where it runs: a sixth less time from a candle to its order
    import uvloop as loops
except ImportError:  # Windows
    loops = asyncio  # type: ignore[misc]

T = TypeVar("T")
logger = logging.getLogger("leverpack.live")
_GLANCE_S = 0.2  # between two looks at the time to end


class LoopThread:
    """A running loop; ``run`` waits for a coroutine's result, ``spawn`` lets one go on.

    ``hidden`` takes the secrets out of what is logged.
    """

    def __init__(self, name: str, hidden: Callable[[str], str] = str) -> None:
        self._hidden = hidden
        self._loop: asyncio.AbstractEventLoop = loops.new_event_loop()
        self._loop.set_exception_handler(self._stray)
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what nobody waited for: asyncio would, with traceback and whatever it says.

        ccxt starts work of its own and forgets it; its faults come to light where they matter.
        """
        fault = context.get("exception")
        if fault is None or isinstance(fault, ccxt.BaseError):
            said = context["message"] if fault is None else f"{type(fault).__name__}: {fault}"
            logger.info("in the background: %s", self._hidden(" ".join(said.split())))
        else:
            said = "".join([f"{context['message']}\n", *traceback.format_exception(fault)])
            logger.error("in the background: %s", self._hidden(said.rstrip()))

    @property
    def running(self) -> bool:
        """Whether it still takes work."""
        return self._thread.is_alive() and not self._loop.is_closed()

    def run(
        self, work: Coroutine[Any, Any, T], timeout: float | None = None,
        ends: Callable[[], float] = lambda: math.inf,
    ) -> T:  # fmt: skip
        """The result of ``work``; a TimeoutError takes the work back.

        ``ends()`` is a monotonic time that nobody waits beyond; it may come nearer meanwhile.
        """
        future = self.spawn(work)
        until = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = max(0.0, min(until, ends()) - time.monotonic())
                try:
                    return future.result(min(left, _GLANCE_S))
                except FutureTimeout:
                    if future.done() or left <= _GLANCE_S:
                        raise
        except (FutureTimeout, KeyboardInterrupt):
            future.cancel()
            raise

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start ``work`` in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self, timeout: float) -> None:
        """Cancel what still runs, stop the loop and end the thread."""
        if not self.running:
            return
        with contextlib.suppress(FutureTimeout):
            self.run(_cancel_all(), timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._loop.close()


async def _cancel_all() -> None:
    tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
