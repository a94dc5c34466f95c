"""Long columns of numbers in few bytes of text, which the page unpacks by itself."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_STEPS = 2**30  # differences of two such numbers still fit 32 bits
PRICE_DIGITS = 10  # finer ticks than these are rounded


def pack(values: NDArray[Any], digits: int) -> dict[str, Any]:
    """``values`` to ``digits`` decimals as {"n", "digits", "gaps", "data"}.

    Each value becomes a whole number of steps of 10**-digits, fewer digits where 31 bits do not
    hold them; then the differences from value to value, folded to unsigned, their bytes sorted
    by weight, deflated, base64. What is not finite is a gap: with ``gaps`` true, one byte a value
    follows, 1 where there is one. ``assets/columns.js`` is the way back.
    """
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(numbers)
    filled = numbers if finite.all() else _fill(numbers, finite)
    largest = float(np.max(np.abs(filled), initial=0.0))
    while digits > -300 and largest * 10.0**digits >= MOST_STEPS:
        digits -= 1
    steps = np.round(filled * 10.0**digits).astype(np.int64)
    data = _planes(steps)
    if not finite.all():
        data += (~finite).astype(np.uint8).tobytes()
    return _entry(len(numbers), data, digits=digits, gaps=not finite.all())


def pack_times(ms: NDArray[Any]) -> dict[str, Any]:
    """Epoch milliseconds, exactly: {"n", "first", "unit", "data"} with whole units after first."""
    times = np.asarray(ms, dtype=np.int64)
    if not len(times):
        return _entry(0, b"", first=0, unit=1)
    first = int(times[0])
    since = times - first
    unit = max(1, int(np.gcd.reduce(since)))
    while int(np.max(np.abs(since))) // unit >= 2**31:
        unit *= 2
    return _entry(len(times), _planes(since // unit), first=first, unit=unit)


def pack_text(text: str) -> str:
    """A long text, deflated, in base64."""
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 6)).decode("ascii")


def price_digits(*columns: NDArray[Any]) -> int:
    """The decimals that the prices are quoted in; at most PRICE_DIGITS."""
    numbers = np.concatenate([np.asarray(c, dtype=np.float64).ravel() for c in columns])
    numbers = numbers[np.isfinite(numbers)]
    for digits in range(PRICE_DIGITS):
        scaled = numbers * 10.0**digits
        if np.all(np.abs(scaled - np.round(scaled)) <= 1e-11 * np.abs(scaled) + 1e-9):
            return digits
        numbers = numbers[np.abs(scaled - np.round(scaled)) > 1e-11 * np.abs(scaled) + 1e-9]
    return PRICE_DIGITS


def _fill(numbers: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Gaps take the value before them, the first ones 0: no differences, so no bytes."""
    at = np.maximum.accumulate(np.where(finite, np.arange(len(numbers)), -1))
    return np.where(at < 0, 0.0, numbers[np.maximum(at, 0)])


def _planes(steps: NDArray[np.int64]) -> bytes:
    change = np.diff(steps, prepend=np.int64(0))
    folded = np.where(change < 0, -2 * change - 1, 2 * change).astype("<u4")
    return folded.view(np.uint8).reshape(-1, 4).T.tobytes()


def _entry(count: int, data: bytes, **how: Any) -> dict[str, Any]:
    text = base64.b64encode(zlib.compress(data, 6)).decode("ascii")
    return {"n": count, **how, "data": text}
