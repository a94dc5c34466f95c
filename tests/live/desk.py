"""A live run on a paper exchange in lock-step: the next candle comes when the run is at rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backtrader as bt

from leverpack.config import Settings
from leverpack.live.broker import CCXTLiveBroker
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.store import CCXTStore
from strategies import LeverageStrategy
from tests.paper.stand import SYMBOL, UNIFIED, Stand

HISTORY = 5


class Done(bt.Analyzer):
    """Counts the candles that strategy and analyzers are through with."""

    def start(self) -> None:
        self.count = 0

    def prenext(self) -> None:
        self.count += 1

    def next(self) -> None:
        self.count += 1


class Scripted(LeverageStrategy):
    """Does at its nth live candle what ``script[n]`` says, and writes down what it hears."""

    params = (("script", {}),)

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.heard: list[tuple[str, str, float]] = []  # tag, status, executed size
        self.trades: list[float] = []
        self.sent: list[Any] = []

    def next(self) -> None:
        self.seen += 1
        act = self.p.script.get(self.seen)
        if act is not None:
            self.sent.append(act(self))
        super().next()

    def signal(self, data: Any) -> int:
        return 0

    def notify_order(self, order: Any) -> None:
        word = order.getstatusname(), order.executed.size
        self.heard.append((str(order.info.get("tag") or order.info.get("reason") or ""), *word))
        super().notify_order(order)

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.trades.append(trade.pnlcomm)

    def ends(self) -> list[tuple[str, str]]:
        """Tag and last status of every order, in the order of their first word."""
        last: dict[str, str] = {}
        for tag, status, _ in self.heard:
            last[tag] = status
        return list(last.items())


class Desk:
    """A run in a thread: ``step`` plays candles and waits until the run is through with each."""

    def __init__(self, stand: Stand, cerebro: bt.Cerebro, broker: CCXTLiveBroker) -> None:
        self.stand, self.cerebro, self.broker = stand, cerebro, broker
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.cerebro.run()
        except BaseException as fault:
            self.fault = fault
            self.broker.stop()

    @property
    def strategy(self) -> Any:
        return self.cerebro.runningstrats[0]

    @property
    def position(self) -> float:
        return float(self.stand.session.exchange.books.position(SYMBOL).size)

    def algos(self) -> list[Any]:
        return self.stand.session.exchange.desk.algos.of(SYMBOL)

    def orders(self) -> list[Any]:
        return self.stand.session.exchange.desk.orders.of(SYMBOL)

    def until(self, true: Callable[[], bool], within: float = 20.0) -> None:
        end = time.monotonic() + within
        while not true():
            if self.fault is not None:
                raise self.fault
            assert time.monotonic() < end, "the run did not come to rest"
            time.sleep(0.005)

    def rest(self, bars: int) -> None:
        """Wait for ``bars`` candles in all, and for all that follows from them."""
        self.until(lambda: len(getattr(self.cerebro, "runningstrats", ())) == 1 and getattr(
            getattr(self.strategy.analyzers, "done", None), "count", -1) >= bars)
        self.until(lambda: self.broker.at_rest)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            before = self.strategy.analyzers.done.count
            self.stand.step()
            self.rest(before + 1)

    def end(self) -> None:
        self.cerebro.runstop()
        for data in self.cerebro.datas:
            data.wake()
        self._thread.join(15)
        assert not self._thread.is_alive()


@contextmanager
def trading(
    stand: Stand, journal: Path, *, strategy: Any = Scripted, broker: dict[str, Any] | None = None,
    store: dict[str, Any] | None = None, quiet_s: float = 10.0, exchange: str = "binanceusdm",
    timeframe: str = "1h", symbols: tuple[str, ...] = (UNIFIED,),
    analyzers: dict[str, Any] | None = None, **params: Any,
) -> Iterator[Desk]:  # fmt: skip
    """A strategy trading live at ``stand``."""
    config = {"options": {"recvWindow": 1_000, **(store or {})}}
    link = CCXTStore(exchange, config, url=stand.url, settings=Settings(), env_file=None)
    held = CCXTLiveBroker(
        store=link, journal=str(journal), **{"leverage": 5.0, **(broker or {})}
    )
    cerebro = bt.Cerebro(stdstats=False)
    for symbol in symbols:
        cerebro.adddata(CCXTDataFeed(
            store=link, symbol=symbol, timeframe=timeframe, history=HISTORY, quiet_s=quiet_s))
    cerebro.setbroker(held)
    cerebro.addstrategy(strategy, **params)
    for name, analyzer in (analyzers or {}).items():
        cerebro.addanalyzer(analyzer, _name=name)
    cerebro.addanalyzer(Done, _name="done")
    desk = Desk(stand, cerebro, held)
    try:
        desk.rest(HISTORY)
        desk.until(lambda: bool(stand.session.hub.streams))
        yield desk
    finally:
        desk.end()
