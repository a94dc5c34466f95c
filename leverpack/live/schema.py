"""The tables of a journal, and how one that an older leverpack has begun gets what is new."""

from __future__ import annotations

import sqlite3

from leverpack.errors import DataError

SCHEMA = 2
MAGIC = b"SQLite format 3\x00"
# Those that hold rows; each has its own order, which is the one of writing.
TABLES = (
    "runs", "intents", "fills", "candles", "leverage", "snapshots", "events", "account",
    "funding", "rejections",
)  # fmt: skip
_MADE = """
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
CREATE TABLE IF NOT EXISTS account (
    time_ms INTEGER PRIMARY KEY, run INTEGER NOT NULL, equity REAL, wallet REAL, free_margin REAL,
    used_margin REAL, unrealised REAL, maintenance REAL, margin_ratio REAL,
    worst_margin_ratio REAL, margin_level REAL, effective_leverage REAL, decided_leverage REAL,
    call_ratio REAL, liquidating_move REAL, nearest REAL, open_orders INTEGER,
    stream_age_s REAL);
CREATE TABLE IF NOT EXISTS funding (
    symbol TEXT NOT NULL, venue_id TEXT NOT NULL, time_ms INTEGER NOT NULL, amount REAL NOT NULL,
    rate REAL, run INTEGER NOT NULL, PRIMARY KEY (symbol, venue_id));
CREATE TABLE IF NOT EXISTS rejections (
    time_ms INTEGER NOT NULL, run INTEGER NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
    size REAL NOT NULL, reason TEXT NOT NULL);
"""
# Columns that tables of an older journal do not have.
_ADDED = {
    "events": {"kind": "TEXT NOT NULL DEFAULT ''"},
    "fills": {"reason": "TEXT NOT NULL DEFAULT ''", "run": "INTEGER NOT NULL DEFAULT 0"},
    "snapshots": {
        "leverage": "REAL", "decided": "REAL", "nearest": "REAL", "worst_margin_ratio": "REAL",
    },
}  # fmt: skip


def bring_up_to_date(db: sqlite3.Connection, source: str) -> None:
    """Make the tables that are missing and add the columns that are; all of it or nothing.

    DataError where a newer leverpack has written the file.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in _MADE.split(";"):
            db.execute(statement)
        row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        if row is not None and int(row[0]) > SCHEMA:
            raise DataError(
                f"a newer leverpack has written this journal (schema {row[0]}, this one knows "
                f"{SCHEMA}); use that one, or name another journal",
                source=source,
            )
        for table, columns in _ADDED.items():
            known = columns_of(db, table)
            for name, kind in columns.items():
                if name not in known:
                    db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def columns_of(db: sqlite3.Connection, table: str) -> list[str]:
    """The names of a table's columns; none where there is no such table."""
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]


def all_of(table: str, last: int | None = None) -> str:
    """The statement for all rows of a table, oldest first; with ``last`` the newest so many."""
    if table not in TABLES:
        raise ValueError(table)
    order = "time_ms" if table == "account" else "rowid"
    if last is None:
        return f"SELECT * FROM {table} ORDER BY {order}"
    newest = f"SELECT {order} FROM {table} ORDER BY {order} DESC LIMIT {int(last)}"
    return f"SELECT * FROM {table} WHERE {order} IN ({newest}) ORDER BY {order}"
