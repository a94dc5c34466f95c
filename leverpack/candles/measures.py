"""How much a symbol moves and trades, per UTC day, measured on its candles."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leverpack.candles.series import Candles, iso
from leverpack.candles.stillness import still_runs
from leverpack.candles.timeframes import DAY_MS, HOUR_MS, timeframe_name
from leverpack.errors import DataError
from leverpack.result import Floats, Ints

# Coins pegged to a currency, and the currencies themselves: a pair of two of them is no market
# to trade with leverage. Some of the pegs broke; that is no reason to trade them either.
PEGGED = frozenset({
    "USDT", "USDC", "BUSD", "TUSD", "FDUSD", "DAI", "USDP", "PAX", "GUSD", "USDD", "USDE",
    "USDS", "USD0", "USD1", "USDB", "USDF", "USDG", "USDJ", "USDK", "USDN", "USDQ", "USDR",
    "USDX", "BFUSD", "PYUSD", "RLUSD", "LUSD", "SUSD", "HUSD", "XUSD", "CUSD", "MUSD", "ALUSD",
    "CRVUSD", "FRXUSD", "DOLA", "GHO", "VAI", "UST", "USTC", "EURC", "EURI", "EURQ", "EURR",
    "EURS", "EURT", "AEUR", "EURCV", "XSGD", "BIDR", "IDRT", "TRYB", "BRZ", "CNHT", "GYEN",
    "ZUSD",
})  # fmt: skip
CURRENCIES = frozenset({
    "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "TRY", "BRL", "ARS", "MXN", "COP",
    "ZAR", "NGN", "PLN", "CZK", "RON", "UAH", "RUB", "KRW", "INR", "IDR", "SGD", "HKD", "CNH",
    "CNY", "THB", "PHP", "VND", "AED",
})  # fmt: skip

_CONTRACTS = (".P", "-SWAP", "_SWAP", "-PERP", "_PERP")
# The quotes that exchanges write straight behind the base (BTCUSDT), tried in this order.
_JOINED = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDD", "USDE", "USD1", "DAI", "USD", "EUR", "GBP",
    "JPY", "AUD", "TRY", "BRL", "ARS", "MXN", "ZAR", "PLN", "UAH", "KRW", "INR", "IDR",
)  # fmt: skip
_JOINED_COINS = ("BTC", "ETH", "BNB")


@dataclass(frozen=True, slots=True)
class SymbolMeasures:
    """What the candles of one symbol show; the figures per day are of whole UTC days.

    ``days`` whole days counted; ``daily_volatility`` sample standard deviation of the daily log
    returns (fraction; NaN with fewer than two returns); ``quote_volume`` median over the days of
    the sum of volume * close (quote currency, where the volume is in base units), or of the
    volume where the file says that it is in quote currency;
    ``range_spread`` mean over the days of (high - low) / close (fraction); ``flat_hours`` the
    longest stretch without any change of price, which ended at ``flat_until_ms`` (0: none).
    ``first_ms`` is the open of the first candle, ``last_ms`` the end of the last one (both epoch
    ms UTC), ``last_price`` the last close. ``timeframe_ms`` is the length of the candles measured.
    """

    symbol: str
    base: str
    quote: str
    days: int
    daily_volatility: float
    quote_volume: float
    range_spread: float
    first_ms: int
    last_ms: int
    last_price: float
    flat_hours: float = 0.0
    flat_until_ms: int = 0
    timeframe_ms: int = DAY_MS
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: times as ISO, the timeframe by name, None where there is none."""
        values = {k: v for k, v in asdict(self).items() if not k.endswith("_ms")}
        for name in ("daily_volatility", "quote_volume", "range_spread"):
            values[name] = values[name] if math.isfinite(values[name]) else None
        values["first"], values["last"] = iso(self.first_ms), iso(self.last_ms)
        values["flat_until"] = iso(self.flat_until_ms) if self.flat_hours else None
        values["timeframe"] = timeframe_name(self.timeframe_ms) if self.timeframe_ms else None
        return values


@np.errstate(all="ignore")  # absurd prices overflow to inf, which no rule lets pass
def measure(candles: Candles, now: int | None = None) -> SymbolMeasures:
    """Measure one symbol on candles of a day or shorter.

    Candles belong to the UTC day of their open. Only whole days count: the first and the last
    day are left out where the candles do not reach over them. A return across a day without
    candles is no daily return and is left out. With ``now`` (epoch ms) the symbol is measured as
    it was known then: later candles do not count, and of the one still forming only that it is.

    Worked example: daily closes of 100, 110 and 99 give the log returns 0.09531 and -0.10536
    and a daily volatility of 0.14190.

    Raises DataError for no candles and for candles longer than a day.
    """
    step = candles.timeframe_ms
    if not len(candles):
        raise DataError("there are no candles to measure", source=candles.source)
    if step > DAY_MS:
        raise DataError(
            f"candles of {timeframe_name(step)} are longer than a day; use candles of 1d or less",
            source=candles.source,
        )
    known = candles if now is None else candles.between(None, now - step)
    end = int(candles.ts[-1]) + step
    if now is not None:
        begun = candles.between(None, now)
        if not len(begun):
            raise DataError(f"no candle begins before {iso(now)}", source=candles.source)
        end = min(now, int(begun.ts[-1]) + step)
    day, close, value, spread = _whole_days(known)
    returns = np.log(close[1:] / close[:-1])[np.diff(day) == 1]
    flat_hours, flat_until = _longest_still(known)
    base, quote = split_symbol(candles.symbol)
    return SymbolMeasures(
        symbol=candles.symbol,
        base=base,
        quote=quote,
        days=len(day),
        daily_volatility=float(returns.std(ddof=1)) if len(returns) > 1 else math.nan,
        quote_volume=float(np.median(value)) if len(day) else 0.0,
        range_spread=float(spread.mean()) if len(day) else 0.0,
        first_ms=int(candles.ts[0]),
        last_ms=end,
        last_price=float(known.close[-1] if len(known) else candles.open[0]),
        flat_hours=flat_hours,
        flat_until_ms=flat_until,
        timeframe_ms=step,
        source=candles.source,
    )


def _whole_days(candles: Candles) -> tuple[Ints, Floats, Floats, Floats]:
    """Per whole UTC day: its number since 1970, close, quote volume, and range over close."""
    if not len(candles):
        none = np.zeros(0)
        return np.zeros(0, np.int64), none, none, none
    ts, step = candles.ts, candles.timeframe_ms
    days = ts // DAY_MS
    starts = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    stops = np.append(starts[1:], len(ts))
    close = candles.close[stops - 1]
    quote = candles.volume if candles.volume_unit == "quote" else candles.volume * candles.close
    value = np.add.reduceat(quote, starts)
    high = np.maximum.reduceat(candles.high, starts)
    low = np.minimum.reduceat(candles.low, starts)
    day = days[starts]
    first = int(ts[0] - day[0] * DAY_MS >= max(step, 1))
    last = len(day) - int(ts[-1] + step < (day[-1] + 1) * DAY_MS)
    kept = slice(first, last)
    return day[kept], close[kept], value[kept], ((high - low) / close)[kept]


def _longest_still(candles: Candles) -> tuple[float, int]:
    """The longest stretch in hours in which no price changed, and when it ended (epoch ms)."""
    if not len(candles):
        return 0.0, 0
    starts, stops = still_runs(candles)
    if not len(starts):
        return 0.0, 0
    ends = candles.ts[stops] + candles.timeframe_ms
    lengths = ends - candles.ts[starts]
    longest = int(np.argmax(lengths))
    return float(lengths[longest]) / HOUR_MS, int(ends[longest])


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote of a symbol in any usual spelling; the quote is "" where none is named.

    >>> [split_symbol(s) for s in ("BTC/USDT:USDT", "ethusdt", "SOL_USD", "BTC-PERP", "DOTUSD")]
    [('BTC', 'USDT'), ('ETH', 'USDT'), ('SOL', 'USD'), ('BTC', 'USD'), ('DOT', 'USD')]
    """
    text = symbol.strip().upper().split(":")[0]
    contract = text.endswith(_CONTRACTS)
    for suffix in _CONTRACTS:
        text = text.removesuffix(suffix)
    for separator in "/-_":
        if separator in text:
            base, quote = text.split(separator)[:2]
            return base, quote
    for quote in _JOINED:
        base = text.removesuffix(quote)
        # DOTUSD, BATUSD and USDTUSD end in a coin's own T, not in TUSD.
        if base not in ("", text) and not (quote == "TUSD" and (len(base) < 3 or base == "USD")):
            return base, quote
    if contract:  # BTC-PERP: contracts that name no quote are quoted in dollars
        return text, "USD"
    for quote in _JOINED_COINS:
        base = text.removesuffix(quote)
        if base != text and len(base) > 1:
            return base, quote
    return text, ""


def is_pegged(name: str) -> bool:
    """Whether this is a currency, or the name of a coin pegged to one."""
    return name in PEGGED or name in CURRENCIES
