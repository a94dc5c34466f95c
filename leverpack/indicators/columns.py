"""Indicators as a strategy declares them: built for Backtrader, and computed once for a sweep."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from leverpack import indicators
from leverpack.errors import SettingError

PRICES = ("open", "high", "low", "close", "volume")
SOURCES = (*PRICES, "candles", "change", "squared change")


class Bound(NamedTuple):
    """A column with its numbers put in; equal ones are the same values, computed once."""

    indicator: str
    source: str
    ago: int
    settings: tuple[tuple[str, Any], ...]

    def line(self, data: Any) -> Any:
        """The line of a feed, built; for use in a strategy's ``__init__``."""
        source = _source(self.source, data)
        if self.ago:
            source = source(-self.ago)
        if not self.indicator:
            return source
        kind = getattr(indicators, self.indicator)
        return kind(source, **dict(self.settings)).lines[0]


@dataclass(frozen=True)
class Column:
    """One value a candle: an indicator of ``leverpack.indicators`` over a source.

    ``source`` is a price of the candle, "candles" (for indicators that take the whole feed),
    "change" (close / close before - 1) or "squared change"; ``ago`` candles back. ``settings``
    names for each of the indicator's settings the strategy parameter that it comes from.
    """

    indicator: str
    source: str
    ago: int
    settings: tuple[tuple[str, str], ...]

    def bind(self, p: Any) -> Bound:
        """The column for one set of parameters (an object with an attribute for each)."""
        values = tuple((name, getattr(p, parameter)) for name, parameter in self.settings)
        return Bound(self.indicator, self.source, self.ago, values)


def column(indicator: str = "", source: str = "close", ago: int = 0, **settings: str) -> Column:
    """Declare a column: ``column("SMA", period="slow_period")``.

    Without an indicator it is the source itself: ``column("", "close", ago=1)`` is the close
    before. Raises SettingError for a source that does not exist.
    """
    if source not in SOURCES:
        raise SettingError(f"a column's source is one of {', '.join(SOURCES)}, not {source!r}")
    return Column(indicator, source, ago, tuple(sorted(settings.items())))


def bound_columns(columns: Mapping[str, Column], p: Any) -> dict[str, Bound]:
    """All columns of a strategy for one set of parameters, by name."""
    return {name: found.bind(p) for name, found in columns.items()}


def rule_arguments(
    rule: Callable[..., Any], columns: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The names of a rule's arguments: columns and prices first, then parameters.

    Raises SettingError where a parameter stands before a column.
    """
    names = _argument_names(rule)
    lines = [n for n in names if n in columns or n in PRICES]
    if names[: len(lines)] != lines:
        raise SettingError(
            f"{rule.__name__}: the arguments that are columns or prices ({', '.join(lines)}) come "
            "before those that are parameters"
        )
    return lines, names[len(lines) :]


@cache
def _argument_names(rule: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(rule).parameters)


def _source(name: str, data: Any) -> Any:
    if name == "candles":
        return data
    if name in PRICES:
        return getattr(data, name)
    change = data.close / data.close(-1) - 1.0
    return change if name == "change" else change * change
