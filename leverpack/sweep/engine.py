"""Runs sets of one strategy over one symbol: through the kernel where that can, else Cerebro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from leverpack.backtest.run import all_params, find_strategy
from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError, refuse_unknown
from leverpack.result import Ints
from leverpack.risk.limits import DAY_MS
from leverpack.sweep.compiling import RuleRefused, engine
from leverpack.sweep.market import SweepMarket, load_market
from leverpack.sweep.outcome import COMPILED, Outcome, Sums, by_calendar_day, figures_of, refused
from leverpack.sweep.records import DONE, PARAMS, RUNG, STATE, TRADE, RuleColumns
from leverpack.sweep.sets import CompiledSet, compile_set, why_not_compiled
from leverpack.sweep.signals import Signals
from leverpack.sweep.throughcerebro import run_through_cerebro

_STEP = ("part", "share_before", "share")
Job = tuple[int, Mapping[str, Any], CompiledSet, RuleColumns]


class SweepEngine:
    """One symbol and one strategy; sets are run one by one, in threads too.

    ``market`` may be given ready-made: candles of a period, or made ones. What the settings say
    of parameters holds where a set does not say otherwise; a set is what ``leverpack backtest``
    runs with ``--param`` for each of its values.
    """

    def __init__(self, settings: BacktestSettings, market: SweepMarket | None = None) -> None:
        self.settings = settings
        strategy: Any = find_strategy(settings.strategy)
        self.strategy = strategy
        self.base = all_params(self.strategy, settings)
        self.market = market if market is not None else load_market(settings)
        self._known = frozenset(strategy.params._getkeys())
        self.why_not = why_not_compiled(self.market, self.strategy)
        self._signals = Signals(self.market)
        days = np.asarray(self.market.feed.candles.ts)[self.market.columns.days[:-1]]
        self.days: Ints = days // DAY_MS  # of each entry of an outcome's ``daily``

    def prepare(self, number: int, params: Mapping[str, Any]) -> Job | Outcome | str:
        """A set ready for :meth:`run`; or its outcome, if it is refused; or why Cerebro runs it.

        Indicators and signals are made here, each once: call it in one thread.
        """
        try:
            refuse_unknown(self.strategy, [n for n in params if n not in self._known])
            if self.why_not:
                return self.why_not
            made = compile_set(self.market, self.strategy, {**self.base, **params})
            if isinstance(made, str):
                return made
            columns, first = self._signals.columns(made)
        except RuleRefused as fault:
            return str(fault)
        except SettingError as fault:
            return refused(number, params, str(fault))
        made = _starting_at(made, first)
        return number, params, made, columns

    def run(self, job: Job, *, most_trades: int = 0) -> Outcome:
        """Run a prepared set; ``most_trades`` of its trades are handed over."""
        number, params, made, columns = job
        market = self.market.columns
        # Plain structured arrays: a recarray's attributes take a tenth of a run's time, under the
        # GIL, and other threads wait for it.
        state = np.zeros(1, STATE)
        state["rungs"], state["single_target"] = len(made.steps), made.single_target
        rungs = np.zeros(len(made.steps), RUNG)
        for name, column in zip(_STEP, zip(*made.steps, strict=True), strict=False):
            rungs[name] = column
        trades = np.zeros(most_trades, TRADE)
        daily = np.zeros(len(market.days) - 1)
        values, trade = np.array([made.params], PARAMS), np.zeros(1, TRADE)
        code = engine()(market, columns, values, state, rungs, trades, daily, trade)
        if code != DONE:
            return self.through_cerebro(number, params, "its leverage or stop needs Cerebro's word",
                                        most_trades=most_trades)  # fmt: skip
        s = dict(zip(STATE.names or (), state[0].item(), strict=True))
        cash = self.settings.cash
        return Outcome(
            number, params,
            figures_of(_sums(s, self.market.bars), by_calendar_day(self.days, daily), cash),
            COMPILED, daily=daily, trades=trades[: min(s["kept"], most_trades)],
        )  # fmt: skip

    def through_cerebro(
        self, number: int, params: Mapping[str, Any], why: str, *, most_trades: int = 0
    ) -> Outcome:
        """Run a set candle by candle."""
        return run_through_cerebro(
            self.market, self.strategy, {**self.base, **params}, number, params, why,
            self.days, most_trades,
        )  # fmt: skip

    def outcome(
        self, params: Mapping[str, Any], *, number: int = 0, most_trades: int = 0,
    ) -> Outcome:  # fmt: skip
        """Prepare and run one set."""
        ready = self.prepare(number, params)
        if isinstance(ready, Outcome):
            return ready
        if isinstance(ready, str):
            return self.through_cerebro(number, params, ready, most_trades=most_trades)
        return self.run(ready, most_trades=most_trades)


def _starting_at(made: CompiledSet, first: int) -> CompiledSet:
    return replace(made, params=made.params._replace(first_bar=first))


def _sums(s: dict[str, Any], bars: int) -> Sums:
    seen = s["kept"] > 0
    return Sums(
        trades=s["trades"], wins=s["wins"], won=s["won"], lost=s["lost"],
        liquidations=s["liquidations"],
        worst_margin_ratio=s["worst_ratio"] if seen else None,
        nearest_liquidation=s["nearest_all"] if seen else None,
        max_drawdown=s["drawdown"], held_bars=s["held_bars"], bars=bars,
        fees=s["fees"], funding=s["funding"], interest=0.0,
        liquidation_fees=s["liquidation_fee"], insurance=s["insurance"],
    )  # fmt: skip
