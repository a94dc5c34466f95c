"""The journal: what is written is there after a crash, once, and nobody else writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leverpack.errors import DataError
from leverpack.live.journal import ALIVE, OPEN, REFUSED, SENDING, Journal
from leverpack.risk.limits import LimitBook, Limits
from tests.conftest import ROOT


def intend(journal: Journal, client_id: str) -> None:
    journal.intend(
        client_id, "BTC/USDT:USDT", "buy", 0.01, conditional=False, reduce_only=False,
        tag="entry", request={"type": "market"},
    )  # fmt: skip


def test_intents_outlive_the_run_and_ids_never_repeat(tmp_path: Path):
    path = tmp_path / "run.db"
    first = Journal(path)
    ids = [first.new_client_id(0) for _ in range(3)]
    for client_id in ids:
        intend(first, client_id)
    first.settle(ids[1], OPEN, venue_id="77")
    first.settle(ids[2], REFUSED, why="no money")
    first.close()
    second = Journal(path)
    assert [(i["client_id"], i["state"], i["venue_id"]) for i in second.intents(*ALIVE)] == [
        (ids[0], SENDING, None), (ids[1], OPEN, "77"),
    ]  # fmt: skip
    assert second.run == first.run + 1
    fresh = second.new_client_id(0)
    assert fresh not in ids
    assert second.is_own(ids[0]) and not second.is_own("web_1") and not second.is_own(None)
    assert fresh.isalnum() and len(fresh) <= 32
    with pytest.raises(DataError, match="UNIQUE"):
        intend(second, ids[0])
    second.close()


def test_a_fill_counts_once(tmp_path: Path):
    journal = Journal(tmp_path / "run.db")
    assert journal.add_fill("X", "1", "a", "buy", 0.3, 100.0, 0.01, 5)
    assert not journal.add_fill("X", "1", "a", "buy", 0.3, 100.0, 0.01, 5)
    assert journal.add_fill("X", "2", None, "sell", 0.1, 101.0, 0.01, 6)
    assert journal.held("X") == pytest.approx(0.2)
    assert journal.held("Y") == 0.0
    journal.close()


def test_limits_are_not_forgotten(tmp_path: Path):
    journal = Journal(tmp_path / "run.db")
    book = LimitBook(Limits(max_daily_trades=2), journal.state("limits"))
    book.observe(86_400_000, 1_000.0)
    book.count_trade()
    book.count_trade()
    journal.close()
    journal = Journal(tmp_path / "run.db")
    again = LimitBook(Limits(max_daily_trades=2), journal.state("limits"))
    assert "max_daily_trades: 2 today" in again.objection(0)
    journal.close()


def test_one_run_at_a_time(tmp_path: Path):
    journal = Journal(tmp_path / "run.db")
    with pytest.raises(DataError, match="another run writes this journal"):
        Journal(tmp_path / "run.db")
    journal.close()
    Journal(tmp_path / "run.db").close()


def test_a_killed_run_leaves_every_intent_that_was_written(tmp_path: Path):
    path = tmp_path / "run.db"
    script = (
        "import os, signal, sys\n"
        "from leverpack.live.journal import Journal\n"
        "from tests.live.test_journal import intend\n"
        f"journal = Journal({str(path)!r})\n"
        "for _ in range(50): intend(journal, journal.new_client_id(1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=30)
    assert done.returncode == -signal.SIGKILL
    journal = Journal(path)
    assert len(journal.intents(SENDING)) == 50
    journal.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path / "run.db")


def test_what_is_no_journal(tmp_path: Path):
    path = tmp_path / "run.db"
    path.write_text("no database, but long enough to look at " * 50)
    with pytest.raises(DataError, match=r"run\.db: the journal cannot be used"):
        Journal(path)
