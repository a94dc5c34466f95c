"""Bybit v5, linear perpetuals of a unified account in one-way mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from leverpack.live.fills import SPAN_MS, ByTime, FillCursor
from leverpack.live.venues.base import (
    DELEVERAGED,
    LIQUIDATED,
    SETTLED,
    Call,
    Money,
    Rights,
    Venue,
)

_PAGE = 50  # open orders; one that is left out is looked up by its id
_FORCED = {"BustTrade": LIQUIDATED, "AdlTrade": DELEVERAGED, "Settle": SETTLED}
_WAITING = ("Untriggered", "Deactivated")


@dataclass(frozen=True, slots=True)
class Bybit(Venue):
    """One margin mode for the whole account; stops are orders that keep their id when triggered.

    Orders and cancels are only acknowledged; what came of them is asked for. Source of codes and
    fields: bybit-exchange.github.io/docs/v5.
    """

    name: str = "bybit"
    leverage_step: float = 0.01
    unchanged: frozenset[str] = frozenset({"110043", "110025", "110026"})
    duplicate: frozenset[str] = frozenset({"110072"})
    passed: frozenset[str] = frozenset({"110092", "110093"})
    nothing_left: frozenset[str] = frozenset({"110017"})
    unclear: frozenset[str] = frozenset({"10000", "10016"})  # "Server Timeout", "System error"
    one_tier_table: bool = True
    says_final: bool = True
    lists_together: bool = True
    cancels_at_once: bool = False

    def prepare(self, client: Any) -> None:
        """Linear contracts alone, so that BTC/USDT is no spot market; executions of any kind."""
        client.options["fetchMarkets"] = {**client.options["fetchMarkets"], "types": ["linear"]}
        client.options["defaultType"], client.options["defaultSubType"] = "swap", "linear"
        ask = client.privateGetV5ExecutionList

        def of_any_kind(params: dict[str, Any]) -> Any:
            # ccxt asks for execType Trade, which leaves out liquidations and deleveraging.
            return ask({k: v for k, v in params.items() if v is not None})

        client.privateGetV5ExecutionList = of_any_kind

    # -- leverage --------------------------------------------------------------------------------

    def leverage_calls(self, symbol: str) -> list[Call]:
        """The position, and the account for its margin mode."""
        return [("fetch_leverage", (symbol,), {}), ("fetch_margin_mode", (symbol,), {})]

    def reading(self, answers: Sequence[Any]) -> tuple[set[float], str | None, bool]:
        """From the position's own record: ccxt cuts the leverage to a whole number."""
        row = answers[0]["info"]["info"]
        said = str(row.get("leverage") or "")
        mode = answers[1].get("marginMode")
        if str((answers[1].get("info") or {}).get("unifiedMarginStatus")) == "1":
            mode = "of a classic account, which has to be made a unified one"
        sides = {float(said)} if said else set()
        return sides, mode, str(row.get("positionIdx") or "0") != "0"

    # -- orders ----------------------------------------------------------------------------------

    def stop_params(self, price: float, side: str, *, reduce_only: bool) -> dict[str, Any]:
        """ccxt knows the direction of a stop loss; of an entry it wants to be told."""
        if reduce_only:
            return {"stopLossPrice": price}
        return {
            "triggerPrice": price, "triggerDirection": "above" if side == "buy" else "below",
        }  # fmt: skip

    def open_calls(self, symbol: str, *, conditional: bool, plain: bool) -> list[Call]:
        """One list for all kinds."""
        return [("fetch_open_orders", (symbol, None, _PAGE), {})]

    def lookup_calls(
        self, symbol: str, client_id: str, venue_id: str, *, conditional: bool
    ) -> list[Call]:
        """Among the open and last ended ones, then in the history, by client id alone."""
        params = {"orderLinkId": client_id}
        return [
            ("fetch_open_orders", (symbol, None, None, params), {}),
            ("fetch_canceled_and_closed_orders", (symbol, None, None, params), {}),
        ]

    def order_call(self, symbol: str, venue_id: str) -> Call:
        """The order, or the last 500 that have ended hold it."""
        return "fetch_order", (venue_id, symbol, {"acknowledged": True}), {}

    def child_id(self, found: Any) -> str:
        """Its own id, from the trigger on."""
        status = str((found.get("info") or {}).get("orderStatus") or "")
        return "" if not status or status in _WAITING else str(found.get("id") or "")

    # -- fills, money, positions -----------------------------------------------------------------

    def fills_of(self, symbol: str) -> FillCursor:
        """By time: execution ids do not rise."""
        return ByTime(symbol, {"execType": None}, _is_fill)

    def fill_client_id(self, trade: Any) -> str | None:
        """Said with each fill; "" for the venue's own."""
        return str((trade.get("info") or {}).get("orderLinkId") or "")

    def forced(self, trade: Any, client_id: str) -> str:
        """By the kind of the execution."""
        return _FORCED.get(str((trade.get("info") or {}).get("execType")), "")

    def money(self, balance: Any, quote: str, open_profit: float) -> Money:
        """The coin's own figures: the account's are in dollars, and empty with isolated margin."""
        mine = balance.get(quote) or {}
        wallet = float(mine.get("total") or 0.0)
        coin = _coin(balance, quote)
        equity = float(coin.get("equity") or wallet + open_profit)
        return Money(equity, max(0.0, float(mine.get("free") or 0.0)), wallet)

    def position_calls(self, symbols: Sequence[str]) -> list[Call]:
        """One by one: ccxt takes no two symbols there, and all of an account may be many pages."""
        return [("fetch_positions", ([symbol],), {}) for symbol in symbols]

    def position_margin(self, found: Any) -> float:
        """``positionBalance``; newer accounts leave it empty, and say the initial margin."""
        margin = found.get("positionMargin")
        return float((margin if margin is not None else found.get("initialMargin")) or 0.0)

    def margin_call(self, market: dict[str, Any], amount: float) -> Call:
        """Not unified in ccxt; the sign says which way."""
        asked = {"category": "linear", "symbol": market["id"], "margin": f"{amount:.8g}",
                 "positionIdx": 0}  # fmt: skip
        return "privatePostV5PositionAddMargin", (asked,), {}

    def funding_call(self, symbol: str, since_ms: int, now_ms: int) -> Call:
        """Of the last days at most: one request spans no more."""
        start = max(since_ms, now_ms - SPAN_MS)
        return "fetch_funding_history", (symbol, start, None, {"limit": 100}), {}

    def funding_cash(self, payment: Any) -> float:
        """ccxt passes the venue's fee on, which is positive where it was paid."""
        return -float(payment["amount"])

    def rights_call(self) -> Call:
        """The key asks about itself."""
        return "privateGetV5UserQueryApi", (), {}

    def rights(self, answer: Any) -> Rights:
        """Lists of permissions; a read-only key has them too."""
        found = answer.get("result") or {}
        may = found.get("permissions") or {}
        trades = bool(may.get("ContractTrade") or may.get("Derivatives"))
        return Rights(
            "Withdraw" in (may.get("Wallet") or ()), trades and not int(found.get("readOnly") or 0)
        )

    # -- streams ---------------------------------------------------------------------------------

    def klines(self, message: Any) -> Iterable[tuple[str, str, list[float], bool]]:
        """``kline.60.BTCUSDT``; ``confirm`` is the word that ccxt drops."""
        _, interval, symbol = str(message.get("topic")).split(".")
        for kline in message.get("data") or ():
            row = [float(kline[n]) for n in ("start", "open", "high", "low", "close", "volume")]
            yield symbol, interval, row, bool(kline.get("confirm"))


def _is_fill(trade: Any) -> bool:
    kind = str((trade.get("info") or {}).get("execType") or "Trade")
    return kind == "Trade" or kind in _FORCED


def _coin(balance: Any, quote: str) -> dict[str, Any]:
    accounts = ((balance.get("info") or {}).get("result") or {}).get("list") or []
    coins = [coin for account in accounts for coin in account.get("coin") or []]
    return next((coin for coin in coins if coin.get("coin") == quote), {})
