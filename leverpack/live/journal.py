"""The journal of a live run: SQLite, written before an order leaves and after its answer."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import string
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from leverpack.errors import DataError
from leverpack.live.schema import all_of, bring_up_to_date

Batch = list[tuple[str, tuple[Any, ...]]]
logger = logging.getLogger("leverpack.live")

_ROOM = 256 * 1024
_ID_SIGNS = string.ascii_lowercase + string.digits
# What an intent can be; the first three may still be alive at the venue.
SENDING, UNKNOWN, OPEN, CLOSED, CANCELED, REFUSED = (
    "sending", "unknown", "open", "closed", "canceled", "refused",
)  # fmt: skip
ALIVE = (SENDING, UNKNOWN, OPEN)


class Journal:
    """What a live run intended, did and saw; one process writes it, anybody may read it.

    Every write is on the disk before its call returns. Raises DataError, with the file, when it
    cannot be opened for writing or another run holds it. When the disk is full later on, ``fault``
    says so, and what happens waits in memory until it can be written; the intent of an order that
    opens is not: its call raises, and the order may not be sent.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self.fault = ""  # why the disk takes nothing now
        self._waiting: deque[Batch] = deque()
        self._group: Batch | None = None
        self._held = _hold(self.path)
        try:
            self._open()
        except DataError:
            self._let_go()
            raise
        self._sequence = 0

    def _open(self) -> None:
        with self._guarded():
            # Autocommit: each statement is a transaction of its own.
            self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            bring_up_to_date(self._db, str(self.path))
        own = self._value("SELECT value FROM meta WHERE name = 'id'")
        if own is None:
            own = "".join(secrets.choice(_ID_SIGNS) for _ in range(6))
            self._must("INSERT INTO meta VALUES ('id', ?)", own)
        self.id = str(own)
        self.run = int(self._value("SELECT COALESCE(MAX(run), 0) + 1 FROM runs"))
        self._must("INSERT INTO runs VALUES (?, ?, '')", self.run, _now())
        # Room for what comes first: a disk that is about to be full is to be told of now.
        self._must("INSERT OR REPLACE INTO state VALUES ('room', ?)", "x" * _ROOM)
        self._must("DELETE FROM state WHERE name = 'room'")

    def _let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; no effect when it is closed."""
        with self._lock:
            if self._waiting:
                with suppress(sqlite3.Error):
                    self._catch_up()
                if self._waiting:
                    logger.error("%s; %d writes are lost", self.fault, len(self._waiting))
                    self._waiting.clear()
            self._db.close()
            self._let_go()

    # -- orders ----------------------------------------------------------------------------------

    def new_client_id(self, feed: int) -> str:
        """A client order id that no run of this journal has used: journal, run, feed, sequence.

        Letters and digits only, at most 32, as the strictest venue wants it.
        """
        self._sequence += 1
        return f"lp{self.id}r{self.run}f{feed}n{self._sequence}"

    def is_own(self, client_id: str | None) -> bool:
        """Whether an order of this id was sent with this journal."""
        return bool(client_id) and str(client_id).startswith(f"lp{self.id}r")

    def intend(
        self, client_id: str, symbol: str, side: str, amount: float, *, conditional: bool,
        reduce_only: bool, tag: str, request: dict[str, Any],
    ) -> None:  # fmt: skip
        """Write what is about to be sent; DataError where that cannot be and it would open."""
        now = _now()
        write = self._do if reduce_only else self._must
        write(
            "INSERT INTO intents VALUES (?,?,?,?,?,?,?,?,?,?,NULL,NULL,NULL,?,?)",
            client_id, self.run, symbol, side, amount, conditional, reduce_only, tag,
            json.dumps(request), SENDING, now, now,
        )  # fmt: skip

    def settle(
        self, client_id: str, state: str, *, venue_id: str = "", child_id: str = "", why: str = ""
    ) -> None:
        """Write what has become of it; ids and reason only where they are given."""
        self._do(
            "UPDATE intents SET state = ?, changed_ms = ?, venue_id = COALESCE(?, venue_id), "
            "child_id = COALESCE(?, child_id), why = COALESCE(?, why) WHERE client_id = ?",
            state, _now(), venue_id or None, child_id or None, why or None, client_id,
        )  # fmt: skip

    def intents(self, *states: str) -> list[dict[str, Any]]:
        """The intents in these states (all without one), oldest first."""
        where = f" WHERE state IN ({','.join('?' * len(states))})" if states else ""
        return self._rows(f"SELECT * FROM intents{where} ORDER BY rowid", *states)

    def add_fill(
        self, symbol: str, trade_id: str, client_id: str | None, side: str, size: float,
        price: float, fee: float, time_ms: int, reason: str = "",
    ) -> bool:  # fmt: skip
        """Write one fill; False when it is there already. ``reason``: why, where nobody sent it."""
        return self._insert(
            "OR IGNORE INTO fills", symbol=symbol, trade_id=trade_id, client_id=client_id,
            side=side, size=size, price=price, fee=fee, time_ms=time_ms, reason=reason,
            run=self.run,
        ) > 0  # fmt: skip

    def fills(self, symbol: str | None = None) -> list[dict[str, Any]]:
        """The fills, oldest first."""
        if symbol is None:
            return self._rows("SELECT * FROM fills ORDER BY rowid")
        return self._rows("SELECT * FROM fills WHERE symbol = ? ORDER BY rowid", symbol)

    def held(self, symbol: str) -> float:
        """The position (signed, base) that the fills of this journal add up to."""
        return float(self._value(
            "SELECT COALESCE(SUM(CASE side WHEN 'buy' THEN size ELSE -size END), 0.0) "
            "FROM fills WHERE symbol = ?", symbol,
        ))  # fmt: skip

    # -- what was seen ---------------------------------------------------------------------------

    def add_candle(self, symbol: str, timeframe: str, time_ms: int, *values: float) -> None:
        """Write a candle that strategies see: open, high, low, close, volume."""
        self._do(
            "INSERT OR REPLACE INTO candles VALUES (?,?,?,?,?,?,?,?)",
            symbol, timeframe, time_ms, *values,
        )  # fmt: skip

    def add_leverage(self, symbol: str, leverage: float, margin_mode: str, hedged: bool) -> None:
        """Write what the venue was read to have."""
        self._do(
            "INSERT INTO leverage VALUES (?,?,?,?,?)", _now(), symbol, leverage, margin_mode, hedged
        )

    def add_snapshot(self, **values: Any) -> None:
        """Write the margin of one position at a candle, ours beside the venue's; by column."""
        self._insert("INTO snapshots", **values)

    def add_account(self, **values: Any) -> None:
        """Write the account at a candle, in a position or not; by column, once a candle."""
        self._insert("OR REPLACE INTO account", run=self.run, **values)

    def add_funding(
        self, symbol: str, venue_id: str, time_ms: int, amount: float, rate: float | None
    ) -> bool:
        """Write one funding payment (cash: negative was paid); False when it is there already."""
        return self._insert(
            "OR IGNORE INTO funding", symbol=symbol, venue_id=venue_id, time_ms=time_ms,
            amount=amount, rate=rate, run=self.run,
        ) > 0  # fmt: skip

    def add_rejection(
        self, time_ms: int, symbol: str, side: str, size: float, reason: str
    ) -> None:
        """Write an order that was refused, here or by the venue."""
        self._insert(
            "INTO rejections", time_ms=time_ms, run=self.run, symbol=symbol, side=side, size=size,
            reason=reason,
        )  # fmt: skip

    def describe(self, what: dict[str, Any]) -> None:
        """Write what this run is: strategy, parameters, symbols, venue, as plain values."""
        self._do(
            "UPDATE runs SET what = ? WHERE run = ?", json.dumps(what, default=str), self.run
        )

    def add_event(self, level: str, text: str, kind: str = "") -> None:
        """Write a sentence: what was refused, noticed, decided; alerts with their kind."""
        self._do("INSERT INTO events VALUES (?,?,?,?)", _now(), level, text, kind)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of one of ``schema.TABLES``, in the order in which they were written."""
        return self._rows(all_of(table))

    def state(self, name: str) -> JournalState:
        """A StateStore in this journal: what the limits keep over restarts."""
        return JournalState(self, name)

    # -- the file --------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as fault:
                raise DataError(
                    f"the journal cannot be used ({fault}); nothing is sent without it: look at "
                    "the disk and the file's rights",
                    source=str(self.path),
                ) from None

    def _do(self, statement: str, *values: Any) -> int:
        """Write what has happened already: kept in memory for as long as the disk is full."""
        if self._group is not None:
            self._group.append((statement, values))
            return 1
        return self._put([(statement, values)])

    def _must(self, statement: str, *values: Any) -> None:
        """Write it now, after all that waits, or raise DataError."""
        with self._guarded():
            self._catch_up()
            self._db.execute(statement, values)

    def _put(self, batch: Batch) -> int:
        with self._guarded():
            try:
                self._catch_up()
                return self._execute(batch)
            except sqlite3.OperationalError as fault:
                self.fault = self.fault or self._said(fault)
                self._waiting.append(batch)
                return 1

    def _catch_up(self) -> None:
        while self._waiting:
            self._execute(self._waiting[0])
            self._waiting.popleft()
        if self.fault:
            logger.warning("%s: the journal can be written again; nothing is missing", self.path)
            self.fault = ""

    def _execute(self, batch: Batch) -> int:
        if len(batch) == 1:
            statement, values = batch[0]
            return self._db.execute(statement, values).rowcount
        self._db.execute("BEGIN")
        try:
            for statement, values in batch:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return len(batch)

    def _said(self, fault: Exception) -> str:
        return str(DataError(
            f"the journal cannot be written ({fault}): what opens a position is not sent, what "
            "reduces one is; make room on the disk", source=str(self.path),
        ))  # fmt: skip

    def _insert(self, where: str, **values: Any) -> int:
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        return self._do(f"INSERT {where} ({names}) VALUES ({marks})", *values.values())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Writes inside are one transaction: there all or not at all, and one wait for the disk."""
        with self._lock:
            self._group = []
            try:
                yield
                batch = self._group
            finally:
                self._group = None
            if batch:
                self._put(batch)

    def _value(self, statement: str, *values: Any) -> Any:
        with self._guarded():
            row = self._db.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def _rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self._guarded():
            cursor = self._db.execute(statement, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]


class JournalState:
    """One record of plain values in a journal; a :class:`leverpack.risk.state.StateStore`."""

    def __init__(self, journal: Journal, name: str) -> None:
        self._journal, self._name = journal, name

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None."""
        text = self._journal._value("SELECT value FROM state WHERE name = ?", self._name)
        return None if text is None else dict(json.loads(text))

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved, on the disk before this returns."""
        self._journal._do(
            "INSERT OR REPLACE INTO state VALUES (?, ?)", self._name, json.dumps(state)
        )


def _hold(path: Path) -> int | None:
    """Take the journal for this process alone; None where the system has no such locks."""
    if path.exists() and not path.is_file():
        raise DataError("is no file; name another journal", source=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as fault:
        raise DataError(f"cannot be written: {fault.strerror}", source=str(path)) from None
    try:
        import fcntl
    except ImportError:  # Windows
        os.close(held)
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise DataError(
            "another run writes this journal; stop that run or name another journal",
            source=str(path),
        ) from None
    return held


def _now() -> int:
    return time.time_ns() // 1_000_000
