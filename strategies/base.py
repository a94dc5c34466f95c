"""What every pack strategy shares: rule, leverage that is really set, size, limits, exits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import backtrader as bt

from leverpack.errors import SettingError, refuse_unknown
from leverpack.indicators.columns import Column, bound_columns, rule_arguments
from leverpack.risk.leverage import (
    liquidation_distance_cap,
    portfolio_leverage_cap,
    smaller_leverage,
)
from leverpack.risk.sizing import (
    SIZINGS,
    affordable_size,
    confidence_multiplier,
    tradable_size,
    wanted_size,
)
from leverpack.risk.watch import is_far_enough
from strategies.checks import check_params
from strategies.guards import Guards
from strategies.protection import Plan, Protection
from strategies.resuming import Resuming

_HALVINGS = 30  # of a leverage: to a millionth of 1x
logger = logging.getLogger("leverpack.strategy")
logging.getLogger("leverpack").addHandler(logging.NullHandler())  # silent until it is asked for


class _StrictParams(type(bt.Strategy)):  # type: ignore[misc]
    """Backtrader accepts unknown strategy parameters in silence; here they are an error."""

    def donew(cls, *args: Any, **kwargs: Any) -> Any:
        refuse_unknown(cls, [name for name in kwargs if name not in cls.params._getkeys()])
        return super().donew(*args, **kwargs)


class LeverageStrategy(Guards, Resuming, Protection, bt.Strategy, metaclass=_StrictParams):
    """Base of the pack: answer :meth:`signal` for a feed; the rest is done here.

    Rule. Declare ``columns`` (name -> ``column(...)``) and ``rule``, a function of plain numbers
    whose arguments are named after them, after open, high, low, close or volume, and, last, after
    parameters; it answers +1, -1 or 0, runs here candle by candle, and compiles for sweeps. Or
    write :meth:`signal`. ``confidence_rule`` is such a function too, and answers 0..1.
    ``entry_rule``, ``confidence`` and ``leverage_model`` take a plain function or a class of
    yours: a function is called as ``entry_rule(data)`` -> +1, -1 or 0, ``confidence(data,
    side)`` -> 0..1, ``leverage_model(data, side)`` -> x; a class is made once for each feed with
    ``Class(data)``, may build indicators there, and its instance is called without ``data``.
    ``sides`` is "both", "long" or "short".

    Leverage. ``leverage`` (or the model's), at most ``max_leverage`` and what the tiers allow;
    with ``liquidation_stops`` k > 0 lowered until the liquidation price lies at least k stop
    distances away. It is set at the broker and read back before every opening order, unless
    ``auto_set_leverage`` is False: then the broker's own stands.

    Size. ``sizing`` "risk": loses ``risk_per_trade`` of equity at the stop, whatever the
    leverage; "guide": that divided by the leverage; "stake": ``stake`` (quote) as margin;
    "equity": ``equity_fraction`` of equity as margin. A confidence scales it. The margin used
    leaves ``margin_reserve`` of what is free, as the next open may be dearer than this close.

    Exits. Stop and target lie ``stop_loss_pct`` and ``take_profit_pct`` (fractions) of the
    signal's close away from the executed price; ``targets`` is a ladder of (fraction, share);
    ``trail_pct`` and ``break_even`` act after the first target; ``max_bars`` closes in time.

    Limits (0: none): see ``leverpack.risk.limits.Limits``; they are kept in ``limit_store``.
    ``emergency`` holds triggers for ``leverpack.risk.guide.EmergencyProtocol``, or is None.
    """

    params: Any = (
        ("leverage", 2.0),
        ("max_leverage", 125.0),
        ("auto_set_leverage", True),
        ("liquidation_stops", 0.0),
        ("sizing", "risk"),
        ("risk_per_trade", 0.01),
        ("stake", 1.0),
        ("equity_fraction", 0.1),
        ("margin_reserve", 0.01),
        ("stop_loss_pct", 0.03),
        ("take_profit_pct", 0.06),
        ("targets", ()),
        ("trail_pct", 0.0),
        ("break_even", False),
        ("max_bars", 0),
        ("sides", "both"),
        ("entry_rule", None),
        ("confidence", None),
        ("min_confidence", 0.0),
        ("leverage_model", None),
        ("max_positions", 3),
        ("max_risk_per_trade", 0.0),
        ("max_stake", 0.0),
        ("max_notional_per_trade", 0.0),
        ("max_notional_per_symbol", 0.0),
        ("max_gross_exposure", 0.0),
        ("max_portfolio_leverage", 0.0),
        ("min_notional", 0.0),
        ("max_daily_loss", 0.0),
        ("max_daily_trades", 0),
        ("max_drawdown", 0.0),
        ("limit_store", None),
        ("emergency", None),
    )

    columns: Mapping[str, Column] = {}
    rule: Any = None
    confidence_rule: Any = None

    @classmethod
    def settle(cls, p: Any) -> None:
        """Fill in what other parameters decide, and refuse what cannot be meant."""
        check_params(p)

    @classmethod
    def columns_for(cls, p: Any) -> Mapping[str, Column]:
        """The columns that these parameters need."""
        return cls.columns

    @classmethod
    def rule_for(cls, p: Any) -> Callable[..., int] | None:
        """The rule that these parameters choose; None: ``signal`` decides alone."""
        rule: Callable[..., int] | None = cls.rule
        return rule

    def __init__(self) -> None:
        self.settle(self.p)
        self._entries: dict[int, Any] = {}  # order.ref -> entry order that is still alive
        self._plans: dict[int, Plan] = {}
        self._exit_of = {}
        self._closing: dict[int, Any] = {}
        self._bars_seen: dict[int, int] = {}
        self._start_guards()
        wanted = bound_columns(self.columns_for(self.p), self.p)
        self._columns = {id(d): {n: b.line(d) for n, b in wanted.items()} for d in self.datas}
        rule, confidence = self.rule_for(self.p), type(self).confidence_rule
        self._rule_of = {id(d): self._arguments(rule, d) for d in self.datas}
        self._confidence_rule_of = {id(d): self._arguments(confidence, d) for d in self.datas}
        self._rules = {id(d): self._bind(self.p.entry_rule, d) for d in self.datas}
        self._confidences = {id(d): self._bind(self.p.confidence, d) for d in self.datas}
        self._models = {id(d): self._bind(self.p.leverage_model, d) for d in self.datas}

    @staticmethod
    def _bind(given: Any, data: Any) -> Callable[..., Any] | None:
        """A user's function with the feed put in, or a user's class made for the feed."""
        if given is None:
            return None
        made: Callable[..., Any] = given(data) if isinstance(given, type) else partial(given, data)
        return made

    def log(self, message: str, level: int = logging.INFO) -> None:
        """Log with the candle's time; shown with ``logging.basicConfig(level="INFO")``."""
        if logger.isEnabledFor(level):
            when = self.datetime.datetime() if len(self) else ""
            logger.log(level, "%s %s", when, message)

    # -- every candle ----------------------------------------------------------------------------

    def next(self) -> None:
        """Guard what is open, then look for an entry on every flat feed with a new candle."""
        may_open = self.watch()
        for data in self.datas:
            bars = len(data)
            if bars == self._bars_seen.get(id(data)):
                continue  # a slower feed, or one that has ended
            self._bars_seen[id(data)] = bars
            plan = self._plans.get(id(data))
            if not self.is_flat(data):
                if plan is not None:
                    self.tend(plan)
                continue
            if plan is not None:  # liquidated, or closed by other hands
                self._finish(plan)
            side = self._side(data) if may_open else 0
            if side:
                self.enter(data, side)
        self.save_plans()

    def tend(self, plan: Plan) -> None:
        """Look after an open position at a new candle."""
        self.count_bars(plan)
        self.keep_distance(plan)
        self._leave_in_time(plan)

    def _side(self, data: Any) -> int:
        rule = self._rules[id(data)]
        side = self.signal(data) if rule is None else rule()
        if side not in (-1, 0, 1):
            raise SettingError(f"an entry rule answers 1, -1 or 0, not {side!r}")
        if (self.p.sides == "long" and side < 0) or (self.p.sides == "short" and side > 0):
            return 0
        return int(side)

    def signal(self, data: Any) -> int:
        """+1 to go long, -1 short, 0 to wait; asked for flat feeds with a new candle."""
        rule, lines, numbers = self._rule_of[id(data)]
        if rule is None:
            raise SettingError(
                f"{type(self).__name__} has no rule: declare one, write signal() or give entry_rule"
            )
        answer: int = rule(*[line[0] for line in lines], *numbers)
        return answer

    def at(self, data: Any, name: str) -> float:
        """The value that a column has at this candle."""
        value: float = self._columns[id(data)][name][0]
        return value

    def _arguments(self, rule: Any, data: Any) -> tuple[Any, list[Any], list[Any]]:
        """A rule, and the lines and the parameters that it is called with, in its order."""
        if rule is None:
            return None, [], []
        known = self._columns[id(data)]
        lines, numbers = rule_arguments(rule, known)
        of_feed = [known[n] if n in known else getattr(data, n) for n in lines]
        return rule, of_feed, [getattr(self.p, n) for n in numbers]

    # -- entering --------------------------------------------------------------------------------

    def open_count(self) -> int:
        """Positions over all feeds, entries under way included."""
        held = {id(d) for d in self.datas if self._held(d)}
        return len(held | {id(o.data) for o in self._entries.values()})

    def is_flat(self, data: Any) -> bool:
        """Neither a position nor an entry under way on this feed."""
        if self._entries and any(o.data is data for o in self._entries.values()):
            return False
        return not self._held(data)

    def stop_distance(self, data: Any, side: int) -> float:
        """How far the stop lies from the executed price, quote; NaN or 0.0: no entry."""
        return float(data.close[0] * self.p.stop_loss_pct)

    def target_distance(self, data: Any, side: int) -> float:
        """How far the target lies from the executed price, quote; 0.0: none."""
        return float(data.close[0] * self.p.take_profit_pct)

    def enter(self, data: Any, side: int) -> Any:
        """Send a market entry (``side`` +1 long, -1 short) sized by the rules, or None."""
        why = self.limit_book.objection(self.open_count())
        if why:
            self.refuse(data, why)
            return None
        distance = self.stop_distance(data, side)
        multiplier = self._multiplier(data, side)
        if not distance > 0.0 or not multiplier > 0.0:
            return None
        decided = self.decide_leverage(data, side)
        if decided > 0.0 and not self.p.auto_set_leverage:
            decided = getattr(self.broker, "get_leverage", lambda data: 1.0)(data)
        if not decided > 0.0:
            return None
        size, leverage = self._sized(data, side, distance, decided, multiplier)
        if size <= 0.0:
            return None
        rungs = self._ladder(self.target_distance(data, side), data.close[0])
        plan = self._plans[id(data)] = Plan(data, float(side), distance, rungs)
        order = self.send_entry(plan, size)
        if order is not None:
            self.log(f"entry {side:+d} of {size:g} at {leverage:g}x")
        return order

    def _multiplier(self, data: Any, side: int) -> float:
        ask = self._confidences[id(data)]
        confidence = self.confidence_of(data, side) if ask is None else ask(side)
        if confidence is None:
            return 1.0
        return confidence_multiplier(float(confidence), self.p.min_confidence)

    def confidence_of(self, data: Any, side: int) -> float | None:
        """How sure the strategy's own rule is, 0..1; None: it does not say."""
        rule, lines, numbers = self._confidence_rule_of[id(data)]
        return None if rule is None else rule(*[line[0] for line in lines], *numbers)

    def _sized(
        self, data: Any, side: int, distance: float, decided: float, multiplier: float
    ) -> tuple[float, float]:
        """Base units to enter with and the leverage that the broker has; 0.0 with a reason said."""
        price = data.close[0]
        size = self.wanted_size(data, distance, decided) * multiplier
        capped = self.capped_leverage(data, side, size, distance, decided)
        settable = getattr(self.broker, "settable_leverage", None)
        if settable is not None and capped > 0.0:  # a venue may take whole numbers only
            capped = settable(data, capped)
        if not capped > 0.0:
            self.refuse(data, f"leverage: the caps leave none for {size:g} ({size * price:,.2f})")
            return 0.0, 0.0
        if capped < decided:
            size = min(size, self.wanted_size(data, distance, capped) * multiplier)
        leverage = self.set_leverage(data, max(1.0, capped))
        if leverage is None:
            return 0.0, 0.0
        limits = self.limit_book.limits
        equity = self.broker.getvalue()
        size, limit = limits.cut(
            size, price, distance, leverage, equity, self.notional_of(data), self.gross_notional()
        )
        if limit:
            self.refuse(data, f"{limit}: the size is cut to {size:g}")
        fee = self.broker.getcommissioninfo(data).getcommission(1.0, price) / price
        free = self.broker.getcash() * (1.0 - self.p.margin_reserve)
        size = min(size, affordable_size(free, price, leverage, fee))
        step = self.size_step(data)
        tradable = tradable_size(size, price, step, limits.min_notional)
        if tradable <= 0.0:
            self.refuse(data, f"too small: {size:g} ({size * price:,.2f}) is under step or minimum")
        return tradable, leverage

    def wanted_size(self, data: Any, distance: float, leverage: float) -> float:
        """Base units by ``sizing``, before limits and margin."""
        p = self.p
        return wanted_size(
            SIZINGS.index(p.sizing), self.broker.getvalue(), p.risk_per_trade, p.stake,
            p.equity_fraction, data.close[0], distance, leverage,
        )  # fmt: skip

    # -- leverage --------------------------------------------------------------------------------

    def decide_leverage(self, data: Any, side: int) -> float:
        """The leverage that this entry should have, before the caps; 0.0: do not enter."""
        model = self._models[id(data)]
        wanted = self.p.leverage if model is None else float(model(side))
        return smaller_leverage(wanted, self.p.max_leverage)

    def capped_leverage(
        self, data: Any, side: int, size: float, distance: float, leverage: float
    ) -> float:
        """``leverage`` under the caps of portfolio, tier and liquidation distance."""
        p, broker, price = self.p, self.broker, data.close[0]
        cap = portfolio_leverage_cap(
            p.max_portfolio_leverage, broker.getvalue(), self.gross_notional()
        )
        leverage = min(leverage, cap) if cap > 0.0 else 0.0
        if not p.liquidation_stops or not hasattr(broker, "tier_table"):
            return leverage
        tiers = broker.tier_table(data)
        fee = broker.getcommissioninfo(data).getcommission(1.0, price) / price
        far = liquidation_distance_cap(
            float(side), size, price, distance, p.liquidation_stops, tiers.caps, tiers.mmrs,
            tiers.cums, fee,
        )  # fmt: skip
        leverage = float(min(leverage, far, tiers.max_leverage(size * price)))
        return self._by_venue_rule(data, side, size, distance, leverage)

    def _by_venue_rule(
        self, data: Any, side: int, size: float, distance: float, leverage: float
    ) -> float:
        """``leverage`` halved in until the venue's own rule agrees; the caps go by the general one.

        Never under 1x, where nothing is borrowed.
        """
        price, ask = data.close[0], self.broker.liquidation_price_if

        def far_enough(x: float) -> bool:
            there = ask(data, side * size, price, x)
            return is_far_enough(float(side), price, there, distance, self.p.liquidation_stops)

        if leverage <= 1.0 or size <= 0.0 or far_enough(leverage):
            return leverage
        low, high = 1.0, leverage
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if far_enough(middle) else (low, middle)
        return low

    def set_leverage(self, data: Any, leverage: float) -> float | None:
        """Set, read back, compare; None (and no order) when the broker has another leverage.

        A broker that knows no leverage (Backtrader's own) counts as 1x.
        """
        broker = self.broker
        if not hasattr(broker, "set_leverage"):
            return 1.0
        if not self.p.auto_set_leverage:
            real = float(broker.get_leverage(data))
            if real <= leverage:
                return real
            self.refuse(
                data,
                f"leverage: the broker's {real:g}x is above the {leverage:g}x that the caps "
                "allow, and auto_set_leverage is off",
            )
            return None
        # A live broker may have decided on another one than the venue happens to have.
        decided = getattr(broker, "decided_leverage", broker.get_leverage)(data)
        if broker.get_leverage(data) != leverage or decided != leverage:
            broker.set_leverage(data, leverage)
            real = broker.get_leverage(data)
            if real != leverage:
                self.refuse(data, f"leverage: the broker has {real:g}x where {leverage:g}x was set")
                return None
        return leverage

    # -- what becomes of orders ------------------------------------------------------------------

    def entry_counted(self) -> None:
        """A position has been opened; the limits count it."""
        self.limit_book.count_trade()

    def notify_order(self, order: Any) -> None:
        """Track entries by what became of them; say what was refused and why."""
        if order.status in (order.Submitted, order.Accepted):
            return
        if order.status in (order.Margin, order.Rejected):
            self.log(
                f"{order.getstatusname()}: {order.info.get('reason') or 'no reason given'}",
                logging.WARNING,
            )
            self.exit_refused(order)
        if order.executed.size:
            self.notify_fill(order)
        if order.ref in self._entries and not order.alive():
            del self._entries[order.ref]
            plan = self._plans.get(id(order.data))
            if plan is not None and not plan.filled:
                del self._plans[id(order.data)]
                self.save_plans()

    def notify_trade(self, trade: Any) -> None:
        """Log what a closed trade brought."""
        if trade.isclosed and logger.isEnabledFor(logging.INFO):
            self.log(f"{trade.getdataname()} closed: {trade.pnlcomm:+,.2f} after fees")
