"""The records that the margin account keeps: costs, positions, fills and liquidations."""

from __future__ import annotations

from dataclasses import dataclass, field

from leverpack.margin.position import initial_margin_required, unrealised_pnl
from leverpack.margin.tiers import TierTable, maintenance_margin


@dataclass(slots=True)
class Costs:
    """What was paid and earned so far, in quote currency; ``funding`` is cash (paid < 0)."""

    realised: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    interest: float = 0.0
    liquidation_fees: float = 0.0
    insurance: float = 0.0

    def net(self) -> float:
        """The sum of all of them as it reached the wallet."""
        return (
            self.realised
            - self.fees
            + self.funding
            - self.interest
            - self.liquidation_fees
            + self.insurance
        )


@dataclass(slots=True)
class MarginPosition:
    """One position: signed ``size`` (base), average ``entry``, isolated ``margin`` (quote)."""

    tiers: TierTable
    leverage: float
    isolated: bool
    size: float = 0.0
    entry: float = 0.0
    margin: float = 0.0  # what backs an isolated position; 0 in cross mode
    costs: Costs = field(default_factory=Costs)

    @property
    def side(self) -> float:
        """+1.0 long, -1.0 short or flat."""
        return 1.0 if self.size > 0.0 else -1.0

    def unrealised(self, price: float) -> float:
        """Open profit at ``price``, quote."""
        return unrealised_pnl(self.size, self.entry, price)

    def maintenance(self, price: float) -> float:
        """Maintenance margin at ``price``, quote, in the tier of the notional there."""
        table = self.tiers
        return maintenance_margin(abs(self.size) * price, table.caps, table.mmrs, table.cums)

    def used_margin(self, price: float) -> float:
        """Margin that the position locks: its isolated margin, or cross initial margin at mark."""
        if self.isolated:
            return self.margin
        return initial_margin_required(self.size, price, self.leverage)


@dataclass(frozen=True, slots=True)
class Fill:
    """What a fill did: signed closed and opened parts, realised profit and fee in quote."""

    closed: float
    opened: float
    realised: float
    fee: float


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What a liquidation took: signed ``size``, ``price``, fee, what insurance paid."""

    size: float
    price: float
    realised: float
    fee: float
    shortfall: float
