"""ccxt's errors in leverpack's words: refused, outcome unknown, or the venue is away."""

from __future__ import annotations

import json
import re
from typing import Any

import ccxt

from leverpack.errors import OutcomeUnknown, VenueAway, VenueError, VenueRefused, printable

# Turned away before anything was done: certain even for an order.
_TURNED_AWAY = (ccxt.RateLimitExceeded, ccxt.DDoSProtection, ccxt.OnMaintenance, ccxt.InvalidNonce)
_JSON = re.compile(r"\{.*\}", re.DOTALL)
_LONGEST = 300


def may_retry(fault: BaseException) -> bool:
    """Whether a read may be asked again: network, rate limit, overload, a mangled answer.

    Never what the venue has answered: funds, invalid orders, keys, what it does not know.
    """
    return isinstance(fault, Exception) and not isinstance(fault, ccxt.ExchangeError)


def translated(fault: Exception, what: str, *, writing: bool) -> VenueError:
    """``fault`` of the request ``what`` as one of leverpack's errors.

    ``writing``: the request would have changed something, so that a lost answer leaves the
    outcome unknown.
    """
    said, code = _said(fault)
    if isinstance(fault, ccxt.ExchangeError):
        kind = type(fault).__name__
        return VenueRefused(f"{what} was refused: {said}{_advice(fault)}", kind=kind, code=code)
    if isinstance(fault, ccxt.InvalidNonce):
        return VenueAway(f"{what}: {said}; set this machine's clock right")
    if isinstance(fault, _TURNED_AWAY):
        return VenueAway(f"{what} was turned away: {said}; try again later")
    if writing:
        return OutcomeUnknown(f"{what}: no clear answer came ({said}), so it may have happened")
    return VenueAway(f"{what} failed: {said}{_cause(fault)}; check the network, then try again")


def _cause(fault: Exception) -> str:
    """What the network itself said, which ccxt leaves to the exception under its own."""
    cause: Any = fault.__cause__
    while cause is not None and getattr(cause, "os_error", None) is not None:
        cause = cause.os_error  # aiohttp's own words go around those of the system
    said = getattr(cause, "strerror", None) or ("no answer" if type(cause) is TimeoutError else "")
    return f" ({printable(str(said), _LONGEST)})" if said else ""


def _advice(fault: Exception) -> str:
    if isinstance(fault, ccxt.PermissionDenied):
        return "; check the rights and the address list of the API key"
    if isinstance(fault, ccxt.AuthenticationError):
        return "; check the API key and secret, and the key's rights and address list"
    return ""


def _said(fault: Exception) -> tuple[str, str]:
    """What the venue said in short, and its code where it gave one."""
    text = " ".join(str(fault).split()) or type(fault).__name__
    found = _JSON.search(text)
    if found is not None:
        try:
            answer = json.loads(found[0])
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            code = str(answer.get("code", answer.get("retCode", "")))
            message = str(answer.get("msg") or answer.get("retMsg") or "")
            if message:
                return printable(f"{message} ({code})" if code else message, _LONGEST), code
    if not isinstance(fault, ccxt.BaseError):
        text = f"{type(fault).__name__}: {text}"
    return printable(text, _LONGEST), ""
