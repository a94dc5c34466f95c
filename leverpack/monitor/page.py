"""The live page's server: reads a journal, streams it to browsers, writes the kill file."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from leverpack.errors import DataError, SettingError
from leverpack.listening import Listener
from leverpack.live.reading import JournalReader
from leverpack.live.switch import LEVELS, ask_to_halt, kill_file_of, level_in
from leverpack.monitor.pagestate import age_of, chart_state, page_state
from leverpack.report.palette import root_css

TOKEN_VARIABLE = "LEVERPACK_MONITOR_TOKEN"
TOKEN_HEADER = "X-Leverpack-Token"
LEAST_TOKEN = 16
LOOK_S = 0.25  # between two looks at the journal
PING_S = 5.0
MAX_BODY = 1024
_LOOPBACK = ("localhost",)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def chosen_token() -> str:
    """The token of LEVERPACK_MONITOR_TOKEN, or a new one; SettingError for one too short."""
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given and len(given) < LEAST_TOKEN:
        raise SettingError(
            f"{TOKEN_VARIABLE} has {len(given)} characters; give it {LEAST_TOKEN} or more, as it "
            "guards the kill switch"
        )
    return given or secrets.token_urlsafe(24)


class PageServer(Listener):
    """Serves the page of one journal; ``await start()``, then ``url`` and ``await stop()``.

    The journal is only ever read; the one thing written is the kill file, for requests that bring
    ``token``. On another ``host`` than loopback the token is asked for reading too. A request
    must name this server by an address or as localhost, so that no web page can reach it by
    another name, and come from the page itself where a browser says whence it comes.
    """

    def __init__(
        self, journal: Path, token: str, *, host: str = "127.0.0.1", port: int = 8787
    ) -> None:
        super().__init__(host, port)
        self.journal = journal
        self._token = token
        self.is_local = _is_loopback(host)
        self._reader = JournalReader(journal)
        self._serial = 0
        self._state: dict[str, Any] = {}
        self._charts: dict[str, Any] = {}
        self._fault = ""
        self._changed = asyncio.Condition()
        self._closing = False
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; SettingError where the port is taken."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._checked])
        app.router.add_get("/", _page)
        app.router.add_get("/page.css", _style)
        app.router.add_get("/page.js", _script)
        app.router.add_get("/stream", self._stream)
        app.router.add_post("/halt", self._halt)
        await self.open(app)
        self._watch = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        """End the streams, stop listening, let go of the journal."""
        self._closing = True
        async with self._changed:
            self._changed.notify_all()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self.close()
        self._reader.close()

    # -- the journal -----------------------------------------------------------------------------

    async def _look_on(self) -> None:
        seen: object = None
        while True:
            try:
                now = await asyncio.to_thread(self._mark)
                if now != seen:
                    state, charts = await asyncio.to_thread(self._read)
                    await self._publish(state, charts, "")
                    seen = now
            except DataError as fault:
                if str(fault) != self._fault:
                    await self._publish(self._state, self._charts, str(fault))
            except Exception:  # the page must outlive a defect, and say it
                _log.exception("the page stumbled")
            await asyncio.sleep(LOOK_S)

    def _mark(self) -> object:
        """Something that changes whenever there may be news."""
        return self._reader.version(), level_in(kill_file_of(self.journal))

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return page_state(self._reader), chart_state(self._reader)

    async def _publish(self, state: dict[str, Any], charts: dict[str, Any], fault: str) -> None:
        async with self._changed:
            self._state, self._charts, self._fault = state, charts, fault
            self._serial += 1
            self._changed.notify_all()

    # -- requests --------------------------------------------------------------------------------

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = self._objection(request)
        if refusal:
            return _said(refusal, 403)
        try:
            answer = await handler(request)
        except web.HTTPException as fault:
            answer = _said(fault.reason, fault.status)
        if not answer.prepared:
            answer.headers.update(_HEADERS)
        return answer

    def _objection(self, request: web.Request) -> str:
        """Why a request is not answered, or ""."""
        if not _is_own_name(request.host, self.host):
            return "this server is not called so; use its address or localhost"
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            return "requests of other pages are refused"
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            # Following a link to the page is fine; everything else of others is not.
            follows = request.headers.get("Sec-Fetch-Mode") == "navigate"
            if not (follows and request.method == "GET" and request.path == "/"):
                return "requests of other pages are refused"
        return ""

    def _has_token(self, request: web.Request) -> bool:
        given = request.headers.get(TOKEN_HEADER, "")
        return hmac.compare_digest(
            given.encode(errors="surrogateescape"), self._token.encode()
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: ``state`` at every change, ``charts`` when a candle has closed."""
        may_halt = self._has_token(request)
        if not may_halt and not self.is_local:
            return _said("this page needs its token: open it by the address it was started with",
                         403)  # fmt: skip
        answer = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", **_HEADERS}
        )
        await answer.prepare(request)
        seen, charts = 0, None
        with contextlib.suppress(ConnectionError):
            while not self._closing:
                if self._serial != seen:
                    seen = self._serial
                    said = {**self._state, "age_s": age_of(self._state), "may_halt": may_halt,
                            "fault": self._fault}  # fmt: skip
                    await answer.write(_event("state", said))
                    if self._charts is not charts and self._charts != charts:
                        charts = self._charts
                        await answer.write(_event("charts", charts))
                    continue
                await self._wait_for_news(answer, seen)
        return answer

    async def _wait_for_news(self, answer: web.StreamResponse, seen: int) -> None:
        try:
            async with asyncio.timeout(PING_S), self._changed:
                await self._changed.wait_for(lambda: self._closing or self._serial != seen)
        except TimeoutError:
            await answer.write(b": still here\n\n")

    async def _halt(self, request: web.Request) -> web.StreamResponse:
        if not self._has_token(request):
            return _said("no token, or a wrong one: nothing was done", 403)
        try:
            level = (await request.json())["level"]
        except (ValueError, KeyError, TypeError):
            return _said('send {"level": 1}, 2 or 3 as JSON', 400)
        if isinstance(level, bool) or level not in LEVELS:
            return _said("level must be 1, 2 or 3", 400)
        try:
            await asyncio.to_thread(ask_to_halt, self.journal, level)
        except SettingError as fault:
            return _said(str(fault), 500)
        _log.warning("halt asked for on the page: %s", LEVELS[level])
        return _said(LEVELS[level], 200)


@asynccontextmanager
async def serving(
    journal: Path, token: str, *, host: str = "127.0.0.1", port: int = 8787
) -> AsyncIterator[PageServer]:
    """The page of a journal, served for as long as the block lasts."""
    server = PageServer(journal, token, host=host, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _is_loopback(host: str) -> bool:
    try:
        return host in _LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_own_name(named: str, host: str) -> bool:
    """Whether a Host header is an address, localhost, or the name that was asked for.

    A page that lets its own name point here (DNS rebinding) comes with that name.
    """
    name, _, port = named.rpartition(":")
    if not port.isdigit():
        name = named
    name = name.strip("[]").lower()
    if name in _LOOPBACK or name == host.lower():
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not _is_loopback(host)


def _said(text: str, status: int) -> web.Response:
    return web.json_response({"said": text}, status=status, headers=_HEADERS)


def _event(name: str, said: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(said, allow_nan=False)}\n\n".encode()


@cache
def _asset(name: str) -> str:
    return (files("leverpack.monitor") / "assets" / name).read_text(encoding="utf-8")


async def _page(request: web.Request) -> web.StreamResponse:
    return web.Response(text=_asset("page.html"), content_type="text/html")


async def _style(request: web.Request) -> web.StreamResponse:
    base = (files("leverpack.report") / "assets" / "page.css").read_text(encoding="utf-8")
    return web.Response(
        text=f"{root_css()}\n{base}\n{_asset('page.css')}", content_type="text/css"
    )


async def _script(request: web.Request) -> web.StreamResponse:
    return web.Response(text=_asset("page.js"), content_type="text/javascript")
