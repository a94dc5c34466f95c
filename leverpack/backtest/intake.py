"""What an exchange checks before it lets an order rest: grid, minimum, leverage, margin."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.backtest.ledger import Ledger
from leverpack.backtest.market import Market
from leverpack.backtest.resting import LIMIT, STOP_LIMIT, Resting
from leverpack.margin.position import money_noise


class Intake(bt.brokers.BackBroker):
    """Layer of MarginBroker over Backtrader's: accepts orders, or refuses them with the reason."""

    account: Any
    market: Any
    grid: Any
    rejections: list[dict[str, Any]]
    _known_marks: Any
    _inside: tuple[float, bool] | None
    _resting_of: dict[int, Resting]
    ledger: Ledger

    def check_submitted(self) -> None:
        """Accept what was sent since the last candle, or refuse it with the reason."""
        reserved = 0.0
        while self.submitted:
            order = self.submitted.popleft()
            if self._take_children(order) is None:
                continue
            status, reason, needed = self._objection(order, reserved)
            if reason:
                self._refuse(order, reason, margin=status)
                self._bracketize(order, cancel=True)
                continue
            reserved += needed
            self.submit_accept(order)

    def submit_accept(self, order: Any) -> None:
        """Let an order rest in the book."""
        super().submit_accept(order)
        market = self.market(order.data)
        resting = Resting(order, market, len(order.data))
        if self._inside is not None:
            resting.made_inside, at_open = self._inside
            # After a fill inside the candle nobody knows whether the better price came before.
            if resting.kind in (LIMIT, STOP_LIMIT) and not at_open:
                resting.from_bar = market.bar + 1
        self._resting_of[order.ref] = resting
        market.resting.append(resting)
        self.ledger.rests(market, resting)

    def _objection(self, order: Any, reserved: float) -> tuple[bool, str, float]:
        """Whether it is about margin, the reason ("" for none), and the margin it will need."""
        market = self.market(order.data)
        size, price = order.created.size, order.created.price or order.created.pricelimit
        step, _, least = self.grid(order.data)
        if step and abs(size) < step * (1.0 - 1e-9):
            return False, f"size {abs(size):g} is below the step {step:g}", 0.0
        held = market.state.size
        reduces = order.parent is not None or order.info.get("reduce_only")
        reduces = reduces or (held * size < 0.0 and abs(size) <= abs(held) * (1.0 + 1e-9))
        if reduces:
            return False, "", 0.0
        notional = abs(size) * price
        if notional < least:
            return False, f"notional {notional:,.2f} is below the minimum of {least:,.2f}", 0.0
        reason = self._leverage_objection(market, held, size, price)
        if reason:
            return False, reason, 0.0
        fee = notional * self.getcommissioninfo(order.data).fee_rate(False)
        lacking = self.account.margin_shortfall(market.key, size, price, fee, self._known_marks())
        if lacking + reserved > self._noise():
            return True, self._margin_reason(lacking + reserved), 0.0
        return False, "", notional / market.state.leverage + fee

    def _leverage_objection(self, market: Market, held: float, fill: float, price: float) -> str:
        notional = abs(held + fill) * price
        state = market.state
        allowed = state.tiers.max_leverage(notional)
        if state.leverage <= allowed:
            return ""
        return (
            f"leverage {state.leverage:g} is above the {allowed:g}x allowed at a notional of "
            f"{notional:,.2f}"
        )

    def _margin_reason(self, lacking: float) -> str:
        return f"margin is short by {lacking:,.2f}"

    def _noise(self) -> float:
        return money_noise(self.account.wallet)

    def _refuse(self, order: Any, reason: str, *, margin: bool) -> None:
        order.addinfo(reason=reason)
        if margin:
            order.margin()
        else:
            order.reject(self)
        self.rejections.append(
            {
                "time": self.market(order.data).time_ms(),
                "symbol": self.market(order.data).key,
                "side": "buy" if order.isbuy() else "sell",
                "size": abs(order.created.size),
                "reason": reason,
            }
        )
        self.notify(order)
        self._ococheck(order)
