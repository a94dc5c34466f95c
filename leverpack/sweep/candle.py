"""Kernel: one candle, in the order of events of leverpack.backtest.matching."""

from __future__ import annotations

from leverpack.margin.inside import event_key, forced_key, limit_touch, stop_touch
from leverpack.sweep.books import (
    close_part,
    is_refused,
    liquidate,
    open_position,
    seen,
    settle_funding,
    use_table,
)
from leverpack.sweep.orders import (
    drop_plan,
    fill_stop,
    fill_target,
    resize,
    rest,
    slipped,
    start_at,
    stop_waits,
    target_waits,
    trailed,
)
from leverpack.sweep.records import (
    CLOSE,
    CUT,
    HIGH,
    LOW,
    MARK_CLOSE,
    MARK_HIGH,
    MARK_LOW,
    MARK_OPEN,
    OHLC,
    OPEN,
    WORST,
    MarketColumns,
    Row,
)

NOTHING = -1  # is met any more


def refresh(s: Row, m: MarketColumns, bar: int) -> None:
    """Take in a candle."""
    c = m.candles
    s.open, s.high, s.low, s.close = c[OPEN, bar], c[HIGH, bar], c[LOW, bar], c[CLOSE, bar]
    s.mark_open, s.mark_high = c[MARK_OPEN, bar], c[MARK_HIGH, bar]
    s.mark_low, s.mark_close = c[MARK_LOW, bar], c[MARK_CLOSE, bar]


def walk(s: Row, p: Row, m: MarketColumns, rungs: Row, trade: Row, bar: int) -> None:
    """All that the broker does with a candle."""
    tiers = m.tiers
    if s.entry_size != 0.0 and is_refused(s, tiers, s.entry_size, s.entry_reference, p.taker):
        take_back(s)
    if s.held != 0.0:
        settle_funding(s, p, m, bar)
    if s.entry_size != 0.0:
        enter_at_open(s, p, m, rungs, bar)
    leave_at_open(s, p, tiers, rungs, trade, bar)
    liquidate_at_open(s, p, tiers, rungs, trade, bar)
    passed_at_open(s, p, tiers, rungs, trade, bar)
    inside(s, p, tiers, rungs, trade, bar)
    if s.held != 0.0:
        trail(s, p, rungs, bar)
        seen(s, p, tiers, s.mark_low if s.held > 0.0 else s.mark_high)


def take_back(s: Row) -> None:
    """The entry under way was refused."""
    s.entry_size = 0.0
    s.has_plan = 0
    s.refused += 1


def enter_at_open(s: Row, p: Row, m: MarketColumns, rungs: Row, bar: int) -> None:
    """The entry, at the table of the day, with its protective orders."""
    size, is_buy = s.entry_size, s.entry_size > 0.0
    price = slipped(s.open, p.slippage, is_buy, s.high if is_buy else s.low)
    use_table(s, m, bar)
    if is_refused(s, m.tiers, size, price, p.taker):
        take_back(s)
        return
    s.entry_size = 0.0
    open_position(s, p, m, bar, size, price)
    s.opened_bar = bar
    s.day_trades += 1
    s.filled, s.price = abs(size), price
    rest(s, p, rungs, bar, price, True)


def leave_at_open(s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, bar: int) -> None:
    """The market exits that the last close sent: first the close, then a cut."""
    if s.closing:
        close_part(s, p, tiers, trade, bar, abs(s.held), exit_price(s, p), p.taker, s.closing)
        s.closing = 0
        drop_plan(s, rungs)
    if s.cut_size != 0.0:
        if s.held != 0.0:
            price = exit_price(s, p)
            close_part(s, p, tiers, trade, bar, s.cut_size, price, p.taker, CUT)
            if s.held != 0.0:
                resize(s, p, rungs, bar, price)
            else:
                drop_plan(s, rungs)
        s.cut_size = 0.0


def exit_price(s: Row, p: Row) -> float:
    """What a market exit gets at the open."""
    is_buy = s.held < 0.0
    return slipped(s.open, p.slippage, is_buy, s.high if is_buy else s.low)


def liquidate_at_open(s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, bar: int) -> None:
    """Where the mark opens beyond the liquidation price."""
    if s.held == 0.0:
        return
    if s.mark_open <= s.liquidation if s.held > 0.0 else s.mark_open >= s.liquidation:
        liquidate(s, p, tiers, rungs, trade, bar, s.mark_open)


def liquidates_inside(s: Row) -> bool:
    """Whether the mark candle reaches the liquidation price."""
    if s.held == 0.0:
        return False
    if s.held > 0.0:
        return bool(s.mark_low <= s.liquidation)
    return bool(s.mark_high >= s.liquidation)


def as_sent(s: Row, p: Row) -> bool:
    """Whether orders are met in the order they were sent: Backtrader's way, without leverage."""
    return s.leverage == 1.0 and p.intrabar == WORST and not liquidates_inside(s)


def passed_at_open(s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, bar: int) -> None:
    """Stops and targets from earlier candles that the open has passed."""
    if s.has_plan == 0:
        return
    is_buy = s.plan_side < 0.0
    for k in range(s.rungs):
        r = rungs[k]
        if r.since == bar:
            continue
        passed = s.open >= r.stop if is_buy else s.open <= r.stop
        if passed and stop_waits(r, bar) and not as_sent(s, p):
            fill_stop(s, p, tiers, rungs, trade, k, bar, s.open, True)
        passed = r.target >= s.open if is_buy else r.target <= s.open
        if passed and r.since != bar and target_waits(r, bar) and not as_sent(s, p):
            fill_target(s, p, tiers, rungs, trade, k, bar, s.open, True)


def inside(s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, bar: int) -> None:
    """What the candle meets on its way, liquidation included, one event after the other."""
    if s.has_plan == 0:
        return
    falls_first = s.held > 0.0 if p.intrabar == WORST else p.intrabar != OHLC
    while True:
        met = next_met(s, p, rungs, bar, falls_first)
        if met == NOTHING:
            return
        k = met // 2
        if k == s.rungs:
            liquidate(s, p, tiers, rungs, trade, bar, s.liquidation)
        elif met % 2 == 0:
            start = start_at(rungs[k], bar, s.open)
            fill_stop(s, p, tiers, rungs, trade, k, bar, start, False)
        else:
            start = start_at(rungs[k], bar, s.open)
            fill_target(s, p, tiers, rungs, trade, k, bar, start, False)


def next_met(s: Row, p: Row, rungs: Row, bar: int, falls_first: bool) -> int:
    """What comes first: twice the rung for its stop, one more for its target, after all rungs
    liquidation; NOTHING."""
    best, best_key = NOTHING, (2, 0.0)
    is_buy = s.plan_side < 0.0
    by_time = s.held != 0.0 and not as_sent(s, p)
    for k in range(s.rungs):
        r = rungs[k]
        start = start_at(r, bar, s.open)
        if stop_waits(r, bar):
            price = stop_touch(is_buy, r.stop, start, s.high, s.low)
            if price is not None:
                if not by_time:
                    return 2 * k
                key = event_key(price, s.open, falls_first)
                if key < best_key:
                    best, best_key = 2 * k, key
        if target_waits(r, bar):
            price = limit_touch(is_buy, r.target, start, s.high, s.low)
            if price is not None:
                if not by_time:
                    return 2 * k + 1
                key = event_key(price, s.open, falls_first)
                if key < best_key:
                    best, best_key = 2 * k + 1, key
    if liquidates_inside(s) and forced_key(s.liquidation, s.open, falls_first) < best_key:
        return int(2 * s.rungs)
    return best


def trail(s: Row, p: Row, rungs: Row, bar: int) -> None:
    """Trailing stops follow the close."""
    is_buy = s.plan_side < 0.0
    for k in range(s.rungs):
        r = rungs[k]
        if r.trailing and stop_waits(r, bar):
            r.stop = trailed(r.stop, s.close, p.trail_pct, is_buy)
