"""Kraken's spot margin, where leverage is no setting but travels with each order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leverpack.live.venues.base import Venue

_LISTS = {"buy": "leverage_buy", "sell": "leverage_sell"}  # allowed leverages, in a market's info


@dataclass(frozen=True, slots=True)
class KrakenMargin(Venue):
    """Opening orders name a leverage out of the market's own list; the rules are here, no orders.

    Source: docs.kraken.com, AssetPairs and AddOrder.
    """

    name: str = "kraken"
    refusal: str = (
        "spot margin keeps a position for each order, and its fills and closing have not been "
        "tried over the wire"
    )
    leverage_step: float = 1.0
    per_order: bool = True

    def objection(self, market: dict[str, Any], side: str, leverage: float) -> str:
        """Against a leverage that the market's list for that side does not have."""
        listed = (market.get("info") or {}).get(_LISTS[side]) or []
        allowed = sorted({1.0, *(float(x) for x in listed)})
        if leverage in allowed:
            return ""
        return (
            f"{market['symbol']}: kraken lends for a {side} at "
            f"{', '.join(f'{x:g}x' for x in allowed)} only, not at {leverage:g}x"
        )

    def order_params(self, leverage: float) -> dict[str, Any]:
        """Nothing where nothing is borrowed."""
        return {"leverage": f"{leverage:g}"} if leverage > 1.0 else {}
