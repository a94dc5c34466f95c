"""Which symbols are worth trading: chosen and ranked, the others left out with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from leverpack.candles.measures import SymbolMeasures, is_pegged
from leverpack.candles.series import iso
from leverpack.candles.timeframes import HOUR_MS
from leverpack.errors import DataError, SettingError

_RANKS: dict[str, Callable[[SymbolMeasures], float]] = {
    "volatility": lambda m: m.daily_volatility,
    "volume": lambda m: m.quote_volume,
    "range": lambda m: m.range_spread,
}
RANK_BY = tuple(_RANKS)


@dataclass(frozen=True, slots=True)
class UniverseRules:
    """What a symbol must show to be chosen; fractions are per day, money in quote currency.

    ``min_volatility`` daily volatility (fraction); ``min_volume`` quote volume per day;
    ``min_range`` daily range over close (fraction); ``min_days`` whole days of candles;
    ``max_age_hours`` from the end of the last candle to the newest of the set, or to ``now``;
    ``max_flat_hours`` longest stretch without any change of price; ``quote`` the only quote
    currency wanted (None: any); ``rank_by`` "volatility", "volume" or "range", highest first;
    ``top`` how many to choose (None: all). Under ``stable_volatility`` and within
    ``stable_distance`` of a price of 1 (both fractions) a symbol counts as a stablecoin.
    """

    min_volatility: float = 0.03
    min_volume: float = 0.0
    min_range: float = 0.0
    min_days: int = 30
    max_age_hours: float = 48.0
    max_flat_hours: float = 24.0
    quote: str | None = None
    rank_by: str = "volatility"
    top: int | None = None
    stable_volatility: float = 0.003
    stable_distance: float = 0.02

    def validate(self) -> None:
        """Raise SettingError naming the rule that makes no sense and what it should be."""
        for name in ("min_volatility", "min_range", "stable_volatility", "stable_distance"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise SettingError(
                    f"{name} is a fraction from 0 to below 1 (0.03 is 3 %), not {value!r}"
                )
        for name in ("min_volume", "max_age_hours", "max_flat_hours"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise SettingError(f"{name} must be a number of 0 or more, not {value!r}")
        # Two returns, the fewest that have a standard deviation, take three days.
        if self.min_days < 3:
            raise SettingError(f"min_days must be 3 or more, not {self.min_days!r}")
        if self.top is not None and self.top < 1:
            raise SettingError(f"top must be 1 or more, not {self.top!r}")
        if self.quote is not None and not self.quote.strip():
            raise SettingError("quote is empty; name a currency such as USDT, or leave it out")
        if self.rank_by not in RANK_BY:
            raise SettingError(f"rank_by must be one of {', '.join(RANK_BY)}, not {self.rank_by!r}")


@dataclass(slots=True)
class Universe:
    """The symbols chosen, best first, and the reason for every other one.

    ``left_out`` symbol -> reason; ``refused`` file, or symbol at an exchange, that could not be
    read -> reason; ``notes`` what else was decided on the way. Every reason is one sentence.
    """

    rules: UniverseRules
    chosen: list[SymbolMeasures] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def symbols(self) -> list[str]:
        """The names of the chosen, best first."""
        return [m.symbol for m in self.chosen]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "rules": asdict(self.rules),
            "chosen": [m.to_dict() for m in self.chosen],
            "left_out": dict(self.left_out),
            "refused": dict(self.refused),
            "notes": list(self.notes),
        }


def select(
    measures: Iterable[SymbolMeasures],
    rules: UniverseRules | None = None,
    *,
    now: int | None = None,
) -> Universe:
    """Choose and rank symbols by the rules; equal ranks go by symbol.

    ``now`` (epoch ms UTC) is what ages are counted to; None takes the end of the newest candle.
    The order of ``measures`` makes no difference. Raises SettingError for rules that make no
    sense and for a symbol measured twice.
    """
    rules = rules or UniverseRules()
    rules.validate()
    found = sorted(measures, key=lambda m: m.symbol)
    for one, other in pairwise(found):
        if one.symbol == other.symbol:
            raise SettingError(f"{one.symbol} is measured twice; give one measure for a symbol")
    universe = Universe(rules)
    if not found:
        return universe
    against = "now" if now is not None else "the newest"
    newest = max(m.last_ms for m in found) if now is None else now
    passed = []
    for m in found:
        reason = _reason(m, rules, newest, against)
        if reason is None:
            passed.append(m)
        else:
            universe.left_out[m.symbol] = reason
    rank = _RANKS[rules.rank_by]
    passed.sort(key=lambda m: (-rank(m), m.symbol))
    top = len(passed) if rules.top is None else rules.top
    universe.chosen = passed[:top]
    for place, m in enumerate(passed[top:], top + 1):
        universe.left_out[m.symbol] = (
            f"ranked {place} of {len(passed)} by {rules.rank_by}, and only {top} are wanted"
        )
    universe.left_out = dict(sorted(universe.left_out.items()))
    return universe


def reason_of(fault: DataError) -> str:
    """What is wrong with a source, without its name in front: that stands beside the reason."""
    text = str(fault).removeprefix(fault.source)
    return text.removeprefix(": ") if fault.line is None else f"line {text.removeprefix(':')}"


def _reason(m: SymbolMeasures, rules: UniverseRules, newest: int, against: str) -> str | None:
    """Why a symbol is left out, or None. What makes figures worthless is said first."""
    if rules.quote is not None and m.quote != rules.quote.strip().upper():
        return f"quoted in {m.quote or 'an unknown currency'}, not in {rules.quote.strip().upper()}"
    # In front of the history: a stablecoin will not become another thing with more days.
    if is_pegged(m.base) and is_pegged(m.quote):
        return (
            f"{m.base} and {m.quote} are both currencies or pegged to one "
            f"(price {m.last_price:.6g}, daily volatility {_percent(m.daily_volatility)})"
        )
    if m.days < rules.min_days:
        whole = "1 whole day" if m.days == 1 else f"{m.days} whole days"
        return f"too little history: {whole} of candles, at least {rules.min_days} are needed"
    if not math.isfinite(m.daily_volatility):
        return f"no two daily returns among its {m.days} days: the days do not follow each other"
    steady = m.daily_volatility < rules.stable_volatility
    if steady and abs(m.last_price - 1.0) <= rules.stable_distance:
        return (
            f"behaves like a stablecoin: price {m.last_price:.6g}, "
            f"daily volatility {_percent(m.daily_volatility)}"
        )
    age = (newest - m.last_ms) / HOUR_MS
    if age > rules.max_age_hours:
        return (
            f"stale: the last candle ends {_when(m.last_ms)}, {age:,.1f} hours before {against}, "
            f"at most {rules.max_age_hours:g} are allowed"
        )
    if m.flat_hours > rules.max_flat_hours:
        return (
            f"flat: no price changed for {m.flat_hours:,.1f} hours up to {_when(m.flat_until_ms)}, "
            f"at most {rules.max_flat_hours:g} are allowed"
        )
    return _too_small(m, rules)


def _too_small(m: SymbolMeasures, rules: UniverseRules) -> str | None:
    if m.daily_volatility < rules.min_volatility:
        at_least = _percent(rules.min_volatility)
        return f"daily volatility {_percent(m.daily_volatility)}, at least {at_least} is wanted"
    if m.quote_volume < rules.min_volume:
        wanted = f"{rules.min_volume:,.0f} {m.quote}".strip()
        return f"quote volume {m.quote_volume:,.0f} a day, at least {wanted} is wanted"
    if m.range_spread < rules.min_range:
        at_least = _percent(rules.min_range)
        return f"daily range {_percent(m.range_spread)}, at least {at_least} is wanted"
    return None


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.4g} %" if math.isfinite(fraction) else "unknown"


def _when(ms: int) -> str:
    return f"{iso(ms)[:16].replace('T', ' ')} UTC"
