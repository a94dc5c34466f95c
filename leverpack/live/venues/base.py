"""What may differ from exchange to exchange, each with what ccxt makes of it everywhere else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from leverpack.live.fills import FillCursor, RisingIds

Call = tuple[str, tuple[Any, ...], dict[str, Any]]  # a method of ccxt's client, its arguments
LIQUIDATED, DELEVERAGED, SETTLED = "liquidation", "adl", "settlement"


@dataclass(frozen=True, slots=True)
class Money:
    """The account in its quote currency: with open profit, free to open with, without profit."""

    equity: float
    free: float
    wallet: float


@dataclass(frozen=True, slots=True)
class Rights:
    """What the API key may do."""

    withdraw: bool
    futures: bool


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange. Names requests and reads answers, and never sends anything itself.

    ``refusal`` says why no orders are sent there; "" where they are. ``leverage_step`` is the step
    that leverages lie on (0.0: any), ``per_order`` that each opening order names its leverage.
    The sets are error codes: nothing to change, this client id is taken, the market has passed
    the trigger, nothing to reduce, and ``unclear``: an order may have been taken all the same.
    """

    name: str
    refusal: str = ""
    leverage_step: float = 0.0
    per_order: bool = False
    unchanged: frozenset[str] = frozenset()
    duplicate: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    nothing_left: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    trails: bool = False  # takes trailing stops as orders; else they are followed from here
    one_tier_table: bool = False  # asks for the tiers of one symbol, as all would be many pages
    says_final: bool = False  # its stream says when a candle is closed
    lists_together: bool = False  # waiting stops stand among the other open orders
    cancels_at_once: bool = True  # the answer to a cancel is the order's end, with its fills

    def prepare(self, client: Any) -> None:
        """Set up ccxt's client before its first request."""

    # -- leverage --------------------------------------------------------------------------------

    def settable(self, leverage: float) -> float:
        """``leverage`` rounded down to what can be set."""
        if not self.leverage_step:
            return leverage
        steps = math.floor(leverage / self.leverage_step + 1e-9)
        return round(steps * self.leverage_step, 9)

    def settable_words(self) -> str:
        """Which leverages can be set, in words."""
        if self.leverage_step == 1.0:
            return "whole numbers from 1"
        return f"steps of {self.leverage_step:g} from 1" if self.leverage_step else "1 or more"

    def objection(self, market: dict[str, Any], side: str, leverage: float) -> str:
        """Why an opening order on ``side`` may not have ``leverage`` on this market, or ""."""
        return ""

    def order_params(self, leverage: float) -> dict[str, Any]:
        """What an opening order says of its leverage."""
        return {}

    def leverage_calls(self, symbol: str) -> list[Call]:
        """The requests whose answers :meth:`reading` takes."""
        return [("fetch_leverage", (symbol,), {}), ("fetch_position_mode", (symbol,), {})]

    def reading(self, answers: Sequence[Any]) -> tuple[set[float], str | None, bool]:
        """Leverages of the two sides (x), margin mode as the venue says it, hedge mode."""
        found = answers[0]
        names = ("longLeverage", "shortLeverage")
        sides = {float(found[name]) for name in names if found.get(name) is not None}
        return sides, found.get("marginMode"), bool(answers[1].get("hedged"))

    # -- orders ----------------------------------------------------------------------------------

    def stop_params(self, price: float, side: str, *, reduce_only: bool) -> dict[str, Any]:
        """How ``create_order`` hears of a stop's trigger."""
        return {"stopLossPrice" if reduce_only else "triggerPrice": price}

    def open_calls(self, symbol: str, *, conditional: bool, plain: bool) -> list[Call]:
        """The requests that list open orders, of the kinds wanted."""
        calls: list[Call] = []
        if plain or self.lists_together:
            calls.append(("fetch_open_orders", (symbol,), {}))
        if conditional and not self.lists_together:
            calls.append(("fetch_open_orders", (symbol, None, None, {"trigger": True}), {}))
        return calls

    def move_call(self, symbol: str, venue_id: str, side: str, price: float) -> Call:
        """The request that moves the trigger of a waiting stop at market."""
        params = {"triggerPrice": price}
        return "edit_order", (venue_id, symbol, "market", side, None, None, params), {}

    def cancel_params(self, *, conditional: bool) -> dict[str, Any]:
        """What ``cancel_order`` wants beside the id; ``conditional``: not triggered yet."""
        return {"trigger": True} if conditional and not self.lists_together else {}

    def lookup_calls(
        self, symbol: str, client_id: str, venue_id: str, *, conditional: bool
    ) -> list[Call]:
        """Requests for one order by its client id, one after the other until one finds it."""
        params: dict[str, Any] = {"clientOrderId": client_id}
        if conditional:
            params["trigger"] = True
        return [("fetch_order", (venue_id, symbol, params), {})]

    def order_call(self, symbol: str, venue_id: str) -> Call:
        """The request for one order by the venue's id."""
        return "fetch_order", (venue_id, symbol), {}

    def countdown_call(self, market: dict[str, Any], seconds: float) -> Call | None:
        """The request to cancel one market's orders unless it is renewed in time; None: no such.

        0.0 seconds take it back.
        """
        return None

    def child_id(self, found: Any) -> str:
        """The id under which a conditional order trades since its trigger; "" before."""
        return ""

    # -- fills, money, positions -----------------------------------------------------------------

    def fills_of(self, symbol: str) -> FillCursor:
        """Where the fills of one market are read on."""
        return RisingIds(symbol)

    def fill_client_id(self, trade: Any) -> str | None:
        """The client id of a fill's order, None where the fill does not say."""
        return None

    def forced(self, trade: Any, client_id: str) -> str:
        """Which of the venue's own doings a fill is, or ""."""
        return ""

    def money(self, balance: Any, quote: str, open_profit: float) -> Money:
        """The account, from ``fetch_balance``."""
        mine = balance.get(quote) or {}
        equity = float(mine.get("total") or 0.0)
        return Money(equity, float(mine.get("free") or 0.0), equity - open_profit)

    def position_calls(self, symbols: Sequence[str]) -> list[Call]:
        """The requests for the positions of these markets."""
        return [("fetch_positions", (list(symbols),), {})]

    def position_margin(self, found: Any) -> float:
        """The margin (quote) of an isolated position, without its open profit."""
        margin = found.get("positionMargin")
        if margin is None:
            profit = float(found["unrealizedPnl"] or 0.0)
            margin = float(found.get("collateral") or 0.0) - profit
        return float(margin)

    def margin_call(self, market: dict[str, Any], amount: float) -> Call:
        """The request that moves ``amount`` (quote; negative: out) into a position's margin."""
        method = "add_margin" if amount >= 0.0 else "reduce_margin"
        return method, (market["symbol"], abs(amount)), {}

    def funding_call(self, symbol: str, since_ms: int, now_ms: int) -> Call:
        """The request for the funding payments of one market."""
        return "fetch_funding_history", (symbol, since_ms, 1000), {}

    def funding_cash(self, payment: Any) -> float:
        """Of one of them: paid < 0."""
        return float(payment["amount"])

    # -- the key ---------------------------------------------------------------------------------

    def rights_call(self) -> Call | None:
        """The request for what the API key may do; None where the venue does not tell."""
        return None

    def rights(self, answer: Any) -> Rights:
        """What is in the answer."""
        raise NotImplementedError

    # -- streams ---------------------------------------------------------------------------------

    def klines(self, message: Any) -> Iterable[tuple[str, str, list[float], bool]]:
        """Market id, interval, row and "closed" of each candle in a message of the stream."""
        return ()
