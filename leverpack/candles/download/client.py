"""The one place that asks an exchange through ccxt: which requests, and which are tried again."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from leverpack.candles.timeframes import MINUTE_MS
from leverpack.errors import DataError, SettingError, nearest

Rows = NDArray[np.float64]  # first column epoch ms UTC; then OHLCV, or the funding rate
ATTEMPTS = 6
LONGEST_WAIT_S = 300.0  # an exchange that asks for more has banned this address
# Settlements in one answer; ccxt does not list these. Any other gives 100 or more.
_SETTLEMENTS = {"binanceusdm": 1000, "binance": 1000, "bybit": 200, "hyperliquid": 500}
_SETTLEMENTS_ELSEWHERE = 100
_CANDLES_UNKNOWN = 100
# ccxt calls these "not available" too, and no waiting mends them: bad request, refused, not found,
# not from this country.
_LASTING = re.compile(r"\b(400|401|403|404|405|410|451)\b")


class Client:
    """A ccxt exchange object with retries and answers as arrays.

    ``exchange`` keeps ccxt's own rate limit. ``name`` stands in files and messages. Network
    trouble, rate limits and overload alone are tried again, ``attempts`` times in all: after
    about ``first_wait`` seconds, which double each time, or as late as Retry-After says.
    ``told`` hears a sentence before each wait.
    Errors: DataError where the exchange or the network fails, SettingError where it cannot do
    what is asked.
    """

    def __init__(
        self, exchange: Any, *, name: str = "", attempts: int = ATTEMPTS, first_wait: float = 1.0,
        told: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.exchange = exchange
        self.name = name or str(exchange.id)
        self.requests = 0
        self.told = told or (lambda sentence: None)
        self._attempts = max(1, attempts)
        self._backoff = wait_random_exponential(first_wait, max=30.0, min=first_wait / 2)
        exchange.enableLastJsonResponse = True
        self._retrying = Retrying(
            retry=retry_if_exception(self._may_pass), stop=stop_after_attempt(self._attempts),
            wait=self._pause, before_sleep=self._before_wait, reraise=True,
        )  # fmt: skip

    # -- what there is ---------------------------------------------------------------------------

    def load(self) -> None:
        """Fetch the exchange's markets."""
        self._ask("the markets", self.exchange.load_markets)

    def now(self) -> int:
        """The exchange's clock (epoch ms UTC), by which candles are closed or not."""
        if not self.exchange.has.get("fetchTime"):
            return int(self.exchange.milliseconds())
        return int(self._ask("the time", self.exchange.fetch_time))

    def market(self, symbol: str) -> dict[str, Any]:
        """The market of a unified symbol; SettingError with the nearest name otherwise."""
        markets: dict[str, Any] = self.exchange.markets
        if symbol not in markets:
            by_id = {str(m["id"]): s for s, m in markets.items()}
            near = by_id.get(symbol.upper())
            hint = f"did you mean {near}?" if near else nearest(symbol, markets, "look it up there")
            raise SettingError(f"{self.name} has no symbol {symbol!r}; {hint}")
        market: dict[str, Any] = markets[symbol]
        return market

    def check_timeframe(self, timeframe: str) -> None:
        """SettingError unless the exchange has candles of this length."""
        known = list(self.exchange.timeframes or {})
        if timeframe not in known:
            raise SettingError(
                f"{self.name} has no candles of {timeframe!r}; it has {', '.join(known) or 'none'}"
            )

    def check_can(self, method: str, what: str, option: str) -> None:
        """SettingError unless ccxt has this method for the exchange."""
        if not self.exchange.has.get(method):
            leave = f"leave {option} out" if option else "take another exchange"
            raise SettingError(f"ccxt has no {what} of {self.name}; {leave}")

    def candles_a_page(self, symbol: str) -> int:
        """How many candles the exchange gives in one answer, as ccxt knows."""
        limit = self.exchange.feature_value(symbol, "fetchOHLCV", "limit")
        return int(limit) if limit else _CANDLES_UNKNOWN

    def settlements_a_page(self) -> int:
        """How many funding settlements the exchange gives in one answer."""
        return _SETTLEMENTS.get(self.exchange.id, _SETTLEMENTS_ELSEWHERE)

    # -- answers ---------------------------------------------------------------------------------

    def candles(
        self, symbol: str, timeframe: str, start: int, end: int, limit: int, *, mark: bool = False
    ) -> Rows:
        """Candles that open in start..end (end excluded), shape (n, 6): time, OHLCV; ascending."""
        fetch = self.exchange.fetch_mark_ohlcv if mark else self.exchange.fetch_ohlcv
        what = f"{'mark ' if mark else ''}candles of {symbol}"
        answer = self._ask(what, fetch, symbol, timeframe, start, limit, {"until": end - 1})
        # A mark has no volume, and some exchanges leave its column out.
        rows = [[*row[:5], (row[5] if len(row) > 5 and not mark else 0.0)] for row in answer]
        return self._within(rows, start, end, 6, what)

    def settlements(self, symbol: str, start: int, end: int, limit: int) -> Rows:
        """Settlements in start..end (end excluded), shape (n, 2): time, rate; ascending.

        Stamps some milliseconds late are moved back to their minute, as the reader does.
        """
        what = f"funding of {symbol}"
        fetch = self.exchange.fetch_funding_rate_history
        answer = self._ask(what, fetch, symbol, start, limit, {"until": end - 1})
        rows = [
            [int(r["timestamp"]) // MINUTE_MS * MINUTE_MS, r["fundingRate"]]
            for r in answer
            if r.get("timestamp") is not None
        ]
        return self._within(rows, start // MINUTE_MS * MINUTE_MS, end, 2, what)

    def tiers(self, symbols: list[str]) -> dict[str, Any]:
        """Leverage tiers by symbol, as ccxt's ``fetch_leverage_tiers`` gives them."""
        if self.exchange.has.get("fetchLeverageTiers"):
            found = self._ask("tiers", self.exchange.fetch_leverage_tiers, symbols)
            return {s: found[s] for s in symbols if found.get(s)}
        self.check_can("fetchMarketLeverageTiers", "leverage tiers", "--tiers")
        fetch = self.exchange.fetch_market_leverage_tiers
        return {s: self._ask(f"tiers of {s}", fetch, s) for s in symbols}

    def _within(self, rows: list[Any], start: int, end: int, width: int, what: str) -> Rows:
        """Rows as an array: in the span, ascending, each time once (the first one counts)."""
        try:
            table = np.array(rows, np.float64).reshape(len(rows), width)
        except (TypeError, ValueError) as fault:
            raise DataError(f"answered {what} that cannot be read", source=self.name) from fault
        table = table[np.isfinite(table).all(axis=1)]
        table = table[(table[:, 0] >= start) & (table[:, 0] < end)]
        return first_of_each(table)

    # -- trying again ----------------------------------------------------------------------------

    def _ask(self, what: str, method: Callable[..., Any], *arguments: Any) -> Any:
        import ccxt

        try:
            return self._retrying(self._once, method, *arguments)
        except ccxt.AuthenticationError as fault:
            raise SettingError(
                f"{self.name} gives {what} only with a valid API key ({said(fault)}); set "
                "LEVERPACK_API_KEY and LEVERPACK_API_SECRET"
            ) from fault
        except ccxt.OperationFailed as fault:
            wait = self._retry_after(fault)
            advice = "check the network" if wait <= LONGEST_WAIT_S else f"wait {wait:,.0f} s"
            raise DataError(
                f"{what} could not be had ({said(fault)}); {advice}, then start the same command "
                "again: it goes on with what is missing", source=self.name,
            ) from fault  # fmt: skip
        except ccxt.BaseError as fault:
            raise DataError(f"refused {what} ({said(fault)})", source=self.name) from fault
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as fault:
            raise DataError(
                f"answered {what} in a form that ccxt cannot read ({said(fault)})",
                source=self.name,
            ) from fault

    def _once(self, method: Callable[..., Any], *arguments: Any) -> Any:
        import ccxt

        self.requests += 1
        self.exchange.last_json_response = None
        try:
            answer = method(*arguments)
        except ccxt.BaseError:
            raise
        except Exception as fault:
            if self.exchange.last_json_response is None:
                raise ccxt.BadResponse("the answer is no JSON") from fault
            raise
        # ccxt makes an empty list of an answer that was cut off.
        if self.exchange.last_json_response is None:
            raise ccxt.BadResponse("the answer is no JSON")
        return answer

    def _may_pass(self, fault: BaseException) -> bool:
        """Whether the same request may be answered later: network, rate limit or overload."""
        import ccxt

        if not isinstance(fault, ccxt.OperationFailed) or isinstance(fault, ccxt.InvalidNonce):
            return False
        lasting = isinstance(fault, ccxt.ExchangeNotAvailable) and _LASTING.search(said(fault))
        return not lasting and self._retry_after(fault) <= LONGEST_WAIT_S

    def _retry_after(self, fault: BaseException | None) -> float:
        """Seconds that the exchange asks to wait; 0.0 where it does not say."""
        import ccxt

        if not isinstance(fault, ccxt.DDoSProtection):
            return 0.0
        headers = self.exchange.last_response_headers or {}
        try:
            seconds = float(headers.get("Retry-After", 0.0))
        except ValueError:  # it may be a date
            return 0.0
        return seconds if math.isfinite(seconds) and seconds > 0.0 else 0.0

    def _pause(self, state: RetryCallState) -> float:
        fault = None if state.outcome is None else state.outcome.exception()
        return max(self._backoff(state), self._retry_after(fault))

    def _before_wait(self, state: RetryCallState) -> None:
        fault = None if state.outcome is None else state.outcome.exception()
        self.told(
            f"{self.name}: {type(fault).__name__}, attempt {state.attempt_number} of "
            f"{self._attempts}; again in {state.upcoming_sleep:.1f} s"
        )


def open_exchange(name: str, key: str = "", secret: str = "") -> Any:
    """ccxt's object of an exchange, its rate limit kept; SettingError for an unknown name."""
    import ccxt

    if name not in ccxt.exchanges:
        some = f"ccxt knows {len(ccxt.exchanges)} exchanges, binanceusdm and bybit among them"
        raise SettingError(f"exchange {name!r} is unknown; {nearest(name, ccxt.exchanges, some)}")
    made = getattr(ccxt, name)({"apiKey": key, "secret": secret, "enableRateLimit": True})
    made.options["fetchCurrencies"] = False  # with a key Binance is asked for them, and may refuse
    return made


def first_of_each(rows: Rows) -> Rows:
    """Rows in order of time, each time once: of several the one that stands first."""
    return rows[np.unique(rows[:, 0], return_index=True)[1]]


def said(fault: BaseException) -> str:
    """An exception in one line of bearable length, without what a URL was signed with."""
    text = re.sub(r"\?\S*", "", " ".join(str(fault).split()))
    return f"{type(fault).__name__}: {text[:200]}".rstrip(": ")
