"""Binance USD-M perpetuals: the venue that ccxt's unified methods fit best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from leverpack.live.venues.base import (
    DELEVERAGED,
    LIQUIDATED,
    SETTLED,
    Call,
    Money,
    Rights,
    Venue,
)

# How the client ids of the venue's own orders begin.
_BY_VENUE = {"autoclose-": LIQUIDATED, "adl_autoclose": DELEVERAGED, "settlement_": SETTLED}


@dataclass(frozen=True, slots=True)
class BinanceUsdm(Venue):
    """Whole leverages; stops in a service of their own, where a triggered one gets a child."""

    name: str = "binanceusdm"
    leverage_step: float = 1.0  # ccxt refuses fractions, as the venue does
    unchanged: frozenset[str] = frozenset({"-4046", "-4059"})
    duplicate: frozenset[str] = frozenset({"-4116", "-4111"})
    passed: frozenset[str] = frozenset({"-2021"})  # "Order would immediately trigger"
    nothing_left: frozenset[str] = frozenset({"-2022"})
    trails: bool = True
    says_final: bool = True

    def countdown_call(self, market: dict[str, Any], seconds: float) -> Call:
        """ccxt has no name of its own for it."""
        asked = {"symbol": market.get("id"), "countdownTime": round(seconds * 1000.0)}
        return "fapiPrivatePostCountdownCancelAll", (asked,), {}

    def child_id(self, found: Any) -> str:
        """The order that a conditional one has become."""
        child = str((found.get("info") or {}).get("actualOrderId") or "")
        return "" if child == "0" else child

    def forced(self, trade: Any, client_id: str) -> str:
        """By the client id that the venue gives to its own orders."""
        return next((what for sign, what in _BY_VENUE.items() if client_id.startswith(sign)), "")

    def money(self, balance: Any, quote: str, open_profit: float) -> Money:
        """The total is with open profit; the wallet is said beside it."""
        mine = balance.get(quote) or {}
        equity = float(mine.get("total") or 0.0)
        wallet = (balance.get("info") or {}).get("totalWalletBalance")
        return Money(
            equity, float(mine.get("free") or 0.0),
            float(wallet) if wallet is not None else equity - open_profit,
        )  # fmt: skip

    def rights_call(self) -> Call:
        """A request to the spot service, which the sandbox does not have."""
        return "sapiGetAccountApiRestrictions", (), {}

    def rights(self, answer: Any) -> Rights:
        """One flag each."""
        return Rights(bool(answer.get("enableWithdrawals")), bool(answer.get("enableFutures")))

    def klines(self, message: Any) -> Iterable[tuple[str, str, list[float], bool]]:
        """The one candle of a kline event; ``x`` is the word that ccxt drops."""
        kline = message.get("k") or {}
        if kline:
            row = [float(kline[name]) for name in ("t", "o", "h", "l", "c", "v")]
            yield str(kline.get("s")), str(kline.get("i")), row, bool(kline.get("x"))
