"""Kernel: what the strategy decides at a close, as strategies.base and its mixins do."""

from __future__ import annotations

import math

from leverpack.margin.position import initial_margin_required
from leverpack.risk.caps import allowed_size
from leverpack.risk.exits import stop_price, time_is_up
from leverpack.risk.halts import day_is_lost, drawdown_is_full, drawdown_of
from leverpack.risk.leverage import (
    liquidation_distance_cap,
    model_leverage,
    portfolio_leverage_cap,
    smaller_leverage,
)
from leverpack.risk.sizing import (
    affordable_size,
    confidence_multiplier,
    tradable_size,
    wanted_size,
)
from leverpack.risk.watch import (
    CALM,
    EXIT,
    WARN,
    distance_share,
    is_far_enough,
    lacking_margin,
    margin_action,
)
from leverpack.sweep.books import (
    free_margin,
    largest_leverage,
    liquidation_of,
    ratio_at,
    reprice,
    use_table,
)
from leverpack.sweep.orders import drop_plan
from leverpack.sweep.records import (
    CAP,
    CUM,
    EMERGENCY,
    LEVERAGE_REFUSED,
    MARGIN,
    MMR,
    NEAR,
    NOT_HALVED,
    RUNNING,
    STOPPED,
    STOPPED_FOR_THE_DAY,
    TIME,
    MarketColumns,
    Row,
    RuleColumns,
)

MODEL_COUNT = 4


def decide(s: Row, p: Row, m: MarketColumns, c: RuleColumns, rungs: Row, bar: int) -> None:
    """Everything that ``next`` does: limits, the open position, or an entry."""
    if s.has_plan and s.held == 0.0:  # it was liquidated
        drop_plan(s, rungs)
    observe(s, p)
    if s.halted:
        leave(s, EMERGENCY)
    if s.held != 0.0:
        tend(s, p, m.tiers, bar)
    elif not s.halted and c.signals[bar] != 0:
        enter(s, p, m, c, rungs, bar)


def observe(s: Row, p: Row) -> None:
    """Take in the equity at the close, as leverpack.risk.limits.LimitBook.observe does."""
    s.equity = s.wallet + s.held * (s.close - s.entry)
    if s.day != s.observed_day:
        s.observed_day, s.day_equity, s.day_trades = s.day, s.equity, 0
        if s.halted == STOPPED_FOR_THE_DAY:
            s.halted = RUNNING
    meet_equity(s, s.equity)
    if s.halted:
        return
    if day_is_lost(s.day_equity, s.equity, p.max_daily_loss):
        s.halted = STOPPED_FOR_THE_DAY
    elif drawdown_is_full(s.peak, s.equity, p.max_drawdown):
        s.halted = STOPPED


def meet_equity(s: Row, equity: float) -> None:
    """Keep the highest equity, the lowest since, and the deepest drawdown."""
    if equity > s.peak:
        s.drawdown = max(s.drawdown, drawdown_of(s.trough, s.peak))
        s.peak = s.trough = equity
    elif equity < s.trough:
        s.trough = equity


def leave(s: Row, reason: int) -> None:
    """Close at the next open, unless that is under way."""
    if s.held != 0.0 and s.closing == 0:
        s.closing = reason


def tend(s: Row, p: Row, tiers: Row, bar: int) -> None:
    """Look after an open position."""
    if p.liquidation_stops > 0.0:
        keep_distance(s, p, tiers)
    if time_is_up(bar - s.opened_bar, p.max_bars):
        leave(s, TIME)
    if p.monitor:
        monitor(s, p, tiers)


def distance_lacks(s: Row, p: Row) -> float:
    """Margin that is missing for the distance to liquidation; 0.0: none."""
    stop = stop_price(s.plan_side, s.price, s.stop_distance)
    return lacking_margin(
        s.plan_side, stop, s.liquidation, s.stop_distance, p.liquidation_stops, abs(s.held)
    )


def keep_distance(s: Row, p: Row, tiers: Row) -> None:
    """Put back what funding has eaten of the distance to liquidation, or leave."""
    lacking = distance_lacks(s, p)
    if lacking == 0.0:
        return
    if p.isolated and lacking <= free_margin(s, p, s.mark_close):
        s.margin += lacking
        reprice(s, p, tiers)
    else:
        leave(s, NEAR)


def action_at(s: Row, p: Row, tiers: Row, mark: float) -> int:
    """What the margin monitor asks for with the mark at ``mark``."""
    share = 1.0
    if s.liquidation != 0.0:
        share = distance_share(s.plan_side, mark, s.liquidation, s.first_distance)
    ratio = ratio_at(s, p, tiers, mark)
    return margin_action(ratio, share, p.warn_ratio, p.exit_ratio, p.warn_share, p.exit_share)


def monitor(s: Row, p: Row, tiers: Row) -> None:
    """Cut once an episode, leave before the exchange would."""
    if s.liquidation != 0.0 and s.first_distance == 0.0:
        s.first_distance = s.plan_side * (s.price - s.liquidation)
    action = action_at(s, p, tiers, s.mark_close)
    if action == EXIT:
        leave(s, MARGIN)
    elif action == WARN and not s.warned:
        s.warned = 1
        s.cut_size = abs(s.held) * p.cut_fraction
    elif action == CALM:
        s.warned = 0


# -- entering ------------------------------------------------------------------------------------


def enter(s: Row, p: Row, m: MarketColumns, c: RuleColumns, rungs: Row, bar: int) -> None:
    """Size an entry by the rules and send it for the next open, or leave it."""
    side, price = float(c.signals[bar]), s.close
    if p.max_daily_trades > 0 and s.day_trades >= p.max_daily_trades:
        return
    distance, target = price * p.stop_loss_pct, price * p.take_profit_pct
    if p.atr_stop > 0.0:
        distance = c.atr[bar] * p.atr_stop
        target = distance * p.reward
    scale = 1.0
    if len(c.confidence):
        scale = confidence_multiplier(c.confidence[bar], p.min_confidence)
    if not distance > 0.0 or not scale > 0.0:
        return
    decided = decided_leverage(s, p, c, side, bar)
    if decided > 0.0 and not p.auto_set_leverage:
        decided = s.leverage
    if not decided > 0.0:
        return
    size = sized(s, p, m, side, price, distance, decided, scale, bar)
    if size > 0.0 and s.code == 0:
        plan_entry(s, rungs, side * size, price, distance, target)


def decided_leverage(s: Row, p: Row, c: RuleColumns, side: float, bar: int) -> float:
    """The leverage that this entry should have, before the caps."""
    if p.models == 0:
        wanted = smaller_leverage(p.leverage, p.max_leverage)
        return float(min(wanted, p.leverage_cap))
    leverage: float = p.max_leverage
    for model in range(MODEL_COUNT):
        if p.models >> model & 1:
            mean = c.mean[bar] if len(c.mean) else math.nan
            square = c.mean_square[bar] if len(c.mean_square) else math.nan
            says = model_leverage(
                model, p.base_leverage, side, drawdown_of(s.equity, s.peak), p.drawdown_limit,
                c.volatility[bar], p.volatility_threshold, p.volatility_target, c.adx[bar],
                mean, square, p.kelly_fraction,
            )  # fmt: skip
            leverage = smaller_leverage(leverage, says)
    return leverage


def sized(
    s: Row, p: Row, m: MarketColumns, side: float, price: float, distance: float,
    decided: float, scale: float, bar: int,
) -> float:  # fmt: skip
    """Base units to enter with, 0.0 for none; the leverage is set on the way."""
    size = wanted(s, p, price, distance, decided) * scale
    capped = capped_leverage(s, p, m, side, price, size, distance, decided, bar)
    if capped < decided:
        size = min(size, wanted(s, p, price, distance, capped) * scale)
    if not capped > 0.0 or s.code != 0 or not set_leverage(s, p, m.tiers, max(1.0, capped)):
        return 0.0
    size, _ = allowed_size(
        size, price, distance, s.leverage, s.equity, 0.0, 0.0, p.max_risk_per_trade, p.max_stake,
        p.max_notional_per_trade, p.max_notional_per_symbol, p.max_gross_exposure,
        p.max_portfolio_leverage,
    )  # fmt: skip
    free = s.wallet * (1.0 - p.margin_reserve)
    size = min(size, affordable_size(free, price, s.leverage, p.taker * price / price))
    return tradable_size(size, price, 0.0, p.min_notional)


def wanted(s: Row, p: Row, price: float, distance: float, leverage: float) -> float:
    """Base units by the way of sizing."""
    return wanted_size(
        p.sizing, s.equity, p.risk_per_trade, p.stake, p.equity_fraction, price, distance, leverage
    )


def capped_leverage(
    s: Row, p: Row, m: MarketColumns, side: float, price: float, size: float,
    distance: float, leverage: float, bar: int,
) -> float:  # fmt: skip
    """``leverage`` under the caps of portfolio, tier and liquidation distance."""
    cap = portfolio_leverage_cap(p.max_portfolio_leverage, s.equity, 0.0)
    leverage = min(leverage, cap) if cap > 0.0 else 0.0
    if p.liquidation_stops == 0.0:
        return leverage
    use_table(s, m, bar)
    tiers, a, b = m.tiers, s.tier_from, s.tier_to
    far = liquidation_distance_cap(
        side, size, price, distance, p.liquidation_stops, tiers[CAP, a:b], tiers[MMR, a:b],
        tiers[CUM, a:b], p.taker * price / price,
    )  # fmt: skip
    leverage = min(leverage, far, largest_leverage(s, tiers, size * price))
    if leverage <= 1.0 or size <= 0.0:
        return leverage
    margin = initial_margin_required(size, price, leverage)
    there = liquidation_of(s, p, tiers, side * size, price, margin)
    if not is_far_enough(side, price, there, distance, p.liquidation_stops):
        s.code = NOT_HALVED
    return leverage


def set_leverage(s: Row, p: Row, tiers: Row, leverage: float) -> bool:
    """Set it, or compare with the one that stands; False: nothing may be opened."""
    if not p.auto_set_leverage:
        return bool(s.leverage <= leverage)
    if s.leverage != leverage:
        if leverage > largest_leverage(s, tiers, 0.0):
            s.code = LEVERAGE_REFUSED
            return False
        s.leverage = leverage
    return True


def plan_entry(
    s: Row, rungs: Row, signed_size: float, price: float, distance: float, target: float
) -> None:
    """Send the entry, and plan how it is to be left."""
    s.entry_size, s.entry_reference = signed_size, price
    s.has_plan, s.plan_side = 1, 1.0 if signed_size > 0.0 else -1.0
    s.stop_distance, s.filled, s.price, s.first_distance = distance, 0.0, 0.0, 0.0
    s.armed = s.warned = 0
    for k in range(s.rungs):
        r = rungs[k]
        r.closed, r.stop, r.done, r.trailing = 0.0, 0.0, 0, 0
        r.stop_alive = r.target_alive = 0
        r.since = -1
        r.distance = target if s.single_target else r.part * price
