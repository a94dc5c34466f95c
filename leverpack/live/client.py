"""ccxt's client of one exchange: which one, what its options say, how it waits."""

from __future__ import annotations

from typing import Any

import ccxt
import ccxt.pro
from tenacity import RetryCallState
from tenacity.wait import wait_base, wait_random_exponential

from leverpack.errors import SettingError, nearest

_DERIVATIVES = ("future", "swap", "linear")
_FOR_FUTURES = {"binance": "binanceusdm", "kucoin": "kucoinfutures", "kraken": "krakenfutures"}
OPTIONS = {
    "recvWindow": 5_000,
    # What its streams keep, a thousand each: here everything is taken as it comes.
    "OHLCVLimit": 100, "ordersLimit": 100, "tradesLimit": 100,
}  # fmt: skip
"""ccxt's, where nobody says otherwise."""


class Wait(wait_base):
    """Longer with each attempt, and never shorter than the venue asked for."""

    def __init__(self, client: Any, most_s: float) -> None:
        self._client, self._most_s = client, most_s
        self._usual = wait_random_exponential(multiplier=0.2, max=8.0)

    def __call__(self, state: RetryCallState) -> float:
        """Seconds until the next attempt."""
        headers = getattr(self._client, "last_response_headers", None) or {}
        fault = state.outcome.exception() if state.outcome is not None else None
        asked = 0.0
        if isinstance(fault, (ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
            text = str({k.lower(): v for k, v in headers.items()}.get("retry-after", "0"))
            asked = float(text) if text.isdigit() else 0.0
        return max(min(asked, self._most_s), self._usual(state))



async def into_sandbox(client: Any) -> None:
    """Point a client at its venue's test network; SettingError where there is none."""
    try:
        if "demo" in client.urls and "test" not in client.urls:
            client.enable_demo_trading(True)
        else:
            client.set_sandbox_mode(True)
    except ccxt.NotSupported:
        await client.close()
        raise SettingError(
            f"{client.id} has no sandbox; trade on `leverpack paper` (url=...) first"
        ) from None


def refuse_mangled(client: Any) -> None:
    """Let ``client`` raise for an answer that is no JSON.

    ccxt parses such a text as if it were an empty answer: an order without an id, a flat account.
    """
    handle = client.handle_errors

    def checked(code: int, reason: str, url: str, method: str, headers: Any, body: str,
                response: Any, *request: Any) -> Any:  # fmt: skip
        found = handle(code, reason, url, method, headers, body, response, *request)
        if response is None and code < 300:
            raise ccxt.BadResponse(f"the answer is no JSON ({len(body or '')} characters)")
        return found

    client.handle_errors = checked


def exchange_for(name: str, market_type: str) -> str:
    """ccxt's exchange for ``name``, its futures where ``market_type`` asks for them."""
    name = name.strip().lower()
    if market_type in _DERIVATIVES:
        name = _FOR_FUTURES.get(name, name)
    if name not in ccxt.pro.exchanges:
        hint = nearest(name, ccxt.pro.exchanges, "see ccxt's list of exchanges with streams")
        raise SettingError(f"exchange {name!r} is not known; {hint}")
    return name


def margin_mode(options: dict[str, Any]) -> str | None:
    """Take ``options.margin`` out: a mode, or, as Cracktrader's guide has it, True for "any"."""
    mode = options.pop("margin", options.pop("marginMode", None))
    if mode not in (None, True, "isolated", "cross"):
        raise SettingError(f"options.margin must be isolated or cross, not {mode!r}")
    return None if mode is True else mode


def leverage_of(value: Any, name: str) -> float | None:
    """A leverage as it was given, or None; SettingError for what is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1.0:
        raise SettingError(f"{name} must be a number from 1 on, not {value!r}")
    return float(value)
