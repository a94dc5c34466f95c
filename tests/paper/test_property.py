"""Random clients on a bad line: the books balance after every step, whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverpack.paper.faults import Fault
from leverpack.paper.orders import BOTH, Event
from leverpack.paper.server import serving
from leverpack.paper.session import Session
from tests.paper.stand import SYMBOL, session, tape, walk

SIDES = st.sampled_from(["BUY", "SELL"])
OFFSETS = st.sampled_from([-0.03, -0.01, -0.004, -0.001, 0.0, 0.001, 0.004, 0.01, 0.03])
UNITS = st.sampled_from([1, 5, 10, 20, 50, 100, 400])
FLAGS = st.sampled_from([False, False, False, True])
ACTIONS = st.one_of(
    st.tuples(st.just("market"), SIDES, UNITS, FLAGS),
    st.tuples(st.just("limit"), SIDES, UNITS, FLAGS, OFFSETS,
              st.sampled_from(["GTC", "IOC", "FOK", "GTX"])),
    st.tuples(st.just("algo"), SIDES, UNITS, FLAGS, OFFSETS,
              st.sampled_from(["STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP",
                               "TRAILING_STOP_MARKET"])),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("amend"), st.integers(0, 30), UNITS, OFFSETS),
    st.tuples(st.just("cancel_all")),
    st.tuples(st.just("leverage"), st.sampled_from([1, 10, 20, 50, 100, 130])),
    st.tuples(st.just("step"), st.integers(1, 4)),
    st.tuples(st.just("event"), st.sampled_from(
        ["closed_elsewhere", "partial_fill", "leverage_stays", "tier_change"])),
)  # fmt: skip
LINE = ("lost_request", "lost_response", "error_before", "error_after", "malformed", "duplicate",
        "rate_limit", "maintenance")  # fmt: skip


class Client:
    """Sends signed requests and remembers every id, whether the answer came or not."""

    def __init__(self, url: str, line: aiohttp.ClientSession) -> None:
        self.url = url
        self.line = line
        self.sent: dict[str, bool] = {}  # client id -> whether an answer said that it was taken
        self.taken: list[str] = []

    async def call(self, method: str, path: str, **params: Any) -> Any:
        query = urlencode({"timestamp": time.time_ns() // 1_000_000, **params})
        signature = hmac.new(b"paper", query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.url}/fapi/v1/{path}?{query}&signature={signature}"
        with contextlib.suppress(aiohttp.ClientError, ValueError):
            async with self.line.request(method, url, headers={"X-MBX-APIKEY": "paper"}) as answer:
                return await answer.json()
        return None

    async def order(self, path: str, name: str, **params: Any) -> None:
        client_id = f"id{len(self.sent)}"
        found = await self.call("POST", path, symbol=SYMBOL, **{name: client_id}, **params)
        self.sent[client_id] = isinstance(found, dict) and name[-7:] != "AlgoId" and (
            found.get("clientOrderId") == client_id
        )  # fmt: skip
        if self.sent[client_id]:
            self.taken.append(client_id)


class Watch:
    """Checks every fill as it happens, and the whole after every step."""

    def __init__(self, held: Session) -> None:
        self.session = held
        self.units = dict.fromkeys(held.exchange.books.keys(SYMBOL), 0)
        held.exchange.listeners.append(self.heard)
        self.opened_by_reducing: list[Any] = []

    def heard(self, event: Event) -> None:
        if event.trade is None:
            return
        order = event.subject
        before = self.units[order.key]
        after = self.session.exchange.books.units(order.key)
        self.units[order.key] = after
        grown = abs(after) > abs(before) or before * after < 0
        if order.reduces and grown:
            self.opened_by_reducing.append((order, before, after))

    def check(self) -> None:
        exchange = self.session.exchange
        books, desk = exchange.books, exchange.desk
        books.check()
        assert not self.opened_by_reducing
        ids = [t.id for t in books.trades]
        assert len(ids) == len(set(ids))
        filled: Counter[int] = Counter()
        net = 0
        for trade in books.trades:
            filled[trade.order_id] += trade.units
            net += trade.sign * trade.units
        assert net == books.units(SYMBOL)
        for order in desk.orders.all.values():
            assert order.filled == filled[order.id] <= order.units
            assert (order.status == "FILLED") == (order.filled == order.units)
            assert order.live == (order.id in desk.orders.open.get(SYMBOL, {}))
        assert set(filled) <= set(desk.orders.all)
        for algo in desk.algos.all.values():
            assert algo.live == (algo.id in desk.algos.open.get(SYMBOL, {}))


async def act(client: Client, held: Session, action: Sequence[Any]) -> None:
    kind, *rest = action
    exchange = held.exchange
    grid = exchange.books.instruments[SYMBOL]
    last = exchange.last(SYMBOL)
    if kind in ("market", "limit", "algo"):
        side, units, reduce_only, *more = rest
        params = {"side": side, "quantity": grid.qty_text(units),
                  "reduceOnly": str(reduce_only).lower(), "newOrderRespType": "RESULT"}  # fmt: skip
        if kind == "market":
            await client.order("order", "newClientOrderId", type="MARKET", **params)
            return
        price = grid.price_text(grid.down_to_tick(last * (1.0 + more[0])))
        if kind == "limit":
            params |= {"type": "LIMIT", "price": price, "timeInForce": more[1]}
            await client.order("order", "newClientOrderId", **params)
            return
        params |= {"algoType": "CONDITIONAL", "type": more[1], "triggerPrice": price,
                   "callbackRate": "1", "price": price}  # fmt: skip
        await client.order("algoOrder", "clientAlgoId", **params)
    elif kind == "cancel":
        if client.sent:
            name = list(client.sent)[rest[0] % len(client.sent)]
            await client.call("DELETE", "order", symbol=SYMBOL, origClientOrderId=name)
    elif kind == "amend":
        if client.taken:
            await client.call(
                "PUT", "order", symbol=SYMBOL, side="BUY",
                origClientOrderId=client.taken[rest[0] % len(client.taken)],
                quantity=grid.qty_text(rest[1]),
                price=grid.price_text(grid.down_to_tick(last * (1.0 + rest[2]))),
            )  # fmt: skip
    elif kind == "cancel_all":
        await client.call("DELETE", "allOpenOrders", symbol=SYMBOL)
        await client.call("DELETE", "algoOpenOrders", symbol=SYMBOL)
    elif kind == "leverage":
        await client.call("POST", "leverage", symbol=SYMBOL, leverage=rest[0])
    elif kind == "step":
        held.step(rest[0])
    else:
        held.act(Fault(rest[0], factor=1.5))


async def trade(held: Session, actions: Sequence[Sequence[Any]]) -> None:
    watch = Watch(held)
    held.faults.add([
        Fault(kind, path="/fapi/*", times=0, probability=0.04, seconds=0.0) for kind in LINE
    ])  # fmt: skip
    async with serving(held) as server, aiohttp.ClientSession() as line:
        client = Client(server.url, line)
        for action in actions:
            await act(client, held, action)
            watch.check()
        held.faults.clear()
        for name in client.taken:
            found = await client.call("GET", "order", symbol=SYMBOL, origClientOrderId=name)
            assert found["clientOrderId"] == name
        trades = await client.call("GET", "userTrades", symbol=SYMBOL, limit=1000)
        assert sum(
            float(t["qty"]) * (1 if t["buyer"] else -1) for t in trades
        ) == pytest.approx(
            held.exchange.books.position(SYMBOL).size, abs=1e-9
        )
        assert {t["positionSide"] for t in trades} <= {BOTH}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(
    actions=st.lists(ACTIONS, min_size=25, max_size=60),
    seed=st.integers(1, 1_000),
    isolated=st.booleans(),
    depth=st.sampled_from([0.0, 0.0005]),
)
def test_the_books_balance_whatever_comes(
    actions: list[Any], seed: int, isolated: bool, depth: float
):
    played = tape(
        walk(160, seed=seed, swing=0.02), funding=[(at, 0.001) for at in range(4, 160, 4)]
    )
    held = session(played, seed=seed, isolated=isolated, depth=depth, spread=0.0002, leverage=25)
    asyncio.run(trade(held, actions))
