"""What each venue does to a leveraged position: its rule, fees, carrying costs, caps and levels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from leverpack.errors import SettingError, nearest
from leverpack.margin.interest import KRAKEN_PERIOD_HOURS
from leverpack.margin.tiers import TierTable, plain_symbol
from leverpack.margin.venues import (
    BINANCE_SPOT_LIQUIDATION_LEVEL,
    KRAKEN_LIQUIDATION_LEVEL,
    VENUE_RULES,
    Rule,
    half_of_initial_rate,
    half_of_max_leverage,
    kraken_level_price,
    maintenance_and_fee_at_price,
    maintenance_at_price,
    spot_margin_level_price,
)

PERPETUAL = "perpetual"
SPOT_MARGIN = "spot margin"
PERPETUAL_CALL_RATIO = 0.8  # perpetual venues send no call; from here on it is worth a warning


@dataclass(frozen=True, slots=True)
class VenueProfile:
    """One venue: ``kind`` is "perpetual" or "spot margin", fees and rates are fractions.

    ``rule`` gives the liquidation price of an isolated position, and of every position of a spot
    margin venue; ``rule_said`` is that rule in words. ``close_fee``: the taker fee of the close
    is part of the maintenance margin. ``maintenance_at_entry``: an isolated position's
    maintenance margin is valued at its entry. ``interest_hourly`` is charged by the clock hour on
    what is borrowed, ``opening_fee`` once and ``rollover_fee`` every ``rollover_hours``.

    ``max_leverage`` is the venue's cap, ``pair_leverages`` that of single coins where it differs;
    ``pair_may_exceed`` lets a tier table that is given for the pair say otherwise. The levels of
    spot margin (1.0 is 100 %): ``call_levels`` are (leverage up to which it holds, level), and at
    ``liquidation_level`` the position is closed. ``liquidation_fee`` is of the notional; None
    leaves it to the tier table. A rate of your own: ``dataclasses.replace(profile, ...)``.
    """

    name: str
    title: str
    kind: str
    rule: Rule
    rule_said: str
    maker: float
    taker: float
    funding: bool = True
    close_fee: bool = False
    maintenance_at_entry: bool = False
    interest_hourly: float = 0.0
    opening_fee: float = 0.0
    rollover_fee: float = 0.0
    rollover_hours: float = KRAKEN_PERIOD_HOURS
    max_leverage: float = math.inf
    pair_may_exceed: bool = False
    pair_leverages: tuple[tuple[str, float], ...] = ()
    call_levels: tuple[tuple[float, float], ...] = ()
    liquidation_level: float | None = None
    liquidation_fee: float | None = None

    @property
    def is_spot_margin(self) -> bool:
        """Whether money or coins are borrowed, and a level decides instead of a rate."""
        return self.liquidation_level is not None

    @property
    def level_of_debt(self) -> bool:
        """Whether the level is assets over debt (Binance), not equity over used margin."""
        return self.rule is spot_margin_level_price

    @property
    def used_margin_at_entry(self) -> bool:
        """Whether a long's used margin stands at its entry; a short's moves with the price."""
        return self.rule is kraken_level_price

    @property
    def takes_close_fee(self) -> bool:
        """Whether the rule has a place for the close fee."""
        return self.rule in (maintenance_at_price, maintenance_and_fee_at_price)

    def rule_for(self, isolated: bool, close_fee: float) -> Rule:
        """The rule of an isolated or a cross position; ``close_fee`` is the fraction inside it.

        Cross perpetuals go by the general rule, maintenance at the liquidation price, everywhere.
        """
        if self.is_spot_margin:
            return self.rule
        if not isolated or (close_fee and self.takes_close_fee):
            return maintenance_and_fee_at_price
        return self.rule

    def call_level(self, leverage: float) -> float | None:
        """The level of the margin call at ``leverage``; None for a perpetual."""
        level = None
        for up_to, at in self.call_levels:
            level = at
            if leverage <= up_to:
                break
        return level

    def call_ratio(self, leverage: float) -> float:
        """The margin ratio (1.0 is liquidation) from which the venue calls at ``leverage``.

        >>> PROFILES["kraken"].call_ratio(3.0)
        0.5
        """
        level = self.call_level(leverage)
        if level is None or self.liquidation_level is None:
            return PERPETUAL_CALL_RATIO
        return self.liquidation_level / level

    def check_leverage(self, leverage: float, setting: str = "leverage") -> None:
        """Raise SettingError, naming the venue, for a ``leverage`` above its cap."""
        if leverage > self.max_leverage:
            raise SettingError(
                f"{setting} {leverage:g} is above the {self.max_leverage:g}x that {self.title} "
                "allows; lower the leverage"
            )

    def cap(self, symbol: str) -> float:
        """The largest leverage of ``symbol`` where no tier table says it."""
        plain = plain_symbol(symbol)
        own = (x for coin, x in self.pair_leverages if plain.startswith(coin))
        return next(own, self.max_leverage)

    def own_table(self, symbol: str) -> TierTable | None:
        """The table of a symbol for which none was given, where Binance's would be wrong.

        Spot margin has no maintenance rate, and Hyperliquid's follows from its own leverages.
        None where the built-in table may stand in.
        """
        if not self.is_spot_margin and self.rule is not half_of_max_leverage:
            return None
        cap = self.cap(symbol)
        rate = 0.0 if self.is_spot_margin else half_of_initial_rate(cap)
        return TierTable.flat(symbol, rate, cap, self.liquidation_fee or 0.0)

    def fit(self, table: TierTable) -> TierTable:
        """``table`` with the venue's cap and its kind of rate; the same one where nothing changes.

        Hyperliquid: half the initial rate at the table's largest leverage. Spot margin: no
        maintenance rate, as the level decides.
        """
        leverages = table.max_leverages
        if not self.pair_may_exceed:
            leverages = tuple(min(x, self.max_leverage) for x in leverages)
        if self.is_spot_margin:
            rate: float | None = 0.0
        elif self.rule is half_of_max_leverage:
            rate = half_of_initial_rate(leverages[0])
        else:
            rate = None
        mmrs, cums = table.mmrs, table.cums
        if rate is not None:
            mmrs, cums = (rate,) * len(mmrs), (0.0,) * len(cums)
        if (leverages, mmrs, cums) == (table.max_leverages, table.mmrs, table.cums):
            return table
        return replace(table, max_leverages=leverages, mmrs=mmrs, cums=cums)


# Fees are those of the lowest volume, without rebates. Sources, looked up 2026-10/11: Binance
# binance.com/en/fee/futureFee and /en/fee/trading; Bybit help centre "Trading Fee Structure"; OKX
# okx.com/fees; KuCoin and Hyperliquid as ccxt 4.5.90 has them (kucoin.com/vip/privilege,
# hyperliquid.gitbook.io trading/fees); Kraken kraken.com/features/fee-schedule.
BINANCE_USDM = VenueProfile(
    name="binanceusdm",
    title="Binance USD-M futures",
    kind=PERPETUAL,
    rule=VENUE_RULES["binanceusdm"],
    rule_said="maintenance margin valued at the liquidation price, in the tier of that price",
    maker=0.0002,
    taker=0.0005,
)  # the cap is the tier table's alone: Binance states it by tier
BYBIT = VenueProfile(
    name="bybit",
    title="Bybit",
    kind=PERPETUAL,
    rule=VENUE_RULES["bybit"],
    rule_said="maintenance margin valued at the entry price",
    maker=0.0002,
    taker=0.00055,
    maintenance_at_entry=True,
    max_leverage=100.0,
)
OKX = VenueProfile(
    name="okx",
    title="OKX",
    kind=PERPETUAL,
    rule=VENUE_RULES["okx"],
    rule_said="maintenance margin valued at the liquidation price, with the fee of the close",
    maker=0.0002,
    taker=0.0005,
    close_fee=True,
    max_leverage=100.0,
)
KUCOIN_FUTURES = VenueProfile(
    name="kucoinfutures",
    title="KuCoin Futures",
    kind=PERPETUAL,
    rule=VENUE_RULES["kucoinfutures"],
    rule_said="position margin less maintenance margin at the entry price; the reserve for the "
    "closing fee is in both and cancels",
    maker=0.0002,
    taker=0.0006,
    maintenance_at_entry=True,
    max_leverage=125.0,
)
# Leverages of Hyperliquid's meta, 2026-09: BTC 40x, ETH 25x, SOL 20x; most others 10x or less. Its
# docs ("Liquidations") state no clearance fee: the closing market order pays the taker fee.
HYPERLIQUID = VenueProfile(
    name="hyperliquid",
    title="Hyperliquid",
    kind=PERPETUAL,
    rule=VENUE_RULES["hyperliquid"],
    rule_said="maintenance margin of half the initial margin at the pair's largest leverage",
    maker=0.00015,
    taker=0.00045,
    max_leverage=40.0,
    pair_leverages=(("BTC", 40.0), ("ETH", 25.0), ("SOL", 20.0), ("", 10.0)),
    liquidation_fee=0.00045,
)
# Opening and rollover 0.02 % for most coins (support.kraken.com 206161568; 0.01 % for bitcoin and
# moving with demand since 2026-02). A liquidation is a market trade and pays the taker fee.
KRAKEN = VenueProfile(
    name="kraken",
    title="Kraken",
    kind=SPOT_MARGIN,
    rule=VENUE_RULES["kraken"],
    rule_said="closed when equity falls to 40 % of the used margin, called at 80 %",
    maker=0.0025,
    taker=0.0040,
    funding=False,
    opening_fee=0.0002,
    rollover_fee=0.0002,
    max_leverage=5.0,
    pair_may_exceed=True,
    call_levels=((math.inf, 0.8),),
    liquidation_level=KRAKEN_LIQUIDATION_LEVEL,
    liquidation_fee=0.0040,
)
# Interest: 0.001 % an hour is the rate of Binance's own worked example (FAQ 360030157812); the real
# one moves every hour. The clearance fee is an assumption: the margin FAQ gives no single figure.
BINANCE_MARGIN = VenueProfile(
    name="binance",
    title="Binance margin",
    kind=SPOT_MARGIN,
    rule=VENUE_RULES["binancemargin"],
    rule_said="closed when assets fall to 110 % of debt and interest, called at 130 % (up to 3x) "
    "or 116 %",
    maker=0.001,
    taker=0.001,
    funding=False,
    interest_hourly=0.00001,
    max_leverage=5.0,
    call_levels=((3.0, 1.3), (math.inf, 1.16)),
    liquidation_level=BINANCE_SPOT_LIQUIDATION_LEVEL,
    liquidation_fee=0.02,
)
PROFILES: Mapping[str, VenueProfile] = MappingProxyType(
    {
        p.name: p
        for p in (
            BINANCE_USDM, BYBIT, OKX, KUCOIN_FUTURES, HYPERLIQUID, KRAKEN, BINANCE_MARGIN,
        )
    }
)  # fmt: skip


def venue_profile(name: str) -> VenueProfile:
    """The profile of a venue by its ccxt id; SettingError with the nearest name otherwise."""
    profile = PROFILES.get(name)
    if profile is None:
        hint = nearest(str(name), PROFILES, f"use one of {', '.join(PROFILES)}")
        raise SettingError(f"venue {name!r} is unknown; {hint}")
    return profile
