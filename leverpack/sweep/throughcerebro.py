"""One parameter set run by Cerebro, candle by candle, with the figures of a sweep."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import backtrader as bt
import numpy as np

from leverpack.backtest.cerebro import Cerebro
from leverpack.backtest.run import broker_for, feed_again
from leverpack.errors import SettingError
from leverpack.result import Floats, Ints, TradeRecord
from leverpack.sweep.market import SweepMarket
from leverpack.sweep.outcome import CEREBRO, Outcome, Sums, by_calendar_day, figures_of, refused
from leverpack.sweep.records import REASON_NAMES, TRADE


class _Equity(bt.Analyzer):
    """Equity at every close, and at how many a position was open."""

    def start(self) -> None:
        self.equity = array("d")
        self.held = 0

    def next(self) -> None:
        broker = self.strategy.broker
        self.equity.append(broker.getvalue())
        self.held += bool(broker.getposition(self.strategy.data).size)


def run_through_cerebro(
    market: SweepMarket, strategy: Any, all_params: dict[str, Any], number: int,
    params: Mapping[str, Any], why: str, days: Ints, most_trades: int,
) -> Outcome:  # fmt: skip
    """Run ``all_params`` as a backtest would; a SettingError becomes a refused outcome."""
    cerebro = Cerebro(stdstats=False)
    try:
        broker = broker_for(market.settings, strategy, all_params)
        cerebro.setbroker(broker)
        feed = feed_again(market.feed)
        cerebro.adddata(feed)
        cerebro.addstrategy(strategy, **all_params)
        cerebro.addanalyzer(_Equity, _name="equity")
        ran = cerebro.run()[0]
    except SettingError as fault:
        return refused(number, params, str(fault))
    seen = ran.analyzers.equity
    equity = np.array(seen.equity)
    closed = list(broker.ledger.trades)
    every = [*closed, *broker.ledger.still_open(list(broker.markets.values()))]
    ends = market.columns.days[1:] - 1
    daily = equity[ends]
    cash = market.settings.cash
    sums = _sums(broker, closed, every, equity, cash, seen.held)
    return Outcome(
        number, params, figures_of(sums, by_calendar_day(days, daily), cash), CEREBRO, why,
        daily=daily, trades=_trade_rows(every[:most_trades], market),
    )  # fmt: skip


def _sums(
    broker: Any, closed: list[TradeRecord], every: list[TradeRecord], equity: Floats, cash: float,
    held: int,
) -> Sums:  # fmt: skip
    costs = broker.costs()
    with_start = np.concatenate([[cash], equity])
    ratios = [t.worst_margin_ratio for t in every if t.worst_margin_ratio is not None]
    nearest = [t.nearest_liquidation for t in every if t.nearest_liquidation is not None]
    return Sums(
        trades=len(closed),
        wins=sum(t.net > 0.0 for t in closed),
        won=sum(t.net for t in closed if t.net > 0.0),
        lost=-sum(t.net for t in closed if t.net <= 0.0),
        liquidations=len(broker.liquidations),
        worst_margin_ratio=max(ratios, default=None),
        nearest_liquidation=min(nearest, default=None),
        max_drawdown=float(np.max(1.0 - with_start / np.maximum.accumulate(with_start))),
        held_bars=held,
        bars=len(equity),
        fees=costs.fees,
        funding=costs.funding,
        interest=costs.interest,
        liquidation_fees=costs.liquidation_fees,
        insurance=costs.insurance,
    )


def _trade_rows(trades: list[TradeRecord], market: SweepMarket) -> Any:
    """Trades as the kernel writes them; reasons that it does not know are -1."""
    ts = np.asarray(market.feed.candles.ts)
    rows = np.zeros(len(trades), TRADE).view(np.recarray)
    for row, t in zip(rows, trades, strict=True):
        row.side, row.quantity = 1.0 if t.side == "long" else -1.0, t.size
        row.leverage = t.leverage
        row.entry_price, row.pnl, row.net = t.entry_price, t.pnl, t.net
        row.exit_price = np.nan if t.exit_price is None else t.exit_price
        row.fees, row.funding = t.fees, t.funding
        row.liquidation_fee, row.insurance = t.liquidation_fee, t.insurance
        row.worst_margin_ratio = t.worst_margin_ratio or 0.0
        row.nearest_liquidation = (
            np.inf if t.nearest_liquidation is None else t.nearest_liquidation
        )
        row.entry_bar = np.searchsorted(ts, t.entry_time)
        row.exit_bar = -1 if t.exit_time is None else np.searchsorted(ts, t.exit_time)
        row.reason = REASON_NAMES.index(t.reason) if t.reason in REASON_NAMES else -1
    return rows
