"""The journal of a live run: SQLite, written before an order leaves and after its answer."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leverpack.errors import DataError

_ID_SIGNS = string.ascii_lowercase + string.digits
# What an intent can be; the first three may still be alive at the venue.
SENDING, UNKNOWN, OPEN, CLOSED, CANCELED, REFUSED = (
    "sending", "unknown", "open", "closed", "canceled", "refused",
)  # fmt: skip
ALIVE = (SENDING, UNKNOWN, OPEN)
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, started_ms INTEGER NOT NULL, what TEXT);
CREATE TABLE IF NOT EXISTS intents (
    client_id TEXT PRIMARY KEY, run INTEGER NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
    amount REAL NOT NULL, conditional INTEGER NOT NULL, reduce_only INTEGER NOT NULL,
    tag TEXT, request TEXT NOT NULL, state TEXT NOT NULL, venue_id TEXT, child_id TEXT,
    why TEXT, sent_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS intents_by_state ON intents (state);
CREATE TABLE IF NOT EXISTS fills (
    symbol TEXT NOT NULL, trade_id TEXT NOT NULL, client_id TEXT, side TEXT NOT NULL,
    size REAL NOT NULL, price REAL NOT NULL, fee REAL NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (symbol, trade_id));
CREATE TABLE IF NOT EXISTS candles (
    symbol TEXT NOT NULL, timeframe TEXT NOT NULL, time_ms INTEGER NOT NULL, open REAL, high REAL,
    low REAL, close REAL, volume REAL, PRIMARY KEY (symbol, timeframe, time_ms));
CREATE TABLE IF NOT EXISTS leverage (
    time_ms INTEGER NOT NULL, symbol TEXT NOT NULL, leverage REAL NOT NULL,
    margin_mode TEXT NOT NULL, hedged INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (
    time_ms INTEGER NOT NULL, symbol TEXT NOT NULL, equity REAL, free REAL, size REAL, entry REAL,
    mark REAL, liquidation REAL, venue_liquidation REAL, margin_ratio REAL,
    venue_margin_ratio REAL);
CREATE TABLE IF NOT EXISTS events (
    time_ms INTEGER NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Journal:
    """What a live run intended, did and saw; one process writes it, anybody may read it.

    Every write is on the disk before its call returns. Raises DataError, with the file, when it
    cannot be written or another run holds it: then nothing may be sent.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
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
            self._db.executescript(_TABLES)
        own = self._value("SELECT value FROM meta WHERE name = 'id'")
        if own is None:
            own = "".join(secrets.choice(_ID_SIGNS) for _ in range(6))
            self._do("INSERT INTO meta VALUES ('id', ?)", own)
        self.id = str(own)
        self.run = int(self._value("SELECT COALESCE(MAX(run), 0) + 1 FROM runs"))
        self._do("INSERT INTO runs VALUES (?, ?, '')", self.run, _now())

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
        """Write what is about to be sent."""
        now = _now()
        self._do(
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
        price: float, fee: float, time_ms: int,
    ) -> bool:  # fmt: skip
        """Write one fill; False when it is there already."""
        return self._do(
            "INSERT OR IGNORE INTO fills VALUES (?,?,?,?,?,?,?,?)",
            symbol, trade_id, client_id, side, size, price, fee, time_ms,
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

    def add_snapshot(self, time_ms: int, symbol: str, *values: float | None) -> None:
        """Write the margin of one position at a candle, ours beside the venue's."""
        self._do("INSERT INTO snapshots VALUES (?,?,?,?,?,?,?,?,?,?,?)", time_ms, symbol, *values)

    def add_event(self, level: str, text: str, kind: str = "") -> None:
        """Write a sentence: what was refused, noticed, decided; alerts with their kind."""
        self._do("INSERT INTO events VALUES (?,?,?,?)", _now(), level, text, kind)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of "runs", "leverage", "snapshots", "events" or "candles", oldest first."""
        if table not in ("runs", "leverage", "snapshots", "events", "candles"):
            raise ValueError(table)
        return self._rows(f"SELECT * FROM {table} ORDER BY rowid")

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
        with self._guarded():
            return self._db.execute(statement, values).rowcount

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
