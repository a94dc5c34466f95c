"""Which liquidation rule each venue uses, and what that rule needs to know of a position."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from leverpack.errors import SettingError
from leverpack.margin.brackets import maintenance_margin
from leverpack.margin.liquidation import inverse_liquidation_price, liquidation_price
from leverpack.margin.ratios import initial_margin

KRAKEN_LIQUIDATION_LEVEL = 0.4  # "about 40 %"; new positions need 1.0, the call comes at 0.8
BINANCE_SPOT_LIQUIDATION_LEVEL = 1.1  # the call comes at 1.3 (3x) or 1.16 (5x)


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """One position as a venue's rule sees it; which fields count depends on the venue.

    ``side`` +1.0 or -1.0; ``size`` in base units, for inverse contracts the contracts' value in
    quote currency; ``wallet`` the isolated margin or the cross wallet (Kraken: trade balance).
    ``caps``/``mmrs``/``cums`` are the tiers: one entry where the rate is known. ``taker_fee`` is
    a fraction. ``extra_margin`` is what was added by hand (Bybit). ``maintenance`` overrides the
    maintenance margin in quote currency (KuCoin's ``posMaint``). ``level`` is the margin level
    asked for (Kraken, Binance spot margin). ``base_owned``... are the spot margin account.
    """

    side: float
    size: float
    entry: float
    leverage: float = 1.0
    wallet: float = 0.0
    caps: tuple[float, ...] = (math.inf,)
    mmrs: tuple[float, ...] = (0.0,)
    cums: tuple[float, ...] = (0.0,)
    taker_fee: float = 0.0
    mm_others: float = 0.0
    upnl_others: float = 0.0
    extra_margin: float = 0.0
    maintenance: float | None = None
    adjust_factor: float | None = None
    max_leverage: float | None = None
    level: float | None = None
    base_owned: float = 0.0
    quote_owned: float = 0.0
    base_owed: float = 0.0
    quote_owed: float = 0.0


Rule = Callable[[VenuePosition], float]


def maintenance_at_price(p: VenuePosition) -> float:
    """Binance USD-M, and the general rule: maintenance valued at the liquidation price, no fee."""
    return _linear(p, p.mmrs, p.cums, 0.0)


def maintenance_and_fee_at_price(p: VenuePosition) -> float:
    """OKX, Gate, Bitget: as Binance, with the taker fee of the close inside."""
    return _linear(p, p.mmrs, p.cums, p.taker_fee)


def inverse_at_price(p: VenuePosition) -> float:
    """Binance COIN-M: inverse contract, maintenance valued at the liquidation price, no fee."""
    return _inverse(p, 0.0)


def inverse_and_fee_at_price(p: VenuePosition) -> float:
    """OKX inverse contracts: as Binance COIN-M, with the taker fee of the close inside."""
    return _inverse(p, p.taker_fee)


def maintenance_at_entry(p: VenuePosition) -> float:
    """Bybit isolated: maintenance valued at the entry, ``EP - s*(IM - MM)/q - s*extra/q``.

    Source: Bybit help centre, "Liquidation Price (USDT Contract)".
    """
    notional = p.size * p.entry
    room = initial_margin(notional, p.leverage) + p.extra_margin - _maintenance_at_entry(p)
    return _price_at_loss(p, room)


def position_margin_less_maintenance(p: VenuePosition) -> float:
    """KuCoin futures isolated: ``EP - s*(posMargin - posMaint)/q``.

    With ``maintenance`` (``posMaint``) given, ``wallet`` is ``posMargin``: both hold the reserve
    for the closing fee, which cancels. Without it, ``wallet`` is the margin less that reserve.
    Source: KuCoin help 4408061803033.
    """
    needed = _maintenance_at_entry(p) if p.maintenance is None else p.maintenance
    return _price_at_loss(p, p.wallet - needed)


def adjustment_factor(p: VenuePosition) -> float:
    """HTX: the maintenance rate is the adjustment factor over the leverage, no fee."""
    factor = _needed(p.adjust_factor, "adjust_factor")
    return _linear(p, (factor / p.leverage,), (0.0,), 0.0, caps=(math.inf,))


def half_of_initial_rate(max_leverage: float) -> float:
    """Hyperliquid's maintenance rate: half the initial rate at the pair's largest leverage.

    >>> half_of_initial_rate(50.0)
    0.01
    """
    return 1.0 / (2.0 * max_leverage)


def half_of_max_leverage(p: VenuePosition) -> float:
    """Hyperliquid: Binance's form with mmr = 1/(2*max leverage) and no maintenance amount."""
    rate = half_of_initial_rate(_needed(p.max_leverage, "max_leverage"))
    return _linear(p, (rate,), (0.0,), 0.0, caps=(math.inf,))


def kraken_level_price(p: VenuePosition) -> float:
    """Kraken spot margin: the price at which equity / used margin falls to ``level``.

    A long's used margin stands at entry, ``P = EP + (level*q*EP/L - TB)/q``; a short's is in base
    currency and moves with the price, ``P = (TB + q*EP)/(q*(1 + level/L))``. TB is the trade
    balance (``wallet``) with the open profit of the other positions, less what ``level`` asks
    for them (``mm_others``: level * their used margin). Source: support.kraken.com 203325763 and
    203053156.
    """
    level = KRAKEN_LIQUIDATION_LEVEL if p.level is None else p.level
    balance = p.wallet + p.upnl_others - p.mm_others
    if p.size <= 0.0:
        return 0.0 if p.side > 0.0 else math.inf
    if p.side > 0.0:
        used = initial_margin(p.size * p.entry, p.leverage)
        return _not_below_zero(p.entry + (level * used - balance) / p.size)
    backing = balance + p.size * p.entry
    return _not_below_zero(backing / (p.size * (1.0 + level / p.leverage)))


def spot_margin_level_price(p: VenuePosition) -> float:
    """Binance spot margin: the price at which assets / (debt + interest) falls to ``level``.

    Assets and debts are held in base and in quote currency; a long's debt is in quote, a
    short's in base. Interest belongs to the debts. nan when the level does not depend on price.
    """
    level = BINANCE_SPOT_LIQUIDATION_LEVEL if p.level is None else p.level
    net_base = p.base_owned - level * p.base_owed
    if net_base == 0.0:
        return math.nan
    return _not_below_zero((level * p.quote_owed - p.quote_owned) / net_base)


VENUE_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "binanceusdm": maintenance_at_price,
        "binancecoinm": inverse_at_price,
        "bybit": maintenance_at_entry,
        "okx": maintenance_and_fee_at_price,
        "okxinverse": inverse_and_fee_at_price,
        "gate": maintenance_and_fee_at_price,
        "bitget": maintenance_and_fee_at_price,
        "kucoinfutures": position_margin_less_maintenance,
        "hyperliquid": half_of_max_leverage,
        "htx": adjustment_factor,
        "kraken": kraken_level_price,
        "binancemargin": spot_margin_level_price,
    }
)
ISOLATED_ONLY = frozenset({"bybit", "kucoinfutures"})  # their cross rule is another one


def venue_liquidation_price(venue: str, position: VenuePosition) -> float:
    """Liquidation price (quote) by the rule of ``venue`` (a ccxt id; see ``VENUE_RULES``).

    Raises SettingError for an unknown venue or when the rule lacks a figure it needs.
    """
    rule = VENUE_RULES.get(venue)
    if rule is None:
        raise SettingError(f"venue {venue!r} is unknown; use one of {', '.join(VENUE_RULES)}")
    return rule(position)


def _linear(
    p: VenuePosition,
    mmrs: tuple[float, ...],
    cums: tuple[float, ...],
    close_fee: float,
    caps: tuple[float, ...] | None = None,
) -> float:
    return liquidation_price(
        p.side, p.size, p.entry, p.wallet, p.caps if caps is None else caps, mmrs, cums,
        close_fee, p.mm_others, p.upnl_others,
    )  # fmt: skip


def _inverse(p: VenuePosition, close_fee: float) -> float:
    return inverse_liquidation_price(
        p.side, p.size, p.entry, p.wallet, p.caps, p.mmrs, p.cums,
        close_fee, p.mm_others, p.upnl_others,
    )  # fmt: skip


def _maintenance_at_entry(p: VenuePosition) -> float:
    return maintenance_margin(p.size * p.entry, p.caps, p.mmrs, p.cums)


def _price_at_loss(p: VenuePosition, room: float) -> float:
    """The price at which the position has lost ``room`` (quote)."""
    if p.size <= 0.0:
        return 0.0 if p.side > 0.0 else math.inf
    return _not_below_zero(p.entry - p.side * room / p.size)


def _needed(value: float | None, name: str) -> float:
    if value is None or not value > 0.0:
        raise SettingError(f"{name} must be a number above 0 for this venue's liquidation price")
    return value


def _not_below_zero(price: float) -> float:
    return 0.0 if price < 0.0 else price
