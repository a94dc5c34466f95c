"""Backtrader's indicators over whole arrays at once, equal to the last bit to its own loops.

Backtrader's ``once`` methods walk Python loops over ``array.array``. For those that carry the
common indicators there is a NumPy version here that does the same IEEE operations in the same
order; where NumPy would differ (a division by zero, a NaN in a window, ``pow``) or does not know
the method, Backtrader's own runs. Nothing is patched: :func:`compute` walks an indicator's tree
as ``LineIterator._once`` and ``LineActions._once`` do, and picks the method by the function that
the class would run.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
from backtrader import functions
from backtrader.indicators import basicops
from backtrader.linebuffer import LineActions, LineOwnOperation, LinesOperation, _LineDelay
from backtrader.lineiterator import LineIterator
from numpy.typing import NDArray

from leverpack.result import Floats, Ints

_BLOCK = 8_192  # bars at a time: what is worked on stays in the processor's cache
_LONGEST_WINDOW = 400  # beyond it the windowed sums cost more than Backtrader's loop
_UFUNCS: dict[Any, Any] = {
    operator.add: np.add, operator.sub: np.subtract, operator.mul: np.multiply,
    operator.truediv: np.divide, operator.lt: np.less, operator.le: np.less_equal,
    operator.gt: np.greater, operator.ge: np.greater_equal, operator.eq: np.equal,
    operator.ne: np.not_equal,
}  # fmt: skip
_OWN: dict[Any, Any] = {operator.abs: np.abs, operator.neg: np.negative}


def compute(item: Any) -> None:
    """Fill the lines of one indicator or line operation, and of all that it is built from."""
    kind = type(item)
    if isinstance(item, LineActions) and kind._once is LineActions._once:
        _grow([item], item._clock.buflen())
        item.home()
        _run(item, item.buflen())
        _bind(item)
    elif isinstance(item, LineIterator) and kind._once is LineIterator._once:
        _grow(list(item.lines), item._clock.buflen())
        children = item._lineiterators[LineIterator.IndType]
        for child in children:
            compute(child)
        for data in item.datas:
            data.home()
        for child in children:
            child.home()
        item.home()
        _run(item, item.buflen())
        for line in item.lines:
            _bind(line)
        _release(item, children)
    else:
        item._once()


def _bind(line: Any) -> None:
    """``oncebinding``, with one buffer for both ends: after this nobody writes to either."""
    for bound in line.bindings:
        if len(bound.array) == len(line.array) and not bound.extension:
            bound.array = line.array
        else:
            line.oncebinding()
            return


def _release(item: Any, children: list[Any]) -> None:
    """Let go of what stands between: lines that only their own indicator used, and has used.

    Backtrader never moves them in this mode, so that nobody can read a current value from
    them; one that an attribute of the indicator names is kept all the same. A line that is
    bound to another shares its buffer, and the other keeps it.
    """
    if type(item)._icacheuse:  # indicators of equal arguments are then one object
        return
    held = [value for name, value in vars(item).items() if name != "_lineiterators"]
    for value in tuple(held):
        if isinstance(value, (list, tuple, set)):
            held.extend(value)
        elif isinstance(value, dict):
            held.extend(value.values())
    named = {id(value) for value in held}
    for child in children:
        if id(child) not in named:
            for line in child.lines if isinstance(child, LineIterator) else (child,):
                line.array = array("d")


def _grow(lines: list[Any], size: int) -> None:
    for line in lines:
        fill(line, len(line.array) + size)


def fill(line: Any, size: int) -> None:
    """Bring a line to ``size`` values with NaN; anew where it is empty, as extending reserves."""
    held = line.array
    missing = array("d", [math.nan]) * max(0, size - len(held))
    if held:
        held.extend(missing)
    else:
        line.array = missing


def _run(item: Any, end: int) -> None:
    period = item._minperiod
    if end < period:  # too few bars for a single value: Backtrader's methods would raise
        return
    item.preonce(0, period - 1)
    item.oncestart(period - 1, period)
    method = _METHODS.get(type(item).once)
    if method is None:
        item.once(period, end)
        return
    for start in range(period, end, _BLOCK):
        if not method(item, start, min(start + _BLOCK, end)):
            item.once(start, end)
            return


def view(source: Any) -> Floats | float | None:
    """The values behind a line as an array without a copy, a constant, or None if unknown."""
    if isinstance(source, (int, float)):
        return float(source)
    held = getattr(source, "array", None)
    if isinstance(held, array):
        return np.frombuffer(held, dtype=np.float64)
    wrapped = getattr(source, "wrapped", None)
    return float(wrapped) if isinstance(wrapped, (int, float)) else None


def _cut(values: Floats | float, start: int, end: int) -> Any:
    return values if isinstance(values, float) else values[start:end]


def _store(line: Any, start: int, end: int, values: Any) -> bool:
    np.frombuffer(line.array, dtype=np.float64)[start:end] = values
    return True


def _operands(start: int, end: int, *sources: Any) -> list[Any] | None:
    views = [view(s) for s in sources]
    if any(v is None for v in views):
        return None
    return [_cut(v, start, end) for v in views if v is not None]


# -- line operations -----------------------------------------------------------------------------


def _lines_operation(item: Any, start: int, end: int) -> bool:
    ufunc = _UFUNCS.get(item.operation)
    if ufunc is None or item.btime:
        return False
    operands = _operands(start, end, item.a, item.b)
    if operands is None:
        return False
    a, b = operands
    if ufunc is np.divide and np.any(np.asarray(b) == 0.0):
        return False
    with np.errstate(all="ignore"):
        return _store(item, start, end, ufunc(a, b))


def _own_operation(item: Any, start: int, end: int) -> bool:
    ufunc = _OWN.get(item.operation)
    operands = _operands(start, end, item.a)
    if ufunc is None or operands is None:
        return False
    return _store(item, start, end, ufunc(operands[0]))


def _delay(item: Any, start: int, end: int) -> bool:
    source = view(item.a)
    if source is None or start + item.ago < 0:
        return False
    return _store(item, start, end, _cut(source, start + item.ago, end + item.ago))


def _multi_logic(item: Any, start: int, end: int) -> bool:
    """``max`` and ``min`` of several lines; Python keeps the first of equals and of NaNs."""
    better = {max: np.greater, min: np.less}.get(item.flogic)
    operands = _operands(start, end, *item.args) if better is not None else None
    if operands is None or better is None:
        return False
    best = operands[0]
    for other in operands[1:]:
        best = np.where(better(other, best), other, best)
    return _store(item, start, end, best)


def _and_logic(item: Any, start: int, end: int) -> bool:
    if type(item) is not functions.And:
        return False
    operands = _operands(start, end, *item.args)
    if operands is None:
        return False
    truth = np.asarray(operands[0]) != 0.0
    for other in operands[1:]:
        truth = truth & (np.asarray(other) != 0.0)
    return _store(item, start, end, truth)


def _if(item: Any, start: int, end: int) -> bool:
    operands = _operands(start, end, item.cond, item.a, item.b)
    if operands is None:
        return False
    cond, a, b = operands
    return _store(item, start, end, np.where(np.asarray(cond) != 0.0, a, b))


def _div_zero_by_zero(item: Any, start: int, end: int) -> bool:
    operands = _operands(start, end, item.a, item.b)
    if operands is None:
        return False
    a, b = (np.asarray(x) for x in operands)
    with np.errstate(all="ignore"):
        quotient = a / b
    at_zero = np.where(a == 0.0, item.dual, item.single)
    return _store(item, start, end, np.where(b == 0.0, at_zero, quotient))


def _div_by_zero(item: Any, start: int, end: int) -> bool:
    operands = _operands(start, end, item.a, item.b)
    if operands is None:
        return False
    a, b = (np.asarray(x) for x in operands)
    with np.errstate(all="ignore"):
        quotient = a / b
    return _store(item, start, end, np.where(b == 0.0, item.zero, quotient))


# -- windows -------------------------------------------------------------------------------------


def window_sums(source: Floats, period: int) -> Floats:
    """``math.fsum`` of every window of ``period`` values, rounded as exactly.

    Each sum is carried with its rounding error (Knuth's two-sum). Doubtful are those so near the
    middle between two floats that the carried error could tip them, and those of terms that
    cancel, whose carried error may itself be rounded. They are summed anew, in a way that tells
    where the error was carried without any rounding; prices of few digits nearly always are.
    What is left is for fsum itself.
    """
    count = len(source) - period + 1
    total = source[:count].copy()
    error = np.zeros(count)
    for offset in range(1, period):
        total, lost = _two_sum(total, source[offset : offset + count])
        error += lost
    rounded, rest = _two_sum(total, error)
    size, rest = np.abs(rounded), np.abs(rest)
    half = 0.5 * np.spacing(size)
    # Below a power of two floats lie twice as dense: there the middle is at half of a half.
    doubtful = (np.abs(rest - half) <= 1e-6 * half) | (np.abs(rest - 0.5 * half) <= 1e-6 * half)
    # The carried error is off by up to period^2 eps^2 of the largest partial sum.
    doubtful |= size < 5e-10 * period**3 * np.abs(source).max()
    at = np.flatnonzero(doubtful)
    rounded[at], exact = _exact_sums(source, period, at)
    for index in at[~exact]:
        rounded[index] = math.fsum(source[index : index + period])
    return rounded


def _exact_sums(source: Floats, period: int, at: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Sums of the windows that begin ``at``, and which of them are surely rounded as exactly."""
    total = source[at]
    error = np.zeros(len(at))
    exact = np.ones(len(at), np.bool_)
    for offset in range(1, period):
        total, lost = _two_sum(total, source[at + offset])
        error, rounding = _two_sum(error, lost)
        exact &= rounding == 0.0
    return total + error, exact


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def _windows(item: Any, start: int, end: int) -> Floats | None:
    source = view(item.data)
    period = item.p.period
    if not isinstance(source, np.ndarray) or period > _LONGEST_WINDOW or start < period - 1:
        return None
    cut = source[start - period + 1 : end]
    return cut if np.isfinite(cut).all() else None


def _average(item: Any, start: int, end: int) -> bool:
    source = _windows(item, start, end)
    if source is None:
        return False
    return _store(item.line, start, end, window_sums(source, item.p.period) / item.p.period)


def _operation_n(item: Any, start: int, end: int) -> bool:
    source = _windows(item, start, end)
    if source is None:
        return False
    func, period = item.func, item.p.period
    if func is math.fsum:
        return _store(item.line, start, end, window_sums(source, period))
    pick = {max: np.maximum, min: np.minimum}.get(func)
    if pick is None:
        return False
    count = end - start
    best = source[:count].copy()
    for offset in range(1, period):
        pick(best, source[offset : offset + count], out=best)
    return _store(item.line, start, end, best)


def _smoothing(item: Any, start: int, end: int) -> bool:
    source = view(item.data)
    if not isinstance(source, np.ndarray):
        return False
    keep = item.alpha1
    weighted = (source[start:end] * item.alpha).tolist()
    smooth = accumulate(
        weighted, lambda before, new: before * keep + new, initial=item.line.array[start - 1]
    )
    return _store(item.line, start, end, list(smooth)[1:])


Method = Callable[[Any, int, int], bool]
_METHODS: dict[Any, Method] = {
    LinesOperation.once: _lines_operation,
    LineOwnOperation.once: _own_operation,
    _LineDelay.once: _delay,
    functions.MultiLogic.once: lambda i, s, e: _multi_logic(i, s, e) or _and_logic(i, s, e),
    functions.If.once: _if,
    functions.DivByZero.once: _div_by_zero,
    functions.DivZeroByZero.once: _div_zero_by_zero,
    basicops.Average.once: _average,
    basicops.OperationN.once: _operation_n,
    basicops.ExponentialSmoothing.once: _smoothing,
}
