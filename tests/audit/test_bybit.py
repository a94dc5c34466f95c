"""The audit at Bybit: one margin mode for the account, flat symbols read one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leverpack.audit.fixing import Fixer
from leverpack.audit.rules import ERROR, HIGH, LOW, MISMATCH, OK
from tests.audit.desk import auditing, leverages, requests, standing, unified
from tests.paper.stand import Stand

HELD, FRACTION = "MADE003USDT", "MADE004USDT"


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing(20, venue="bybit", isolated=False) as held:
        yield held


def opened(stand: Stand) -> None:
    """A short at 20x, a leverage with a fraction, one far too high."""
    with auditing(stand, "bybit") as auditor:
        write = auditor.store.write
        write("set_leverage", 20, unified(HELD))
        write("create_order", unified(HELD), "market", "sell", 0.05)
        write("set_leverage", 4.25, unified(FRACTION))
        write("set_leverage", 50, "BTC/USDT:USDT")


def test_it_reads_mends_and_reads_back(stand: Stand):
    opened(stand)
    with auditing(stand, "bybit", margin_mode="cross") as auditor:
        audit = auditor.look()
        counted = requests(stand)
        # Open positions in one page; each flat symbol once; tiers one by one, as they are few.
        assert counted["GET /v5/position/list"] == 1 + 19
        # The margin mode, and ccxt's own question which kind of account this is.
        assert counted["GET /v5/account/info"] == 2
        assert counted["GET /v5/market/risk-limit"] == 20
        rows = {r.symbol: r for r in audit.rows}
        assert rows["BTC/USDT:USDT"].status == HIGH
        held, fraction = rows[unified(HELD)], rows[unified(FRACTION)]
        assert (held.status, held.margin_mode, held.position_mode) == (MISMATCH, "cross", "one-way")
        assert (fraction.status, fraction.leverage) == (LOW, 4.25)
        notional = 0.05 * stand.session.exchange.books.marks[HELD]
        assert held.notional == pytest.approx(notional)
        assert held.net == pytest.approx(-notional)
        assert held.effective_leverage == pytest.approx(notional / audit.equity)
        after = Fixer(auditor).fix(Fixer(auditor).plan(audit))
        counted = requests(stand)
    assert counted["POST /v5/position/set-leverage"] == 3
    assert after.in_bounds
    assert set(leverages(stand).values()) == {10.0}


def test_the_margin_mode_is_set_once_for_the_account(stand: Stand):
    with auditing(stand, "bybit") as auditor:
        audit = auditor.look()
        assert {r.status for r in audit.rows} == {MISMATCH}
        requests(stand)
        assert Fixer(auditor).fix(Fixer(auditor).plan(audit)).in_bounds
        assert requests(stand)["POST /v5/account/set-margin-mode"] == 1


def test_only_open_asks_for_nothing_else(stand: Stand):
    opened(stand)
    with auditing(stand, "bybit", margin_mode="cross", only_open=True) as auditor:
        assert [r.symbol for r in auditor.look().rows] == [unified(HELD)]
        assert requests(stand)["GET /v5/position/list"] == 1


def test_what_one_symbol_is_refused_does_not_end_the_audit(stand: Stand):
    with auditing(stand, "bybit", margin_mode="cross") as auditor:
        rule = {"kind": "error_before", "path": "/v5/position/list", "status": 400}
        stand.admin("POST", "faults", after=6, **rule)
        statuses = [r.status for r in auditor.look().rows]
        assert (statuses.count(ERROR), statuses.count(OK)) == (1, 19)
        row = next(r for r in auditor.look().rows if r.status == OK)
        assert row.reason == ""
