"""Conditions over long arrays, block by block: the temporaries stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from leverpack.candles.series import Bools

Rows = NDArray[np.intp]
_BLOCK = 1 << 14


def rows_where(start: int, stop: int, test: Callable[[slice], Bools]) -> Rows:
    """Positions in start <= i < stop where ``test`` of a block (a slice of positions) is true."""
    found = []
    for at in range(start, stop, _BLOCK):
        end = min(at + _BLOCK, stop)
        rows = np.flatnonzero(test(slice(at, end)))
        if len(rows):
            found.append(rows + at)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def moved(block: slice, by: int) -> slice:
    """The same block some positions on (or back, below zero)."""
    return slice(block.start + by, block.stop + by)
