"""The margin calculator for people: one planned position in, everything to know before it out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from leverpack.errors import SettingError
from leverpack.margin.funding import funding_cash
from leverpack.margin.liquidation import bankruptcy_price_from_margin
from leverpack.margin.ratios import initial_margin, margin_ratio, round_trip_fees
from leverpack.margin.tiers import TierBook, TierTable, builtin_tiers, plain_symbol
from leverpack.margin.venues import VENUE_RULES, VenuePosition, venue_liquidation_price

CALCULATOR_VENUES = ("binanceusdm", "bybit", "okx", "gate", "bitget", "kucoinfutures")
_MAINTENANCE_AT_ENTRY = frozenset({"bybit", "kucoinfutures"})
_HOURS_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class OtherPosition:
    """Another cross position in the same wallet: ``size`` in base units, prices in quote.

    Its maintenance margin comes from ``mmr`` and ``maintenance_amount`` when given, else from
    the symbol's tier table.
    """

    side: str
    size: float
    entry: float
    mark: float
    symbol: str = ""
    mmr: float | None = None
    maintenance_amount: float = 0.0


@dataclass(frozen=True, slots=True)
class MarginAnswer:
    """What the calculator found; money in quote currency, percentages as such (5.0 is 5 %).

    ``margin`` is what backs the position: isolated margin, or the cross wallet. ``tier`` counts
    from 1 and is None where the rate was given outright. ``liquidation_price`` is None where no
    positive price liquidates. ``move_percent`` is the signed move of the price from the entry to
    there. ``funding_day`` is cash: negative is paid. ``percent_of_margin`` figures are of the
    initial margin.
    """

    symbol: str
    venue: str
    mode: str
    side: str
    size: float
    entry: float
    leverage: float
    notional: float
    initial_margin: float
    margin: float
    maintenance_margin: float
    maintenance_margin_rate: float
    maintenance_amount: float
    margin_ratio: float
    tier: int | None
    liquidation_tier: int | None
    max_leverage: float
    liquidation_price: float | None
    bankruptcy_price: float
    move_percent: float | None
    round_trip_fee: float
    round_trip_fee_percent_of_margin: float
    funding_day: float
    funding_day_percent_of_margin: float
    tiers_valid_from: date | None
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record for JSON: dates in ISO form, numbers that JSON cannot hold as None."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def calculate(
    *,
    side: str,
    entry: float,
    symbol: str | None = None,
    size: float | None = None,
    stake: float | None = None,
    leverage: float = 1.0,
    mode: str = "isolated",
    wallet: float | None = None,
    extra_margin: float = 0.0,
    others: Sequence[OtherPosition] = (),
    venue: str = "binanceusdm",
    when: date | None = None,
    tiers: TierBook | TierTable | None = None,
    mmr: float | None = None,
    maintenance_amount: float = 0.0,
    max_leverage: float | None = None,
    taker_fee: float = 0.0005,
    funding_rate: float = 0.0001,
    funding_interval_hours: float = 8.0,
) -> MarginAnswer:
    """Margin, liquidation and carrying cost of one planned position of a linear perpetual.

    ``size`` (base units) or ``stake`` (margin in quote; size = stake*leverage/entry), one of
    them. ``wallet`` is the account's wallet balance in quote, needed in cross mode; in isolated
    mode it only has to cover the margin. ``extra_margin`` is added to an isolated position.
    Rates come from ``mmr`` (with ``maintenance_amount`` and ``max_leverage``) or from the
    symbol's tier table at ``when`` (default: the newest). Fees and rates are fractions.
    Raises SettingError naming the setting, also for a leverage above the tier's maximum and for
    a position that would be liquidated at its entry.
    """
    sign = _sign("side", side)
    _positive(entry=entry, leverage=leverage, funding_interval_hours=funding_interval_hours)
    _fractions(taker_fee=taker_fee, funding_rate=abs(funding_rate))
    _choices(venue, mode)
    quantity = _size(size, stake, leverage, entry)
    notional = quantity * entry
    table, assumptions = _table(symbol, venue, when, tiers, mmr, maintenance_amount, max_leverage)
    _check_leverage(table, leverage, notional)
    margin = initial_margin(notional, leverage)
    backing = _backing(mode, margin, wallet, extra_margin, others)
    mm_others, upnl_others = _others(others, table, tiers, when)
    position = VenuePosition(
        side=sign, size=quantity, entry=entry, leverage=leverage, wallet=backing,
        caps=table.caps, mmrs=table.mmrs, cums=table.cums, taker_fee=taker_fee,
        mm_others=mm_others, upnl_others=upnl_others, extra_margin=extra_margin,
    )  # fmt: skip
    price = venue_liquidation_price(venue, position)
    _check_alive(sign, entry, price, mode)
    never = price <= 0.0 or math.isinf(price)
    maintenance = table.maintenance_margin(notional)
    fees = round_trip_fees(quantity, entry, entry, taker_fee, taker_fee)
    settlements = _HOURS_PER_DAY / funding_interval_hours
    funding = funding_cash(sign, quantity, entry, funding_rate) * settlements
    return MarginAnswer(
        symbol=table.symbol,
        venue=venue,
        mode=mode,
        side=side,
        size=quantity,
        entry=entry,
        leverage=leverage,
        notional=notional,
        initial_margin=margin,
        margin=backing,
        maintenance_margin=maintenance,
        maintenance_margin_rate=table.mmr(notional),
        maintenance_amount=table.maintenance_amount(notional),
        margin_ratio=margin_ratio(maintenance + mm_others, backing + upnl_others),
        tier=None if mmr is not None else table.tier(notional),
        liquidation_tier=None
        if never or mmr is not None
        else _liquidation_tier(table, venue, quantity, entry, price),
        max_leverage=table.max_leverage(notional),
        liquidation_price=None if never else price,
        bankruptcy_price=bankruptcy_price_from_margin(sign, quantity, entry, backing + upnl_others),
        move_percent=None if never else (price / entry - 1.0) * 100.0,
        round_trip_fee=fees,
        round_trip_fee_percent_of_margin=fees / margin * 100.0,
        funding_day=funding,
        funding_day_percent_of_margin=funding / margin * 100.0,
        tiers_valid_from=None if mmr is not None else table.valid_from,
        assumptions=tuple(assumptions),
    )


# -- reading the settings ------------------------------------------------------------------------


def _sign(name: str, side: str) -> float:
    if side not in ("long", "short"):
        raise SettingError(f"{name} must be 'long' or 'short', not {side!r}")
    return 1.0 if side == "long" else -1.0


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0.0 and math.isfinite(value)):
            raise SettingError(f"{name} must be a number above 0, not {value!r}")


def _fractions(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 <= value < 1.0:
            raise SettingError(f"{name} must be a fraction (0.0005 is 0.05 %), not {value!r}")


def _choices(venue: str, mode: str) -> None:
    if mode not in ("isolated", "cross"):
        raise SettingError(f"mode must be 'isolated' or 'cross', not {mode!r}")
    if venue not in CALCULATOR_VENUES:
        known = "the formula exists, but not in the calculator; " if venue in VENUE_RULES else ""
        raise SettingError(f"venue {venue!r}: {known}use one of {', '.join(CALCULATOR_VENUES)}")
    if mode == "cross" and venue in _MAINTENANCE_AT_ENTRY:
        raise SettingError(f"mode 'cross' is not known for venue {venue}; use 'isolated'")


def _size(size: float | None, stake: float | None, leverage: float, entry: float) -> float:
    if (size is None) == (stake is None):
        raise SettingError("give either size (base units) or stake (margin in quote), one of them")
    if size is not None:
        _positive(size=size)
        return size
    assert stake is not None  # the check above leaves no other case
    _positive(stake=stake)
    return stake * leverage / entry


def _table(
    symbol: str | None,
    venue: str,
    when: date | None,
    tiers: TierBook | TierTable | None,
    mmr: float | None,
    maintenance_amount: float,
    max_leverage: float | None,
) -> tuple[TierTable, list[str]]:
    """The tier table to use, and what was assumed in choosing it."""
    if mmr is not None:
        return _explicit_table(symbol, mmr, maintenance_amount, max_leverage), [
            "one maintenance rate at every notional, as given"
        ]
    if maintenance_amount or max_leverage is not None:
        name = "maintenance_amount" if maintenance_amount else "max_leverage"
        raise SettingError(f"{name} needs mmr beside it; without mmr the tier table has its own")
    if isinstance(tiers, TierTable):
        return tiers, []
    if symbol is None:
        raise SettingError("symbol is needed to find the tiers; or give mmr (a fraction)")
    if tiers is None and venue != "binanceusdm":
        raise SettingError(f"the built-in tiers are Binance's; give mmr or tiers for venue {venue}")
    book = builtin_tiers() if tiers is None else tiers
    table = book.at(symbol, when)
    if when is not None and not book.covers(symbol, when):
        return table, [
            f"no tier table of {table.symbol} reaches back to {when}: "
            f"that of {table.valid_from} is used"
        ]
    return table, []


def _explicit_table(
    symbol: str | None, mmr: float, maintenance_amount: float, max_leverage: float | None
) -> TierTable:
    name = plain_symbol(symbol) if symbol else "the position"
    if not 0.0 <= mmr < 1.0:
        raise SettingError(f"mmr must be a fraction from 0 to below 1, not {mmr!r}")
    if maintenance_amount < 0.0 or not math.isfinite(maintenance_amount):
        raise SettingError(f"maintenance_amount must be 0 or more, not {maintenance_amount!r}")
    if max_leverage is not None:
        _positive(max_leverage=max_leverage)
    most = math.inf if max_leverage is None else max_leverage
    table = TierTable.flat(name, mmr, most)
    if maintenance_amount == 0.0:
        return table
    if mmr == 0.0:
        raise SettingError("maintenance_amount needs an mmr above 0")
    # Below this notional the margin would be negative: a free tier, so that it starts at 0.
    free = maintenance_amount / mmr
    return dataclasses.replace(
        table, floors=(0.0, free), caps=(free, math.inf), mmrs=(0.0, mmr),
        cums=(0.0, maintenance_amount), max_leverages=(most, most),
    )  # fmt: skip


def _check_leverage(table: TierTable, leverage: float, notional: float) -> None:
    allowed = table.max_leverage(notional)
    if allowed == 0.0:
        raise SettingError(
            f"size: a notional of {notional:,.2f} is over the {table.caps[-1]:,.0f} that "
            f"{table.symbol} allows at any leverage"
        )
    if leverage > allowed:
        raise SettingError(
            f"leverage {leverage:g} is above the {allowed:g}x that {table.symbol} allows "
            f"at a notional of {notional:,.2f}; lower the leverage or the size"
        )


def _backing(
    mode: str,
    margin: float,
    wallet: float | None,
    extra_margin: float,
    others: Sequence[OtherPosition],
) -> float:
    """The money that the liquidation price depends on: isolated margin, or the cross wallet."""
    if not (extra_margin >= 0.0 and math.isfinite(extra_margin)):
        raise SettingError(f"extra_margin must be 0 or more, not {extra_margin!r}")
    if wallet is not None:
        _positive(wallet=wallet)
    needed = margin + extra_margin
    if wallet is not None and wallet < needed:
        raise SettingError(
            f"wallet {wallet:,.2f} is below the margin of {needed:,.2f} it must cover"
        )
    if mode == "isolated":
        if others:
            raise SettingError("others share a wallet only in mode 'cross'; leave them out")
        return needed
    if wallet is None:
        raise SettingError("wallet is needed in mode 'cross': the account's balance in quote")
    if extra_margin:
        raise SettingError(
            "extra_margin is for mode 'isolated'; in cross mode the wallet backs all"
        )
    return wallet


def _others(
    others: Sequence[OtherPosition],
    own: TierTable,
    tiers: TierBook | TierTable | None,
    when: date | None,
) -> tuple[float, float]:
    """Maintenance margin and signed open profit of the other cross positions, quote."""
    maintenance, profit = [], []
    for other in others:
        sign = _sign("others: side", other.side)
        _positive(**{"others: size": other.size, "others: entry": other.entry})
        _positive(**{"others: mark": other.mark})
        if other.symbol and plain_symbol(other.symbol) == plain_symbol(own.symbol):
            raise SettingError(
                f"others: {other.symbol} is the symbol of the planned position itself; "
                "give one net position"
            )
        notional = other.size * other.mark
        if other.mmr is not None:
            table = _explicit_table(other.symbol, other.mmr, other.maintenance_amount, None)
        else:
            table = _table(other.symbol or None, "binanceusdm", when, tiers, None, 0.0, None)[0]
        maintenance.append(table.maintenance_margin(notional))
        profit.append(sign * other.size * (other.mark - other.entry))
    return math.fsum(maintenance), math.fsum(profit)


def _check_alive(sign: float, entry: float, price: float, mode: str) -> None:
    if math.isnan(price):
        raise SettingError("mmr and taker_fee together must stay below 1")
    if (entry - price) * sign <= 0.0:
        cure = (
            "lower the leverage or add extra_margin" if mode == "isolated" else "add to the wallet"
        )
        raise SettingError(
            f"leverage: this position would be liquidated at its entry (liquidation price "
            f"{price:,.8g}); {cure}"
        )


def _liquidation_tier(table: TierTable, venue: str, size: float, entry: float, price: float) -> int:
    """The tier that the liquidation price was computed in."""
    return table.tier(size * (entry if venue in _MAINTENANCE_AT_ENTRY else price))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
