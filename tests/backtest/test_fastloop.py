"""The fast loop shows a strategy exactly what Backtrader's own loop shows it, to the last bit."""

from __future__ import annotations

import datetime as dt
import io
import itertools
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from backtrader.linebuffer import LineActions
from backtrader.lineiterator import LineIterator

from leverpack.backtest.cerebro import Cerebro
from leverpack.candles.feed import CandleFeed
from tests.conftest import needs_shared, real

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time


def walk(count: int = 600, seed: int = 1, start: str = "2015-01-05", freq: str = "h") -> Any:
    """A random walk as a DataFrame of candles; every fourteenth candle does not move at all."""
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, count))), 2)
    close[13::14] = close[12::14][: len(close[13::14])]
    opens = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opens, close) + np.round(rng.random(count) * (close != opens), 2)
    low = np.minimum(opens, close) - np.round(rng.random(count) * (close != opens), 2)
    times = pd.date_range(start, periods=count, freq=freq, tz="UTC")
    volume = np.round(rng.random(count) * 10.0, 3)
    columns = {"timestamp": times, "open": opens, "high": high, "low": low, "close": close}
    return pd.DataFrame({**columns, "volume": volume})


class Watching(bt.Strategy):
    """Notes all that it can see at every bar, and every call that it gets."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def note(self, what: str) -> None:
        held = [*self.datas, *self._lineiterators[LineIterator.IndType]]
        values = []
        for item in held:
            for line in item.lines:
                values += [line[ago] for ago in (0, -1) if len(line) > -ago]
        lengths = [len(d) for d in self.datas]
        cash = (self.broker.getcash(), self.broker.getvalue())
        self.seen.append((what, len(self), self.datetime[0], lengths, values, cash))

    def prenext(self) -> None:
        self.note("prenext")

    def nextstart(self) -> None:
        self.note("nextstart")

    def next(self) -> None:
        self.note("next")

    def notify_order(self, order: Any) -> None:
        done = order.executed
        self.seen.append(("order", order.ref, order.status, done.size, done.price, done.pnl))

    def notify_trade(self, trade: Any) -> None:
        self.seen.append(("trade", trade.status, trade.size, trade.price, trade.pnlcomm))

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        self.seen.append(("timer", when, len(self)))

    def stop(self) -> None:
        self.seen.append(("stop", len(self)))


Setup = Callable[[Any], None]


def play(kind: type, setup: Setup, **run: Any) -> tuple[Any, list[Any]]:
    """One run with Backtrader's own broker; order references count from 1 in each."""
    bt.Order.refbasis = itertools.count(1)
    cerebro = kind()
    cerebro.broker.setcommission(0.001)
    setup(cerebro)
    return cerebro, cerebro.run(**run)


def same(one: Any, other: Any) -> None:
    """Equal to the last bit, NaN equal to NaN."""
    assert repr(one) == repr(other)


def all_lines(strategy: Any) -> list[list[float]]:
    found = []
    for observer in strategy._lineiterators[LineIterator.ObsType]:
        found += [list(line.array[: len(strategy)]) for line in observer.lines]
    return found


def compare(setup: Setup, **run: Any) -> list[Any]:
    """Run both; everything seen, observed and analysed is equal. Returns our strategies."""
    _, stock = play(bt.Cerebro, setup, **run)
    engine, ours = play(Cerebro, setup, **run)
    assert engine.loop == "fast"
    for one, other in zip(stock, ours, strict=True):
        assert len(one.seen) > 20
        for a, b in zip(one.seen, other.seen, strict=True):
            same(a, b)
        same(all_lines(one), all_lines(other))
        for analyzer, own in zip(one.analyzers, other.analyzers, strict=True):
            same(analyzer.get_analysis(), own.get_analysis())
    return ours


def feed(cerebro: Any, name: str = "a", **made: Any) -> Any:
    data = CandleFeed(dataname=walk(**made), symbol=name)
    cerebro.adddata(data, name=name)
    return data


# --- indicators -------------------------------------------------------------------------------

MANY: dict[str, Callable[[Any], Any]] = {
    "averages": lambda d: [
        bt.ind.SMA(d, period=10), bt.ind.EMA(d, period=7), bt.ind.SMMA(d, period=9),
        bt.ind.WMA(d, period=8), bt.ind.DEMA(d, period=6), bt.ind.HMA(d, period=9),
        bt.ind.KAMA(d), bt.ind.ZeroLagExponentialMovingAverage(d), bt.ind.SMA(d, period=401),
    ],
    "channels": lambda d: [
        bt.ind.BollingerBands(d), bt.ind.Highest(d.high, period=20), bt.ind.Lowest(d.low),
        bt.ind.StdDev(d, period=11), bt.ind.MeanDev(d, period=9),
    ],
    "oscillators": lambda d: [
        bt.ind.RSI(d, safediv=True), bt.ind.RSI_SMA(d, safediv=True), bt.ind.MACDHisto(d),
        bt.ind.Stochastic(d, safediv=True), bt.ind.CCI(d), bt.ind.ROC(d), bt.ind.Momentum(d),
        bt.ind.WilliamsR(d), bt.ind.AwesomeOscillator(d), bt.ind.Trix(d),
    ],
    "trend": lambda d: [
        bt.ind.ADX(d), bt.ind.ATR(d), bt.ind.AroonOscillator(d), bt.ind.ParabolicSAR(d),
        bt.ind.DirectionalMovement(d), bt.ind.Ichimoku(d), bt.ind.Vortex(d),
    ],
    "crossings": lambda d: [
        bt.ind.CrossOver(bt.ind.SMA(d, period=5), bt.ind.SMA(d, period=15)),
        bt.ind.CrossUp(d.close, bt.ind.EMA(d)), bt.ind.CrossDown(d.close, bt.ind.EMA(d)),
    ],
    "operations": lambda d: [
        (d.high + d.low) / 2.0 - d.close(-1), 1.0 / d.close, -d.close, abs(d.close - d.open),
        bt.Max(d.close, d.open), bt.Min(d.close, d.open, d.low), bt.Sum(d.close, d.open),
        bt.And(d.close > d.open, d.close > d.close(-1)), bt.Or(d.close > 100.0, d.low < 99.0),
        bt.If(d.close > d.open, d.high, d.low), bt.DivByZero(d.volume, d.close - d.open, zero=7.0),
        bt.DivZeroByZero(d.close - d.open, d.high - d.low, 1.0, 0.5), d.close ** 2,
        d.close == d.open, d.close != d.open, d.close // 7.0, bt.ind.SumN(d.close, period=5),
        bt.ind.AnyN(d.close > d.open, period=3), bt.ind.AllN(d.close > d.open, period=3),
        bt.ind.SMA(d.close - d.open, period=12), bt.ind.Highest(d.close(-2), period=4),
    ],
}  # fmt: skip


@pytest.mark.parametrize("group", MANY)
def test_indicators(group: str) -> None:
    class Uses(Watching):
        def __init__(self) -> None:
            super().__init__()
            self.used = MANY[group](self.data)

    def setup(cerebro: Any) -> None:
        feed(cerebro, count=700)
        cerebro.addstrategy(Uses)

    compare(setup)


@needs_shared
@pytest.mark.parametrize("group", ["averages", "channels", "oscillators", "trend"])
def test_indicators_on_real_candles(group: str) -> None:
    class Uses(Watching):
        def __init__(self) -> None:
            super().__init__()
            self.used = MANY[group](self.data)

    def setup(cerebro: Any) -> None:
        path = real("binanceusdm_BTCUSDT_perp_1h_20190908_20260219.parquet")
        cerebro.adddata(CandleFeed(dataname=path, todate=dt.datetime(2020, 6, 1)))
        cerebro.addstrategy(Uses)

    compare(setup)


def test_more_bars_than_one_block() -> None:
    class Uses(Watching):
        def __init__(self) -> None:
            super().__init__()
            self.used = [
                bt.ind.SMA(period=30), bt.ind.EMA(period=12), bt.ind.RSI(safediv=True),
                bt.ind.Highest(period=50), 1.0 / (self.data.close - 1.0), self.data.close(-3),
            ]  # fmt: skip

    def setup(cerebro: Any) -> None:
        feed(cerebro, count=20_000, freq="min")
        cerebro.addstrategy(Uses)

    compare(setup)


def test_a_division_by_zero_raises_as_it_does_in_backtrader() -> None:
    class Uses(bt.Strategy):
        def __init__(self) -> None:
            self.used = self.data.volume / (self.data.close - self.data.open)

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Uses)

    for kind in (bt.Cerebro, Cerebro):
        with pytest.raises(ZeroDivisionError):
            play(kind, setup)


@pytest.mark.parametrize("count", [1, 5, 29, 30])
def test_fewer_candles_than_the_indicators_need_is_no_error(count: int) -> None:
    class Uses(Watching):
        def __init__(self) -> None:
            super().__init__()
            self.used = [bt.ind.SMA(period=30), bt.ind.RSI(safediv=True), bt.ind.MACD()]

    cerebro = Cerebro()
    feed(cerebro, count=count)
    cerebro.addstrategy(Uses)
    ran = cerebro.run()[0]
    calls = [x[0] for x in ran.seen if x[0] != "stop"]
    assert cerebro.loop == "fast"
    assert calls == ["prenext"] * count


class Inner(bt.Indicator):
    """An indicator of a user, with parts that it names (some in a list) and parts without name."""

    lines = ("out",)

    def __init__(self) -> None:
        self.kept = bt.ind.SMA(self.data, period=4)
        self.several = [bt.ind.EMA(self.data, period=3), self.data(-1)]
        self.l.out = self.kept + self.several[0] * (self.data - self.several[1])


def test_what_an_indicator_names_stays_and_the_rest_is_let_go() -> None:
    class Uses(Watching):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner(self.data.close)

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Uses)

    _, stock = play(bt.Cerebro, setup)
    _, ours = play(Cerebro, setup)
    one, other = stock[0].inner, ours[0].inner
    same(list(one.kept.array), list(other.kept.array))
    same([list(x.lines[0].array) for x in one.several[:1]],
         [list(x.lines[0].array) for x in other.several[:1]])  # fmt: skip
    nameless = [c for c in other._lineiterators[LineIterator.IndType] if isinstance(c, LineActions)]
    assert any(not len(line.array) for line in nameless)
    compare(setup)


# --- feeds ------------------------------------------------------------------------------------


class Crosses(Watching):
    """Trades every feed at its own crossing."""

    def __init__(self) -> None:
        super().__init__()
        self.crosses = [
            bt.ind.CrossOver(bt.ind.SMA(d, period=5), bt.ind.SMA(d, period=20)) for d in self.datas
        ]

    def next(self) -> None:
        super().next()
        for data, cross in zip(self.datas, self.crosses, strict=True):
            if cross[0] > 0:
                self.order_target_size(data, 3)
            elif cross[0] < 0:
                self.order_target_size(data, -2)


def analyzers(cerebro: Any) -> None:
    for kind in (
        bt.analyzers.DrawDown, bt.analyzers.TradeAnalyzer, bt.analyzers.SQN,
        bt.analyzers.TimeReturn, bt.analyzers.Transactions, bt.analyzers.PositionsValue,
        bt.analyzers.AnnualReturn,
    ):  # fmt: skip
        cerebro.addanalyzer(kind)


def test_market_orders_with_all_usual_analyzers_and_observers() -> None:
    def setup(cerebro: Any) -> None:
        feed(cerebro)
        analyzers(cerebro)
        for kind in (bt.observers.DrawDown, bt.observers.Value, bt.observers.TimeReturn):
            cerebro.addobserver(kind)
        cerebro.addstrategy(Crosses)

    compare(setup)


def test_feeds_of_different_start_length_and_grid() -> None:
    def setup(cerebro: Any) -> None:
        feed(cerebro, "early", count=500)
        feed(cerebro, "late", count=300, seed=2, start="2025-01-10")
        feed(cerebro, "slow", count=90, seed=3, freq="4h", start="2025-01-03")
        analyzers(cerebro)
        cerebro.addstrategy(Crosses)

    compare(setup)


def test_several_strategies_share_one_broker() -> None:
    class Slower(Crosses):
        def next(self) -> None:
            if len(self) % 2:
                super().next()

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Crosses)
        cerebro.addstrategy(Slower)

    assert len(compare(setup)) == 2


def test_timers() -> None:
    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Crosses)
        cerebro.add_timer(when=dt.time(10, 0), strats=True)
        cerebro.add_timer(when=dt.time(4, 0), weekdays=[1, 3], cheat=True, strats=True)

    ours = compare(setup)
    assert sum(x[0] == "timer" for x in ours[0].seen) > 20


def test_cash_value_and_fund_are_told_to_who_listens() -> None:
    class Listens(Crosses):
        def notify_cashvalue(self, cash: float, value: float) -> None:
            self.seen.append(("cashvalue", cash, value))

        def notify_fund(self, cash: float, value: float, fund: float, shares: float) -> None:
            self.seen.append(("fund", cash, value, fund, shares))

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Listens)

    compare(setup)


def test_an_analyzer_that_hears_every_phase() -> None:
    class Hears(bt.Analyzer):
        def start(self) -> None:
            self.rets = []

        def prenext(self) -> None:
            self.rets.append("prenext")

        def nextstart(self) -> None:
            self.rets.append("nextstart")

        def next(self) -> None:
            self.rets.append(self.strategy.broker.getvalue())

        def notify_cashvalue(self, cash: float, value: float) -> None:
            self.rets.append((cash, value))

        def get_analysis(self) -> Any:
            return self.rets

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addanalyzer(Hears)
        cerebro.addstrategy(Crosses)

    compare(setup)


def test_a_stop_asked_for_in_the_middle() -> None:
    class Stops(Crosses):
        def next(self) -> None:
            super().next()
            if len(self) == 333:
                self.env.runstop()

    def setup(cerebro: Any) -> None:
        feed(cerebro)
        cerebro.addstrategy(Stops)

    assert compare(setup)[0].seen[-1] == ("stop", 333)


def test_one_cerebro_runs_twice_with_equal_results() -> None:
    cerebro = Cerebro()
    feed(cerebro)
    cerebro.addstrategy(Crosses)
    first, second = (cerebro.run()[0] for _ in range(2))
    values = [[x[-1] for x in s.seen if x[0] == "next"] for s in (first, second)]
    same(*values)


def test_optimisation_finds_what_backtrader_finds() -> None:
    class Tuned(bt.Strategy):
        params = (("period", 5),)

        def __init__(self) -> None:
            self.average = bt.ind.SMA(period=self.p.period)
            self.total = 0.0

        def next(self) -> None:
            self.total += self.average[0]
            if self.data.close[0] > self.average[0]:
                self.order_target_size(target=1)
            else:
                self.close()

    def outcome(kind: type) -> list[Any]:
        cerebro = kind(optreturn=False)
        feed(cerebro)
        cerebro.optstrategy(Tuned, period=range(5, 9))
        runs = cerebro.run(maxcpus=1)
        return [(s.p.period, s.total, s.broker.getvalue()) for run in runs for s in run]

    found = outcome(Cerebro)
    same(found, outcome(bt.Cerebro))
    assert len({total for _, total, _ in found}) == 4


# --- what the fast loop does not cover ----------------------------------------------------------


class OwnOncepost(Watching):
    def _oncepost(self, when: float) -> None:
        super()._oncepost(when)


def replayed(cerebro: Any) -> None:
    data = CandleFeed(dataname=walk(), symbol="a")
    cerebro.replaydata(data, timeframe=bt.TimeFrame.Minutes, compression=240)


def resampled(cerebro: Any) -> None:
    data = feed(cerebro)
    cerebro.resampledata(data, timeframe=bt.TimeFrame.Minutes, compression=240)


def with_writer(cerebro: Any) -> None:
    feed(cerebro)
    cerebro.addwriter(bt.WriterFile, out=io.StringIO(), csv=True)


OUTSIDE: dict[str, tuple[Setup, type, dict[str, Any], str]] = {
    "replay": (replayed, Watching, {}, "resampled or replayed"),
    "resample": (resampled, Crosses, {}, "resampled or replayed"),
    "saved memory": (feed, Watching, {"exactbars": 1}, "not preloaded"),
    "no runonce": (feed, Watching, {"runonce": False}, "runonce is off"),
    "cheat on open": (feed, Watching, {"cheat_on_open": True}, "cheat_on_open is on"),
    "quick notify": (feed, Watching, {"quicknotify": True}, "quicknotify is on"),
    "old sync": (feed, Watching, {"oldsync": True}, "oldsync is on"),
    "writer": (with_writer, Watching, {}, "a writer is attached"),
    "own hook": (feed, OwnOncepost, {}, "OwnOncepost overrides Backtrader's _oncepost"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_is_not_covered_runs_on_backtraders_loop_and_says_why(case: str) -> None:
    setup, strategy, run, why = OUTSIDE[case]

    def full(cerebro: Any) -> None:
        setup(cerebro)
        cerebro.addstrategy(strategy)

    _, stock = play(bt.Cerebro, full, **run)
    engine, ours = play(Cerebro, full, **run)
    assert engine.loop.startswith("backtrader: ")
    assert why in engine.loop
    assert len(ours[0].seen) > 20
    same(stock[0].seen, ours[0].seen)


def test_before_a_run_nothing_is_claimed() -> None:
    assert Cerebro().loop == "not run yet"
