"""The margin account: one wallet, isolated and cross positions, every payment booked and checked.

The backtest broker, the sweep and the paper exchange keep their books here. After every event
``equity = deposits + realised + unrealised - fees + funding - interest - liquidation fees +
insurance`` holds to 1e-9 of the money that has moved (``funding`` is signed as cash: what the
account paid is negative).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from leverpack.errors import InvariantError, SettingError
from leverpack.margin.books import Costs, Fill, Liquidation, MarginPosition
from leverpack.margin.funding import funding_cash
from leverpack.margin.liquidation import bankruptcy_price_from_margin, liquidation_price
from leverpack.margin.position import (
    initial_margin_required,
    insurance_needed,
    margin_after_fill,
    position_after_fill,
    realised_pnl,
)
from leverpack.margin.profiles import BINANCE_USDM, VenueProfile
from leverpack.margin.tiers import TierTable
from leverpack.margin.venues import maintenance_and_fee_at_price, maintenance_at_price

Marks = Mapping[Any, float]


class MarginAccount:
    """Keeps one wallet and its positions; keys are whatever the caller names a position by.

    ``profile`` is the venue whose rules hold. ``close_fee`` is the taker fee where the venue
    counts it into its liquidation price (OKX, Gate, Bitget), 0 elsewhere; None: as the profile
    has it.
    """

    __slots__ = ("_moved", "close_fee", "costs", "deposits", "positions", "profile", "wallet")

    def __init__(
        self, deposit: float, *, close_fee: float | None = None,
        profile: VenueProfile = BINANCE_USDM,
    ) -> None:  # fmt: skip
        self.deposits = 0.0
        self.wallet = 0.0
        self.costs = Costs()
        self.positions: dict[Hashable, MarginPosition] = {}
        self.profile = profile
        if close_fee is None:
            close_fee = profile.taker if profile.close_fee else 0.0
        self.close_fee = close_fee
        self._moved = 0.0
        self.deposit(deposit)

    def copy(self) -> MarginAccount:
        """An account of its own with the same books, for asking "what if"."""
        twin = MarginAccount(0.0, close_fee=self.close_fee, profile=self.profile)
        twin.deposits, twin.wallet, twin._moved = self.deposits, self.wallet, self._moved
        twin.costs = replace(self.costs)
        twin.positions = {
            key: replace(p, costs=replace(p.costs)) for key, p in self.positions.items()
        }
        return twin

    # -- settings -------------------------------------------------------------------------------

    def add_position(
        self, key: Hashable, tiers: TierTable, *, leverage: float, isolated: bool
    ) -> MarginPosition:
        """Name a position before its first fill; leverage must suit the venue and the table.

        The table is taken as the venue reads it (:meth:`VenueProfile.fit`).
        """
        tiers = self.profile.fit(tiers)
        self._check_leverage(tiers, leverage, 0.0)
        position = MarginPosition(
            tiers, leverage, isolated, profile=self.profile, close_fee=self.close_fee
        )
        self.positions[key] = position
        return position

    def set_leverage(self, key: Hashable, leverage: float, marks: Marks) -> None:
        """Change the leverage, also of an open position.

        Isolated: a lower leverage takes the missing margin from the wallet, a higher one leaves
        the margin where it is (:meth:`add_margin` with a negative amount takes it out).
        Raises SettingError above the tier's maximum or when the margin for it is not there.
        """
        position = self.positions[key]
        price = marks.get(key, position.entry)
        self._check_leverage(position.tiers, leverage, abs(position.size) * price)
        old, position.leverage = position.leverage, leverage
        if position.size == 0.0:
            return
        if position.isolated:
            lacking = initial_margin_required(position.size, position.entry, leverage)
            lacking -= position.margin
            if lacking > 0.0:
                try:
                    self.add_margin(key, lacking, marks)
                except SettingError:
                    position.leverage = old
                    raise
        elif self.free_margin(marks) < 0.0:
            position.leverage = old
            raise SettingError(
                f"leverage {leverage:g} for {key} needs more margin than the wallet has; "
                "choose a higher one or reduce the position"
            )

    def set_isolated(self, key: Hashable, isolated: bool) -> None:
        """Switch between isolated and cross; venues refuse it on an open position, so does this."""
        position = self.positions[key]
        if position.size != 0.0 and position.isolated != isolated:
            raise SettingError(f"margin mode of {key} cannot change while its position is open")
        position.isolated = isolated

    def _check_leverage(self, tiers: TierTable, leverage: float, notional: float) -> None:
        allowed = tiers.max_leverage(notional)
        if not (math.isfinite(leverage) and leverage > 0.0):
            raise SettingError(f"leverage must be a positive number, not {leverage!r}")
        if leverage > allowed:
            if not self.profile.pair_may_exceed or allowed == self.profile.max_leverage:
                self.profile.check_leverage(leverage)
            where = f" at a notional of {notional:,.2f}" if notional else ""
            if self.profile is not BINANCE_USDM:
                where += f" at {self.profile.title}"
            raise SettingError(
                f"leverage {leverage:g} is above the {allowed:g}x that the tiers of "
                f"{tiers.symbol} allow{where}; lower the leverage"
            )

    # -- what the account is worth ---------------------------------------------------------------

    def open_positions(self) -> Iterator[tuple[Hashable, MarginPosition]]:
        """The positions that are not flat."""
        return ((k, p) for k, p in self.positions.items() if p.size != 0.0)

    def unrealised(self, marks: Marks) -> float:
        """Open profit of all positions, quote."""
        return math.fsum(p.unrealised(marks[k]) for k, p in self.open_positions())

    def equity(self, marks: Marks) -> float:
        """Wallet plus open profit, quote."""
        return self.wallet + self.unrealised(marks)

    def used_margin(self, marks: Marks) -> float:
        """Initial margin locked by all positions, quote."""
        return math.fsum(p.used_margin(marks[k]) for k, p in self.open_positions())

    def maintenance(self, marks: Marks) -> float:
        """Maintenance margin of all positions, quote."""
        return math.fsum(p.maintenance(marks[k]) for k, p in self.open_positions())

    def cross_wallet(self) -> float:
        """Wallet without the isolated margins: what backs the cross positions."""
        locked = 0.0
        for position in self.positions.values():
            locked += position.margin
        return self.wallet - locked

    def free_margin(self, marks: Marks) -> float:
        """What is left to open with: cross wallet + cross open profit - cross initial margin."""
        free = self.cross_wallet()
        for key, position in self.positions.items():
            if position.size and not position.isolated:
                price = marks[key]
                free += position.unrealised(price) - position.used_margin(price)
        return free

    def margin_level(self, marks: Marks) -> float | None:
        """Equity over used margin (1.0 is 100 %); None when flat.

        Spot margin venues have a level of their own, of each isolated position and of the cross
        account; then it is the lowest of them: Kraken's equity over used margin, Binance's assets
        over debt and interest (inf without a debt).
        """
        level = self.profile.liquidation_level
        if level is not None:
            ratio = self.margin_ratio(marks)
            return None if ratio is None else level / ratio if ratio > 0.0 else math.inf
        used = self.used_margin(marks)
        return self.equity(marks) / used if used > 0.0 else None

    def margin_ratio(self, marks: Marks, key: Hashable | None = None) -> float | None:
        """Maintenance margin over margin balance: 1.0 is liquidation; None when flat.

        Of one isolated position, of the cross account (``key`` names a cross position), or,
        without ``key``, the worst of all of them. A balance at or under zero gives inf. Spot
        margin: the liquidation level over the venue's own level, so that 1.0 is liquidation too.
        """
        if key is not None:
            position = self.positions[key]
            if position.size == 0.0:
                return None
            if position.isolated:
                price, owed = marks[key], position.owed(marks[key])
                balance = position.margin + position.unrealised(price)
                return _ratio(position.maintenance(price) + owed, balance + owed)
            return self.cross_ratio(marks)
        ratios = [
            self.margin_ratio(marks, k) for k, p in self.open_positions() if p.isolated
        ]
        ratios.append(self.cross_ratio(marks))
        return max((r for r in ratios if r is not None), default=None)

    def cross_balance(self, marks: Marks) -> tuple[float, float]:
        """Maintenance margin and margin balance of the cross account, quote."""
        balance, maintenance = self.cross_wallet(), 0.0
        for key, position in self.open_positions():
            if not position.isolated:
                balance += position.unrealised(marks[key])
                maintenance += position.maintenance(marks[key])
        return maintenance, balance

    def cross_ratio(self, marks: Marks) -> float | None:
        """Margin ratio of the cross account; None without a cross position."""
        if all(p.isolated for _, p in self.open_positions()):
            return None
        maintenance, balance = self.cross_balance(marks)
        owed = 0.0
        if self.profile.level_of_debt:
            crossed = (p.owed(marks[k]) for k, p in self.open_positions() if not p.isolated)
            owed = math.fsum(crossed)
        return _ratio(maintenance + owed, balance + owed)

    def liquidation_price(self, key: Hashable, marks: Marks) -> float | None:
        """The mark price at which ``key`` is liquidated while the others stay where they are.

        None when flat, 0.0 for a long that no positive price liquidates.
        """
        position = self.positions[key]
        if position.size == 0.0:
            return None
        others_mm = others_pnl = others_owed = 0.0
        wallet = position.margin
        if not position.isolated:
            wallet = self.cross_wallet()
            for other, held in self.open_positions():
                if other != key and not held.isolated:
                    others_mm += held.maintenance(marks[other])
                    others_pnl += held.unrealised(marks[other])
                    others_owed += held.owed(marks[other])
        rule = self.profile.rule_for(position.isolated, self.close_fee)
        if rule not in (maintenance_at_price, maintenance_and_fee_at_price):
            return rule(position.seen_by_venue(wallet, others_mm, others_pnl, others_owed))
        # The solver behind both, at once: several cross positions are priced at every candle.
        table = position.tiers
        return liquidation_price(
            position.side, abs(position.size), position.entry, wallet,
            table.caps, table.mmrs, table.cums, self.close_fee, others_mm, others_pnl,
        )  # fmt: skip

    def liquidation_price_if(
        self, key: Hashable, size: float, entry: float, leverage: float
    ) -> float:
        """The liquidation price that an isolated position would have if it were opened so.

        ``size`` in signed base units at ``entry`` with nothing but its initial margin.
        """
        margin = initial_margin_required(size, entry, leverage)
        position = replace(
            self.positions[key], size=size, entry=entry, leverage=leverage, isolated=True,
            margin=margin,
        )  # fmt: skip
        rule = self.profile.rule_for(True, self.close_fee)
        return rule(position.seen_by_venue(margin, 0.0, 0.0, 0.0))

    def bankruptcy_price(self, key: Hashable) -> float | None:
        """The price at which an isolated position's margin (cross: the wallet) is exactly gone."""
        position = self.positions[key]
        if position.size == 0.0:
            return None
        wallet = position.margin if position.isolated else self.cross_wallet()
        return bankruptcy_price_from_margin(
            position.side, abs(position.size), position.entry, wallet
        )

    # -- events ----------------------------------------------------------------------------------

    def deposit(self, amount: float) -> None:
        """Pay in (or, negative, out) at the wallet."""
        self.deposits += amount
        self._book(amount)

    def margin_shortfall(
        self, key: Hashable, fill: float, price: float, fee: float, marks: Marks
    ) -> float:
        """How much free margin is missing for the opening part of a fill (<= 0: it fits).

        The closing part releases its margin and books its profit first, as the venue does.
        """
        position = self.positions[key]
        _, _, closed, opened = position_after_fill(position.size, position.entry, fill, price)
        if opened == 0.0:
            return 0.0
        released = 0.0
        if closed != 0.0:
            share = abs(closed) / abs(position.size)
            released = realised_pnl(closed, position.entry, price)
            if position.isolated:
                released += position.margin * share
            else:
                mark = marks[key]
                released += share * (position.used_margin(mark) - position.unrealised(mark))
        needed = initial_margin_required(opened, price, position.leverage) + fee
        return needed - released - self.free_margin(marks)

    def fill(self, key: Hashable, fill: float, price: float, fee: float) -> Fill:
        """Book a signed fill with its ``fee`` (quote): open, add, reduce or reverse."""
        p = self.positions[key]
        size, entry, closed, opened = position_after_fill(p.size, p.entry, fill, price)
        realised = realised_pnl(closed, p.entry, price)
        if p.isolated:
            p.margin = margin_after_fill(p.margin, p.size, closed, opened, price, p.leverage)
        p.size, p.entry = size, entry
        for costs in (self.costs, p.costs):
            costs.realised += realised
            costs.fees += fee
        self._book(realised - fee)
        return Fill(closed, opened, realised, fee)

    def add_margin(self, key: Hashable, amount: float, marks: Marks) -> None:
        """Move ``amount`` (quote; negative: out) between wallet and isolated position."""
        position = self.positions[key]
        if not position.isolated or position.size == 0.0:
            raise SettingError(f"margin can only be added to an open isolated position, not {key}")
        if amount > self.free_margin(marks):
            raise SettingError(
                f"adding {amount:,.2f} of margin to {key} needs more than the free margin "
                f"of {self.free_margin(marks):,.2f}"
            )
        least = initial_margin_required(position.size, position.entry, position.leverage)
        if amount < 0.0 and position.margin + amount < least * (1.0 - 1e-12):
            raise SettingError(
                f"taking {-amount:,.2f} of margin from {key} would leave less than its "
                f"initial margin of {least:,.2f}"
            )
        position.margin += amount
        self._book(0.0)

    def settle_funding(self, key: Hashable, mark: float, rate: float) -> float:
        """Book one funding settlement; cash (paid < 0). Isolated margin bears it."""
        p = self.positions[key]
        cash = funding_cash(p.side, abs(p.size), mark, rate)
        if p.isolated:
            p.margin += cash
        for costs in (self.costs, p.costs):
            costs.funding += cash
        self._book(cash)
        return cash

    def charge_interest(self, key: Hashable, amount: float) -> None:
        """Book ``amount`` (quote) of margin interest. Isolated margin bears it."""
        p = self.positions[key]
        if p.isolated:
            p.margin -= amount
        for costs in (self.costs, p.costs):
            costs.interest += amount
        self._book(-amount)

    def liquidate(self, key: Hashable, price: float, marks: Marks) -> Liquidation:
        """Close ``key`` at ``price`` by force, with the table's clearance fee.

        It takes at most the isolated margin (cross: what the cross account is worth with the
        other positions at ``marks``); the insurance fund covers the rest, and that is recorded.
        """
        p = self.positions[key]
        size = p.size
        realised = realised_pnl(-size, p.entry, price)
        fee = abs(size) * price * p.tiers.liquidation_fee
        collateral = p.margin if p.isolated else self._cross_collateral(key, marks)
        shortfall = insurance_needed(collateral, realised, fee)
        p.size = p.entry = p.margin = 0.0
        for costs in (self.costs, p.costs):
            costs.realised += realised
            costs.liquidation_fees += fee
            costs.insurance += shortfall
        self._book(realised - fee + shortfall)
        return Liquidation(size, price, realised, fee, shortfall)

    def _cross_collateral(self, key: Hashable, marks: Marks) -> float:
        others = (
            p.unrealised(marks[k])
            for k, p in self.open_positions()
            if k != key and not p.isolated
        )
        return self.cross_wallet() + math.fsum(others)

    # -- the invariant ---------------------------------------------------------------------------

    def _book(self, cash: float) -> None:
        self.wallet += cash
        self._moved += abs(cash)
        off = self.wallet - (self.deposits + self.costs.net())
        if not abs(off) <= 1e-9 * max(1.0, self._moved):
            raise InvariantError(
                f"the margin account is out of balance by {off!r}: wallet {self.wallet!r}, "
                f"deposits {self.deposits!r}, {self.costs}"
            )


def _ratio(maintenance: float, balance: float) -> float:
    if balance <= 0.0:
        return math.inf
    return maintenance / balance
