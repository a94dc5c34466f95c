"""One traded contract: its name, its grid of prices and sizes, and the venue's minimums."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from leverpack.candles.series import Candles
from leverpack.errors import SettingError
from leverpack.margin.tiers import plain_symbol
from leverpack.risk.sizing import multiple

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD")
# Tick, step and minimum notional as exchangeInfo had them in 2025 for the two largest contracts.
_KNOWN = {"BTCUSDT": ("0.10", "0.001", "100"), "ETHUSDT": ("0.01", "0.001", "20")}
_MIN_NOTIONAL = "5"
_SAMPLE = 2_000  # candles that are looked at to find the tick


@dataclass(frozen=True, slots=True)
class Instrument:
    """A perpetual contract; sizes are counted in whole ``step`` units, so that none can drift.

    ``tick`` is in quote currency, ``step``, ``min_qty`` and the largest quantities in base units,
    ``min_notional`` in quote currency.
    """

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_notional: Decimal
    max_qty: Decimal = Decimal(1_000_000)
    market_max_qty: Decimal = Decimal(100_000)
    max_orders: int = 200
    max_algo_orders: int = 100

    def size(self, units: int) -> float:
        """Base units of a count of steps, as the float nearest to the decimal number."""
        return multiple(units, float(self.step))

    def units(self, size: float) -> int:
        """The nearest count of steps of a size in base units."""
        return round(size / float(self.step))

    @property
    def price_digits(self) -> int:
        """Decimals of a price."""
        return _digits(self.tick)

    @property
    def qty_digits(self) -> int:
        """Decimals of a quantity."""
        return _digits(self.step)

    def price_text(self, price: float) -> str:
        """A price as the venue writes it."""
        return f"{price:.{self.price_digits}f}"

    def qty_text(self, units: int) -> str:
        """A count of steps as the venue writes the quantity."""
        return f"{units * self.step:.{self.qty_digits}f}"

    def down_to_tick(self, price: float) -> float:
        """The highest price on the grid that is not above ``price``."""
        ticks = price / float(self.tick)
        return multiple(math.floor(ticks + 1e-9 * max(1.0, ticks * 1e-6)), float(self.tick))

    def up_to_tick(self, price: float) -> float:
        """The lowest price on the grid that is not below ``price``."""
        ticks = price / float(self.tick)
        return multiple(math.ceil(ticks - 1e-9 * max(1.0, ticks * 1e-6)), float(self.tick))


def instrument_for(
    candles: Candles, *, symbol: str = "", tick: str | None = None, step: str | None = None,
    min_notional: str | None = None,
) -> Instrument:  # fmt: skip
    """The contract that candles belong to, with what the venue is known to use, or a good guess.

    An unknown contract's tick is the finest decimal of its prices, its step the power of ten
    whose notional is about the minimum, one coin at most. Raises SettingError without a symbol or
    with a grid that is no positive number.
    """
    name = plain_symbol(symbol or candles.symbol)
    if not name:
        raise SettingError("the candles name no symbol; give one (--symbol BTC/USDT:USDT)")
    quote = next((q for q in QUOTES if name.endswith(q) and name != q), None)
    if quote is None:
        raise SettingError(f"symbol {name} ends in none of {', '.join(QUOTES)}")
    known = _KNOWN.get(name)
    if known is None:
        known = _seen_tick(candles), _fitting_step(float(candles.close[0])), _MIN_NOTIONAL
    return Instrument(
        name, name[: -len(quote)], quote,
        _positive("tick", tick or known[0]), _positive("step", step or known[1]),
        _positive("min_notional", min_notional or known[2]),
    )  # fmt: skip


def made_instrument(like: Instrument, number: int) -> Instrument:
    """A contract that no venue has, ``MADE007USDT`` and so on, with the grid of another."""
    base = f"MADE{number:03d}"
    return replace(like, symbol=f"{base}{like.quote}", base=base)


def _positive(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise SettingError(f"{name} {text!r} is not a number") from None
    if not (value.is_finite() and value > 0):
        raise SettingError(f"{name} must be a positive number, not {text}")
    return value


def _seen_tick(candles: Candles) -> str:
    prices = candles.close[:_SAMPLE]
    for digits in range(9):
        if np.all(np.abs(np.round(prices, digits) - prices) <= 1e-9 * prices):
            return f"{10.0**-digits:.{digits}f}"
    return "0.00000001"


def _fitting_step(price: float) -> str:
    digits = max(0, -math.ceil(math.log10(float(_MIN_NOTIONAL) / price)))
    return f"{10.0**-digits:.{digits}f}"


def _digits(grid: Decimal) -> int:
    exponent = grid.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
