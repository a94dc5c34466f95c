"""One record for each exchange: what it does otherwise than ccxt's unified methods say."""

from __future__ import annotations

from collections.abc import Mapping

from leverpack.errors import SettingError
from leverpack.live.venues.base import Call, Venue
from leverpack.live.venues.binance import BinanceUsdm
from leverpack.live.venues.bybit import Bybit
from leverpack.live.venues.kraken import KrakenMargin

__all__ = ["TRADED", "Call", "Venue", "require_traded", "venue_rules"]

_RECORDS: Mapping[str, Venue] = {v.name: v for v in (BinanceUsdm(), Bybit(), KrakenMargin())}
TRADED = tuple(name for name, venue in _RECORDS.items() if not venue.refusal)
_PIECES = "its contracts count in pieces, and its sizes, fills and stops have not been tried"
_WHY_NOT = {
    "binance": "its spot margin borrows with each order; binanceusdm has the perpetuals",
    "binancecoinm": "its contracts are worth dollars and are settled in coins",
    "okx": _PIECES,
    "kucoinfutures": _PIECES,
    "krakenfutures": "ccxt can neither set nor read its margin mode",
    "hyperliquid": "its orders are signed by a wallet, and its market orders need a price",
}


def venue_rules(exchange: str) -> Venue:
    """The record of ``exchange`` by ccxt's name; one that only reads where there is none."""
    found = _RECORDS.get(exchange)
    if found is not None:
        return found
    why = _WHY_NOT.get(exchange, "nobody has tried its orders, fills and leverage over the wire")
    return Venue(exchange, refusal=why)


def require_traded(rules: Venue) -> None:
    """SettingError, with the reason, for an exchange to which no orders are sent."""
    if rules.refusal:
        raise SettingError(
            f"no orders are sent to {rules.name}: {rules.refusal}; trade on "
            f"{' or '.join(TRADED)}, or on paper"
        )
