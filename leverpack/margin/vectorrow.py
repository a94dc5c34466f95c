"""A row of a vector file, read with care, and what comes out of computing it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leverpack.errors import DataError

DIFFERS_BY_DESIGN = "differs by design"
NO_INPUTS = "no inputs"
NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure that a row states, beside what the room computes from the row's inputs."""

    name: str
    expected: float
    computed: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a row; a ``verdict`` of its own where they are not to be compared."""

    findings: tuple[Finding, ...]
    verdict: str = ""
    note: str = ""
    stated: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a vector file with its place for error messages."""

    content: Mapping[str, Any]
    place: str

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number, or ``default`` where the row leaves it out; DataError without one."""
        value = self.content.get(name)
        if value is None and default is not None:
            return default
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or not good or not math.isfinite(value):
            raise DataError(f"{name} must be a number, not {value!r}", source=self.place)
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A text, or ``default`` where the row leaves it out; DataError without one."""
        value = self.content.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise DataError(f"{name} must be a text, not {value!r}", source=self.place)
        return value

    def has(self, *names: str) -> bool:
        """Whether all of these fields are there and not null."""
        return all(self.content.get(name) is not None for name in names)

    def side(self) -> float:
        """+1.0 for long, -1.0 for short; DataError for anything else."""
        side = {"long": 1.0, "short": -1.0}.get(self.text("side"))
        if side is None:
            raise DataError("side must be 'long' or 'short'", source=self.place)
        return side

    def rows(self, name: str) -> list[Row]:
        """A list of records inside the row."""
        value = self.content.get(name) or []
        if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
            raise DataError(f"{name} must be a list of records", source=self.place)
        return [Row(v, f"{self.place}, {name} {n}") for n, v in enumerate(value, start=1)]
