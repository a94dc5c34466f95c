"""Protective orders that follow an entry: stop, ladder of targets, trailing, break-even, time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt

from leverpack.risk.exits import (
    break_even_stop,
    rung_size,
    stop_price,
    target_price,
    time_is_up,
    trail_start,
    trailing_stop,
)
from leverpack.risk.sizing import SMALLEST_AMOUNT

DUST = 1e-9  # of the position: less than this is rounding
_REFUSED = (bt.Order.Margin, bt.Order.Rejected)


def ladder_steps(
    targets: Sequence[tuple[float, float]],
) -> list[tuple[float, float, float]]:
    """(target, share before it, share) of each part; the last has no target where shares are left.

    >>> ladder_steps([(0.06, 0.5), (0.1, 0.25)])
    [(0.06, 0.0, 0.5), (0.1, 0.5, 0.25), (0.0, 0.75, 0.25)]
    """
    steps, before = [], 0.0
    for target, share in targets:
        steps.append((target, before, share))
        before += share
    if before < 1.0 - 1e-9:
        steps.append((0.0, before, 1.0 - before))
    return steps


@dataclass(slots=True)
class Rung:
    """One part of a position with its own target and stop; either fills, the other goes."""

    target_distance: float  # quote currency from the executed price; 0: no target, only a stop
    share_before: float
    share: float
    stop: Any = None
    target: Any = None
    closed: float = 0.0  # base units that it has closed so far
    done: bool = False
    fills: dict[int, float] = field(default_factory=dict)  # of these, by which order (reference)

    def note(self, order: Any) -> None:
        """Take in what one of its orders has filled so far."""
        if order.executed.size:
            self.fills[order.ref] = abs(order.executed.size)
            self.closed = sum(self.fills.values())

    def orders(self) -> list[Any]:
        """Those of its two orders that still rest."""
        return [o for o in (self.stop, self.target) if o is not None and o.alive()]


@dataclass(slots=True)
class Plan:
    """How one position is to be left; prices follow from what the entry really filled at."""

    data: Any
    side: float
    stop_distance: float  # quote currency from the executed price
    rungs: list[Rung]
    filled: float = 0.0  # base units that entries have filled, less what others have closed
    heard: float = 0.0  # base units that entries have filled, as far as was told
    price: float = 0.0  # their average price
    opened_bar: int = 0
    armed: bool = False  # the first target has been met
    first_distance: float = 0.0  # from the entry to its liquidation price, when first seen; quote
    warned: bool = False  # in an episode of short margin
    entries: set[int] = field(default_factory=set)  # references of its entry orders
    key: str = ""  # of a live run's plan: its orders carry it
    opened_at: float = 0.0  # time of the candle that the entry fills in, Backtrader's days
    resumed: bool = False  # of an earlier run; in which of this run's candles is not known yet

    @property
    def stop(self) -> float:
        """Where the stop rests before anything moves it, quote."""
        return stop_price(self.side, self.price, self.stop_distance)


class Protection:
    """Mixin of LeverageStrategy: rests reduce-only orders that never sum to more than is held.

    Each rung is a pair of a stop and a target of one size; what one has closed is taken from the
    other. When the first target is met, the stops of the others are replaced: by
    trailing ones (``trail_pct``) or at break-even (``break_even``).
    """

    p: Any
    broker: Any
    _plans: dict[int, Plan]  # by id of the feed
    _exit_of: dict[int, tuple[Plan, Rung]]  # by order reference

    def _ladder(self, target_distance: float, price: float) -> list[Rung]:
        """The rungs of a new plan: ``targets`` (fraction of the price, share) or the one target.

        What the shares leave over is a last rung that only has a stop.
        """
        steps = [(part * price, share) for part, share in self.p.targets]
        return [Rung(*step) for step in ladder_steps(steps or [(target_distance, 1.0)])]

    # -- what fills tell -------------------------------------------------------------------------

    def notify_fill(self, order: Any) -> None:
        """An order has just filled, wholly or in part: its protective orders follow now.

        The margin broker and the live broker call it at the moment of the fill; with others
        ``notify_order`` leads here one candle later.
        """
        plan = self._plans.get(id(order.data))
        if plan is not None and order.ref in plan.entries:
            self._entry_filled(plan, order)
        elif order.ref in self._exit_of:
            self._exit_filled(order)
        elif plan is not None and plan.filled:
            self._resize(plan, order.executed.price)
        if plan is not None and plan.filled and not self._held(order.data):
            self._finish(plan)
        self.save_plans()

    def save_plans(self) -> None:
        """Write the plans where they have changed; see Resuming."""

    def note_opening(self, plan: Plan) -> None:
        """The entry has filled, in candle ``plan.opened_bar``."""

    def _entry_filled(self, plan: Plan, order: Any) -> None:
        filled = abs(order.executed.size)
        if filled <= plan.heard * (1.0 + 1e-12):
            return  # heard of before
        if not plan.filled:
            if not plan.resumed:
                # Live, a fill is heard of before the candle that it belongs to has closed.
                plan.opened_bar = order.info.get("fill_bar") or len(order.data)
                self.note_opening(plan)
            self.entry_counted()
        plan.filled = plan.heard = filled
        plan.price = order.executed.price
        self._rest(plan, plan.price)

    def _resize(self, plan: Plan, price: float) -> None:
        """Part of the position was closed outside the plan: what rests is cut in proportion."""
        left = [rung for rung in plan.rungs if not rung.done]
        share = sum(rung.share for rung in left)
        held = abs(self._held(plan.data)) + sum(rung.closed for rung in left)
        if held and share and held / share < plan.filled * (1.0 - 1e-9):
            plan.filled = held / share
            self._rest(plan, price)

    def entry_counted(self) -> None:
        """A position has been opened; the limits count it."""

    def _exit_filled(self, order: Any) -> None:
        plan, rung = self._exit_of[order.ref]
        if rung.done:
            return
        rung.note(order)
        # By reference: what comes through notify_order is a copy.
        by_target = rung.target is not None and order.ref == rung.target.ref
        partner = rung.stop if by_target else rung.target
        if order.alive():
            self._shrink(plan, rung, partner, order.executed.price)
            return
        rung.done = True
        if partner is not None and partner.alive():
            self.broker.cancel(partner)
        if by_target and not plan.armed:
            plan.armed = True
            if self.p.trail_pct or self.p.break_even:
                self._rest(plan, order.executed.price)

    def _shrink(self, plan: Plan, rung: Rung, partner: Any, price: float) -> None:
        """One order of a rung has filled in part: the other is replaced by what is left."""
        left = self._size_of(plan, rung) - rung.closed
        if partner is None or not partner.alive():
            return
        dust = DUST * plan.filled
        if abs(abs(partner.executed.remsize) - left) <= dust:
            return
        if left > dust and partner is rung.stop:
            self._send_stop(plan, rung, left, price)
        elif left > dust:
            self._send_target(plan, rung, left)
        self._exit_of.pop(partner.ref, None)
        self.broker.cancel(partner)
        if rung.stop is not None and rung.stop.status in _REFUSED:
            self.exit_refused(rung.stop)

    def _size_of(self, plan: Plan, rung: Rung) -> float:
        return rung_size(plan.filled, rung.share_before, rung.share, self.size_step(plan.data))

    def size_step(self, data: Any) -> float:
        """The step that the venue's sizes come in, base units; 0.0: any size."""
        ask = getattr(self.broker, "size_step", None)
        return float(getattr(self.broker.p, "step", 0.0) if ask is None else ask(data))

    def _held(self, data: Any) -> float:
        strategy: Any = self
        size = float(strategy.getposition(data).size)
        if not size or hasattr(self.broker, "set_leverage"):
            return size
        # Backtrader's own broker adds up the parts of a ladder, and is left with their rounding.
        return 0.0 if abs(size) * data.close[0] < SMALLEST_AMOUNT else size

    # -- resting ---------------------------------------------------------------------------------

    def _rest(self, plan: Plan, last_price: float) -> None:
        """Place the orders of all open rungs anew, then take the old ones away."""
        old = [o for rung in plan.rungs for o in rung.orders()]
        for rung in plan.rungs:
            if rung.done:
                continue
            size = self._size_of(plan, rung) - rung.closed
            if size <= DUST * plan.filled:
                rung.stop = rung.target = None
                continue
            self._send_stop(plan, rung, size, last_price)
            self._send_target(plan, rung, size)
        for order in old:
            self._exit_of.pop(order.ref, None)
            self.broker.cancel(order)
        for rung in plan.rungs:
            if rung.stop is not None and rung.stop.status in _REFUSED:
                self.exit_refused(rung.stop)

    def _send(self, plan: Plan, rung: Rung, size: float, **how: Any) -> Any:
        strategy: Any = self
        leave = strategy.sell if plan.side > 0 else strategy.buy
        if plan.key:
            how["plan"] = plan.key
            how["rung"] = next(i for i, r in enumerate(plan.rungs) if r is rung)
        order = leave(data=plan.data, size=size, reduce_only=True, **how)
        self._exit_of[order.ref] = (plan, rung)
        return order

    def _send_stop(self, plan: Plan, rung: Rung, size: float, last_price: float) -> None:
        if not (plan.armed and self.p.trail_pct):
            rung.stop = self._send(
                plan, rung, size, exectype=bt.Order.Stop, price=self._stop_of(plan), tag="stop"
            )
            return
        trail = self.p.trail_pct
        before = rung.stop.created.price if rung.stop is not None else 0.0
        # Backtrader wants the price that the stop trails behind.
        stop = trailing_stop(plan.side, last_price, trail, before)
        ahead = trail_start(plan.side, stop, trail)
        rung.stop = self._send(
            plan, rung, size, exectype=bt.Order.StopTrail, price=ahead, trailpercent=trail,
            tag="trail",
        )  # fmt: skip

    def _send_target(self, plan: Plan, rung: Rung, size: float) -> None:
        goal = target_price(plan.side, plan.price, rung.target_distance)
        if not rung.target_distance or not goal:
            rung.target = None
            return
        # A broker without reduce-only could fill both in one candle and open the reverse; and
        # where there is reduce-only, a group would lose its stop when the target fills in part.
        group = {} if hasattr(self.broker, "set_leverage") else {"oco": rung.stop}
        rung.target = self._send(
            plan, rung, size, exectype=bt.Order.Limit, price=goal, tag="target", **group
        )

    def _stop_of(self, plan: Plan) -> float:
        if not (plan.armed and self.p.break_even):
            return plan.stop
        info = self.broker.getcommissioninfo(plan.data)
        fee = info.getcommission(1.0, plan.price) / plan.price
        return break_even_stop(plan.side, plan.stop, plan.price, fee, fee)

    # -- leaving ---------------------------------------------------------------------------------

    def exit_refused(self, order: Any) -> None:
        """Never a position without its stop: it is rested alone, or the position is closed.

        The live broker calls it at once; with others ``notify_order`` leads here.
        """
        strategy: Any = self
        plan, rung = self._exit_of.get(order.ref, (None, None))
        if plan is None or rung is None or rung.done or not self._held(plan.data):
            return
        if rung.stop is not None and rung.stop.ref == order.ref:
            strategy.log("the stop was refused: the position is closed", logging.ERROR)
            self.leave(plan.data, "no stop")
        elif rung.target is not None and rung.target.ref == order.ref:
            rung.target = None
            if rung.stop is not None and not rung.stop.alive():  # the group went as one
                size = self._size_of(plan, rung) - rung.closed
                self._send_stop(plan, rung, size, plan.data.close[0])

    def _finish(self, plan: Plan) -> None:
        """The position is gone: whatever of the plan still rests goes too."""
        for rung in plan.rungs:
            for order in (rung.stop, rung.target):
                if order is not None:
                    self._exit_of.pop(order.ref, None)
                    if order.alive():
                        self.broker.cancel(order)
        self._plans.pop(id(plan.data), None)

    def leave(self, data: Any, reason: str) -> Any:
        """Close one feed's position at market, reduce-only; its resting orders go when it is flat.

        None when it is flat, or when a close is under way already.
        """
        strategy: Any = self
        size = self._held(data)
        closing = strategy._closing.get(id(data))
        if not size or (closing is not None and closing.alive()):
            return None
        plan = self._plans.get(id(data))
        if plan is not None and not hasattr(self.broker, "set_leverage"):
            self._finish(plan)  # this broker knows no reduce-only: a stop could open the reverse
        send = strategy.sell if size > 0 else strategy.buy
        key = {"plan": plan.key} if plan is not None and plan.key else {}
        order = send(data=data, size=abs(size), reduce_only=True, tag=reason, **key)
        strategy._closing[id(data)] = order
        return order

    def _leave_in_time(self, plan: Plan) -> None:
        held = len(plan.data) - plan.opened_bar
        if self.p.max_bars and plan.filled and time_is_up(held, self.p.max_bars):
            self.leave(plan.data, "time")
