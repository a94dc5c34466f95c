"""The HTTP and WebSocket server of a paper exchange, on aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSMsgType, web

from leverpack.listening import Listener
from leverpack.paper.admin import Admin
from leverpack.paper.binance import sockets as binance_sockets
from leverpack.paper.binance.routes import Request, answer, route_of
from leverpack.paper.bybit import routes as bybit
from leverpack.paper.bybit import sockets as bybit_sockets
from leverpack.paper.bybit.refusals import refused
from leverpack.paper.faults import Fault
from leverpack.paper.refusal import Refusal
from leverpack.paper.session import Session

MAX_BODY = 256 * 1024
MAX_ADMIN_BODY = 256 * 1024 * 1024  # a saved state comes back in one piece
MAX_MESSAGE = 64 * 1024
TICK_S = 0.1
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_log = logging.getLogger(__name__)


class _Gone(Exception):
    """A fault: the connection is cut instead of answered."""


class PaperServer(Listener):
    """Serves one session; ``await start()``, then ``url`` and ``await stop()``.

    ``host`` is 127.0.0.1 unless told otherwise, ``port`` 0 takes a free one. On loopback a
    request must name loopback as its host, so that no web page can reach it by another name.
    """

    def __init__(self, session: Session, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(host, port)
        self.session = session
        self.admin = Admin(session)
        self._clock: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; SettingError where the port is taken."""
        app = web.Application(client_max_size=MAX_ADMIN_BODY)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        await self.open(app)
        self.session.start_clock()
        self._clock = asyncio.create_task(self._run_clock())

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
        for listener in list(self.session.hub.listeners):
            listener.close()
        await self.close()

    async def _run_clock(self) -> None:
        while True:
            try:
                self.session.tick()
            except Exception:  # the server must outlive a defect, and say it
                _log.exception("the replay stumbled")
            await asyncio.sleep(TICK_S)

    # -- requests --------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        try:
            self._check_host(request)
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._socket(request, path, query)
            if path == "/" or path.startswith("/paper/"):
                return await self._admin(request, path)
            self.session.count(request.method, path)
            if path.startswith(bybit.PREFIX):
                return await self._bybit(request, path, query)
            return await self._protocol(request, path, query)
        except Refusal as refusal:
            return self._refused(refusal)
        except _Gone:
            _cut(request)
            return web.Response(status=500)
        except web.HTTPException:
            raise
        except Exception:  # whatever it was, the client gets the venue's own words for it
            _log.exception("%s %s failed", request.method, path)
            return self._refused(Refusal(-1000, status=500))

    def _check_host(self, request: web.Request) -> None:
        if self.host not in _LOOPBACK:
            return
        host = request.host.rpartition(":")[0] if request.host.count(":") == 1 else request.host
        host = host.partition("]")[0].lstrip("[")
        origin = request.headers.get("Origin")
        same = origin is None or origin.partition("://")[2] == request.host
        if host not in _LOOPBACK or not same:
            raise Refusal(-2015, status=403)

    async def _protocol(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        session = self.session
        body = await _body(request, MAX_BODY)
        asked = Request(request.method, path, query, body, request.headers.get("X-MBX-APIKEY"))
        line = [*session.faults.of_request(request.method, path)]
        for fault in line:
            await _before(fault)
        route = route_of(asked)
        copies = 1 + sum(fault.kind == "duplicate" for fault in line)
        replies = [self._answer(asked) for _ in range(copies)]
        session.faults.after_request(request.method, path)
        text, status = replies[0]
        for fault in line:
            text, status = await _after(fault, text, status, _dumped(Refusal(-1007).shape()))
        headers = session.venue.limits.headers(bool(route.orders))
        if status in (418, 429):
            headers["Retry-After"] = str(session.venue.limits.retry_after())
        return _json(text, status, headers)

    async def _bybit(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        session, venue = self.session, self.session.venue
        try:
            body = await _body(request, MAX_BODY)
            line = session.faults.of_request(request.method, path)
            for fault in line:
                await _before(fault)
            venue.limits.spend(1)
        except Refusal as refusal:
            found, status = refused(refusal, venue.exchange.now)
            return _json(_dumped(found), status, {})
        for _ in range(1 + sum(fault.kind == "duplicate" for fault in line)):
            found, status = bybit.answer(venue, request.method, path, query, body, request.headers)
        session.faults.after_request(request.method, path)
        text = _dumped(found)
        timeout = _dumped(refused(Refusal(-1007), venue.exchange.now)[0])
        for fault in line:
            text, status = await _after(fault, text, status, timeout)
        return _json(text, status, {})

    def _answer(self, asked: Request) -> tuple[str, int]:
        try:
            found = answer(self.session.venue, asked, route_of(asked))
        except Refusal as refusal:
            return _dumped(refusal.shape()), refusal.status
        return _dumped(found), 200

    def _refused(self, refusal: Refusal) -> web.Response:
        headers = {"Retry-After": "1"} if refusal.status in (418, 429) else {}
        return _json(_dumped(refusal.shape()), refusal.status, headers)

    async def _admin(self, request: web.Request, path: str) -> web.StreamResponse:
        if path == "/":
            return web.Response(text=self.admin.page(), content_type="text/html")
        body = await _body(request, MAX_ADMIN_BODY)
        status, found = self.admin.answer(request.method, path, body)
        return _json(_dumped(found), status, {})

    # -- streams ---------------------------------------------------------------------------------

    async def _socket(self, request: web.Request, path: str, query: str) -> web.StreamResponse:
        face: Any = bybit_sockets if path.startswith(bybit.PREFIX) else binance_sockets
        session = self.session
        listener = face.open_listener(session.venue, session.hub, path, query)
        try:
            socket = web.WebSocketResponse(heartbeat=60.0, max_msg_size=MAX_MESSAGE)
            await socket.prepare(request)
            writer = asyncio.create_task(_write(socket, listener.queue))
            try:
                async for message in socket:
                    if message.type == WSMsgType.TEXT:
                        face.take_message(session.venue, session.hub, listener, message.data)
            finally:
                writer.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writer
        finally:
            session.hub.leave(listener)
        return socket


async def _write(socket: web.WebSocketResponse, queue: asyncio.Queue[str | None]) -> None:
    while True:
        text = await queue.get()
        if text is None:
            await socket.close()
            return
        with contextlib.suppress(ConnectionError):
            await socket.send_str(text)


async def _before(fault: Fault) -> None:
    """What a fault of the line does before the request is taken."""
    kind = fault.kind
    if kind in ("delay", "timeout_before"):
        await asyncio.sleep(fault.seconds)
    if kind in ("lost_request", "timeout_before"):
        raise _Gone
    if kind == "error_before":
        raise Refusal(-1001, status=fault.status)
    if kind == "maintenance":
        raise Refusal(-1016, "System is under maintenance.", status=503)
    if kind == "rate_limit":
        raise Refusal(-1003, limit=2400)
    if kind == "ban":
        raise Refusal(-1003, "Way too many requests; IP banned.", status=418)


async def _after(fault: Fault, text: str, status: int, timeout: str) -> tuple[str, int]:
    """What a fault of the line makes of the answer, after the request was carried out."""
    if fault.kind == "timeout_after":
        await asyncio.sleep(fault.seconds)
    if fault.kind in ("lost_response", "timeout_after"):
        raise _Gone
    if fault.kind == "error_after":
        return timeout, fault.status
    if fault.kind == "malformed":
        return text[: len(text) // 2] or "<", status
    return text, status


def _cut(request: web.Request) -> None:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()


async def _body(request: web.Request, most: int) -> str:
    if (request.content_length or 0) > most:
        raise Refusal(-1000, "Request body is too large.", status=413)
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > most:
            raise Refusal(-1000, "Request body is too large.", status=413)
        parts.append(part)
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        raise Refusal(-1100, name="body") from None


def _dumped(found: Any) -> str:
    return json.dumps(found, separators=(",", ":"))


def _json(text: str, status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        text=text, status=status, headers=headers, content_type="application/json"
    )


@contextlib.asynccontextmanager
async def serving(session: Session, **options: Any) -> AsyncIterator[PaperServer]:
    """A server for as long as the block lasts."""
    server = PaperServer(session, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
