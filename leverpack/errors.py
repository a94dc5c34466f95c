"""The error tree, split by who has to act on it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

_LONGEST = 1_000  # characters of a sentence


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
        said = printable(message)
        super().__init__(f"{printable(place, len(place))}: {said}" if place else said)
        self.source = source
        self.line = line


class SettingError(InputError):
    """A setting or parameter is at fault; the message names it."""


class VenueError(LeverpackError):
    """Something between leverpack and the exchange; the message names the venue and the call."""


class VenueRefused(VenueError):
    """The venue said no, and will say so again: change the order, the keys or the settings."""

    def __init__(self, message: str, *, kind: str = "", code: str = "") -> None:
        super().__init__(message)
        self.kind = kind  # ccxt's name of the error, such as InsufficientFunds
        self.code = code  # the venue's own


class VenueAway(VenueError):
    """The venue cannot be reached or is busy, and nothing was changed there; try again later."""


class OutcomeUnknown(VenueError):
    """A request may or may not have been carried out: ask the venue, never send it again."""


class InvariantError(LeverpackError):
    """The books do not balance: a defect in leverpack, never the user's fault."""


def printable(text: str, longest: int = _LONGEST) -> str:
    """Text out of a file as one line that no terminal obeys, and no longer than anyone reads."""
    if len(text) > longest:
        text = text[: longest - 4] + " ..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


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
