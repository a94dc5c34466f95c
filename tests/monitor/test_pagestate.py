"""What the page is told: distances, moods, stops and limits, worked by hand."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import DataError
from leverpack.live.reading import JournalReader
from leverpack.live.switch import ask_to_halt
from leverpack.monitor.pagestate import chart_state, page_state
from tests.monitor.test_page import POSITION, fill

LONG = {**POSITION, "size": 2.0, "liquidation": 80.0, "margin_ratio": 0.1, "decided": 20.0}


def told(path: Path, **now: Any) -> dict[str, Any]:
    with fill(path, **now), JournalReader(path) as reader:
        return page_state(reader)


MOODS = [
    (80.0, 0.1, "calm"), (95.0, 0.1, "calm"), (95.1, 0.1, "tight"), (98.1, 0.1, "near"),
    (80.0, 0.47, "calm"), (80.0, 0.48, "tight"), (80.0, 0.8, "near"), (None, 0.1, "calm"),
    (0.0, float("inf"), "near"),
]  # fmt: skip


@pytest.mark.parametrize(("liquidation", "ratio", "mood"), MOODS)
def test_the_worse_of_distance_and_ratio(
    tmp_path: Path, liquidation: float | None, ratio: float, mood: str
):
    held = {**LONG, "liquidation": liquidation, "margin_ratio": ratio}
    (shown,) = told(tmp_path / "j.db", positions=[held])["positions"]
    assert shown["mood"] == mood
    distance = None if not liquidation else 1.0 - liquidation / 100.0
    assert shown["distance"] == (None if distance is None else pytest.approx(distance))


def stop(trigger: float, amount: float, **more: Any) -> dict[str, Any]:
    return {
        "client_id": "a", "symbol": "X", "side": "sell", "kind": "market", "amount": amount,
        "filled": 0.0, "price": None, "trigger": trigger, "tag": "stop", "conditional": True,
        "reduce_only": True, "known": True, **more,
    }  # fmt: skip


def test_the_stop_that_comes_first_and_what_it_leaves(tmp_path: Path):
    target = {**stop(0.0, 9.0), "conditional": False, "price": 120.0, "trigger": None}
    orders = [stop(90.0, 1.0), stop(95.0, 0.5, filled=0.1), target, stop(99.0, 9.0, symbol="Y")]
    (shown,) = told(tmp_path / "j.db", positions=[LONG], orders=orders)["positions"]
    assert (shown["stop"], shown["stop_left"]) == (95.0, pytest.approx(0.15))
    assert shown["protected"] == pytest.approx(0.7)
    assert shown["notional"] == 200.0
    short = {**POSITION, "liquidation": 110.0}
    (shown,) = told(tmp_path / "k.db", positions=[short], orders=[stop(112.0, 2.0, side="buy")])[
        "positions"]  # fmt: skip
    assert shown["stop_left"] == pytest.approx(-0.02)  # it lies behind the liquidation price


def test_the_nearest_position_comes_first(tmp_path: Path):
    far, near = {**LONG, "symbol": "FAR"}, {**LONG, "symbol": "NEAR", "liquidation": 97.0}
    shown = told(tmp_path / "j.db", positions=[far, near])["positions"]
    assert [p["symbol"] for p in shown] == ["NEAR", "FAR"]


def test_limits_and_how_much_of_them_is_used(tmp_path: Path):
    path = tmp_path / "j.db"
    with fill(path, positions=[LONG], equity=900.0, effective_leverage=2.0) as journal:
        journal.describe({"strategy": "Made", "params": {
            "max_daily_loss": 200.0, "max_drawdown": 0.25, "max_daily_trades": 4,
            "max_positions": 0, "max_gross_exposure": 1_000.0, "max_portfolio_leverage": 4.0,
        }})  # fmt: skip
        journal.state("limits").save(
            {"day": 1, "day_equity": 1_000.0, "trades": 3, "peak": 1_200.0, "stopped": "enough"}
        )
        with JournalReader(path) as reader:
            state = page_state(reader)
    shares = {row["name"]: row["share"] for row in state["limits"]}
    assert shares == pytest.approx({
        "max_daily_loss": 0.5, "max_drawdown": 1.0, "max_daily_trades": 0.75,
        "max_gross_exposure": 0.2, "max_portfolio_leverage": 0.5,
    })  # fmt: skip
    assert state["stopped"] == "enough"


def test_a_halt_that_is_asked_for_and_the_charts(tmp_path: Path):
    path = tmp_path / "j.db"
    with fill(path) as journal, JournalReader(path) as reader:
        assert page_state(reader)["asked"] == 0
        ask_to_halt(path, 2)
        assert page_state(reader)["asked"] == 2
        assert chart_state(reader)["rows"] == []
        for i in range(600):
            journal.add_account(time_ms=i, equity=float(i), call_ratio=0.8)
        rows = chart_state(reader)["rows"]
        assert (len(rows), rows[0], rows[-1]) == (500, [100, 100.0, None], [599, 599.0, None])


def test_a_reader_closed_while_another_thread_reads_with_it(tmp_path: Path):
    """The page is stopped while its thread reads: SQLite itself would end the whole process."""
    path = tmp_path / "j.db"
    with fill(path) as journal:
        for i in range(600):
            journal.add_account(time_ms=i, equity=float(i), call_ratio=0.8)
    for _ in range(100):
        reader, reads, ends = JournalReader(path), threading.Event(), []

        def read(reader: JournalReader, reads: threading.Event, ends: list[str]) -> None:
            try:
                while True:
                    page_state(reader), chart_state(reader)
                    reads.set()
            except DataError as fault:
                ends.append(str(fault))

        thread = threading.Thread(target=read, args=(reader, reads, ends))
        thread.start()
        assert reads.wait(10)
        reader.close()
        thread.join(10)
        assert "closed" in ends[0]
