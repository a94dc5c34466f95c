"""The error tree, split by who has to act on it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class LeverpackError(Exception):
    """Base of every error that leverpack raises on purpose."""


class InputError(LeverpackError):
    """The user's data or settings are at fault; the message says what to change."""


class DataError(InputError):
    """A file cannot be used as it is.

    The message starts with the file and, where one line is at fault, its number
    (1 is the first line of the file, header included): ``btc.csv:17: ...``.
    """

    def __init__(self, message: str, *, source: str = "", line: int | None = None) -> None:
        place = source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {message}" if place else message)
        self.source = source
        self.line = line


class SettingError(InputError):
    """A setting or parameter is at fault; the message names it."""


class InvariantError(LeverpackError):
    """The books do not balance: a defect in leverpack, never the user's fault."""


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """"did you mean X?" for a misspelt name, or ``otherwise`` when nothing is near."""
    near = get_close_matches(name, list(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else otherwise


def refuse_unknown(owner: Any, unknown: Iterable[str]) -> None:
    """Raise SettingError for the first parameter that a Backtrader class does not declare.

    Backtrader hands the names that it does not know to ``__init__``, and most classes drop them.
    """
    for name in unknown:
        known = list(owner.params._getkeys())
        hint = nearest(name, known, f"it has {', '.join(known)}")
        kind = owner if isinstance(owner, type) else type(owner)
        raise SettingError(f"{kind.__name__} has no parameter {name!r}; {hint}")
