"""Plans that outlive a restart: how open positions are to be left, written down and taken up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leverpack.risk.state import StateStore
from strategies.protection import DUST, Plan, Rung

_STATED = ("key", "side", "stop_distance", "filled", "heard", "price", "armed", "first_distance",
           "warned", "opened_at")  # fmt: skip


class Resuming:
    """Mixin of LeverageStrategy: a live run goes on with its open positions where it was stopped.

    The live broker calls ``notify_taken_over`` and ``notify_reconciled``; in a backtest nothing is
    written. Orders carry the key of their plan and the number of their rung, so that each is known
    again whenever the run before has ended, between any two of its steps.
    """

    broker: Any
    datas: list[Any]
    _plans: dict[int, Plan]
    _exit_of: dict[int, tuple[Plan, Rung]]
    _plan_store: StateStore | None = None
    _saved_plans: Any = None

    # -- writing down ----------------------------------------------------------------------------

    def save_plans(self) -> None:
        """Write the plans where they have changed; no effect in a backtest."""
        if self._plan_store is None:
            return
        plans = [self._stated(plan) for plan in self._plans.values() if plan.key]
        if plans != self._saved_plans:
            self._plan_store.save({"plans": plans})
            self._saved_plans = plans

    def _stated(self, plan: Plan) -> dict[str, Any]:
        return {
            "feed": self.datas.index(plan.data), "symbol": str(plan.data._name),
            **{name: getattr(plan, name) for name in _STATED},
            "rungs": [[r.target_distance, r.share_before, r.share, r.done] for r in plan.rungs],
        }  # fmt: skip

    def name_plan(self, plan: Plan) -> None:
        """Give a new plan the key that its orders carry; its entry fills in the next candle."""
        if self._plan_store is not None:
            strategy: Any = self
            plan.key = f"{self.datas.index(plan.data)}-{strategy.now_ms()}"
            plan.opened_at = plan.data.datetime[0] + _step(plan.data)

    def note_opening(self, plan: Plan) -> None:
        """The entry has filled, in candle ``plan.opened_bar``."""
        if plan.key:
            data = plan.data
            plan.opened_at = data.datetime[0] + (plan.opened_bar - len(data)) * _step(data)

    def send_entry(self, plan: Plan, size: float) -> Any:
        """Send the entry of a new plan at market; None where the broker takes none."""
        strategy: Any = self
        self.name_plan(plan)
        self.save_plans()  # before the order: what fills must have a plan, whatever happens
        data, send = plan.data, strategy.buy if plan.side > 0 else strategy.sell
        order = send(data=data, size=size, tag="entry", **({"plan": plan.key} if plan.key else {}))
        if order is None:
            del self._plans[id(data)]
            return None
        strategy._entries[order.ref] = order
        strategy._last_refusal.pop(str(data._name or getattr(data, "symbol", "")), None)
        plan.entries.add(order.ref)
        return order

    # -- taking up -------------------------------------------------------------------------------

    def notify_taken_over(self, orders: Sequence[Any], store: StateStore) -> None:
        """Orders of an earlier run, oldest first, are known again; ``store`` holds what was saved.

        Called before anything of the account is taken in. An order that has ended is among them
        where it belongs to a position that was open.
        """
        self._plan_store = store
        self._taken_over: dict[str, list[Any]] = {}
        for stated in (store.load() or {}).get("plans", []):
            plan = self._plan_of(stated)
            if plan is None:
                continue
            mine = [o for o in orders if o.info.get("plan") == plan.key and o.data is plan.data]
            for order in mine:
                self._attach(plan, order)
            self._taken_over[plan.key] = mine
            self._plans[id(plan.data)] = plan

    def _plan_of(self, stated: dict[str, Any]) -> Plan | None:
        at = int(stated["feed"])
        if at >= len(self.datas) or str(self.datas[at]._name) != stated["symbol"]:
            return None  # this run trades on other feeds
        rungs = [
            Rung(distance, before, share, done=done)
            for distance, before, share, done in stated["rungs"]
        ]
        plan = Plan(self.datas[at], stated["side"], stated["stop_distance"], rungs, resumed=True)
        for name in _STATED:
            setattr(plan, name, stated[name])
        return plan

    def _attach(self, plan: Plan, order: Any) -> None:
        strategy: Any = self
        tag, at = order.info.get("tag"), order.info.get("rung")
        if tag == "entry":
            plan.entries.add(order.ref)
            if order.alive():
                strategy._entries[order.ref] = order
        elif at is None:
            if order.alive():
                strategy._closing[id(plan.data)] = order
        else:
            rung = plan.rungs[at]
            rung.note(order)
            if order.alive() or order.status == order.Completed:
                self._exit_of[order.ref] = (plan, rung)
                if tag == "target":
                    rung.target = order
                else:
                    rung.stop = order
                plan.armed = plan.armed or tag == "trail"

    def notify_reconciled(self) -> None:
        """All that has happened meanwhile is booked: what the plans still want is done now."""
        taken, self._taken_over = getattr(self, "_taken_over", {}), {}
        for plan in list(self._plans.values()):
            self._go_on(plan, taken.get(plan.key, []))
        self.save_plans()

    def _go_on(self, plan: Plan, orders: Sequence[Any]) -> None:
        """Do what a run that was stopped half-way had still to do for one position."""
        strategy: Any = self
        for order in orders:
            if order.executed.size:
                strategy.notify_fill(order)  # heard before: no effect
        if self._plans.get(id(plan.data)) is not plan:
            return
        if not plan.filled:
            if not any(o.ref in plan.entries and o.alive() for o in orders):
                del self._plans[id(plan.data)]  # the entry was never sent, or refused
            return
        if not strategy.getposition(plan.data).size:
            strategy._finish(plan)
            return
        price = self.broker.mark_price(plan.data)
        strategy._resize(plan, price)
        self._rest_missing(plan, price)
        wanted = {o.ref for rung in plan.rungs for o in rung.orders()}
        for order in orders:
            if order.alive() and order.info.get("rung") is not None and order.ref not in wanted:
                self._exit_of.pop(order.ref, None)
                self.broker.cancel(order)

    def _rest_missing(self, plan: Plan, price: float) -> None:
        strategy: Any = self
        for rung in plan.rungs:
            left = strategy._size_of(plan, rung) - rung.closed
            if rung.done or left <= DUST * plan.filled:
                continue
            if rung.stop is None or not rung.stop.alive():
                strategy._send_stop(plan, rung, left, price)
            if rung.target is None or not rung.target.alive():
                strategy._send_target(plan, rung, left)

    def count_bars(self, plan: Plan) -> None:
        """Know by the candles' times in which of this run's candles the position was opened."""
        if not plan.resumed or not _step(plan.data):
            return
        gone = (plan.data.datetime[0] - plan.opened_at) / _step(plan.data)
        plan.opened_bar = len(plan.data) - round(gone)
        plan.resumed = False


def _step(data: Any) -> float:
    """Days from one candle to the next; 0.0 while there is only one."""
    return float(data.datetime[0] - data.datetime[-1]) if len(data) > 1 else 0.0
