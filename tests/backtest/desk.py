"""A desk for order tests: candles in, a script of what to do at which candle, fills out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import pandas as pd

from leverpack.backtest.broker import MarginBroker
from leverpack.candles.feed import CandleFeed

Row = tuple[float, float, float, float]
Script = Mapping[int, Callable[[Any], Any]]


@dataclass
class Told:
    """One execution as the strategy was told of it."""

    bar: int
    side: str
    size: float
    price: float
    reason: str


@dataclass
class Desk:
    """What came out of a scripted run."""

    broker: MarginBroker
    fills: list[Told] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    trades: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Scripted(bt.Strategy):
    """Does ``script[bar]`` in ``next`` of the candle with that number (1 is the first)."""

    params = (("script", None), ("desk", None))

    def next(self) -> None:
        self.p.desk.values.append(self.broker.getvalue())
        action = self.p.script.get(len(self))
        if action is not None:
            action(self)

    def notify_order(self, order: Any) -> None:
        desk = self.p.desk
        if order.status in (order.Completed, order.Partial):
            desk.fills.append(
                Told(
                    len(self), "buy" if order.isbuy() else "sell", abs(order.executed.size),
                    order.executed.price, str(order.info.get("reason") or ""),
                )
            )  # fmt: skip
        if order.status in (order.Margin, order.Rejected):
            desk.refused.append((order.getstatusname(), order.info["reason"]))

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.p.desk.trades.append(trade.pnlcomm)


def frame(rows: Sequence[Row], start: str = "2025-01-01", freq: str = "h") -> pd.DataFrame:
    """Candles as a DataFrame with a UTC ``timestamp`` column."""
    times = pd.date_range(start, periods=len(rows), freq=freq, tz="UTC")
    table = pd.DataFrame(rows, columns=["open", "high", "low", "close"])
    table.insert(0, "timestamp", times)
    table["volume"] = 1.0
    return table


def marks(rows: Sequence[Row], start: str = "2025-01-01", freq: str = "h") -> pd.DataFrame:
    """Mark candles: the same without a volume."""
    return frame(rows, start, freq).drop(columns="volume")


def funding(rates: Mapping[str, float]) -> pd.DataFrame:
    """Funding settlements by ISO time."""
    return pd.DataFrame(
        {"timestamp": pd.to_datetime(list(rates), utc=True), "rate": list(rates.values())}
    )


def run(
    rows: Sequence[Row],
    script: Script,
    *,
    mark: Sequence[Row] | None = None,
    rates: Mapping[str, float] | None = None,
    cerebro: type = bt.Cerebro,
    strategy: type = Scripted,
    symbol: str = "TEST/USDT",
    **broker: Any,
) -> Desk:
    """Run ``script`` over ``rows`` on a MarginBroker; no fees, no tiers unless told so."""
    settings = {"cash": 10_000.0, "maker": 0.0, "taker": 0.0, "tiers": None, **broker}
    desk = Desk(MarginBroker(**settings))
    engine = cerebro(stdstats=False)
    engine.setbroker(desk.broker)
    feed = CandleFeed(
        dataname=frame(rows),
        mark=None if mark is None else marks(mark),
        funding=None if rates is None else funding(rates),
        symbol=symbol,
    )
    engine.adddata(feed)
    engine.addstrategy(strategy, script=script, desk=desk)
    engine.run()
    return desk
