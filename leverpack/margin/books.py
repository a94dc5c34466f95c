"""The records that the margin account keeps: costs, positions, fills and liquidations."""

from __future__ import annotations

from dataclasses import dataclass, field

from leverpack.margin.interest import borrowed_amount
from leverpack.margin.position import initial_margin_required, unrealised_pnl
from leverpack.margin.profiles import BINANCE_USDM, VenueProfile
from leverpack.margin.tiers import TierTable, maintenance_margin
from leverpack.margin.venues import VenuePosition


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
    """One position: signed ``size`` (base), average ``entry``, isolated ``margin`` (quote).

    ``close_fee`` is the taker fee (fraction) where the maintenance margin contains the close.
    """

    tiers: TierTable
    leverage: float
    isolated: bool
    size: float = 0.0
    entry: float = 0.0
    margin: float = 0.0  # what backs an isolated position; 0 in cross mode
    costs: Costs = field(default_factory=Costs)
    profile: VenueProfile = BINANCE_USDM
    close_fee: float = 0.0

    @property
    def side(self) -> float:
        """+1.0 long, -1.0 short or flat."""
        return 1.0 if self.size > 0.0 else -1.0

    def unrealised(self, price: float) -> float:
        """Open profit at ``price``, quote."""
        return unrealised_pnl(self.size, self.entry, price)

    def maintenance(self, price: float) -> float:
        """The margin balance (quote) at which the venue liquidates, with the mark at ``price``.

        Perpetuals: the maintenance margin, in the tier of the notional where it is valued. Spot
        margin: what the liquidation level asks of the used margin, or beyond the debt.
        """
        profile, table = self.profile, self.tiers
        if profile.liquidation_level is not None:
            if profile.level_of_debt:
                return (profile.liquidation_level - 1.0) * self.owed(price)
            return profile.liquidation_level * self._initial(price)
        size = abs(self.size)
        valued_at = self.entry if profile.maintenance_at_entry and self.isolated else price
        needed = maintenance_margin(size * valued_at, table.caps, table.mmrs, table.cums)
        return needed + size * price * self.close_fee

    def used_margin(self, price: float) -> float:
        """Margin that the position locks: its isolated margin, or the cross initial margin.

        Cross is valued at the mark ``price``; Kraken's longs stay at their entry.
        """
        return self.margin if self.isolated else self._initial(price)

    def _initial(self, price: float) -> float:
        if self.size > 0.0 and self.profile.used_margin_at_entry:
            price = self.entry
        return initial_margin_required(self.size, price, self.leverage)

    def borrowed(self, size: float, price: float) -> float:
        """What ``size`` (base) of the position borrows, quote; a short's coins at ``price``."""
        amount = borrowed_amount(self.side, abs(size), self.entry, self.leverage)
        return amount * price if self.side < 0.0 else amount

    def owed(self, price: float) -> float:
        """Debt and unpaid interest (quote) in a level of assets over debt; 0.0 at other venues.

        Isolated margin below the initial margin is interest that the position still owes; above
        it, money that lies beside the loan.
        """
        if not self.profile.level_of_debt:
            return 0.0
        return self.borrowed(self.size, price) + self._unpaid()

    def _unpaid(self) -> float:
        if not self.isolated:
            return 0.0
        return max(0.0, initial_margin_required(self.size, self.entry, self.leverage) - self.margin)

    def seen_by_venue(
        self, wallet: float, mm_others: float, upnl_others: float, owed_others: float
    ) -> VenuePosition:
        """What the venue's rule needs; ``wallet`` backs the position, others share it (quote)."""
        side, size, table = self.side, abs(self.size), self.tiers
        is_long = side > 0.0
        owed = owed_others + self._unpaid()
        if is_long:
            owed += self.borrowed(size, self.entry)
        initial = initial_margin_required(size, self.entry, self.leverage)
        return VenuePosition(
            side=side, size=size, entry=self.entry, leverage=self.leverage, wallet=wallet,
            caps=table.caps, mmrs=table.mmrs, cums=table.cums, taker_fee=self.close_fee,
            mm_others=mm_others, upnl_others=upnl_others, extra_margin=self.margin - initial,
            max_leverage=table.max_leverages[0], level=self.profile.liquidation_level,
            base_owned=size if is_long else 0.0, base_owed=0.0 if is_long else size,
            # Assets less debts are the wallet and the open profits, at every price.
            quote_owned=wallet + upnl_others + owed - side * size * self.entry, quote_owed=owed,
        )  # fmt: skip


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
