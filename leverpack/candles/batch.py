"""The parts of one series, file after file, as arrays over all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from leverpack.candles.columns import Want, plain
from leverpack.candles.parts import Part
from leverpack.candles.series import Finding, merge_findings
from leverpack.candles.sources import STDIN, files_of
from leverpack.candles.table import Table, read_table
from leverpack.candles.timeframes import infer_timeframe, timeframe_name
from leverpack.errors import DataError

_ENOUGH = 10  # candles that a file needs for its timeframe to count against that of the others


class Batch:
    """Parts in file order; rows count over all of them."""

    def __init__(self, parts: list[Part], source: str) -> None:
        self.parts = parts
        self.source = source
        self.order = self._order()
        self._starts = np.concatenate(([0], np.cumsum([len(p.ts) for p in parts]))).tolist()
        self._refuse_mixture()

    def at(self, row: int) -> tuple[Part, int]:
        """The part that holds a row, and the row's position in it."""
        i = bisect_right(self._starts, row) - 1
        return self.parts[i], row - self._starts[i]

    def owner(self, rows: Any) -> Any:
        """The number of the part of each row."""
        return np.searchsorted(self._starts, rows, "right") - 1

    def place(self, row: int) -> tuple[str, int]:
        """File and line of a row."""
        part, at = self.at(row)
        return part.table.source, part.table.line(at)

    def shown(self, what: str, row: int) -> str:
        """A field of a row as it stands in the file."""
        part, at = self.at(row)
        return part.table.shown(what, at)

    def take(self, name: str) -> Any:
        """One array over all parts, which lose theirs: a long series is not held twice."""
        arrays = [getattr(part, name) for part in self.parts]
        whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        if len(arrays) > 1:
            for part in self.parts:
                setattr(part, name, None)
        return whole

    def broken(self) -> list[tuple[str, int, str]]:
        """File, line and wording of rows with a wrong number of fields."""
        return [(p.table.source, line, text) for p in self.parts for line, text in p.table.broken]

    def unit(self) -> str:
        """The units of time, joined by +."""
        return "+".join(dict.fromkeys(u for p in self.parts for u in p.unit.split("+")))

    def one(self, get: Callable[[Part], str], otherwise: str) -> str:
        """What all parts agree on, or ``otherwise``."""
        seen = {get(part) for part in self.parts}
        return seen.pop() if len(seen) == 1 else otherwise

    def symbol(self) -> str:
        """The symbol that the files name, or ""."""
        return next((p.symbol for p in self.parts if p.symbol), "")

    def table(self) -> Table:
        """How the first file is laid out, with the columns that any of them left unused."""
        first = self.parts[0].table
        if len(self.parts) == 1:
            return first
        ignored = dict.fromkeys(name for p in self.parts for name in p.table.ignored)
        return replace(first, source=self.source, ignored=list(ignored), columns={})

    def findings(self) -> list[Finding]:
        """What was seen in the files, each remark with its file."""
        return merge_findings(
            [replace(f, source=p.table.source) for p in self.parts for f in p.findings]
        )

    def _order(self) -> str:
        """The order of rows in each file, where they agree; that of the files is no matter."""
        steps = [np.diff(p.ts if not p.bad_time.any() else p.ts[~p.bad_time]) for p in self.parts]
        up, down = any((s > 0).any() for s in steps), any((s < 0).any() for s in steps)
        return "mixed" if up and down else "descending" if down else "ascending"

    def _refuse_mixture(self) -> None:
        """Raise DataError when the files are of several symbols or timeframes."""
        seen: dict[str, Part] = {}
        steps: dict[int, Part] = {}
        for part in self.parts:
            if part.symbol:
                seen.setdefault(plain(part.symbol), part)
            if len(self.parts) > 1 and len(part.ts) > _ENOUGH:
                stamps = part.ts[~part.bad_time] if part.bad_time.any() else part.ts
                if not (np.diff(stamps) > 0).all():
                    stamps = np.unique(stamps)
                if len(stamps) > _ENOUGH:
                    steps.setdefault(infer_timeframe(stamps), part)
        if len(seen) > 1:
            one, other = list(seen.values())[:2]
            raise DataError(
                f"these are candles of {other.symbol}, those of {one.table.source} are of "
                f"{one.symbol}; name the files of one symbol, by a pattern such as *{one.symbol}*",
                source=other.table.source,
            )
        if len(steps) > 1 and not self.parts[0].is_funding:
            (step, one), (longer, other) = list(steps.items())[:2]
            raise DataError(
                f"these are candles of {timeframe_name(longer)}, those of {one.table.source} are "
                f"of {timeframe_name(step)}; name the files of one timeframe, by a pattern such "
                f"as *-{timeframe_name(step)}-*", source=other.table.source,
            )  # fmt: skip


def read_batch(source: Any, want: Want, parse: Callable[[Table], Part]) -> Batch:
    """Read all files behind a source, or the DataFrame that it is.

    Raises DataError for what cannot be read, for a file that changes meanwhile, and for files
    of several symbols or timeframes.
    """
    if not isinstance(source, (str, list, tuple)) and not hasattr(source, "__fspath__"):
        return Batch([parse(read_table(source, want))], type(source).__name__)
    files = files_of(source)
    parts = []
    for file in files:
        before = file.stamp()
        parts.append(parse(read_table(file, want)))
        file.refuse_change(before)
        parts[-1].table.give_back()
    name = files[0].name if str(source) == STDIN else str(source)
    if isinstance(source, (list, tuple)):
        name = ", ".join(dict.fromkeys((files[0].name, files[-1].name)))
    return Batch(parts, name)
