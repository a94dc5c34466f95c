"""A rule over all candles at once: compiled from its one source, its answers kept."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from leverpack.errors import SettingError
from leverpack.indicators.columns import Bound
from leverpack.result import Floats
from leverpack.sweep.compiling import (
    RuleRefused,
    code_folder,
    fingerprint,
    globals_read,
    kept_compiled,
    recompiled,
    write_beside,
)
from leverpack.sweep.market import SweepMarket, own_array
from leverpack.sweep.records import RuleColumns
from leverpack.sweep.sets import CompiledSet, RuleCall

MOST_KEPT = 64  # answers of rules: 1 to 9 bytes a bar each
_SIDES = '''\
def sides(lines, numbers, first, longs, shorts, out):
    """Fill ``out`` with the answers from bar ``first`` on; returns a wrong one's bar, or -1."""
    for bar in range(first, len(out)):
        side = rule({arguments})
        if side == 1:
            out[bar] = longs
        elif side == -1:
            out[bar] = -shorts
        elif side != 0:
            return bar
    return -1
'''
_VALUES = '''\
def values(lines, numbers, signals, out):
    """Fill ``out`` with the rule's values where there is a signal."""
    for bar in range(len(out)):
        if signals[bar] != 0:
            out[bar] = rule({arguments})
'''


class Signals:
    """The rule columns of one market, made when asked for and kept while they are in use."""

    def __init__(self, market: SweepMarket) -> None:
        self._market = market
        self._kept: OrderedDict[Any, tuple[Any, Floats]] = OrderedDict()

    def columns(self, of: CompiledSet) -> tuple[RuleColumns, int]:
        """What the kernel reads for a set, and the first bar at which its strategy is asked.

        Raises RuleRefused, and SettingError for a rule that answers something else.
        """
        found = self._market.prepare(of.columns.values())
        first = max((bar for _, bar in found.values()), default=0)
        lines = {name: found[bound][0] for name, bound in of.columns.items()}
        key = (
            of.entry, of.confidence, of.sides, first,
            tuple(of.columns[n] for n in of.entry.lines if n in of.columns),
            tuple(of.columns[n] for n in of.confidence.lines if n in of.columns)
            if of.confidence else (),
        )  # fmt: skip
        if key not in self._kept:
            self._kept[key] = self._answers(of, lines, first)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        signals, confidence = self._kept[key]
        slots = {field: lines[name] for field, name in of.slots.items()}
        none = np.empty(0)
        rest = {f: slots.get(f, none) for f in RuleColumns._fields[2:]}
        return RuleColumns(signals=signals, confidence=confidence, **rest), first

    def _answers(self, of: CompiledSet, lines: dict[str, Floats], first: int) -> tuple[Any, Floats]:
        signals = np.zeros(self._market.bars, np.int8)
        wrong = compiled_rule(of.entry.rule, len(of.entry.lines), len(of.entry.numbers), _SIDES)(
            *self._called(of.entry, lines), first, of.sides != "short", of.sides != "long", signals
        )
        if wrong >= 0:
            raise SettingError(
                f"{of.entry.rule.__name__} answers something else than 1, -1 or 0 at candle "
                f"{wrong + 1}"
            )
        confidence = np.empty(0)
        if of.confidence is not None:
            confidence = np.full(self._market.bars, np.nan)
            asked = of.confidence
            compiled_rule(asked.rule, len(asked.lines), len(asked.numbers), _VALUES)(
                *self._called(asked, lines), signals, confidence
            )
        return signals, confidence

    def _called(self, call: RuleCall, lines: Mapping[str, Floats]) -> tuple[Any, Any]:
        candles = self._market.feed.candles
        columns = tuple(
            lines[n] if n in lines else own_array(getattr(candles, n))
            for n in call.lines
        )
        return columns, np.array(call.numbers, float)


@cache
def compiled_rule(
    rule: Callable[..., Any], lines: int, numbers: int, template: str
) -> Callable[..., Any]:
    """A loop over all bars around ``rule``, whose arguments are ``lines`` columns and ``numbers``.

    Compiled for each rule, kept in the user's cache directory by its source and that of every
    function that it calls.
    """
    import numba
    from numba.core.errors import NumbaError

    reached: dict[Any, Any] = {}
    compiled = recompiled(rule, reached)
    arguments = [f"lines[{i}][bar]" for i in range(lines)]
    arguments += [f"numbers[{i}]" for i in range(numbers)]
    text = template.format(arguments=", ".join(arguments))
    key = fingerprint(text, *(_said(f) for f in reached))
    path = write_beside(code_folder(key) / f"{rule.__name__}.py", text)
    namespace: dict[str, Any] = {"__name__": rule.__module__, "rule": compiled}
    exec(compile(text, str(path or "<rule>"), "exec"), namespace)
    name = text.split("(")[0].removeprefix("def ")
    made = kept_compiled(namespace[name], key) if path else numba.njit(nogil=True)(namespace[name])

    def called(*values: Any) -> Any:
        try:
            return made(*values)
        except NumbaError as fault:
            said = str(fault).strip().splitlines()[-1]
            raise RuleRefused(f"{rule.__name__} does not compile: {said}") from fault

    return called


def _said(function: Any) -> str:
    """The source of a function with the numbers that it reads from its module."""
    numbers = (int, float, str, tuple)
    read = {n: v for n, v in globals_read(function).items() if isinstance(v, numbers)}
    return f"{function.__module__} {inspect.getsource(function)} {function.__defaults__} {read}"


def columns_of(sets: list[CompiledSet]) -> list[Bound]:
    """Every column that these sets read, each once."""
    return list(dict.fromkeys(b for s in sets for b in s.columns.values()))


