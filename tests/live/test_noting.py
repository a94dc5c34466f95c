"""What a live run writes down: the account by candle, how it stands, its trades and funding."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analyzers import MarginAnalyzer, PerformanceAnalyzer
from leverpack.errors import DataError
from leverpack.live.journal import Journal
from leverpack.live.reading import JournalReader, is_journal
from leverpack.live.trades import replayed
from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import HOUR, START, SYMBOL, UNIFIED, Stand, serving, session

PAID = [(at, 0.0004) for at in (13, 15)]


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(UP, funding=PAID)) as held:
        held.step(10)
        yield held


PARAMS: dict[str, Any] = {"leverage": 5.0, "stop_loss_pct": 0.02, "take_profit_pct": 0.008}


def test_account_trades_and_funding_are_the_exchange_s(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    with trading(
        stand, path, script={1: enter(), 12: enter(-1)},
        analyzers={"margin": MarginAnalyzer, "performance": PerformanceAnalyzer}, **PARAMS,
    ) as desk:  # fmt: skip
        desk.step(14)
        strategy, books = desk.strategy, stand.session.exchange.books
        equity = desk.broker.getvalue()
        records = desk.broker.trade_records()
        margin = strategy.analyzers.margin.get_analysis()
        performance = strategy.analyzers.performance.get_analysis()
    costs = books.account.costs
    assert costs.funding < 0.0
    with JournalReader(path) as journal:
        accounts, funding = journal.rows("account"), journal.rows("funding")
        snapshots, told = journal.rows("snapshots"), journal.described()
        found = replayed(journal)
        assert journal.state("now")["ended"] is True
    # An account row every candle, flat or not, each once.
    assert [a["time_ms"] for a in accounts] == [START + HOUR * (10 + i) for i in range(14)]
    held = {s["time_ms"] for s in snapshots}
    flat = [a for a in accounts if a["time_ms"] not in held]
    assert held and flat and all(a["margin_ratio"] is None for a in flat)
    assert all(a["equity"] > 0.0 and a["wallet"] > 0.0 for a in accounts)
    assert accounts[-1]["equity"] == pytest.approx(equity, abs=1e-6)
    for row in snapshots:
        assert row["liquidation"] == pytest.approx(row["venue_liquidation"], rel=1e-6)
        assert row["margin_ratio"] == pytest.approx(row["venue_margin_ratio"], abs=2e-4)
        assert row["leverage"] == row["decided"] == 5.0
    # Funding as the exchange has paid it, with its rate.
    paid = [i for i in books.incomes if i.kind == "FUNDING_FEE"]
    assert [(f["time_ms"], f["rate"]) for f in funding] == [(i.time, 0.0004) for i in paid]
    assert [f["amount"] for f in funding] == pytest.approx([i.amount for i in paid], abs=1e-7)
    assert margin["funding"] == pytest.approx(costs.funding, abs=1e-6)
    # The trades: fills, fees, funding and stops of the exchange, by the backtest's ledger.
    assert found.costs.fees == pytest.approx(costs.fees, abs=1e-6)
    assert found.costs.funding == pytest.approx(costs.funding, abs=1e-6)
    assert found.costs.realised == pytest.approx(costs.realised, abs=1e-6)
    assert len(found.closed) == 1 and len(found.open) == 1
    first, second = found.closed[0], found.open[0]
    trades = list(books.trades)
    assert (first.side, first.leverage, first.exit_reason) == ("long", 5.0, "target")
    assert (first.entry_time, first.exit_time) == (trades[0].time, trades[1].time)
    assert first.stop_price == pytest.approx(first.entry_price * 0.98, rel=1e-4)
    assert first.target_price == pytest.approx(first.exit_price, rel=1e-4)
    assert first.funding == pytest.approx(costs.funding, abs=1e-6)
    assert first.nearest_liquidation is not None and first.worst_margin_ratio is not None
    assert second.side == "short" and second.exit_time is None
    wallet = books.account.wallet - 10_000.0
    assert first.net + second.net - second.pnl == pytest.approx(wallet, abs=1e-5)
    assert records == found.closed and performance["trades"] == 1
    assert performance["average_profit"] == pytest.approx(first.net)
    assert told["strategy"] == "Scripted" and told["params"]["leverage"] == 5.0
    assert told["cash"] == 10_000.0 and told["timeframe"] == "1h"
    (venue,) = margin["venue"].values()
    assert venue["readings"] == len(snapshots)
    assert abs(venue["liquidation_price"]) < 1e-6 and abs(venue["margin_ratio"]) < 2e-4


def test_how_the_run_stands(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    with trading(stand, path, script={1: enter()}, **PARAMS) as desk:
        desk.step(2)
        desk.until(lambda: _now(path)["positions"] != [])
        now = _now(path)
        position = stand.session.exchange.books.position(SYMBOL)
        (held,) = now["positions"]
        assert (held["symbol"], held["size"], held["entry"]) == (
            UNIFIED, position.size, position.entry)
        assert held["liquidation"] == pytest.approx(
            stand.session.exchange.books.liquidation_range(SYMBOL)[0], rel=1e-6)
        orders = {o["tag"]: o for o in now["orders"]}
        assert orders["stop"]["trigger"] < held["entry"] < orders["target"]["price"]
        assert all(o["reduce_only"] for o in orders.values())
        assert (now["halted"], now["away"], now["live"], now["ended"]) == (0, "", True, False)
        desk.broker.halt(2, "by hand")
        desk.until(lambda: _now(path)["halted"] == 2)
        assert _now(path)["halt_reason"] == "by hand"


def _now(path: Path) -> dict[str, Any]:
    with JournalReader(path) as journal:
        return journal.state("now") or {"positions": []}


def test_a_liquidation_is_a_trade_of_its_own_kind(tmp_path: Path):
    falls = [*UP[:12], (101_200.0, 101_300.0, 78_000.0, 80_000.0), *[(80_000.0,) * 4] * 5]
    path = tmp_path / "j.db"
    params = {"leverage": 10.0, "liquidation_stops": 0.0, "take_profit_pct": 0.0}
    buy = {1: lambda s: s.buy(size=0.1)}
    with serving(session(falls)) as stand:
        stand.step(10)
        with trading(stand, path, broker={"leverage": 10.0}, script=buy, **params) as desk:
            desk.step(4)
            assert desk.position == 0.0
        costs = stand.session.exchange.books.account.costs
    with JournalReader(path) as journal:
        found = replayed(journal)
    (trade,), (forced,) = found.closed, found.liquidations
    assert (trade.reason, trade.exit_reason) == ("liquidation", "liquidation")
    assert (forced.side, forced.size) == ("long", 0.1)
    net = costs.liquidation_fees - costs.insurance
    assert trade.liquidation_fee == pytest.approx(net, abs=1e-6)
    assert trade.net == pytest.approx(costs.net(), abs=0.01)  # its price is on the tick
    assert trade.nearest_liquidation == 0.0


def test_a_trade_that_two_runs_share_is_one(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    how = {**PARAMS, "take_profit_pct": 0.0}
    with trading(stand, path, script={1: enter()}, **how) as desk:
        desk.step(2)
        assert desk.position > 0.0 and desk.broker.trade_records() == []
    with trading(stand, path, script={2: lambda s: s.close()}, **how) as desk:
        desk.step(4)
        assert desk.position == 0.0
        records = desk.broker.trade_records()
    with JournalReader(path) as journal:
        found = replayed(journal)
    (trade,) = found.closed
    assert records == [trade] and found.runs == [2] and not found.open
    assert trade.stop_price is not None and trade.bars == 3
    assert trade.net == pytest.approx(stand.session.exchange.books.account.costs.net(), abs=1e-5)


def test_an_adopted_position_is_a_trade_from_its_run_on(stand: Stand, tmp_path: Path):
    path = tmp_path / "j.db"
    stand.signed("POST", "order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.05")
    adopt = {"on_unknown": "adopt", "leverage": 20.0}
    script = {2: lambda s: s.close()}
    with trading(stand, path, script=script, broker=adopt, **PARAMS) as desk:
        desk.step(3)
        assert desk.position == 0.0
    with JournalReader(path) as journal:
        (trade,) = replayed(journal).closed
        first = journal.rows("account")[0]["time_ms"]
    assert (trade.size, trade.side, trade.entry_time) == (0.05, "long", first)


OLD = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (time_ms INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE fills (
    symbol TEXT NOT NULL, trade_id TEXT NOT NULL, client_id TEXT, side TEXT NOT NULL,
    size REAL NOT NULL, price REAL NOT NULL, fee REAL NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol, trade_id));
INSERT INTO fills VALUES ('X', '1', NULL, 'buy', 0.5, 100.0, 0.1, 7);
INSERT INTO events VALUES (5, 'alert', 'old');
"""


def test_an_older_journal_gets_what_is_new_and_keeps_what_it_has(tmp_path: Path):
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript(OLD)
    db.close()
    with Journal(path) as journal:
        assert journal.held("X") == 0.5 and journal.fills()[0]["reason"] == ""
        assert journal.add_funding("X", "9", 8, -0.1, None)
        assert not journal.add_funding("X", "9", 8, -0.1, None)
        journal.add_event("alert", "new", "halted")
    with JournalReader(path) as reader:
        told = [(e["text"], e["kind"]) for e in reader.alerts(5)]
        assert told == [("old", ""), ("new", "halted")]
        assert reader.rows("funding")[0]["amount"] == -0.1


def test_a_newer_journal_is_refused(tmp_path: Path):
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.close()
    with pytest.raises(DataError, match="newer leverpack"):
        Journal(path)
    assert is_journal(path)


def test_reading_never_writes_and_sees_what_is_committed(tmp_path: Path):
    path = tmp_path / "j.db"
    with Journal(path) as journal, JournalReader(path) as reader:
        before = reader.version()
        journal.add_event("alert", "one", "halted")
        assert reader.version() != before
        with reader.at_one_moment():
            assert len(reader.alerts(9)) == 1
            journal.add_event("alert", "two", "halted")  # the writer does not wait
            assert len(reader.alerts(9)) == 1
        assert len(reader.alerts(1)) == 1 and len(reader.alerts(9)) == 2
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM events")
        with pytest.raises(ValueError, match="stop"), journal.together():
            journal.add_event("info", "half")
            raise ValueError("stop")
        assert [e["text"] for e in reader.rows("events")] == ["one", "two"]


@pytest.mark.parametrize("content", [None, b"not a database", b"SQLite format 3\x00" + b"x" * 99])
def test_what_is_no_journal(tmp_path: Path, content: bytes | None):
    path = tmp_path / "j.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        JournalReader(path)
