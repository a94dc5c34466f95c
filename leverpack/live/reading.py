"""A journal read by somebody else than its run: read-only, while the run writes or after it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from leverpack.errors import DataError
from leverpack.live.schema import MAGIC, all_of, columns_of

Row = dict[str, Any]


def is_journal(path: Path) -> bool:
    """Whether a file is a database of SQLite, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class JournalReader:
    """Rows of a journal as dicts; never writes, and never makes a run wait.

    Columns and tables that an older leverpack did not write are None and empty. Raises DataError
    with the file where there is none, or where it is no journal. Threads may share it; ``close``
    waits for who reads.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(
                "there is no such journal; name the file of `leverpack live --journal`",
                source=str(self.path),
            )
        if not is_journal(self.path):
            raise DataError("this is no journal of a live run", source=str(self.path))
        # SQLite's connection does not survive being closed while another thread reads with it.
        self._lock = threading.RLock()
        self._db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        with self._guarded():
            db = sqlite3.connect(
                f"file:{quote(str(self.path.resolve()))}?mode=ro", uri=True, isolation_level=None,
                check_same_thread=False,
            )  # fmt: skip
            db.row_factory = sqlite3.Row
            known = columns_of(db, "intents")
        if not known:
            db.close()
            raise DataError("this is no journal of a live run", source=str(self.path))
        return db

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the file; whatever is read afterwards is a DataError."""
        with self._lock:
            self._db.close()

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Whatever is read inside belongs together, however much the run writes meanwhile."""
        with self._lock:
            with self._guarded():
                self._db.execute("BEGIN")
            try:
                yield
            finally:
                with self._guarded():
                    self._db.execute("COMMIT")

    def rows(self, table: str, *, last: int | None = None) -> list[Row]:
        """The rows of one of ``schema.TABLES``, oldest first; of many the ``last`` so many."""
        statement = all_of(table, last)
        with self._guarded():
            if not columns_of(self._db, table):
                return []
            return [dict(row) for row in self._db.execute(statement)]

    def alerts(self, last: int) -> list[Row]:
        """The newest so many alerts, oldest first."""
        with self._guarded():
            found = self._db.execute(
                "SELECT * FROM events WHERE level = 'alert' ORDER BY rowid DESC LIMIT ?", (last,)
            )
            return [dict(row) for row in found][::-1]

    def state(self, name: str) -> Row:
        """A record that the run keeps ("now", "halt", "limits"); empty where there is none."""
        with self._guarded():
            row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    def described(self) -> Row:
        """What the newest run that said so is: strategy, parameters, symbols, venue."""
        with self._guarded():
            row = self._db.execute(
                "SELECT what FROM runs WHERE what LIKE '{%' ORDER BY run DESC LIMIT 1"
            ).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    def version(self) -> int:
        """A number that changes whenever somebody else has written."""
        with self._guarded():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as fault:
                raise DataError(
                    f"the journal cannot be read ({fault})", source=str(self.path)
                ) from None
