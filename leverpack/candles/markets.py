"""The universe of an exchange, measured on its daily candles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from leverpack.candles.measures import SymbolMeasures, measure
from leverpack.candles.reader import read_candles
from leverpack.candles.selection import Universe, UniverseRules, reason_of, select
from leverpack.candles.timeframes import DAY_MS
from leverpack.errors import DataError, SettingError

# Under this share of the wanted volume in the last 24 hours no day's candles are asked for: the
# median of many days will hardly be ten times a single day, and each request takes its time.
_HOPELESS = 0.1
_FAILURES_IN_A_ROW = 5


class _RequestFailed(Exception):
    """One request for candles failed; the message says how."""


def universe_from_exchange(
    exchange: Any,
    rules: UniverseRules | None = None,
    *,
    market_type: str = "swap",
    days: int = 90,
    most: int | None = None,
    now: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Universe:
    """Measure, choose and rank the symbols of an exchange on its daily candles.

    ``exchange`` is a ccxt exchange object (or one with its ``load_markets``, ``fetch_tickers``,
    ``fetch_ohlcv`` and ``milliseconds``); the caller makes it, with its own rate limit. Markets of
    ``market_type`` ("swap" or "spot") and of the rules' quote are looked at; one that is not
    active is left out (unknown counts as active). ``days`` whole days are asked for. ``most``
    looks only at that many symbols, those with the largest quote volume of the last 24 hours.
    ``now`` (epoch ms UTC) defaults to the clock; ``progress`` is told (done, of how many).

    A symbol whose candles cannot be had is refused with the reason. Raises DataError when the
    markets or tickers cannot be had or five requests in a row fail, SettingError for settings
    that make no sense.
    """
    (rules := rules or UniverseRules()).validate()
    _check(market_type, days, most, rules)
    now = int(exchange.milliseconds()) if now is None else now
    markets, left_out = _markets(exchange, market_type, rules)
    tickers = _asked(exchange, "fetch_tickers") if markets else {}
    wanted = _worth_a_request(markets, tickers, rules, most, left_out)
    measures: list[SymbolMeasures] = []
    refused: dict[str, str] = {}
    failures = 0
    for done, symbol in enumerate(wanted, 1):
        try:
            rows = _daily(exchange, symbol, days)
            failures = 0
            measures.append(_measured(symbol, rows, tickers.get(symbol), now))
        except _RequestFailed as fault:
            refused[symbol] = f"its candles could not be had: {fault}"
            failures += 1
            if failures == _FAILURES_IN_A_ROW:
                raise DataError(
                    f"{failures} requests for candles failed in a row, the last with {fault}; "
                    "try again later",
                    source=_name(exchange),
                ) from fault
        except DataError as fault:
            refused[symbol] = reason_of(fault)
        if progress is not None:
            progress(done, len(wanted))
    universe = select(measures, rules, now=now)
    universe.left_out = dict(sorted({**left_out, **universe.left_out}.items()))
    universe.refused = refused
    return universe


def _check(market_type: str, days: int, most: int | None, rules: UniverseRules) -> None:
    if market_type not in ("swap", "spot"):
        raise SettingError(f"market_type must be swap or spot, not {market_type!r}")
    if days < rules.min_days:
        raise SettingError(f"days {days} is under min_days {rules.min_days}; ask for more days")
    if most is not None and most < 1:
        raise SettingError(f"most must be 1 or more, not {most!r}")


def _markets(
    exchange: Any, market_type: str, rules: UniverseRules
) -> tuple[dict[str, Any], dict[str, str]]:
    """The markets of the wanted type and quote that are active, and why the others are not."""
    quote = None if rules.quote is None else rules.quote.strip().upper()
    active, left_out = {}, {}
    for symbol, market in sorted(_asked(exchange, "load_markets").items()):
        if market.get("type") != market_type or (quote and market.get("quote") != quote):
            continue
        if market.get("active") is False:
            left_out[symbol] = "the exchange lists the market as not active"
        else:
            active[symbol] = market
    if not active and not left_out:
        raise DataError(
            f"no {market_type} market quoted in {quote or 'any currency'}; check type and quote",
            source=_name(exchange),
        )
    return active, left_out


def _worth_a_request(
    markets: dict[str, Any],
    tickers: dict[str, Any],
    rules: UniverseRules,
    most: int | None,
    left_out: dict[str, str],
) -> list[str]:
    """The symbols whose candles are asked for; why not, for the others, goes to ``left_out``."""
    volumes = {s: _number(tickers.get(s), "quoteVolume") for s in markets}
    wanted = []
    for symbol, volume in volumes.items():
        if volume is not None and volume < rules.min_volume * _HOPELESS:
            left_out[symbol] = (
                f"quote volume {volume:,.0f} in the last 24 hours, less than a tenth of the "
                f"{rules.min_volume:,.0f} a day wanted"
            )
        else:
            wanted.append(symbol)
    if most is not None:
        # An unknown volume ranks as none.
        wanted.sort(key=lambda s: (-(volumes[s] or 0.0), s))
        for place, symbol in enumerate(wanted[most:], most + 1):
            left_out[symbol] = (
                f"place {place} of {len(wanted)} by volume of the last 24 hours, and only "
                f"{most} are looked at"
            )
    return sorted(wanted[:most])


def _measured(symbol: str, rows: Any, ticker: Any, now: int) -> SymbolMeasures:
    """The measures of one market's daily candles."""
    if not rows:
        raise DataError("the exchange has no daily candles of it", source=symbol)
    import pandas as pd

    names = ["time", "open", "high", "low", "close", "volume"]
    table = pd.DataFrame([row[:6] for row in rows], columns=names)
    candles = read_candles(table, symbol=symbol, on_fault="drop")
    found = measure(replace(candles, timeframe_ms=DAY_MS, source=symbol), now)
    # A daily candle ends at midnight to come, however long ago the last trade was.
    seen = _number(ticker, "timestamp")
    last_ms = found.last_ms if seen is None else min(found.last_ms, int(seen))
    return replace(found, last_ms=last_ms)


def _daily(exchange: Any, symbol: str, days: int) -> Any:
    try:
        return exchange.fetch_ohlcv(symbol, "1d", limit=days + 1)  # the last one still forms
    except Exception as fault:  # ccxt's own errors: it is handed in, not imported
        raise _RequestFailed(_said(fault)) from fault


def _asked(exchange: Any, method: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(exchange, method)()
    except Exception as fault:  # ccxt's own errors: it is handed in, not imported
        raise DataError(
            f"{method} failed with {_said(fault)}; try again later", source=_name(exchange)
        ) from fault
    return answer


def _number(ticker: Any, name: str) -> float | None:
    value = None if ticker is None else ticker.get(name)
    return float(value) if value is not None and math.isfinite(float(value)) else None


def _name(exchange: Any) -> str:
    return str(getattr(exchange, "id", "exchange"))


def _said(fault: Exception) -> str:
    """An exception in one line of bearable length."""
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:200]}".rstrip(": ")
