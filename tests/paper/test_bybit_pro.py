"""Bybit's streams through the unmodified ccxt.pro client, beside the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import ccxt
import pytest

from leverpack.paper.client import point_at
from leverpack.paper.server import PaperServer
from leverpack.paper.session import Session
from tests.paper.stand import HOUR, START, SYMBOL, UNIFIED, session, walk
from tests.paper.test_ccxt_pro import heard

pro = pytest.importorskip("ccxt.pro")
KEYS = {"apiKey": "paper", "secret": "paper", "enableRateLimit": False}


def play(scenario: Callable[[Session, Any], Awaitable[None]]) -> None:
    async def run() -> None:
        held = session(walk(100), venue="bybit")
        server = PaperServer(held)
        await server.start()
        client = point_at(pro.bybit(KEYS), server.url)
        try:
            await client.load_markets()
            await asyncio.wait_for(scenario(held, client), 20)
        finally:
            await client.close()
            await server.stop()

    asyncio.run(run())


def test_candles_form_and_say_when_they_are_closed():
    said: list[tuple[int, bool]] = []

    async def scenario(held: Session, client: Any) -> None:
        handle = client.handle_ohlcv

        def tapped(line: Any, message: Any) -> None:
            said.extend((int(k["start"]), k["confirm"]) for k in message["data"])
            handle(line, message)

        client.handle_ohlcv = tapped
        rows = await heard(client.watch_ohlcv(UNIFIED, "2h"), held.exchange.step)
        for _ in range(5):
            held.exchange.step()
        while rows[-1][0] < START + 4 * HOUR:
            rows = await client.watch_ohlcv(UNIFIED, "2h")
        tape = held.exchange.tapes[SYMBOL].candles
        known = {row[0]: row for row in client.ohlcvs[UNIFIED]["2h"]}
        second = known[START + 2 * HOUR]
        assert second[1:5] == [tape.open[2], max(tape.high[2:4]), min(tape.low[2:4]), tape.close[3]]

    play(scenario)
    closed = [start for start, confirmed in said if confirmed]
    assert START + 2 * HOUR in closed
    assert len(closed) == len(set(closed))  # each once


def test_ticker():
    async def scenario(held: Session, client: Any) -> None:
        ticker = await heard(client.watch_ticker(UNIFIED), held.exchange.step)
        assert ticker["last"] in held.exchange.tapes[SYMBOL].candles.open

    play(scenario)


def test_orders_fills_positions_and_wallet():
    async def scenario(held: Session, client: Any) -> None:
        async def buy() -> None:
            await client.create_order(
                UNIFIED, "market", "buy", 0.01, None, {"clientOrderId": f"mine{client.nonce()}"}
            )

        orders = await heard(client.watch_orders(UNIFIED), buy)
        assert orders[-1]["status"] in ("open", "closed")
        assert orders[-1]["clientOrderId"].startswith("mine")
        fills = await heard(client.watch_my_trades(UNIFIED), buy)
        assert (fills[-1]["side"], fills[-1]["amount"]) == ("buy", 0.01)
        wallet = await heard(client.watch_balance(), buy)
        books = held.exchange.books
        assert wallet["USDT"]["total"] == pytest.approx(books.account.wallet, abs=1e-6)
        client.options["watchPositions"] = {"fetchPositionsSnapshot": False}
        positions = await heard(client.watch_positions([UNIFIED]), buy)
        assert positions[-1]["contracts"] == pytest.approx(books.position(SYMBOL).size)
        stop = await client.create_order(
            UNIFIED, "market", "sell", 0.01, None, {"stopLossPrice": 90_000, "reduceOnly": True}
        )
        while True:
            told = {o["id"]: o for o in await client.watch_orders(UNIFIED)}
            if stop["id"] in told:
                break
        assert told[stop["id"]]["triggerPrice"] == 90_000.0

    play(scenario)


def test_a_dropped_stream_comes_back():
    async def scenario(held: Session, client: Any) -> None:
        await heard(client.watch_ohlcv(UNIFIED, "1h"), held.exchange.step)
        waiting = asyncio.ensure_future(client.watch_ohlcv(UNIFIED, "1h"))
        await asyncio.sleep(0.05)
        for listener in list(held.hub.listeners):
            listener.close()
        with pytest.raises(ccxt.NetworkError):
            await waiting
        assert await heard(client.watch_ohlcv(UNIFIED, "1h"), held.exchange.step)

    play(scenario)


def test_what_a_connection_may_not():
    async def scenario(held: Session, client: Any) -> None:
        base = client.urls["api"]["ws"]["private"]["contract"]

        async def said(url: str, *messages: Any) -> list[Any]:
            async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
                for message in messages:
                    text = message if isinstance(message, str) else json.dumps(message)
                    await socket.send_str(text)
                return [(await socket.receive_json()) for _ in messages]

        late = {"op": "auth", "args": ["paper", "1", "no"]}
        replies = await said(
            base, {"op": "subscribe", "args": ["order"]}, late, {"op": "ping", "req_id": "7"},
            "[", {"op": "dance"}, {"op": "auth"},
        )  # fmt: skip
        assert [r["success"] for r in replies] == [False, False, True, False, False, False]
        assert "not authorized" in replies[0]["ret_msg"]
        assert replies[2]["op"] == "pong" and replies[2]["req_id"] == "7"
        public = base.replace("private", "public/linear")
        args = ["order"], ["kline.7.BTCUSDT"], ["kline.60.NOPE"], ["kline.60.BTCUSDT"]
        replies = await said(public, *({"op": "subscribe", "args": a} for a in args))
        assert [r["success"] for r in replies] == [False, False, False, True]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await said(base.replace("private", "nowhere"), {"op": "ping"})

    play(scenario)


def test_a_wrong_secret_is_refused():
    async def scenario(held: Session, client: Any) -> None:
        await client.is_unified_enabled()  # asked for by REST, once
        client.secret = "other"
        with pytest.raises(ccxt.ExchangeError, match="sign not match"):
            await asyncio.wait_for(client.watch_orders(UNIFIED), 5)

    play(scenario)
