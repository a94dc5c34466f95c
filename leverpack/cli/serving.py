"""A server of a command: greets, then runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import typer

T = TypeVar("T")


def serve(server: AbstractAsyncContextManager[T], greeting: Callable[[T], str]) -> None:
    """Enter ``server``, say ``greeting(what it gave)``, and leave it when somebody ends it."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_until_stopped(server, greeting))


async def _until_stopped(
    server: AbstractAsyncContextManager[T], greeting: Callable[[T], str]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no handlers in a loop
            loop.add_signal_handler(name, stop.set)
    async with server as running:
        typer.echo(greeting(running))
        await stop.wait()
