"""A disk that fills up while a run holds a position: what opens waits, what protects goes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import DataError
from leverpack.live.bus import JOURNAL_FAILED
from leverpack.live.journal import Journal
from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import serving, session


@contextmanager
def full_disk(journal: Journal) -> Iterator[None]:
    """SQLite's own "database or disk is full" for as long as the block lasts."""
    db = journal._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    journal.add_event("info", "x" * 1_000_000)  # more than there are free pages
    assert "disk is full" in journal.fault  # and what comes after it waits its turn
    yield
    db.execute("PRAGMA max_page_count = 1000000")


def intend(journal: Journal, client_id: str, *, reduce_only: bool) -> None:
    journal.intend(client_id, "BTC/USDT:USDT", "sell", 1.0, conditional=False,
                   reduce_only=reduce_only, tag="", request={"type": "market", "note": "x" * 9_000})


def test_what_happened_waits_and_is_written_in_order_when_there_is_room(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        with full_disk(journal):
            with pytest.raises(DataError, match="disk is full"):
                intend(journal, "opens", reduce_only=False)
            intend(journal, "exits", reduce_only=True)
            journal.settle("exits", "closed", venue_id="7", why="y" * 9_000)
            assert journal.add_fill("BTC/USDT:USDT", "1", "exits", "sell", 1.0, 100.0, 0.1, 5)
            with journal.together():
                journal.add_event("info", "a" * 9_000)
                journal.add_event("info", "b")
            assert journal.fills() == []
        assert "what opens a position is not sent" in journal.fault
        journal.add_event("info", "room again")
        assert journal.fault == ""
        assert [i["client_id"] for i in journal.intents()] == ["exits"]
        assert journal.intents()[0]["state"] == "closed"
        assert [f["trade_id"] for f in journal.fills()] == ["1"]
        texts = [e["text"][:1] for e in journal.rows("events")]
        assert texts == ["x", "a", "b", "r"]


def test_what_is_lost_at_the_end_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    journal = Journal(tmp_path / "j.db")
    with pytest.raises(AssertionError, match="stays"), full_disk(journal):
        journal.add_event("info", "y" * 9_000)
        journal.close()
        raise AssertionError("stays full")
    assert "2 writes are lost" in caplog.text


def test_a_run_refuses_entries_and_still_exits(tmp_path: Path):
    params: dict[str, Any] = {"leverage": 5.0, "stop_loss_pct": 0.02, "take_profit_pct": 0.0}
    script = {1: enter(), 3: lambda s: s.close(reduce_only=True), 5: enter(), 7: enter()}
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db", script=script, **params) as desk:
            heard: list[str] = []
            desk.broker.store.bus.subscribe(
                lambda event, facts: heard.append(facts["kind"]) if event == "alert" else None
            )
            desk.step(2)
            held = desk.position
            assert held > 0.0 and len(desk.algos()) == 1
            with full_disk(desk.broker.journal):
                desk.step()  # the third: out, though nothing can be written
                desk.step()
                assert desk.position == 0.0 and not desk.algos()
                desk.step(2)  # the fifth: in again
                assert desk.position == 0.0
                assert heard.count(JOURNAL_FAILED) == 1
                assert "disk is full" in desk.broker.rejections[-1]["reason"]
            desk.step(2)  # the seventh: there is room
            assert desk.position > 0.0 and len(desk.algos()) == 1
            journal = desk.broker.journal
            assert journal.held("BTC/USDT:USDT") == pytest.approx(desk.position)
            filled = {f["client_id"] for f in journal.fills()}
            assert filled <= {i["client_id"] for i in journal.intents()}
