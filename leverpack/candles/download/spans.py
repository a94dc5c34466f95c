"""Stretches of time: what is covered, what is missing, where rows leave a hole."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from leverpack.result import Ints

Span = tuple[int, int]  # epoch ms UTC, the end excluded


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same time as few spans, oldest first; empty ones fall away."""
    found: list[Span] = []
    for start, end in sorted(s for s in spans if s[0] < s[1]):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def without(wanted: Span, covered: Iterable[Span]) -> list[Span]:
    """What of ``wanted`` lies in none of ``covered``, oldest first."""
    missing, at = [], wanted[0]
    for start, end in joined(covered):
        if start >= wanted[1]:
            break
        if start > at:
            missing.append((at, start))
        at = max(at, end)
    return [*missing, (at, wanted[1])] if at < wanted[1] else missing


def holes(ts: Ints, span: Span, reach: int) -> list[Span]:
    """Where ``span`` is not covered by rows at ``ts`` (ascending), each of which reaches on so far.

    The first row may come up to ``reach`` ms (excluded) after the start of the span: the span
    need not start at a row.
    """
    if not len(ts):
        return [span]
    start, end = span
    found = [(start, int(ts[0]))] if int(ts[0]) - start >= reach else []
    found += [(int(ts[i]) + reach, int(ts[i + 1])) for i in np.flatnonzero(np.diff(ts) > reach)]
    last = int(ts[-1]) + reach
    return [*found, (last, end)] if last < end else found


def holds_mark(span: Span, phase: int, step: int) -> bool:
    """Whether one of the times ``phase`` + k * ``step`` lies in the span."""
    first = span[0] + (phase - span[0]) % step
    return first < span[1]
