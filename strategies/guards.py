"""What watches over open positions and keeps entries away: limits, emergency, liquidation."""

from __future__ import annotations

import logging
from typing import Any

from leverpack.risk.guide import EmergencyProtocol
from leverpack.risk.limits import LimitBook, Limits
from leverpack.risk.watch import lacking_margin
from strategies.protection import Plan

_EPOCH_DAYS = 719_163  # Backtrader counts days from 0001-01-01 as 1
_DAY_MS = 86_400_000.0
LIMIT_NAMES = (
    "max_risk_per_trade", "max_stake", "max_notional_per_trade", "max_notional_per_symbol",
    "max_gross_exposure", "max_portfolio_leverage", "min_notional", "max_daily_loss",
    "max_daily_trades", "max_drawdown", "max_positions",
)  # fmt: skip


class Guards:
    """Mixin of LeverageStrategy: applies the limits and keeps stops ahead of liquidation.

    ``refusals`` lists what was not opened or was cut, with time, symbol and reason, and
    ``alarms`` what closed everything; a reason that repeats candle after candle stands once.
    """

    p: Any
    broker: Any
    datas: list[Any]
    limit_book: LimitBook
    _plans: dict[int, Plan]

    def _start_guards(self) -> None:
        limits = Limits(**{name: getattr(self.p, name) for name in LIMIT_NAMES})
        self.limit_book = LimitBook(limits, self.p.limit_store)
        self.refusals: list[dict[str, Any]] = []
        self.alarms: list[dict[str, Any]] = []
        self._last_refusal: dict[str, str] = {}
        triggers = self.p.emergency
        self.emergency_protocol = None if triggers is None else EmergencyProtocol(self, **triggers)

    # -- readings --------------------------------------------------------------------------------

    @property
    def drawdown(self) -> float:
        """Equity below its highest close, a fraction of that."""
        return self.limit_book.drawdown

    @property
    def volatility(self) -> float | None:
        """Daily volatility as a fraction, where the strategy measures it."""
        return None

    def now_ms(self) -> int:
        """The candle's time, epoch ms UTC."""
        strategy: Any = self
        return int(round((strategy.datetime[0] - _EPOCH_DAYS) * _DAY_MS))

    def notional_of(self, data: Any) -> float:
        """What is held of one feed and what an entry under way will add, quote."""
        strategy: Any = self
        price = data.close[0]
        waiting = sum(
            abs(o.executed.remsize) for o in strategy._entries.values() if o.data is data
        )
        return float((abs(strategy.getposition(data).size) + waiting) * price)

    def gross_notional(self) -> float:
        """The same over all feeds."""
        return sum(self.notional_of(d) for d in self.datas if len(d))

    # -- saying ----------------------------------------------------------------------------------

    def refuse(self, data: Any, reason: str) -> None:
        """Note that something was not opened, or cut, and why."""
        strategy: Any = self
        symbol = str(data._name or getattr(data, "symbol", ""))
        name = reason.split(":")[0]
        if self._last_refusal.get(symbol) == name:
            return
        self._last_refusal[symbol] = name
        self.refusals.append({"time": self.now_ms(), "symbol": symbol, "reason": reason})
        strategy.log(f"{symbol}: {reason}", logging.WARNING)

    # -- every candle ----------------------------------------------------------------------------

    def watch(self) -> bool:
        """Look at limits, emergency and liquidation distance; False: nothing may be opened."""
        reason = self.limit_book.observe(self.now_ms(), self.broker.getvalue())
        if reason:
            self.close_everything(reason, stop=False)
        elif self.emergency_protocol is not None and not self.limit_book.state.stopped:
            found = self.emergency_protocol.check_emergency_conditions()
            if found:
                self.emergency_protocol.execute_emergency_exit(found)
        if self.limit_book.state.stopped:
            self._leave_all("emergency")
            return False
        return True

    def close_everything(self, reason: str, *, stop: bool = True) -> None:
        """Close all positions of all feeds, reduce-only, take entries back, open nothing more.

        It stays so until ``limit_book.reset()``; a daily limit ends with the UTC day.
        """
        strategy: Any = self
        if stop:
            self.limit_book.stop(reason, until_reset=True)
        self.alarms.append({"time": self.now_ms(), "reason": reason})
        strategy.log(f"everything is closed: {reason}", logging.ERROR)
        for order in list(strategy._entries.values()):
            self.broker.cancel(order)
        self._leave_all("emergency")

    def _leave_all(self, reason: str) -> None:
        strategy: Any = self
        for data in self.datas:
            strategy.leave(data, reason)

    def keep_distance(self, plan: Plan) -> None:
        """Keep the stop ahead of liquidation: add margin that funding has eaten, or leave.

        The entry left ``liquidation_stops - 1`` stop distances behind the stop; half of that
        has to remain.
        """
        strategy: Any = self
        stops = self.p.liquidation_stops
        if not stops or not plan.filled or not hasattr(self.broker, "liquidation_price"):
            return
        price = self.broker.liquidation_price(plan.data)
        size = abs(strategy.getposition(plan.data).size)
        if price is None or not size:
            return
        lacking = lacking_margin(plan.side, plan.stop, price, plan.stop_distance, stops, size)
        if not lacking:
            return
        isolated = self.broker.get_margin_mode(plan.data) == "isolated"
        if isolated and lacking <= self.broker.free_margin():
            self.broker.add_margin(plan.data, lacking)
            return
        strategy.leave(plan.data, "liquidation near")
