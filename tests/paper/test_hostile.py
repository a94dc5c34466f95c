"""Malformed, oversized, unsigned and hostile requests: Binance-like errors, and it stays up."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import resource
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from leverpack.paper.binance.routes import ROUTES
from leverpack.paper.server import MAX_BODY
from leverpack.paper.state import to_state
from tests.paper.stand import SYMBOL, Stand, serving, session, walk


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with serving(session(walk(40))) as running:
        yield running


def bytes_back(stand: Stand, data: bytes) -> bytes:
    """What comes back for raw bytes on the wire."""
    place = urlsplit(stand.url)
    with socket.create_connection((place.hostname, place.port), 5) as line:
        line.sendall(data)
        line.settimeout(2)
        try:
            return line.recv(65_536)
        except TimeoutError:
            return b""


def alive(stand: Stand) -> None:
    assert stand.raw("GET", "/fapi/v1/ping").body == {}


RAW = [
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /fapi/v1/time HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /fapi/v1/order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
]


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_what_is_no_http_is_refused(stand: Stand, data: bytes):
    answer = bytes_back(stand, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    alive(stand)


def test_too_large_a_body(stand: Stand):
    reply = stand.raw("POST", "/fapi/v1/order", b"x" * (MAX_BODY + 1))
    assert (reply.status, reply.body["code"]) == (413, -1000)
    alive(stand)


def test_bodies_that_are_no_text_and_parameters_without_end(stand: Stand):
    assert stand.raw("POST", "/fapi/v1/order", b"\xff\xfe\x00").body["code"] == -1100
    many = "&".join(f"a{i}=1" for i in range(500))
    assert stand.raw("GET", f"/fapi/v1/klines?{many}").body["code"] == -1101
    nested = "[" * 2_000
    assert stand.signed("POST", "batchOrders", batchOrders=nested).body["code"] == -1130
    assert stand.raw("POST", "/paper/v1/step", b"[" * 100_000).status == 400
    alive(stand)


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 200), ("GET", "/nothing", 404), ("GET", "/fapi/v1/../../etc/passwd", 404),
    ("PATCH", "/fapi/v1/order", 405), ("GET", "/paper/v1/__init__", 404),
    ("GET", "/paper/v1/page", 404), ("GET", "/paper/v1/step", 404), ("GET", "/ws-api", 404),
])  # fmt: skip
def test_paths_that_are_not_there(stand: Stand, method: str, path: str, status: int):
    assert stand.raw(method, path).status == status


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Origin": "https://evil.example"},
    {"Host": "127.0.0.1.evil.example"},
])  # fmt: skip
def test_a_web_page_from_elsewhere_cannot_reach_it(stand: Stand, headers: dict[str, str]):
    before = stand.session.exchange.now
    assert stand.raw("POST", "/paper/v1/step", b"{}", headers).status == 403
    assert stand.session.exchange.now == before


ODD = ["", " ", "0", "-1", "1e999", "NaN", "null", "true", "9" * 40, "\x00", "💣", "'; DROP", "[]",
       "{}", "../..", "%00", "1.0.0", "0x10", "۱۲", "BTCUSDT", "BUY"]  # fmt: skip
NAMES = ["symbol", "side", "type", "quantity", "price", "timeInForce", "orderId", "algoId", "limit",
         "startTime", "endTime", "leverage", "marginType", "batchOrders", "timestamp", "interval",
         "newClientOrderId", "amount", "callbackRate", "triggerPrice", "algoType", "fromId", "page",
         "orderIdList", "positionSide", "reduceOnly", "closePosition", "goodTillDate"]  # fmt: skip


def test_random_requests_to_every_endpoint(stand: Stand):
    dice = random.Random(4)
    codes: set[Any] = set()
    for (method, path), _ in sorted(ROUTES.items()) * 16:
        names = dice.sample(NAMES, dice.randint(0, 8))
        params = {name: dice.choice(ODD) for name in names}
        params.setdefault("symbol", SYMBOL)
        version, name = path.removeprefix("/fapi/").split("/", 1)
        if version != "v1" or name == "listenKey":
            continue
        stand.session.exchange.books.check()
        reply = stand.signed(method, name, **{"timestamp": stand.session.exchange.now, **params})
        assert reply.status < 500, (method, path, params, reply.body)
        assert isinstance(reply.body, (dict, list))
        codes.add(reply.body.get("code") if isinstance(reply.body, dict) else None)
    assert len(codes) > 8
    alive(stand)


SENT = ["", "{", "[]", "null", '"x"', '{"method": 5}', '{"method": "SUBSCRIBE", "params": 3}',
        '{"method": "SUBSCRIBE", "params": ["x@y"], "id": 1}', '{"method":"SET_PROPERTY","id":2}',
        json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1h"] * 2000}),
        "[" * 30_000]  # fmt: skip


def test_nonsense_on_the_streams(stand: Stand):
    async def scenario() -> list[Any]:
        answers = []
        async with aiohttp.ClientSession() as client:
            for text in SENT:
                async with client.ws_connect(f"{stand.url}/ws") as line:
                    await line.send_str(text)
                    answers.append(json.loads((await line.receive(5)).data))
            async with client.ws_connect(f"{stand.url}/ws") as line:
                await line.send_str("x" * 200_000)
                assert (await line.receive(5)).type is not aiohttp.WSMsgType.TEXT
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(f"{stand.url}/ws/{'a' * 64}")
        return answers

    assert all("error" in answer for answer in asyncio.run(scenario()))
    assert not stand.session.hub.listeners
    alive(stand)


async def hammer(url: str, count: int, paths: list[str]) -> None:
    async with aiohttp.ClientSession() as client:
        for i in range(count):
            async with client.get(url + paths[i % len(paths)]) as answer:
                await answer.read()


def memory_growth(count: int) -> float:
    """Growth in MB of the highest memory over ``count`` requests, after as many to warm up."""
    paths = [
        f"/fapi/v1/depth?symbol={SYMBOL}&limit=20", "/fapi/v1/nothing", "/fapi/v1/openOrders",
        f"/fapi/v1/klines?symbol={SYMBOL}&interval=1h&limit=20", "/fapi/v1/klines?interval=%00",
    ]  # fmt: skip
    with serving(session(walk(40), depth=0.1)) as stand:
        asyncio.run(hammer(stand.url, 2_000, paths))
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        asyncio.run(hammer(stand.url, count, paths))
        gc.collect()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0


def test_memory_stays_flat_over_some_thousand_requests():
    assert memory_growth(3_000) < 5.0


@pytest.mark.slow
def test_memory_stays_flat_over_a_hundred_thousand_requests():
    assert memory_growth(100_000) < 10.0


def test_reading_changes_nothing(stand: Stand):
    before = to_state(stand.session.exchange)
    for (method, path), _ in ROUTES.items():
        if method == "GET" and path.startswith("/fapi/v1/"):
            stand.signed("GET", path.removeprefix("/fapi/v1/"), symbol=SYMBOL, interval="1h")
    assert to_state(stand.session.exchange) == before
