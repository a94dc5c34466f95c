"""The backtest's half of a rehearsal: the margin broker under the venue's own rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backtrader as bt

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.backtest.market import Market
from leverpack.candles.feed import CandleFeed
from leverpack.paper.instrument import Instrument
from leverpack.rehearse.plan import EquityLog, Outcome, Plan
from leverpack.rehearse.trades import Fill, Payment


class RuledBroker(MarginBroker):
    """The margin broker with the venue's leverages and tick; writes down every fill."""

    params: Any = (("settable", None), ("outcome", None), ("grid_of", None))

    def settable_leverage(self, data: Any, leverage: float) -> float:
        """As the live broker's."""
        return max(1.0, float(self.p.settable(leverage)))

    def _execute(self, order: Any, ago: Any = None, price: Any = None, cash: Any = None,
                 position: Any = None, dtcoc: Any = None) -> Any:  # fmt: skip
        if price is not None and order.exectype == bt.Order.StopTrail:
            # Its level follows from percents, and the venue trades on the tick, never better.
            grid: Instrument = self.p.grid_of
            price = grid.up_to_tick(price) if order.isbuy() else grid.down_to_tick(price)
        return super()._execute(order, ago, price, cash, position, dtcoc)

    def _book_fill(
        self, order: Any, market: Market, size: float, closed: float, opened: float,
        price: float, dtcoc: Any, ago: int,
    ) -> None:  # fmt: skip
        fee = abs(size) * price * self._fee_rate(order)
        tag = str(order.info.get("tag") or "")
        self.p.outcome.fills.append(Fill(market.time_ms(), size, price, fee, tag))
        super()._book_fill(order, market, size, closed, opened, price, dtcoc, ago)

    def _liquidate(self, m: Market, price: float, *, at_open: bool) -> None:
        size = m.state.size
        fills, place = self.p.outcome.fills, len(self.p.outcome.fills)
        super()._liquidate(m, price, at_open=at_open)
        taken = self.liquidations[-1]
        # In its place: the strategy may have answered with orders of its own.
        fills.insert(
            place, Fill(m.time_ms(), -size, price, taken.fee - taken.shortfall, "liquidation")
        )
        self.p.outcome.liquidations += 1

    def _settle_funding(self, m: Market, at: int) -> None:
        before = m.state.costs.funding
        super()._settle_funding(m, at)
        cash = m.state.costs.funding - before
        if cash:
            self.p.outcome.payments.append(Payment(m.time_ms(), cash))


def backtest(plan: Plan, settable: Callable[[float], float]) -> Outcome:
    """Run the plan on the margin broker; ``settable`` says what leverage the venue can take."""
    grid, outcome = plan.instrument, Outcome()
    broker = RuledBroker(
        cash=plan.cash, leverage=plan.leverage, margin_mode=plan.margin_mode,
        tiers="builtin" if plan.tiers is None else plan.tiers, maker=plan.maker, taker=plan.taker,
        intrabar=plan.intrabar, step=float(grid.step), tick=float(grid.tick),
        min_notional=float(grid.min_notional), settable=settable, outcome=outcome,
        grid_of=grid,
    )  # fmt: skip
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(CandleFeed(
        dataname=plan.candles, mark=plan.mark, funding=plan.funding, symbol=plan.symbol
    ))  # fmt: skip
    cerebro.addstrategy(_held_back(plan.strategy, plan.begin + 1), **plan.params)
    cerebro.addanalyzer(
        EquityLog, read=lambda: broker.account.equity(broker.marks), into=outcome.equity,
        from_ms=plan.start_ms,
    )  # fmt: skip
    cerebro.run()
    outcome.refused = [str(r["reason"]) for r in broker.rejections]
    return outcome


def _held_back(strategy: Any, first_bar: int) -> type:
    """The strategy with the live run's warm-up: no ``next`` before the bar ``first_bar``."""

    class HeldBack(strategy):
        __doc__ = strategy.__doc__
        _minperiods: list[int]

        def _periodset(self) -> None:
            super()._periodset()
            self._minperiods = [max(period, first_bar) for period in self._minperiods]

    HeldBack.__name__, HeldBack.__qualname__ = strategy.__name__, strategy.__qualname__
    return HeldBack
