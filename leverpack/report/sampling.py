"""Fewer points that look the same, for pictures: extremes of lines, joined candles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1_600  # about one a pixel


def min_max_buckets(values: NDArray[Any], buckets: int = BUCKETS) -> NDArray[np.int64]:
    """Indices that keep a line's look: the lowest and the highest value of each bucket.

    All of them when there are few; NaN counts as neither, an all-NaN bucket keeps its ends so
    that gaps stay gaps.
    """
    count = len(values)
    if count <= 2 * buckets:
        return np.arange(count, dtype=np.int64)
    edges = np.linspace(0, count, buckets + 1).astype(np.int64)
    picks: list[int] = []
    for start, end in pairwise(edges):
        part = values[start:end]
        if np.isnan(part).all():
            picks += [int(start), int(end) - 1]
        else:
            picks += sorted({int(start + np.nanargmin(part)), int(start + np.nanargmax(part))})
    return np.array(picks, dtype=np.int64)


def line(axis: Any, when: NDArray[Any], values: NDArray[Any], **style: Any) -> None:
    """Draw a line with no more points than the picture can show."""
    if len(values):
        at = min_max_buckets(values)
        axis.plot(when[at], values[at], **style)


def joined_candles(
    opened: NDArray[Any], high: NDArray[Any], low: NDArray[Any], close: NDArray[Any], most: int
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """At most ``most`` bars of equal groups: first indices, open, high, low, close."""
    count = len(close)
    group = max(1, -(-count // most))
    starts = np.arange(0, count, group, dtype=np.int64)
    ends = np.minimum(starts + group, count) - 1
    if not count:
        return starts, opened, high, low, close
    return (
        starts, opened[starts], np.maximum.reduceat(high, starts),
        np.minimum.reduceat(low, starts), close[ends],
    )  # fmt: skip
