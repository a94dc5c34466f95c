"""A stage for strategies: rows of candles in, a rule as a plain function, fills and orders out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import backtrader as bt

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from strategies import LeverageStrategy
from tests.backtest.desk import Row, frame


class Watched(LeverageStrategy):
    """Notes fills, and at every candle that resting exits never sum to more than is held."""

    def __init__(self) -> None:
        super().__init__()
        self.fills: list[tuple[str, float, float]] = []  # tag, signed size, price
        self._heard: dict[int, float] = {}

    def notify_fill(self, order: Any) -> None:
        fresh = order.executed.size - self._heard.get(order.ref, 0.0)
        if fresh:
            self._heard[order.ref] = order.executed.size
            self.fills.append((order.info.get("tag"), fresh, order.executed.price))
        super().notify_fill(order)

    def resting(self, data: Any) -> dict[str, float]:
        """Sizes that rest for one feed, by order kind."""
        found = {"stop": 0.0, "target": 0.0}
        for order in self.broker.pending:
            if order.data is data and order.alive() and order.info.get("reduce_only"):
                kind = "target" if order.exectype == bt.Order.Limit else "stop"
                found[kind] += abs(order.executed.remsize)
        return found

    def next(self) -> None:
        for data in self.datas:
            held = abs(self.getposition(data).size)
            for size in self.resting(data).values():
                assert size <= held * (1 + 1e-9) + 1e-12, "exits sum to more than is held"
        super().next()


def once(bar: int, side: int) -> Any:
    """An entry rule that says ``side`` at one candle (1 is the first)."""
    return lambda data: side if len(data) == bar else 0


def play(
    rows: Sequence[Row] | dict[str, Sequence[Row]], rule: Any, *, strategy: type = Watched,
    broker: dict[str, Any] | None = None, **params: Any,
) -> Any:  # fmt: skip
    """Run; returns the strategy. No fees and no tiers unless told."""
    settings = {"cash": 10_000.0, "maker": 0.0, "taker": 0.0, "tiers": None, **(broker or {})}
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(**settings))
    feeds = rows if isinstance(rows, dict) else {"TEST/USDT": rows}
    for symbol, candles in feeds.items():
        cerebro.adddata(CandleFeed(dataname=frame(candles), symbol=symbol), name=symbol)
    cerebro.addstrategy(strategy, entry_rule=rule, **params)
    return cerebro.run()[0]


def flat(price: float, count: int = 1) -> list[Row]:
    """Candles that do not move."""
    return [(price, price, price, price)] * count


def to(start: float, end: float) -> Row:
    """A candle straight from one price to another."""
    return (start, max(start, end), min(start, end), end)
