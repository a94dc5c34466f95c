"""Where the limits keep what must outlive a restart: in memory for a backtest, in a file live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from leverpack.errors import DataError
from leverpack.files import put_text


class StateStore(Protocol):
    """Keeps one small record of plain values."""

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None."""

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved."""


class MemoryStore:
    """Forgets when the process ends; what a backtest uses."""

    def __init__(self) -> None:
        self._state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None."""
        return None if self._state is None else dict(self._state)

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved."""
        self._state = dict(state)


class FileStore:
    """A JSON file, written beside and renamed: a crash leaves the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None; DataError when the file is not what was written."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            state = json.loads(text)
        except ValueError as fault:
            raise DataError(
                f"the saved limits cannot be read ({fault}); look at it, then remove it",
                source=str(self.path),
            ) from fault
        if not isinstance(state, dict):
            raise DataError(
                "the saved limits are no JSON object; look at it, then remove it",
                source=str(self.path),
            )
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file in one step, on the disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        put_text(self.path, json.dumps(state), durable=True)
