"""A candle played piece by piece: what is sent at each stop, and where it begins to count."""

from __future__ import annotations

import random

import pytest

from leverpack.errors import SettingError
from tests.paper.stand import HOUR, START, SYMBOL, Row, session, tape, walk
from tests.paper.test_engine import FREE, QUIET, P, algo, exchange, fills, order

LADDER: Row = (P, P + 2_500, P - 1_500, P + 2_000)


def test_the_pieces_of_a_candle_with_two_events():
    venue = exchange(QUIET, LADDER)
    order(venue, "MARKET", 1, 20)
    algo(venue, "STOP_MARKET", -1, 10, P - 1_000, reduce_only=True)
    order(venue, "LIMIT", -1, 10, P + 1_000, reduce_only=True)
    pieces = venue.pieces()
    assert [next(pieces) for _ in range(6)] == [
        "closed", "opened", "event", "event", "closed", "opened",
    ]  # fmt: skip
    assert [price for _, _, price in fills(venue)[1:]] == [P - 1_000, P + 1_000]
    assert list(pieces) == ["closed", "opened", "closed"]
    assert venue.finished


def test_a_market_order_between_two_candles_waits_for_the_open_and_its_funding():
    venue = exchange(
        QUIET, (P + 300, P + 400, P + 200, P + 300), funding=[(1, 0.001)], taker=0.0005
    )
    pieces = venue.pieces()
    assert next(pieces) == "closed"
    sent = order(venue, "MARKET", 1, 10)
    assert (sent.status, venue.now) == ("NEW", START + HOUR - 1)
    assert next(pieces) == "opened"
    assert fills(venue) == [(1, 10, P + 300)]
    assert venue.books.trades[0].time == START + HOUR
    assert not [i for i in venue.books.incomes if i.kind == "FUNDING_FEE"]


def test_a_limit_between_two_candles_waits_too():
    venue = exchange(QUIET, (P - 300, P, P - 400, P))
    pieces = venue.pieces()
    next(pieces)
    sent = order(venue, "LIMIT", 1, 10, P + 50)
    assert next(pieces) == "opened"
    assert sent.live
    assert next(pieces) == "event"
    assert fills(venue) == [(1, 10, P - 300)]


def stopped_inside() -> tuple:
    """Long 20; the candle has met the target at P + 1000, and its low is still to come."""
    venue = exchange(QUIET, (P, P + 2_500, P - 1_500, P), intrabar="ohlc")
    order(venue, "MARKET", 1, 20)
    order(venue, "LIMIT", -1, 10, P + 1_000, reduce_only=True)
    pieces = venue.pieces()
    assert [next(pieces) for _ in range(3)] == ["closed", "opened", "event"]
    assert venue.last(SYMBOL) == P + 1_000
    return venue, pieces


def test_a_stop_made_inside_is_met_in_the_same_candle():
    venue, pieces = stopped_inside()
    algo(venue, "STOP_MARKET", -1, 10, P + 100, reduce_only=True)
    assert next(pieces) == "event"
    assert fills(venue)[-1] == (-1, 10, P + 100)


def test_a_limit_made_inside_waits_for_the_next_candle():
    venue, pieces = stopped_inside()
    made = order(venue, "LIMIT", -1, 10, P + 2_000, reduce_only=True)
    assert list(pieces) == ["closed", "opened", "closed", "opened", "closed"]
    assert made.live


def test_a_market_order_inside_fills_at_the_price_there():
    venue, pieces = stopped_inside()
    order(venue, "MARKET", -1, 10, reduce_only=True)
    assert fills(venue)[-1] == (-1, 10, P + 1_000)
    assert next(pieces) == "closed"
    assert venue.last(SYMBOL) == P


def test_a_trailing_stop_by_closes():
    rows = [QUIET, (P, P + 4_000, P, P + 2_000), (P + 2_000, P + 2_500, P - 1_000, P)]
    venue = exchange(*rows, trail_by="close")
    order(venue, "MARKET", 1, 10)
    trailing = algo(venue, "TRAILING_STOP_MARKET", -1, 10, 0.0, callback=0.02, reduce_only=True)
    venue.step(2)
    assert trailing.extreme == P + 2_000
    venue.step()
    assert fills(venue)[1] == (-1, 10, pytest.approx((P + 2_000) * 0.98))
    with pytest.raises(SettingError, match="trail_by must be extreme or close"):
        exchange(QUIET, trail_by="open")


@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_the_same_candles_as_steps(seed: int):
    """What rests before a candle meets it alike, played in one go or piece by piece."""
    whole, pieced = (
        session(tape(walk(80, seed=seed, swing=0.01)), tiers=FREE, leverage=20).exchange
        for _ in range(2)
    )
    pieces = pieced.pieces()
    dice = random.Random(seed)
    for _ in range(78):
        price, side = whole.last(SYMBOL), dice.choice((1, -1))
        off = round(price * dice.uniform(0.002, 0.01), 1)
        for venue in (whole, pieced):
            if not venue.has_orders(SYMBOL):
                order(venue, "MARKET", side, 10)
                order(venue, "LIMIT", -side, 10, price + side * off, reduce_only=True)
                algo(venue, "STOP_MARKET", -side, 10, price - side * off, reduce_only=True)
                algo(venue, "STOP_MARKET", side, 5, price + side * off / 2)
        whole.step()
        while next(pieces) != "opened":
            pass
    assert len(fills(whole)) > 15
    assert fills(whole) == fills(pieced)
    assert whole.books.account.wallet == pieced.books.account.wallet
