"""Points exchange clients at another address, such as a paper exchange; imports none of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_PATHS = {
    "fapiPublic": "/fapi/v1", "fapiPublicV2": "/fapi/v2", "fapiPublicV3": "/fapi/v3",
    "fapiPrivate": "/fapi/v1", "fapiPrivateV2": "/fapi/v2", "fapiPrivateV3": "/fapi/v3",
    "fapiData": "/futures/data", "sapi": "/sapi/v1",
}  # fmt: skip


def point_at(exchange: Any, url: str) -> Any:
    """Let a ccxt ``binanceusdm`` or ``bybit`` object talk to a paper exchange at ``url``.

    Sync, async and pro objects.

    Replaces every address it has, so that nothing can reach the real venue, and switches off what
    the paper exchange does not have. ccxt tells the futures errors apart by the real host's name,
    so its own table of them is merged into the common one. Returns the object. Leave ccxt's
    ``adjustForTimeDifference`` off: the replay's clock jumps, and the machine's is accepted.
    """
    url = url.rstrip("/")
    exchange.options["fetchCurrencies"] = False
    if exchange.id == "bybit":
        return _bybit_at(exchange, url)
    socket = "ws" + url.removeprefix("http")
    api = exchange.urls["api"]
    here: dict[str, Any] = {
        name: url + _PATHS.get(name, f"/not-here/{name}") for name in api if name != "ws"
    }
    if "ws" in api:
        here["ws"] = {
            name: dict.fromkeys(there, f"{socket}/ws-api")
            if isinstance(there, dict)
            else f"{socket}/ws"
            for name, there in api["ws"].items()
        }
    exchange.urls = {**exchange.urls, "api": here}
    linear = exchange.exceptions.get("linear", {})
    for kind in ("exact", "broad"):
        exchange.exceptions[kind] = {**exchange.exceptions.get(kind, {}), **linear.get(kind, {})}
    return exchange


def _bybit_at(exchange: Any, url: str) -> Any:
    """Bybit's linear contracts, over REST and (pro objects) with their streams."""
    api = exchange.urls["api"]
    here: dict[str, Any] = {name: url for name in api if name != "ws"}
    if "ws" in api:
        here["ws"] = _same_paths(api["ws"], "ws" + url.removeprefix("http"))
    exchange.urls = {**exchange.urls, "api": here}
    exchange.has["fetchCurrencies"] = False
    exchange.options["fetchMarkets"] = {**exchange.options["fetchMarkets"], "types": ["linear"]}
    return exchange


def _same_paths(addresses: Any, socket: str) -> Any:
    if isinstance(addresses, dict):
        return {name: _same_paths(there, socket) for name, there in addresses.items()}
    return socket + urlsplit(addresses).path
