"""Walk-forward: the best set of one stretch of candles, tried on the stretch that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from analyzers.figures import drawdowns
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.series import iso
from leverpack.errors import SettingError
from leverpack.result import Floats, Ints
from leverpack.risk.limits import DAY_MS
from leverpack.sweep.engine import SweepEngine
from leverpack.sweep.market import SweepMarket, load_market
from leverpack.sweep.outcome import Outcome, best, by_calendar_day, daily_figures
from leverpack.sweep.overfit import Trials, Verdict
from leverpack.sweep.periods import period_of
from leverpack.sweep.runner import in_good_order, run_sets

Params = Mapping[str, Any]
OnSet = Callable[[int, int], Any]


@dataclass(frozen=True)
class Window:
    """Candles (positions; the stops are not in it) to choose on, and to try the choice on."""

    train_start: int
    train_stop: int
    test_start: int
    test_stop: int


@dataclass(frozen=True)
class Fold:
    """One window: the set that was best in it and its figures before and after the choice.

    Times are ISO, UTC, of the first and the last candle. ``params`` None: no set had the metric;
    nothing is traded then, and ``outside`` is None. Figures as in leverpack.sweep.outcome.FIGURES.
    """

    window: Window
    train: tuple[str, str]
    test: tuple[str, str]
    params: Params | None
    inside: Mapping[str, float | int | None] | None
    outside: Mapping[str, float | int | None] | None


@dataclass(frozen=True)
class Stability:
    """How one parameter moved from choice to choice.

    ``share`` is that of the commonest value; ``moves`` the mean step between neighbouring choices
    as a share of the way from its first to its last value: 0 never moved, 1 from end to end.
    """

    name: str
    values: tuple[Any, ...]
    commonest: Any
    share: float
    moves: float | None


@dataclass(frozen=True)
class WalkForward:
    """All folds, the account that follows every choice in turn, and how much of it is luck.

    ``chained`` has return, cagr, volatility, sharpe, sortino, calmar, max_drawdown (between closes
    of days, or inside a test where that is worse), trades and liquidations of the tests one after
    the other, each beginning with what the one before left; ``days`` and ``equity`` its closes
    (UTC days since 1970, quote). ``efficiency`` is the mean log growth a candle of the tests over
    that of the choices on their own stretch, None where the latter did not grow. ``verdict`` is
    about the whole stretch, chosen by the same metric.
    """

    metric: str
    folds: tuple[Fold, ...]
    stability: tuple[Stability, ...]
    chained: Mapping[str, float | int | None]
    efficiency: float | None
    days: Ints
    equity: Floats
    verdict: Verdict


def windows(
    bars: int, train: int, test: int, *, purge: int = 0, anchored: bool = False
) -> list[Window]:
    """Windows over ``bars`` candles, tests end to end up to the last candle; oldest first.

    ``train`` and ``test`` are candles, ``purge`` the candles left out between them, so that what
    was chosen with cannot reach into what it is tried on. Rolling windows are all as long;
    anchored ones begin at the first candle and grow. What is left over lies before the first
    window, and belongs to the choice of anchored ones. Raises SettingError where none fits.
    """
    for name, value, lowest in (("train", train, 1), ("test", test, 1), ("purge", purge, 0)):
        if value < lowest:
            raise SettingError(f"--{name}: it must be {lowest} candles at least, not {value}")
    count = (bars - train - purge) // test
    if count < 1:
        raise SettingError(
            f"--train and --test: {train:,} + {test:,} candles and {purge:,} between them do not "
            f"fit into {bars:,}; shorten them"
        )
    tests = range(bars - count * test, bars, test)
    return [
        Window(0 if anchored else at - purge - train, at - purge, at, at + test) for at in tests
    ]


def walk_forward(
    settings: BacktestSettings, sets: Iterable[Params], *, train: int, test: int, purge: int = 0,
    anchored: bool = False, metric: str = "calmar", workers: int | None = None,
    cluster: str | None = None, market: SweepMarket | None = None, on_set: OnSet | None = None,
) -> WalkForward:  # fmt: skip
    """Choose the best of ``sets`` by ``metric`` in each window and run it on what follows.

    Every stretch begins flat with the deposit and ends with what is open valued at the last
    close. Equal sets: the one that comes first. ``on_set(done, all)`` is called after each run.
    ``workers`` None is every core, ``cluster`` the address of one (leverpack.sweep.cluster); the
    outcome depends on neither. Raises SettingError and
    DataError.
    """
    market = market or load_market(settings)
    asked = [dict(s) for s in sets]
    if not asked:
        raise SettingError("--grid: there are no sets to choose from")
    best((), metric, 1)  # a metric that there is not is said before anything runs
    run = partial(run_sets, workers=workers, cluster=cluster)
    spans = windows(market.bars, train, test, purge=purge, anchored=anchored)
    tell = _counter(len(asked) * (len(spans) + 1), on_set)
    folds, chain = [], _Chain(settings.cash)
    grown: list[float] = []
    for span in spans:
        chosen = _chosen(settings, market, span, asked, metric, run, tell)
        tried = None
        if chosen is not None:
            part = SweepEngine(settings, period_of(market, span.test_start, span.test_stop))
            tried = part.outcome(chosen.params, number=chosen.number)
            chain.add(part.days, tried)
            length = span.train_stop - span.train_start
            grown.append(_growth(chosen.figure("end_equity"), settings.cash) / length)
        else:
            ts = np.asarray(market.feed.candles.ts[span.test_start : span.test_stop])
            chain.wait(ts)
        folds.append(_fold(market, span, chosen, tried))
    engine = SweepEngine(settings, market)
    trials = Trials(engine.days, settings.cash, metric)
    for outcome in run(engine, in_good_order(engine, asked)):
        trials.add(outcome)
        tell()
    days, equity = chain.closes()
    chained = chain.figures()
    outside = _growth(float(chained["end_equity"] or 0.0), settings.cash) / (test * len(spans))
    return WalkForward(
        metric=metric, folds=tuple(folds), stability=_stability(asked, folds),
        chained=chained, efficiency=_efficiency(grown, outside),
        days=days, equity=equity, verdict=trials.verdict(),
    )  # fmt: skip


def _counter(total: int, on_set: OnSet | None) -> Callable[[], None]:
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if on_set is not None:
            on_set(done, total)

    return tell


def _chosen(
    settings: BacktestSettings, market: SweepMarket, span: Window, sets: Sequence[Params],
    metric: str, run: Callable[..., Iterator[Outcome]], tell: Callable[[], None],
) -> Outcome | None:  # fmt: skip
    """The best set on the stretch to choose on; None where none has the metric."""
    engine = SweepEngine(settings, period_of(market, span.train_start, span.train_stop))
    held: Outcome | None = None
    for outcome in run(engine, in_good_order(engine, sets)):
        tell()
        pair = sorted((o for o in (held, outcome) if o is not None), key=lambda o: o.number)
        first = best([{**o.figures, "at": k} for k, o in enumerate(pair)], metric, 1)
        held = pair[int(first[0]["at"])] if first else None
    return held


def _fold(
    market: SweepMarket, span: Window, chosen: Outcome | None, tried: Outcome | None
) -> Fold:
    ts = market.feed.candles.ts

    def times(start: int, stop: int) -> tuple[str, str]:
        return iso(int(ts[start])), iso(int(ts[stop - 1]))

    return Fold(
        window=span,
        train=times(span.train_start, span.train_stop),
        test=times(span.test_start, span.test_stop),
        params=None if chosen is None else dict(chosen.params),
        inside=None if chosen is None else chosen.figures,
        outside=None if tried is None else tried.figures,
    )


# -- the account that follows every choice --------------------------------------------------------


class _Chain:
    """Tests one after the other, each beginning with what the one before left."""

    def __init__(self, cash: float) -> None:
        self._cash = self._level = cash
        self._closes: dict[int, float] = {}
        self._deepest = 0.0
        self._trades = self._liquidations = 0

    def add(self, days: Ints, tried: Outcome) -> None:
        """The equity of one test, scaled to what there is."""
        if tried.refused:
            self._closes.update(dict.fromkeys(days.tolist(), self._level))
            return
        scaled = np.maximum(tried.daily, 0.0) * (self._level / self._cash)
        # A day that two tests share ends with the later one.
        self._closes.update(zip(days.tolist(), scaled.tolist(), strict=True))
        self._level = float(scaled[-1])
        self._deepest = max(self._deepest, tried.figure("max_drawdown"))
        self._trades += int(tried.figure("trades"))
        self._liquidations += int(tried.figure("liquidations"))

    def wait(self, ts: Ints) -> None:
        """A test in which nothing is traded."""
        self._closes.update(dict.fromkeys(np.unique(ts // DAY_MS).tolist(), self._level))

    def closes(self) -> tuple[Ints, Floats]:
        """Every UTC day from the first test's to the last, and the equity at its close."""
        days = np.array(list(self._closes), np.int64)
        held = by_calendar_day(days, np.array(list(self._closes.values())))
        return np.arange(days[0], days[-1] + 1), held

    def figures(self) -> dict[str, float | int | None]:
        _, equity = self.closes()
        between = float(drawdowns(equity, self._cash).max())
        return {
            "end_equity": self._level,
            "return": self._level / self._cash - 1.0,
            **daily_figures(equity, self._cash),
            "max_drawdown": max(self._deepest, between),
            "trades": self._trades,
            "liquidations": self._liquidations,
        }


def _growth(end: float, cash: float) -> float:
    """Log growth; -inf where everything is lost."""
    return math.log(end / cash) if end > 0.0 else -math.inf


def _efficiency(grown: Sequence[float], outside: float) -> float | None:
    """Pardo, "The Evaluation and Optimization of Trading Strategies", 2008."""
    inside = float(np.mean(grown)) if grown else 0.0
    return outside / inside if inside > 0.0 and math.isfinite(outside) else None


# -- stability ------------------------------------------------------------------------------------


def _stability(sets: Sequence[Params], folds: Sequence[Fold]) -> tuple[Stability, ...]:
    chosen = [f.params for f in folds if f.params is not None]
    if not chosen:
        return ()
    return tuple(
        _moved(name, _ladder([s[name] for s in sets if name in s]), [c[name] for c in chosen])
        for name in chosen[0]
    )


def _ladder(values: Iterable[Any]) -> list[Any]:
    """The distinct values in their order: of numbers by size, of others as they come."""
    found: list[Any] = []
    for value in values:  # a value may be a dict, which knows no hash
        if value not in found:
            found.append(value)
    numbers = all(isinstance(v, (int, float)) for v in found)
    return sorted(found) if numbers else found


def _moved(name: str, ladder: Sequence[Any], values: Sequence[Any]) -> Stability:
    places = [ladder.index(v) for v in values]
    moves = None
    if len(values) > 1 and len(ladder) > 1:
        moves = float(np.abs(np.diff(places)).mean()) / (len(ladder) - 1)
    commonest = max(values, key=values.count)
    return Stability(name, tuple(values), commonest, values.count(commonest) / len(values), moves)
