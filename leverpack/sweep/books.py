"""Kernel: what fills, funding and liquidation do to the account and to the trade under way."""

from __future__ import annotations

import math

from leverpack.margin.brackets import maintenance_margin, max_leverage_for_notional
from leverpack.margin.funding import funding_cash
from leverpack.margin.liquidation import liquidation_price
from leverpack.margin.position import (
    initial_margin_required,
    insurance_needed,
    margin_after_fill,
    money_noise,
    position_after_fill,
    realised_pnl,
    unrealised_pnl,
)
from leverpack.margin.ratios import is_nearer, liquidation_distance, margin_ratio
from leverpack.sweep.records import (
    CAP,
    CUM,
    LIQUIDATION,
    MAX_LEVERAGE,
    MMR,
    STILL_OPEN,
    MarketColumns,
    Row,
)


def side_of(size: float) -> float:
    """+1.0 long, -1.0 short or flat."""
    return 1.0 if size > 0.0 else -1.0


def use_table(s: Row, m: MarketColumns, bar: int) -> None:
    """Take the tier table that is valid at a bar."""
    last = len(m.tables) - 1
    while last > 0 and m.tables[last, 0] > bar:
        last -= 1
    s.tier_from, s.tier_to = int(m.tables[last, 1]), int(m.tables[last, 2])
    s.clearance_fee = m.tables[last, 3]


def largest_leverage(s: Row, tiers: Row, notional: float) -> float:
    """The largest leverage that the table allows for a notional."""
    a, b = s.tier_from, s.tier_to
    return max_leverage_for_notional(notional, tiers[CAP, a:b], tiers[MAX_LEVERAGE, a:b])


def liquidation_of(
    s: Row, p: Row, tiers: Row, size: float, entry: float, wallet: float
) -> float:
    """The liquidation price of a signed size that ``wallet`` backs."""
    a, b = s.tier_from, s.tier_to
    return liquidation_price(
        side_of(size), abs(size), entry, wallet, tiers[CAP, a:b], tiers[MMR, a:b],
        tiers[CUM, a:b], p.close_fee, 0.0, 0.0,
    )  # fmt: skip


def reprice(s: Row, p: Row, tiers: Row) -> None:
    """Work out the liquidation price anew."""
    if s.held == 0.0:
        s.liquidation = math.nan
        return
    backing = s.margin if p.isolated else s.wallet
    s.liquidation = liquidation_of(s, p, tiers, s.held, s.entry, backing)


def ratio_at(s: Row, p: Row, tiers: Row, price: float) -> float:
    """Margin ratio of the position with the mark at ``price``."""
    a, b = s.tier_from, s.tier_to
    size = abs(s.held)
    needed = maintenance_margin(size * price, tiers[CAP, a:b], tiers[MMR, a:b], tiers[CUM, a:b])
    backing = s.margin if p.isolated else s.wallet
    balance = backing + unrealised_pnl(s.held, s.entry, price)
    return margin_ratio(needed + size * price * p.close_fee, balance)


def free_margin(s: Row, p: Row, mark: float) -> float:
    """What is left to open with."""
    free: float = s.wallet - s.margin
    if s.held != 0.0 and not p.isolated:
        used = initial_margin_required(s.held, mark, s.leverage)
        free += unrealised_pnl(s.held, s.entry, mark) - used
    return free


def seen(s: Row, p: Row, tiers: Row, price: float) -> None:
    """Note how near ``price`` is to the liquidation of the position that meets it."""
    if s.held == 0.0:
        return
    distance = liquidation_distance(side_of(s.held), price, s.liquidation)
    if is_nearer(distance, s.nearest):
        s.nearest = s.trade_nearest = distance
        s.trade_worst = ratio_at(s, p, tiers, price)


def book(s: Row, cash: float) -> None:
    """Move the wallet."""
    s.wallet += cash


def is_refused(s: Row, tiers: Row, size: float, price: float, taker: float) -> bool:
    """Whether leverage or margin forbid to open a signed size at a price."""
    notional = abs(size) * price
    if s.leverage > largest_leverage(s, tiers, notional):
        return True
    needed = initial_margin_required(size, price, s.leverage) + notional * taker
    return bool(needed - s.wallet > money_noise(s.wallet))


def open_position(
    s: Row, p: Row, m: MarketColumns, bar: int, size: float, price: float
) -> None:
    """Fill an entry from flat at the taker fee, and begin its trade."""
    s.before_realised, s.before_fees, s.before_funding = s.realised, s.fees, s.funding
    s.before_liquidation_fee, s.before_insurance = s.liquidation_fee, s.insurance
    fee = abs(size) * price * p.taker
    s.held, s.entry = size, price
    if p.isolated:
        s.margin = margin_after_fill(0.0, 0.0, 0.0, size, price, s.leverage)
    s.fees += fee
    book(s, -fee)
    s.trade_bar, s.trade_side, s.trade_leverage = bar, side_of(size), s.leverage
    s.trade_size, s.trade_entry = abs(size), price
    s.trade_closed = s.trade_value = s.trade_worst = 0.0
    s.trade_nearest = s.nearest = math.inf
    while s.funding_at < m.funding.shape[1] and m.funding[0, s.funding_at] <= bar:
        s.funding_at += 1
    reprice(s, p, m.tiers)


def close_part(
    s: Row, p: Row, tiers: Row, trade: Row, bar: int, size: float, price: float,
    rate: float, reason: int,
) -> None:  # fmt: skip
    """Fill a reduce-only order of ``size`` (> 0) at ``price``, never more than is held."""
    seen(s, p, tiers, price)
    filled = min(size, abs(s.held))
    fee = filled * price * rate
    before = s.held
    after, entry, closed, opened = position_after_fill(
        before, s.entry, -side_of(before) * filled, price
    )
    gained = realised_pnl(closed, s.entry, price)
    if p.isolated:
        s.margin = margin_after_fill(s.margin, before, closed, opened, price, s.leverage)
    s.held, s.entry = after, entry
    s.realised += gained
    s.fees += fee
    book(s, gained - fee)
    s.trade_closed += abs(closed)
    s.trade_value += abs(closed) * price
    if after == 0.0:
        end_trade(s, trade, bar, s.trade_value / s.trade_closed, 0.0, reason)
    reprice(s, p, tiers)


def liquidate(
    s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, bar: int, price: float
) -> None:
    """Close the position by force and take away what rests for it."""
    size = s.held
    gained = realised_pnl(-size, s.entry, price)
    fee = abs(size) * price * s.clearance_fee
    collateral = s.margin if p.isolated else s.wallet
    covered = insurance_needed(collateral, gained, fee)
    s.held = s.entry = s.margin = 0.0
    s.realised += gained
    s.liquidation_fee += fee
    s.insurance += covered
    book(s, gained - fee + covered)
    s.liquidations += 1
    s.trade_nearest, s.trade_worst = 0.0, max(s.trade_worst, 1.0)
    s.trade_closed += abs(size)
    s.trade_value += abs(size) * price
    end_trade(s, trade, bar, s.trade_value / s.trade_closed, 0.0, LIQUIDATION)
    reprice(s, p, tiers)
    for k in range(s.rungs):
        rungs[k].stop_alive = rungs[k].target_alive = 0


def end_trade(
    s: Row, trade: Row, bar: int, exit_price: float, open_profit: float, reason: int
) -> None:
    """Count a trade and write it down; no more than one ends in a candle."""
    realised = s.realised - s.before_realised
    fees, funding = s.fees - s.before_fees, s.funding - s.before_funding
    liquidation_fee = s.liquidation_fee - s.before_liquidation_fee
    insurance = s.insurance - s.before_insurance
    net = realised - fees + funding - liquidation_fee + insurance + open_profit
    s.worst_ratio = max(s.worst_ratio, s.trade_worst)
    s.nearest_all = min(s.nearest_all, s.trade_nearest)
    if reason != STILL_OPEN:
        s.trades += 1
        s.held_bars += bar - s.trade_bar
        if net > 0.0:
            s.wins += 1
            s.won += net
        else:
            s.lost -= net
    t = trade
    t.side, t.quantity, t.leverage = s.trade_side, s.trade_size, s.trade_leverage
    t.entry_price, t.exit_price, t.pnl = s.trade_entry, exit_price, realised + open_profit
    t.fees, t.funding = fees, funding
    t.liquidation_fee, t.insurance = liquidation_fee, insurance
    t.net, t.worst_margin_ratio, t.nearest_liquidation = net, s.trade_worst, s.trade_nearest
    t.entry_bar, t.exit_bar, t.reason = s.trade_bar, bar, reason
    s.ended += 1


def settle_funding(s: Row, p: Row, m: MarketColumns, bar: int) -> None:
    """Book every settlement that is due at the open of a bar."""
    while s.funding_at < m.funding.shape[1] and m.funding[0, s.funding_at] <= bar:
        price, rate = m.funding[1, s.funding_at], m.funding[2, s.funding_at]
        cash = funding_cash(side_of(s.held), abs(s.held), price, rate)
        if p.isolated:
            s.margin += cash
        s.funding += cash
        book(s, cash)
        s.funding_at += 1
        reprice(s, p, m.tiers)
