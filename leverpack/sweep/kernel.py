"""Kernel: one parameter set over one symbol's candles in one pass.

Three kinds of stretches. Flat, nothing happens until the rule gives a signal: the signals are
scanned. In a position, most candles touch nothing: :func:`quiet_until` skips them, keeping equity,
drawdown and the nearest mark. What is left is walked through in the order of events of the
backtest. The functions are those that Cerebro calls; nothing here knows a formula.
"""

from __future__ import annotations

import math

from leverpack.margin.position import unrealised_pnl
from leverpack.risk.halts import day_is_lost, drawdown_is_full, drawdown_of
from leverpack.risk.watch import CALM, EXIT
from leverpack.sweep.books import end_trade, largest_leverage, seen, side_of, use_table
from leverpack.sweep.candle import refresh, walk
from leverpack.sweep.deciding import action_at, decide, distance_lacks
from leverpack.sweep.records import (
    CLOSE,
    HIGH,
    LEVERAGE_REFUSED,
    LOW,
    MARK_CLOSE,
    MARK_HIGH,
    MARK_LOW,
    RUNNING,
    STILL_OPEN,
    STOPPED,
    MarketColumns,
    Row,
    RuleColumns,
)


def run_set(
    m: MarketColumns, c: RuleColumns, params: Row, state: Row, rungs: Row, trades: Row,
    daily: Row, room: Row,
) -> int:  # fmt: skip
    """Run one set; returns a code, DONE (0) or why Cerebro has to run it instead.

    ``params`` and ``state`` hold one record, ``rungs`` one a part of the position, their shares
    filled in; ``state`` comes in as zeros and leaves with the outcome. ``trades`` gets as many as
    it has room for, ``daily`` the equity at the last close of each UTC day; ``room`` is one trade
    to work in.
    """
    s, p, trade = state[0], params[0], room[0]
    start(s, p, m)
    bars = m.candles.shape[1]
    bar = p.first_bar
    while bar < bars and s.code == 0:
        if s.held == 0.0 and s.entry_size == 0.0:
            bar = next_chance(s, p, m.days, c.signals, bar)
        elif s.held != 0.0 and s.closing == 0 and s.cut_size == 0.0:
            bar = quiet_until(s, p, m, rungs, bar)
        if bar >= bars:
            break
        pass_days(s, m.days, daily, bar)
        refresh(s, m, bar)
        if s.held != 0.0 or s.entry_size != 0.0:
            walk(s, p, m, rungs, trade, bar)
            if s.ended != s.kept:
                keep(s, trades, room)
        decide(s, p, m, c, rungs, bar)
        bar += 1
    finish(s, trade, daily, bars)
    if s.ended != s.kept:
        keep(s, trades, room)
    return int(s.code)


def start(s: Row, p: Row, m: MarketColumns) -> None:
    """Empty books and a deposit."""
    s.wallet = s.equity = s.peak = s.trough = p.cash
    s.leverage = p.start_leverage
    s.liquidation = math.nan
    s.nearest = s.nearest_all = math.inf
    s.observed_day = -1
    use_table(s, m, 0)
    if s.leverage > largest_leverage(s, m.tiers, 0.0):
        s.code = LEVERAGE_REFUSED


def keep(s: Row, trades: Row, room: Row) -> None:
    """Hand a trade over that has ended, where there is room for it."""
    if s.kept < len(trades):
        trades[s.kept] = room[0]
    s.kept = s.ended


def finish(s: Row, trade: Row, daily: Row, bars: int) -> None:
    """Value what is still open, and fill the last days."""
    for day in range(s.day, len(daily)):
        daily[day] = s.equity
    s.drawdown = max(s.drawdown, drawdown_of(s.trough, s.peak))
    if s.held != 0.0:
        s.held_bars += bars - s.trade_bar
        open_profit = unrealised_pnl(s.held, s.entry, s.close)
        end_trade(s, trade, -1, math.nan, open_profit, STILL_OPEN)


def pass_days(s: Row, days: Row, daily: Row, bar: int) -> None:
    """Write down the equity of the days that ended before ``bar``."""
    while days[s.day + 1] <= bar:
        daily[s.day] = s.equity
        s.day += 1


def next_chance(s: Row, p: Row, days: Row, signals: Row, bar: int) -> int:
    """The next bar at which a flat strategy may enter."""
    bars = len(signals)
    if s.halted == STOPPED:
        return bars
    trades_full = p.max_daily_trades > 0 and s.day_trades >= p.max_daily_trades
    if s.halted != RUNNING or trades_full:
        bar = max(bar, days[s.day + 1])  # the pointer stands at the last bar that was looked at
    while bar < bars and signals[bar] == 0:
        bar += 1
    return bar


def quiet_until(s: Row, p: Row, m: MarketColumns, rungs: Row, bar: int) -> int:
    """The next bar at which something may happen; the ones before it only move the equity."""
    for k in range(s.rungs):
        if rungs[k].trailing and rungs[k].stop_alive:
            return bar
    if p.liquidation_stops > 0.0 and distance_lacks(s, p) > 0.0:
        return bar
    end = min(m.candles.shape[1], m.days[s.day + 1])
    if s.funding_at < m.funding.shape[1]:
        end = min(end, int(m.funding[0, s.funding_at]))
    if p.max_bars > 0:
        end = min(end, s.opened_bar + p.max_bars)
    if bar >= end:
        return bar
    if p.monitor:
        return watched_until(s, p, m, rungs, bar, end)
    return unwatched_until(s, p, m, rungs, bar, end)


def bounds(s: Row, rungs: Row) -> tuple[float, float]:
    """The prices within which nothing that rests is touched: exclusive, low and high."""
    low, high = -math.inf, math.inf
    for k in range(s.rungs):
        r = rungs[k]
        if r.stop_alive:
            if s.held > 0.0:
                low = max(low, r.stop)
            else:
                high = min(high, r.stop)
        if r.target_alive:
            if s.held > 0.0:
                high = min(high, r.target)
            else:
                low = max(low, r.target)
    return low, high


def unwatched_until(
    s: Row, p: Row, m: MarketColumns, rungs: Row, first: int, end: int
) -> int:
    """The tight loop: candles from ``first`` on that touch nothing, before ``end``."""
    low, high = bounds(s, rungs)
    lows, highs = m.candles[LOW, first:end], m.candles[HIGH, first:end]
    closes = m.candles[CLOSE, first:end]
    side = side_of(s.held)
    marks = m.candles[MARK_LOW if side > 0.0 else MARK_HIGH, first:end]
    # With the side multiplied in, a mark at or under the liquidation price is beyond it.
    liquidation, worst = side * s.liquidation, math.inf
    wallet, held, entry = s.wallet, s.held, s.entry
    peak, trough, equity = s.peak, s.trough, s.equity
    limited = s.halted == RUNNING and (p.max_daily_loss > 0.0 or p.max_drawdown > 0.0)
    count = len(lows)
    quiet = count
    for i in range(count):
        mark = side * marks[i]
        if lows[i] <= low or highs[i] >= high or mark <= liquidation:
            quiet = i
            break
        value = wallet + held * (closes[i] - entry)
        if value > peak:
            s.drawdown = max(s.drawdown, drawdown_of(trough, peak))
            peak = trough = value
        elif value < trough:
            trough = value
        if limited and (
            day_is_lost(s.day_equity, value, p.max_daily_loss)
            or drawdown_is_full(peak, value, p.max_drawdown)
        ):
            quiet = i
            break
        equity = value
        if mark < worst:
            worst = mark
    s.peak, s.trough, s.equity = peak, trough, equity
    if quiet > 0:
        s.close = closes[quiet - 1]
        seen(s, p, m.tiers, side * worst)
    return first + quiet


def watched_until(s: Row, p: Row, m: MarketColumns, rungs: Row, bar: int, end: int) -> int:
    """The same with the margin monitor looking at every close."""
    while bar < end:
        if unwatched_until(s, p, m, rungs, bar, bar + 1) == bar:
            return bar
        action = action_at(s, p, m.tiers, m.candles[MARK_CLOSE, bar])
        if action == EXIT or (action != CALM and not s.warned):
            return bar
        if action == CALM:
            s.warned = 0
        bar += 1
    return bar
