"""What the audit reads from a venue, and what it says of it: plain records."""

from __future__ import annotations

from dataclasses import dataclass, field

from leverpack.margin.ratios import effective_leverage, liquidation_distance
from leverpack.margin.tiers import TierTable
from leverpack.risk.exposure import Exposure

ISOLATED, CROSS, ANY = "isolated", "cross", "any"


@dataclass(frozen=True, slots=True)
class Leg:
    """One open position, or one leg of it in hedge mode.

    ``size`` in base units (short < 0); ``margin`` the isolated wallet (quote), None for cross;
    ``liquidation`` the venue's own liquidation price (None: no price liquidates it).
    """

    size: float
    mark: float
    unrealised: float
    margin: float | None
    liquidation: float | None

    @property
    def notional(self) -> float:
        """Signed notional at the mark price, quote."""
        return self.size * self.mark

    def effective(self, cross_equity: float | None) -> float | None:
        """Notional over the equity that backs it: its own margin, or the cross account's."""
        behind = cross_equity if self.margin is None else self.margin + self.unrealised
        return None if behind is None else effective_leverage(abs(self.notional), behind)

    @property
    def distance(self) -> float | None:
        """How far the mark may move until liquidation, a fraction of it; None: no such price."""
        if self.liquidation is None:
            return None
        return liquidation_distance(1.0 if self.size > 0.0 else -1.0, self.mark, self.liquidation)


@dataclass(slots=True)
class Found:
    """What the venue says of one symbol; None is what it does not say, the problems say why."""

    symbol: str
    leverage: float | None = None
    margin_mode: str | None = None
    hedged: bool | None = None
    tiers: TierTable | None = None
    legs: list[Leg] = field(default_factory=list)
    problem: str = ""
    tiers_problem: str = ""

    @property
    def notional(self) -> float:
        """Notional of all legs, quote, never negative."""
        return sum(abs(leg.notional) for leg in self.legs)

    @property
    def net(self) -> float:
        """Long less short notional, quote."""
        return sum(leg.notional for leg in self.legs)

    @property
    def tier_max(self) -> float | None:
        """The highest leverage that the tiers allow at this notional."""
        return None if self.tiers is None else self.tiers.max_leverage(self.notional)


@dataclass(slots=True)
class Account:
    """What the venue says of an account: by symbol, and its equity in quote currency."""

    found: dict[str, Found]
    equity: float | None

    @property
    def cross_equity(self) -> float | None:
        """Equity (quote) less what isolated positions have of their own."""
        if self.equity is None:
            return None
        legs = [leg for f in self.found.values() for leg in f.legs]
        return self.equity - sum(x.margin + x.unrealised for x in legs if x.margin is not None)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One symbol of an audit; leverages in x, money in quote currency, distances as fractions.

    ``leverage`` is what the venue has, ``decided`` what it should have (the target, or the
    highest that the tiers allow). ``effective_leverage`` is the notional at mark over the equity
    behind it, ``liquidation_distance`` the move of the mark that liquidates (the nearest leg);
    both are None when flat or unknown. ``reason`` says what is wrong, "" when nothing is.
    """

    symbol: str
    status: str
    leverage: float | None
    decided: float
    tier_max: float | None
    margin_mode: str | None
    position_mode: str | None
    notional: float
    net: float
    effective_leverage: float | None
    liquidation_price: float | None
    liquidation_distance: float | None
    reason: str

    @property
    def margin(self) -> float:
        """Initial margin (quote) that the notional locks at the leverage there is."""
        return self.notional / self.leverage if self.leverage else 0.0


@dataclass(frozen=True, slots=True)
class Audit:
    """One look at an account: its rows, the exposure of all positions, the limits passed.

    ``time`` epoch ms UTC; ``exposure_decided`` is what the margin locked in the rows would carry
    at the decided leverage (quote).
    """

    exchange: str
    time: int
    rows: list[AuditRow]
    exposure: Exposure
    exposure_decided: float
    equity: float | None
    breaches: list[str]

    @property
    def in_bounds(self) -> bool:
        """Whether every symbol is OK and no limit is passed."""
        return not self.breaches and all(row.status == "OK" for row in self.rows)
