"""Keys, signatures and request times, as Binance checks them."""

from __future__ import annotations

import hashlib
import hmac
import re
import time

from leverpack.paper.binance.params import Params
from leverpack.paper.refusal import Refusal

MAX_RECV_WINDOW_MS = 60_000
DEFAULT_RECV_WINDOW_MS = 5_000
_AHEAD_MS = 1_000  # a request may come from this far in the future
_SIGNATURE = re.compile(r"(?:^|&)signature=[^&]*")


def wall_ms() -> int:
    """The machine's clock, epoch ms."""
    return time.time_ns() // 1_000_000


def signature_of(secret: str, *parts: str) -> str:
    """The HMAC-SHA256 (hex) of query and body, each without its signature."""
    signed = "".join(_SIGNATURE.sub("", part) for part in parts)
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()


def check_key(sent: str | None, api_key: str) -> None:
    """Refuse a missing (-2014) or wrong (-2015) API key."""
    if not sent:
        raise Refusal(-2014)
    if not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), api_key.encode()):
        raise Refusal(-2015)


def check_signature(params: Params, secret: str, *parts: str) -> None:
    """Refuse a request that is not signed (-1102) or signed wrong (-1022)."""
    sent = params.text("signature")
    if not hmac.compare_digest(sent.encode(), signature_of(secret, *parts).encode()):
        raise Refusal(-1022)


def check_time(params: Params, clocks: tuple[int, ...]) -> None:
    """Refuse a request that is too old or from the future (-1021) by every one of the clocks.

    The replay has a clock of its own and clients stamp their requests with the machine's, so
    either will do.
    """
    stamp = params.whole("timestamp")
    window = params.whole("recvWindow", DEFAULT_RECV_WINDOW_MS, least=1, most=MAX_RECV_WINDOW_MS)
    if not any(now - window <= stamp < now + _AHEAD_MS for now in clocks):
        raise Refusal(-1021)
