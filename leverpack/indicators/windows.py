"""The scalar rules over every window of an array at once, equal to them to the last bit.

Each NumPy operation here is the IEEE operation that the rule does, in the rule's order; only
the loop over the bars and the loop over the window have changed places.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable

import numpy as np

from leverpack.result import Floats

_BLOCK = 8_192  # bars at a time: what is worked on stays in the processor's cache


def population_deviations(values: Floats, period: int) -> Floats:
    """``scalars.population_deviation`` of every window: ``len(values) - period + 1`` of them."""
    count = len(values) - period + 1
    newest = values[period - 1 :]
    total, squares, part = np.zeros(count), np.zeros(count), np.empty(count)
    with np.errstate(all="ignore"):  # NaN and infinity pass through in silence, as in Python
        for offset in range(period):
            np.subtract(values[offset : offset + count], newest, out=part)
            total += part
        mean = total / period
        for offset in range(period):
            np.subtract(values[offset : offset + count], newest, out=part)
            part -= mean
            part *= part
            squares += part
        squares /= period
        deviations: Floats = np.sqrt(squares)
    return deviations


def simple_returns(values: Floats) -> Floats:
    """``scalars.simple_return`` from each value to the next: one fewer than there are values."""
    before, after = values[:-1], values[1:]
    with np.errstate(all="ignore"):
        returns: Floats = np.where(before == 0.0, math.nan, (after - before) / before)
    return returns


def fill(
    target: array[float], source: array[float], start: int, end: int, reach: int,
    compute: Callable[[Floats], Floats],
) -> None:  # fmt: skip
    """Write ``compute`` of the source into ``target[start:end]``, block by block.

    ``compute`` gets ``reach`` values more in front than it gives back. With fewer bars than
    the warm-up takes there is nothing to write, and the target stays NaN.
    """
    end = min(end, len(source), len(target))
    if start >= end:
        return
    values = np.frombuffer(source, dtype=np.float64)
    results = np.frombuffer(target, dtype=np.float64)
    for first in range(start, end, _BLOCK):
        last = min(first + _BLOCK, end)
        results[first:last] = compute(values[first - reach : last])
