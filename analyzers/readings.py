"""Readings of every candle in rows of eight bytes a value, handed out by column or by candle."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, overload

import backtrader as bt
import numpy as np

from leverpack.result import Floats, Ints

_EPOCH_NUM = 719163.0  # bt.date2num(1970-01-01)
_MS_PER_DAY = 86_400_000.0


def epoch_ms(num: float) -> int:
    """Epoch milliseconds (UTC) of one of Backtrader's date numbers."""
    return round((num - _EPOCH_NUM) * _MS_PER_DAY)


def epoch_times(nums: Iterable[float]) -> Ints:
    """The same of many."""
    numbers = np.array(nums, dtype=np.float64)
    return np.round((numbers - _EPOCH_NUM) * _MS_PER_DAY).astype(np.int64)


class Rows:
    """One row a candle with a value for each of ``names``; NaN where there is none.

    ``rows.put(rows.pack(...))`` adds a row, with two calls instead of one a column: that is what
    an analyzer would spend its time on.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._values = array("d")
        self.pack = Struct(f"{len(names)}d").pack
        self.put = self._values.frombytes  # rows.put(rows.pack(*one value for each name))

    def __len__(self) -> int:
        return len(self._values) // len(self.names)

    def last(self, name: str) -> float:
        """The value of the newest row."""
        return self._values[self.names.index(name) - len(self.names)]

    def mend_last(self, name: str, value: float) -> None:
        """Replace one value of the newest row."""
        self._values[self.names.index(name) - len(self.names)] = value

    def columns(self) -> dict[str, Floats]:
        """A copy by column, so that rows may still be added."""
        table = np.array(self._values).reshape(-1, len(self.names)).T.copy()
        return dict(zip(self.names, table, strict=True))


class MarginHistory(Sequence[dict[str, Any]]):
    """The guide's list of dicts, made on access from arrays of eight bytes a value.

    Each item has ``datetime`` (UTC), every account column, and of the first feed its own;
    what does not exist at that candle (a ratio while flat) is None.
    """

    def __init__(self, when: array[float], columns: dict[str, Floats]) -> None:
        self._when = when
        self._columns = columns

    def __len__(self) -> int:
        return len(self._when)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._row(i) for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._row(i) for i in range(*index.indices(len(self)))]
        return self._row(range(len(self))[index])

    def __repr__(self) -> str:
        return f"<{len(self)} candles>"

    def _row(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"datetime": bt.num2date(self._when[index])}
        for name, column in self._columns.items():
            value = float(column[index])
            row[name] = None if math.isnan(value) else value
        return row
