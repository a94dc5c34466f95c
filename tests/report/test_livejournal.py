"""``leverpack report`` on a live journal: the exchange's books, and a backtest's page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from analyzers import MarginAnalyzer
from leverpack.backtest.broker import MarginBroker
from leverpack.cli import app
from leverpack.errors import DataError
from leverpack.live.journal import Journal
from leverpack.report.livejournal import read_journal
from leverpack.result import BacktestResult, TradeRecord
from tests.conftest import ROOT
from tests.live.desk import trading
from tests.live.test_parity import BEFORE, LENGTH, Turns, backtest
from tests.paper.stand import SYMBOL, UNIFIED, serving, session, walk
from tests.report.browser import needs_chromium, opened

PARAMS: dict[str, Any] = {"leverage": 5.0, "stop_loss_pct": 0.006,
                          "targets": ((0.003, 0.3), (0.006, 0.3), (0.01, 0.4))}  # fmt: skip
MID = 30  # candles into the run: the journal is read while it is written


@dataclass
class Ran:
    """One live run: its journal, the results read during and after it, books and a backtest."""

    path: Path
    during: BacktestResult
    result: BacktestResult
    equity: list[float]  # by candle, as the strategy saw it
    margin: dict[str, Any]
    books: Any
    tested: list[TradeRecord]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    path = tmp_path_factory.mktemp("live") / "j.db"
    with serving(session(walk(LENGTH, swing=0.004))) as stand:
        stand.step(BEFORE)
        watched = {"margin": MarginAnalyzer}
        with trading(stand, path, strategy=Turns, analyzers=watched, **PARAMS) as desk:
            desk.step(MID)
            during = read_journal(path)
            desk.step(LENGTH - BEFORE - 1 - MID)
            equity = desk.strategy.equity
            margin = desk.strategy.analyzers.margin.get_analysis()
        broker: MarginBroker = backtest(stand, PARAMS).broker
        yield Ran(
            path, during, read_journal(path), equity, margin, stand.session.exchange.books,
            broker.ledger.trades,
        )


def test_the_books_of_the_exchange(ran: Ran):
    result, costs = ran.result, ran.books.account.costs
    totals = result.totals
    assert totals["trades"] > 10 and totals["start_equity"] == 10_000.0
    assert totals["fees"] == pytest.approx(costs.fees, abs=1e-6)
    assert totals["funding"] == pytest.approx(costs.funding, abs=1e-6)
    closed = [t for t in result.trades if t.exit_time is not None]
    under_way = [t for t in result.trades if t.exit_time is None]
    assert sum(t.net for t in result.trades) - sum(t.pnl for t in under_way) + sum(
        _realised(t, ran) for t in under_way
    ) == pytest.approx(ran.books.account.wallet - 10_000.0, abs=1e-4)
    assert {t.symbol for t in closed} == {UNIFIED}
    assert result.series["equity"] == pytest.approx(ran.equity, abs=1e-6)
    assert result.series["fees"][-1] <= totals["fees"] + 1e-9
    assert (np.diff(result.series["fees"]) >= 0.0).all()


def _realised(trade: TradeRecord, ran: Ran) -> float:
    """What parts of an open position have brought so far: its profit less what is still open."""
    position = ran.books.position(SYMBOL)
    last = ran.result.symbols[UNIFIED].close[-1]
    return trade.pnl - position.size * (last - position.entry)


def test_the_same_trades_as_a_backtest_of_the_same_candles(ran: Ran):
    live = [t for t in ran.result.trades if t.exit_time is not None]
    assert 0 <= len(ran.tested) - len(live) <= 1
    for one, other in zip(live, ran.tested, strict=False):
        for name in ("side", "leverage", "reason", "exit_reason"):
            assert getattr(one, name) == getattr(other, name), (name, one, other)
        for name in ("size", "entry_price", "exit_price", "pnl", "fees", "net", "margin",
                     "stop_price", "target_price"):  # fmt: skip
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6, abs=1e-5), (
                name, one, other)
        assert abs(one.entry_time - other.entry_time) <= 3_600_000
        assert one.worst_margin_ratio is not None and one.nearest_liquidation is not None


def test_read_while_it_is_written(ran: Ran):
    during, after = ran.during, ran.result
    assert len(during.series["ts"]) == MID
    assert (during.series["equity"] == after.series["equity"][:MID]).all()
    done = [t for t in during.trades if t.exit_time is not None]
    # Candles that came later may still add to how near a trade came; what is closed stays.
    assert done and [t.net for t in done] == [t.net for t in after.trades[: len(done)]]


def test_ours_beside_the_venue_s(ran: Ran):
    series = ran.result.symbols[UNIFIED]
    held = series.position != 0.0
    assert held.any() and not held.all()
    assert np.isnan(series.liquidation_price[~held]).all()
    assert series.liquidation_price[held] == pytest.approx(
        series.venue_liquidation_price[held], rel=1e-6)
    assert series.margin_ratio[held] == pytest.approx(series.venue_margin_ratio[held], abs=2e-4)
    (said,) = ran.margin["venue"].values()
    assert said["readings"] == held.sum()
    assert ran.result.totals["max_effective_leverage"] == pytest.approx(
        ran.margin["max_effective_leverage"])
    assert ran.result.totals["nearest_liquidation"] == pytest.approx(
        ran.margin["nearest_liquidation"])


@needs_chromium
@pytest.mark.no_cover
def test_the_page(ran: Ran, tmp_path: Path):
    page = tmp_path / "live.html"
    done = CliRunner().invoke(app, ["report", str(ran.path), "--out", str(page)])
    assert done.exit_code == 0, done.output
    with opened(page) as seen:
        assert not seen.faults and len(seen.requests) == 1
        shown = seen.page.get_attribute("#figure-return", "value")
        assert float(shown) == pytest.approx(ran.result.totals["return"])
        assert seen.page.locator("#plot-venue canvas, #plot-venue *").count() > 0
        row = seen.page.inner_text("#venue tbody tr")
        assert UNIFIED in row and "0.0000 %" in row
        text = seen.page.inner_text("main")
        assert "What the run told" in text and "from the journal" in text
        assert seen.page.locator("#trades tbody tr").count() == len(ran.result.trades)


def test_beside_a_journal_and_compared(ran: Ran):
    runner = CliRunner()
    assert runner.invoke(app, ["report", str(ran.path)]).exit_code == 0
    assert (ran.path.parent / "j-report" / "report.html").is_file()
    other = ran.path.with_name("copy.db")
    with Journal(other) as journal:
        journal.describe({"strategy": "Made", "symbols": [UNIFIED], "timeframe": "1h", "cash": 9.0})
    page = ran.path.with_name("both.html")
    asked = ["report", str(ran.path), "--compare", str(other), "--out", str(page)]
    done = runner.invoke(app, asked)
    assert done.exit_code == 0, done.output


KILLED = """
import os, signal
from leverpack.live.journal import Journal
journal = Journal({path!r})
journal.describe({{"strategy": "Killed", "symbols": ["X"], "timeframe": "1h", "cash": 100.0}})
for i in range(5):
    journal.add_candle("X", "1h", i * 3_600_000, 1.0, 2.0, 0.5, 1.5, 9.0)
    journal.add_account(time_ms=i * 3_600_000, equity=100.0 + i, wallet=100.0,
                        effective_leverage=0.0)
journal.add_event("alert", "the last words", "halted")
journal.add_event("alert", "the last words", "halted")
journal.add_rejection(7, "X", "buy", 0.5, "too small")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill(tmp_path: Path):
    path = tmp_path / "j.db"
    script = KILLED.format(path=str(path))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert os.path.getsize(f"{path}-wal") > 0
    result = read_journal(path)
    assert result.series["equity"].tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert result.symbols["X"].close.tolist() == [1.5] * 5
    assert result.totals["return"] == pytest.approx(0.04)
    assert [(f["message"], f["count"]) for f in result.findings] == [("the last words", 2)]
    assert [r["reason"] for r in result.rejections] == ["too small"]
    assert result.totals["rejected_orders"] == 1


def test_what_is_no_journal_and_an_empty_one(tmp_path: Path):
    wrong = tmp_path / "x.db"
    wrong.write_text("no database")
    with pytest.raises(DataError, match="no journal"):
        read_journal(wrong)
    Journal(tmp_path / "j.db").close()
    done = CliRunner().invoke(app, ["report", str(tmp_path / "j.db")])
    assert done.exit_code == 0, done.output
    assert "No candle" in (tmp_path / "j-report" / "report.html").read_text()
