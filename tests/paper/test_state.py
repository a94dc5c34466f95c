"""A saved exchange carries on as if nothing had been; a run is the same from the same seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import DataError
from leverpack.paper.exchange import Exchange
from leverpack.paper.orders import Algo, Order
from leverpack.paper.refusal import Refusal
from leverpack.paper.session import harder
from leverpack.paper.state import load, restore, save, to_state
from tests.paper.stand import SYMBOL, serving, session, tape, walk

FUNDING = [(at, 0.0003) for at in range(8, 100, 8)]


def fresh(seed: int = 1, rows: int = 100) -> Exchange:
    played = tape(walk(rows, swing=0.01), funding=FUNDING[: rows // 10])
    return session(played, seed=seed, spread=0.0002, depth=0.0002, isolated=True).exchange


def trade(venue: Exchange, candles: int, seed: int) -> None:
    """Random orders of every kind, the same from the same seed."""
    dice = random.Random(seed)
    for _ in range(candles):
        last, side = venue.last(SYMBOL), dice.choice([1, -1])
        draw, units = dice.random(), dice.randint(2, 60)
        grid = venue.books.instruments[SYMBOL]
        try:
            if draw < 0.3:
                name = f"m{venue.desk.orders.next_id}"
                venue.desk.place(
                    Order(venue.desk.orders.new_id(), name, SYMBOL, side, "MARKET", units)
                )
            elif draw < 0.6:
                price = grid.down_to_tick(last * (1 - side * dice.uniform(0.001, 0.02)))
                name = f"l{venue.desk.orders.next_id}"
                venue.desk.place(
                    Order(venue.desk.orders.new_id(), name, SYMBOL, side, "LIMIT", units, price)
                )
            elif draw < 0.8:
                price = grid.down_to_tick(last * (1 + side * dice.uniform(0.002, 0.02)))
                name = f"s{venue.desk.algos.next_id}"
                venue.desk.place_algo(
                    Algo(venue.desk.algos.new_id(), name, SYMBOL, side, "STOP_MARKET", units, price)
                )
        except Refusal:
            pass
        venue.step()
        venue.books.check()


def test_a_restored_run_ends_like_one_that_was_never_stopped(tmp_path: Path):
    whole = fresh()
    trade(whole, 40, seed=1)
    trade(whole, 40, seed=2)
    first = fresh()
    trade(first, 40, seed=1)
    assert first.desk.orders.all_open()
    assert first.books.units(SYMBOL)
    path = tmp_path / "state.json"
    save(first, path)
    assert list(tmp_path.iterdir()) == [path]
    second = fresh()
    load(second, path)
    assert to_state(second) == to_state(first)
    trade(second, 40, seed=2)
    assert to_state(second) == to_state(whole)
    assert len(whole.books.trades) > 20


def test_the_seed_decides_the_book_and_nothing_else_does():
    one, two, other = fresh(1), fresh(1), fresh(2)
    for venue in (one, two, other):
        trade(venue, 60, seed=9)
    assert to_state(one) == to_state(two)
    assert to_state(one)["trades"] != to_state(other)["trades"]


def test_a_change_of_tiers_and_funding_survives():
    first = fresh()
    first.change_tiers(harder(first.books.position(SYMBOL).tiers, 2.0))
    first.tapes[SYMBOL].settle_every(4)
    first.step(5)
    second = fresh()
    restore(second, json.loads(json.dumps(to_state(first))))
    for venue in (first, second):
        venue.step(30)
    assert to_state(second) == to_state(first)


def test_saved_and_restored_over_the_wire():
    with serving(session(walk(50))) as stand:
        stand.signed("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.05")
        stand.step(5)
        saved = stand.admin("GET", "save")
        stand.step(20)
        stand.signed("POST", "order", symbol=SYMBOL, side="SELL", type="MARKET", quantity="0.05")
        stand.raw("POST", "/paper/v1/restore", json.dumps(saved).encode())
        assert stand.admin("GET", "save") == saved
        assert stand.session.exchange.books.units(SYMBOL) == 50


DAMAGE: list[tuple[str, Any, str]] = [
    ("version", 99, "no saved state"),
    ("tapes", {}, "other candles"),
    ("trades", [{"id": 1}], "damaged"),
    ("ids", [], "damaged"),
]


@pytest.mark.parametrize(("name", "value", "words"), DAMAGE)
def test_a_damaged_state_is_refused(tmp_path: Path, name: str, value: Any, words: str):
    state = to_state(fresh())
    path = tmp_path / "state.json"
    path.write_text(json.dumps({**state, name: value}))
    with pytest.raises(DataError, match=words) as caught:
        load(fresh(), path)
    assert str(path) in str(caught.value)


def test_states_of_other_candles_and_no_states(tmp_path: Path):
    with pytest.raises(DataError, match="other candles"):
        restore(fresh(rows=90), to_state(fresh()))
    path = tmp_path / "state.json"
    with pytest.raises(DataError, match="cannot be read"):
        load(fresh(), path)
    path.write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        load(fresh(), path)
