"""What an instant move of all marks together does to a margin account, and which move breaks it."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from leverpack.margin.account import MarginAccount, Marks

_STEPS = 100  # far more than a line with a few kinks needs
_CLOSE_ENOUGH = 1e-13
_FARTHEST_RISE = 1_024.0  # a thousandfold price; beyond it "no rise does"


@dataclass(frozen=True, slots=True)
class Shocked:
    """The account after a move; money in quote currency. ``liquidated`` in order of closing."""

    equity: float
    liquidated: list[Hashable]
    fees: float
    shortfall: float


def shocked(account: MarginAccount, marks: Marks, move: float) -> Shocked:
    """``account`` with every mark moved at once by the fraction ``move``; it is left as it was.

    There is no price in between: whatever is beyond its liquidation price closes at the moved
    mark, as a candle does that opens there; stops would fill at that price too and change
    nothing but a fee. After each closing the other cross positions are priced anew.
    """
    account = account.copy()
    moved = {key: mark * (1.0 + move) for key, mark in marks.items()}
    fees, insurance = account.costs.liquidation_fees, account.costs.insurance
    liquidated: list[Hashable] = []
    while (key := _beyond(account, moved)) is not None:
        account.liquidate(key, moved[key], moved)
        liquidated.append(key)
    return Shocked(
        account.equity(moved),
        liquidated,
        account.costs.liquidation_fees - fees,
        account.costs.insurance - insurance,
    )


def _beyond(account: MarginAccount, marks: Marks) -> Hashable | None:
    """The first position whose mark is at or beyond its liquidation price; None: all stand."""
    for key, position in account.open_positions():
        price = account.liquidation_price(key, marks)
        if price is not None and position.side * (marks[key] - price) <= 0.0:
            return key
    return None


def liquidating_move(account: MarginAccount, marks: Marks) -> float | None:
    """The smallest instant move of all marks together that liquidates a position.

    Signed fraction: -0.08 is a fall of 8 %. None when flat or when no move does.
    """
    moves: list[float] = []
    crossed = []
    for key, position in account.open_positions():
        if position.isolated:
            moves.append(move_to(position.side, account.liquidation_price(key, marks), marks[key]))
        else:
            crossed.append((key, position))
    if len(crossed) == 1:
        key, position = crossed[0]
        moves.append(move_to(position.side, account.liquidation_price(key, marks), marks[key]))
    elif crossed:
        moves += _cross_moves(account, marks)
    known = [move for move in moves if not math.isnan(move)]
    return min(known, key=abs, default=None)


def move_to(side: float, price: float | None, mark: float) -> float:
    """The signed fraction from ``mark`` to a liquidation price; NaN where no price liquidates.

    0.0 where the mark is beyond it already.
    """
    if price is None or not 0.0 < price < math.inf:
        return math.nan
    move = price / mark - 1.0
    return min(move, 0.0) if side > 0.0 else max(move, 0.0)


def _cross_moves(account: MarginAccount, marks: Marks) -> list[float]:
    """The fall and the rise of all marks at which the cross account fails, where there is one.

    What the account has over its maintenance margin is concave in the move (tiers only get
    dearer), so that there is one root at most on either side.
    """

    def excess(move: float) -> float:
        moved = {key: mark * (1.0 + move) for key, mark in marks.items()}
        maintenance, balance = account.cross_balance(moved)
        return balance - maintenance

    here = excess(0.0)
    if here <= 0.0:
        return [0.0]
    roots = []
    if excess(-1.0) <= 0.0:
        roots.append(_root(excess, 0.0, here, -1.0))
    rise = 1.0
    while excess(rise) > 0.0 and rise < _FARTHEST_RISE:
        rise *= 2.0
    if excess(rise) <= 0.0:
        roots.append(_root(excess, 0.0, here, rise))
    return roots


def _root(f: Callable[[float], float], good: float, at_good: float, bad: float) -> float:
    """Where ``f`` falls to 0 between ``good`` (above 0) and ``bad``: false position, Illinois."""
    at_bad = f(bad)
    nothing = _CLOSE_ENOUGH * at_good
    kept = 0
    for _ in range(_STEPS):
        if at_bad >= -nothing or abs(bad - good) <= _CLOSE_ENOUGH:
            break
        middle = (good * at_bad - bad * at_good) / (at_bad - at_good)
        at = f(middle)
        if abs(at) <= nothing:
            return middle
        if at > 0.0:
            good, at_good = middle, at
            at_bad *= 0.5 if kept < 0 else 1.0
            kept = -1
        else:
            bad, at_bad = middle, at
            at_good *= 0.5 if kept > 0 else 1.0
            kept = 1
    return bad
