"""A paper exchange with many contracts whose leverage somebody has scattered by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leverpack.audit.reading import STORE_OPTIONS
from leverpack.audit.run import Auditor
from leverpack.config import Settings
from leverpack.live.store import CCXTStore
from leverpack.paper.exchange import Exchange
from leverpack.paper.instrument import made_instrument
from leverpack.paper.orders import PaperSettings
from leverpack.paper.session import Session
from tests.paper.stand import Stand, serving, tape, walk

TARGET, MAXIMUM = 10.0, 20.0


def many(count: int, **settings: Any) -> Session:
    """A lock-step session with so many contracts on the same candles, at isolated 10x."""
    limits = {"weight_limit": 0, "order_limit_minute": 0, "order_limit_10s": 0}
    chosen = {**limits, "leverage": 10, "isolated": True, "deposit": 100_000.0, **settings}
    first = tape(walk(5))
    twins = [first.twin(made_instrument(first.instrument, i)) for i in range(2, count + 1)]
    return Session(Exchange(PaperSettings(**chosen), [first, *twins]))


@contextmanager
def standing(count: int, **settings: Any) -> Iterator[Stand]:
    """Served for as long as the block lasts."""
    with serving(many(count, **settings)) as stand:
        yield stand


def scatter(stand: Stand, seed: int = 7, among: tuple[int, ...] = (1, 5, 10, 15, 20, 25, 50)
            ) -> dict[str, float]:  # fmt: skip
    """Set every contract's leverage by hand, over the wire; what each has then, by its id."""
    dice = random.Random(seed)
    has = {}
    for symbol in stand.session.exchange.tapes:
        leverage = dice.choice(among)
        reply = stand.signed("POST", "leverage", symbol=symbol, leverage=leverage)
        assert reply.status == 200, reply.body
        has[symbol] = float(leverage)
    return has


def leverages(stand: Stand) -> dict[str, float]:
    """What the exchange itself has, by id."""
    exchange = stand.session.exchange
    return {s: exchange.books.position(s).leverage for s in exchange.tapes}


def requests(stand: Stand, *, new: bool = True) -> dict[str, int]:
    """What the server has counted, and from now on anew."""
    found: dict[str, int] = stand.admin("GET", "requests")
    if new:
        stand.admin("DELETE", "requests")
    return found


@contextmanager
def auditing(
    stand: Stand, venue: str = "binanceusdm", *, enableRateLimit: bool = False, **how: Any
) -> Iterator[Auditor]:
    """An auditor on an open store; nothing that opening has asked is counted."""
    how = {"target": TARGET, "maximum": MAXIMUM, "margin_mode": "isolated", **how}
    config = {"options": dict(STORE_OPTIONS.get(venue, {})), "enableRateLimit": enableRateLimit}
    store = CCXTStore(venue, config, url=stand.url, settings=Settings(), env_file=None)
    with store:
        requests(stand)
        yield Auditor(store, **how)


def unified(symbol: str) -> str:
    """ccxt's name of an id."""
    return f"{symbol.removesuffix('USDT')}/USDT:USDT"
