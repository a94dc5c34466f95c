"""The unmodified ccxt.pro client: every stream that live trading listens to, beside the books."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leverpack.paper.client import point_at
from leverpack.paper.server import PaperServer
from leverpack.paper.session import Session
from tests.paper.stand import HOUR, START, UNIFIED, session, walk

pro = pytest.importorskip("ccxt.pro")


@asynccontextmanager
async def trading(held: Session) -> AsyncIterator[Any]:
    """A ccxt.pro exchange on a served session."""
    server = PaperServer(held)
    await server.start()
    client = point_at(
        pro.binanceusdm({"apiKey": "paper", "secret": "paper", "enableRateLimit": False}),
        server.url,
    )
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()
        await server.stop()


def play(scenario: Callable[[Session, Any], Awaitable[None]], held: Session) -> None:
    async def run() -> None:
        async with trading(held) as client:
            await asyncio.wait_for(scenario(held, client), 20)

    asyncio.run(run())


async def heard(waiting: Awaitable[Any], cause: Callable[[], Any]) -> Any:
    """What a stream says after ``cause``: the subscription must be there first."""
    task = asyncio.ensure_future(waiting)
    for _ in range(50):
        await asyncio.sleep(0.02)
        if task.done():
            break
        result = cause()
        if asyncio.iscoroutine(result):
            await result
    return await asyncio.wait_for(task, 5)


def test_candles_open_form_and_close():
    async def scenario(held: Session, client: Any) -> None:
        rows = await heard(client.watch_ohlcv(UNIFIED, "1h"), held.exchange.step)
        tape = held.exchange.tapes["BTCUSDT"]
        opened = (rows[-1][0] - START) // HOUR
        assert rows[-1][1] == tape.candles.open[opened]
        while rows[-1][0] == START + opened * HOUR:
            held.exchange.step()
            rows = await client.watch_ohlcv(UNIFIED, "1h")
        known = {row[0]: row for row in client.ohlcvs[UNIFIED]["1h"]}
        closed = known[START + opened * HOUR]
        columns = (tape.candles.open, tape.candles.high, tape.candles.low, tape.candles.close)
        assert closed[1:5] == [float(c[opened]) for c in columns]

    play(scenario, session(walk(100)))


def test_mark_price_ticker_book_and_trades():
    async def scenario(held: Session, client: Any) -> None:
        exchange = held.exchange
        mark = await heard(client.watch_mark_price(UNIFIED), exchange.step)
        assert mark["markPrice"] in exchange.tapes["BTCUSDT"].candles.open
        book = await heard(client.watch_order_book(UNIFIED), exchange.step)
        assert book["bids"][0][0] < book["asks"][0][0]
        best = await heard(client.watch_bids_asks([UNIFIED]), exchange.step)
        assert best[UNIFIED]["bid"] < best[UNIFIED]["ask"]
        assert (await heard(client.watch_ticker(UNIFIED), exchange.step))["last"] > 0
        trades = await heard(client.watch_trades(UNIFIED), exchange.step)
        assert trades[-1]["price"] > 0

    play(scenario, session(walk(400), spread=0.0002, depth=0.1))


def test_the_book_of_the_stream_is_the_book_of_the_request():
    async def scenario(held: Session, client: Any) -> None:
        await heard(client.watch_order_book(UNIFIED), held.exchange.step)
        for _ in range(20):
            held.exchange.step()
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        streamed = client.orderbooks[UNIFIED]
        asked = await client.fetch_order_book(UNIFIED)
        assert streamed["bids"][:20] == asked["bids"][:20]
        assert streamed["asks"][:20] == asked["asks"][:20]

    play(scenario, session(walk(400), spread=0.0002, depth=0.1))


def test_orders_trades_position_and_balance_of_one_market_order():
    async def scenario(held: Session, client: Any) -> None:
        orders = asyncio.ensure_future(client.watch_orders(UNIFIED))
        trades = asyncio.ensure_future(client.watch_my_trades(UNIFIED))
        positions = asyncio.ensure_future(client.watch_positions([UNIFIED]))
        balance = asyncio.ensure_future(client.watch_balance())
        while not held.hub.users():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # ccxt reads the positions first
        made = await client.create_order(
            UNIFIED, "market", "buy", 0.05, None, {"clientOrderId": "entry-1"}
        )
        seen = (await asyncio.wait_for(orders, 5))[-1]
        assert (seen["id"], seen["clientOrderId"]) == (made["id"], "entry-1")
        fill = (await asyncio.wait_for(trades, 5))[-1]
        books = held.exchange.books
        assert fill["fee"]["cost"] == pytest.approx(books.trades[-1].fee, abs=1e-8)
        assert (fill["price"], fill["amount"]) == (books.trades[-1].price, 0.05)
        moved = await asyncio.wait_for(balance, 5)
        assert moved["USDT"]["total"] == pytest.approx(books.account.wallet, abs=1e-8)
        first = await asyncio.wait_for(positions, 5)
        if not first:  # the snapshot of a flat account
            waiting = client.watch_positions([UNIFIED])
            more = lambda: client.create_order(UNIFIED, "market", "buy", 0.01)  # noqa: E731
            first = await heard(waiting, more)
        assert first[-1]["contracts"] >= 0.05
        assert first[-1]["side"] == "long"

    play(scenario, session(walk(50)))


def test_a_stop_reports_its_trigger_and_its_fill():
    rows = [(100.0, 101.0, 99.0, 100.0)] * 3 + [(100.0, 100.0, 90.0, 91.0)] * 3
    rows = [tuple(1000 * x for x in row) for row in rows]

    async def scenario(held: Session, client: Any) -> None:
        await client.create_order(UNIFIED, "market", "buy", 0.05)
        watching = asyncio.ensure_future(client.watch_orders(UNIFIED))
        while not held.hub.users():
            await asyncio.sleep(0.01)
        stop = await client.create_order(
            UNIFIED, "market", "sell", 0.05, None, {"stopLossPrice": 96_000, "reduceOnly": True}
        )
        news = [(o["id"], o["status"]) for o in await asyncio.wait_for(watching, 5)]
        assert (stop["id"], "open") in news
        for _ in range(4):
            held.exchange.step()
        await asyncio.sleep(0.2)
        last = {order["id"]: order for order in client.orders}
        child = next(o for i, o in last.items() if i != stop["id"])
        assert (child["status"], child["average"]) == ("closed", 96_000.0)
        assert last[stop["id"]]["info"]["X"] == "FINISHED"

    play(scenario, session(rows))


def test_an_expired_listen_key_closes_the_stream():
    async def scenario(held: Session, client: Any) -> None:
        watching = asyncio.ensure_future(client.watch_orders(UNIFIED))
        while not held.hub.users():
            await asyncio.sleep(0.01)
        held.venue.drop_listen_key()
        with pytest.raises(Exception, match=r"1000|closed|Connection"):
            await asyncio.wait_for(watching, 5)
        assert not held.hub.users()

    play(scenario, session(walk(20)))
