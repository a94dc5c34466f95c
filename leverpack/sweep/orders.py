"""Kernel: the orders that protect a position, rung by rung, a stop and a target each."""

from __future__ import annotations

import math

from leverpack.margin.inside import limit_touch, stop_touch
from leverpack.risk.exits import (
    break_even_stop,
    rung_size,
    stop_price,
    target_price,
    trail_start,
    trailing_stop,
)
from leverpack.sweep.books import close_part
from leverpack.sweep.records import (
    STOP,
    STOP_AT_ZERO,
    TARGET,
    TRAIL,
    Row,
)

REST_DUST = 1e-9  # of the position: less than this is rounding


def slipped(price: float, slippage: float, is_buy: bool, bound: float) -> float:
    """``price`` worse by ``slippage``, as Backtrader does it: not beyond the candle's ``bound``."""
    if slippage == 0.0:
        return price
    if is_buy:
        return min(price * (1.0 + slippage), bound)
    return max(price * (1.0 - slippage), bound)


def trailed(stop: float, price: float, distance: float, is_buy: bool) -> float:
    """Where a trailing stop goes at ``price``, as Backtrader moves it: never back."""
    if is_buy:
        return min(stop, price + price * distance)
    return max(stop, price - price * distance)


def planned_stop(s: Row, p: Row) -> float:
    """Where the stop rests before anything trails it."""
    stop = stop_price(s.plan_side, s.price, s.stop_distance)
    if not (s.armed and p.break_even):
        return stop
    fee = p.taker * s.price / s.price
    return break_even_stop(s.plan_side, stop, s.price, fee, fee)


def rest(s: Row, p: Row, rungs: Row, bar: int, last_price: float, at_open: bool) -> None:
    """Place the orders of all open rungs anew, made at ``last_price`` within ``bar``."""
    for k in range(s.rungs):
        r = rungs[k]
        if r.done:
            continue
        size = rung_size(s.filled, r.share_before, r.share, 0.0) - r.closed
        before = r.stop
        r.stop_alive = r.target_alive = 0
        if size <= REST_DUST * s.filled:
            continue
        r.since, r.made = bar, last_price
        r.target_from = bar if at_open else bar + 1
        r.stop_tried = r.target_tried = -1
        rest_stop(s, p, r, size, last_price, before)
        goal = target_price(s.plan_side, s.price, r.distance)
        if r.distance != 0.0 and goal != 0.0:
            r.target, r.target_size, r.target_alive = goal, size, 1


def rest_stop(
    s: Row, p: Row, r: Row, size: float, last_price: float, before: float
) -> None:
    """The stop of one rung; it trails once the first target is met, where that is asked."""
    r.stop_size, r.stop_alive = size, 1
    if s.armed and p.trail_pct > 0.0:
        side, distance = s.plan_side, p.trail_pct
        ahead = trail_start(side, trailing_stop(side, last_price, distance, before), distance)
        r.trailing = 1
        r.stop = trailed(side * -math.inf, ahead, distance, side < 0.0)
        return
    r.trailing = 0
    r.stop = planned_stop(s, p)
    if r.stop == 0.0:
        s.code = STOP_AT_ZERO


def resize(s: Row, p: Row, rungs: Row, bar: int, price: float) -> None:
    """Part of the position was closed outside the plan: what rests is cut in proportion."""
    share, held = 0.0, abs(s.held)
    for k in range(s.rungs):
        if not rungs[k].done:
            share += rungs[k].share
            held += rungs[k].closed
    if held != 0.0 and share != 0.0 and held / share < s.filled * (1.0 - REST_DUST):
        s.filled = held / share
        rest(s, p, rungs, bar, price, True)


def start_at(r: Row, bar: int, opening: float) -> float:
    """Where the candle begins for the orders of a rung."""
    return r.made if r.since == bar else opening


def stop_waits(r: Row, bar: int) -> bool:
    """Whether the stop of a rung may still fill in this candle."""
    return bool(r.stop_alive != 0 and r.stop_tried != bar)


def target_waits(r: Row, bar: int) -> bool:
    """Whether the target of a rung may still fill in this candle."""
    return bool(r.target_alive != 0 and r.target_tried != bar and r.target_from <= bar)


def fill_stop(
    s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, k: int, bar: int,
    start: float, at_open: bool,
) -> None:  # fmt: skip
    """The candle from ``start`` takes the stop of rung ``k``."""
    r = rungs[k]
    r.stop_tried = bar
    is_buy = s.plan_side < 0.0
    bound = s.high if is_buy else s.low
    touched = stop_touch(is_buy, r.stop, start, s.high, s.low)
    if touched is None:
        return
    price = slipped(touched, p.slippage, is_buy, bound)
    reason = TRAIL if r.trailing else STOP
    close_part(s, p, tiers, trade, bar, r.stop_size, price, p.taker, reason)
    exit_filled(s, p, rungs, k, False, bar, price, at_open)


def fill_target(
    s: Row, p: Row, tiers: Row, rungs: Row, trade: Row, k: int, bar: int,
    start: float, at_open: bool,
) -> None:  # fmt: skip
    """The candle from ``start`` takes the target of rung ``k``, which pays the maker fee."""
    r = rungs[k]
    r.target_tried = bar
    is_buy = s.plan_side < 0.0
    if limit_touch(is_buy, r.target, start, s.high, s.low) is None:
        return
    price = r.target
    if start <= r.target if is_buy else start >= r.target:
        bound = min(s.high, r.target) if is_buy else r.target
        price = slipped(start, p.slippage, is_buy, bound)
    close_part(s, p, tiers, trade, bar, r.target_size, price, p.maker, TARGET)
    exit_filled(s, p, rungs, k, True, bar, price, at_open)


def exit_filled(
    s: Row, p: Row, rungs: Row, k: int, by_target: bool, bar: int, price: float,
    at_open: bool,
) -> None:  # fmt: skip
    """One order of a rung has filled: the other goes, and the first target moves the stops."""
    r = rungs[k]
    r.closed = r.target_size if by_target else r.stop_size
    r.done = 1
    r.stop_alive = r.target_alive = 0
    if by_target and not s.armed:
        s.armed = 1
        if p.trail_pct > 0.0 or p.break_even:
            rest(s, p, rungs, bar, price, at_open)
    if s.held == 0.0:
        drop_plan(s, rungs)


def drop_plan(s: Row, rungs: Row) -> None:
    """The position is gone: whatever still rests goes too."""
    for k in range(s.rungs):
        rungs[k].stop_alive = rungs[k].target_alive = 0
    s.has_plan = 0
