"""Walk-forward: where the windows lie, that nothing is seen ahead, and the same done by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from analyzers.figures import return_figures
from leverpack.candles.series import Candles
from leverpack.cli import app
from leverpack.errors import LeverpackError, SettingError
from leverpack.sweep import Grid, SweepEngine, run_sets
from leverpack.sweep.market import market_from
from leverpack.sweep.periods import period_of
from leverpack.sweep.walkforward import Window, walk_forward, windows
from tests.cli.test_sweep import BASE

DAY = 24
SETS = Grid({"stop_loss_pct": [0.02, 0.05, 0.08], "leverage": [2.0, 12.0]})


# --- windows --------------------------------------------------------------------------------------


def test_rolling_and_anchored_windows() -> None:
    assert windows(100, 40, 20, purge=3) == [Window(17, 57, 60, 80), Window(37, 77, 80, 100)]
    assert windows(100, 40, 20, purge=3, anchored=True) == [
        Window(0, 57, 60, 80), Window(0, 77, 80, 100),
    ]  # fmt: skip
    assert windows(10, 6, 4) == [Window(0, 6, 6, 10)]


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("purge", [0, 7])
def test_windows_cover_the_end_and_keep_their_distance(anchored: bool, purge: int) -> None:
    found = windows(1_003, 200, 90, purge=purge, anchored=anchored)
    assert found[-1].test_stop == 1_003
    assert all(a.test_stop == b.test_start for a, b in pairwise(found))
    for w in found:
        assert w.test_start - w.train_stop == purge
        assert w.test_stop - w.test_start == 90
        assert w.train_start >= 0 and w.train_stop - w.train_start >= 200
    assert found[0].train_start < 90  # one window more would not have fitted


@pytest.mark.parametrize(
    ("given", "said"),
    [((10, 8, 3), "do not fit into 10"), ((10, 0, 3), "--train"), ((10, 5, 0), "--test")],
)
def test_windows_that_cannot_be(given: tuple[int, int, int], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        windows(*given)


# --- periods --------------------------------------------------------------------------------------


def test_a_period_has_the_whole_markets_indicators(made: SweepEngine) -> None:
    part = period_of(made.market, 3_000, 5_000)
    ready = made.prepare(0, {})
    assert isinstance(ready, tuple)
    for bound in ready[2].columns.values():
        whole, first = made.market.prepare([bound])[bound]
        cut, at = part.prepare([bound])[bound]
        assert np.array_equal(cut, whole[3_000:5_000]) and first > 0 == at
    assert part.bars == 2_000
    assert np.array_equal(part.columns.candles, made.market.columns.candles[:, 3_000:5_000])


def test_a_period_from_the_first_candle_is_the_run_to_that_day(made: SweepEngine) -> None:
    """As ``--to`` would cut it: the equity of each day is that of the whole run."""
    part = SweepEngine(made.settings, period_of(made.market, 0, 120 * DAY))
    for params in SETS:
        cut, whole = part.outcome(params), made.outcome(params)
        assert cut.daily.tolist() == whole.daily[:120].tolist()


def test_the_future_is_not_seen(made: SweepEngine) -> None:
    """Other candles after a window's end change neither the choice nor what came before."""
    feed = made.market.feed
    stop = 200 * DAY
    candles = feed.candles
    scale = np.where(np.arange(len(candles)) < stop, 1.0, 1.7)
    prices = {n: np.asarray(getattr(candles, n)) * scale for n in ("open", "high", "low", "close")}
    other: Candles = replace(candles, **prices)
    changed = market_from(made.settings, other, feed.symbol, None, None)
    plain = market_from(made.settings, candles, feed.symbol, None, None)
    spans = {"train": 100 * DAY, "test": 20 * DAY, "workers": 1}
    one, two = (
        walk_forward(made.settings, SETS, market=m, **spans) for m in (plain, changed)
    )  # fmt: skip
    before = [k for k, f in enumerate(one.folds) if f.window.test_stop <= stop]
    assert len(before) > 2
    for k in before:
        assert one.folds[k] == two.folds[k]
    assert one.folds != two.folds


# --- the whole ------------------------------------------------------------------------------------


def test_the_same_by_hand(made: SweepEngine) -> None:
    metric = "return"
    found = walk_forward(
        made.settings, SETS, train=120 * DAY, test=48 * DAY, purge=5, metric=metric,
        market=made.market, workers=1,
    )  # fmt: skip
    equity, level, ts = [], made.settings.cash, []
    for fold in found.folds:
        w = fold.window
        train = SweepEngine(made.settings, period_of(made.market, w.train_start, w.train_stop))
        ran = sorted(run_sets(train, list(enumerate(SETS)), workers=1), key=lambda o: o.number)
        best = max(ran, key=lambda o: o.figure(metric))  # the first of equals
        assert fold.params == dict(best.params)
        assert fold.inside == best.figures
        test = SweepEngine(made.settings, period_of(made.market, w.test_start, w.test_stop))
        tried = test.outcome(best.params)
        assert fold.outside == tried.figures
        equity.append(tried.daily * (level / made.settings.cash))
        level = float(equity[-1][-1])
        ts.append((test.days + 1) * 86_400_000 - 1)
    closes, times = np.concatenate(equity), np.concatenate(ts)
    assert closes.tolist() == pytest.approx(found.equity.tolist())
    theirs = return_figures(times, closes, made.settings.cash, 3_600_000)
    for name in ("return", "cagr", "sharpe", "sortino", "calmar", "volatility"):
        mine = found.chained[name]
        assert (mine is None) == (theirs[name] is None), name
        assert mine is None or mine == pytest.approx(theirs[name]), name
    trades = [int((f.outside or {})["trades"] or 0) for f in found.folds]
    assert found.chained["trades"] == sum(trades)
    outside = math.log(level / made.settings.cash) / (48 * DAY * len(found.folds))
    inside = np.mean([math.log(1 + float((f.inside or {})["return"] or 0)) for f in found.folds])
    if inside > 0:
        assert found.efficiency == pytest.approx(outside / (inside / (120 * DAY)))
    else:
        assert found.efficiency is None


def test_workers_change_nothing(made: SweepEngine) -> None:
    one, two = (
        walk_forward(
            made.settings, SETS, train=150 * DAY, test=60 * DAY, anchored=True, workers=workers,
            market=made.market,
        )
        for workers in (1, 2)
    )  # fmt: skip
    for field in dataclasses.fields(one):
        mine, theirs = getattr(one, field.name), getattr(two, field.name)
        assert np.array_equal(mine, theirs), field.name
    assert all(f.window.train_start == 0 for f in one.folds)


def test_stability(made: SweepEngine) -> None:
    found = walk_forward(
        made.settings, SETS, train=100 * DAY, test=30 * DAY, market=made.market, workers=1
    )
    for one in found.stability:
        ladder = {"stop_loss_pct": [0.02, 0.05, 0.08], "leverage": [2.0, 12.0]}[one.name]
        assert list(one.values) == [(f.params or {})[one.name] for f in found.folds]
        steps = [
            abs(ladder.index(b) - ladder.index(a))
            for a, b in pairwise(one.values)
        ]
        assert one.moves == pytest.approx(sum(steps) / len(steps) / (len(ladder) - 1))
        assert one.share == max(one.values.count(v) for v in ladder) / len(found.folds)


def test_where_no_set_trades_the_account_waits(made: SweepEngine) -> None:
    settings = replace(made.settings, params={"min_notional": "1e9"})
    found = walk_forward(
        settings, SETS, train=100 * DAY, test=100 * DAY, metric="win_rate", workers=1,
        market=made.market,
    )  # fmt: skip
    assert all(f.params is None and f.outside is None for f in found.folds)
    assert found.stability == ()
    assert set(found.equity.tolist()) == {settings.cash}
    assert found.chained["return"] == 0.0


def test_sets_for_cerebro_walk_too(made: SweepEngine) -> None:
    sets = [{"leverage": x, "emergency": {"drawdown": 0.9}} for x in (2.0, 30.0)]
    found = walk_forward(
        made.settings, sets, train=60 * DAY, test=150 * DAY, metric="return", market=made.market,
        workers=1,
    )  # fmt: skip
    assert len(found.folds) == 2
    for fold in found.folds:
        w, params = fold.window, fold.params
        assert params is not None and fold.outside is not None
        test = SweepEngine(made.settings, period_of(made.market, w.test_start, w.test_stop))
        assert test.outcome(params).engine == "cerebro"
        assert test.outcome(params).figures == fold.outside


def test_progress_is_told_to_the_end(made: SweepEngine) -> None:
    heard: list[tuple[int, int]] = []
    found = walk_forward(
        made.settings, SETS, train=100 * DAY, test=100 * DAY, market=made.market, workers=1,
        on_set=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    total = len(SETS) * (len(found.folds) + 1)
    assert heard == [(k + 1, total) for k in range(total)]


# --- the command ----------------------------------------------------------------------------------


def run(*more: str) -> Any:
    return CliRunner().invoke(app, ["walkforward", *BASE[1:], *more])


GIVEN = ("--grid", "stop_loss_pct=0.02,0.05", "--train", "120", "--test", "100")


def test_the_command_prints_and_repeats() -> None:
    done = run(*GIVEN)
    assert done.exit_code == 0, done.output
    assert "out of sample, one account through all tests" in done.stdout
    assert "probability of overfitting" in done.stdout
    told = [json.loads(run(*GIVEN, "--purge", "24", "--json").stdout) for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0]["folds"]) == 2
    assert told[0]["folds"][0]["window"]["test_start"] - 24 == (
        told[0]["folds"][0]["window"]["train_stop"]
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--grid", "leverage=1:3", "--train", "300", "--test", "100"), "do not fit"),
        (("--grid", "leverage=1:3", "--train", "3", "--test", "0.001"), "--test"),
        (("--grid", "leverage=1:3", "--train", "30", "--test", "9", "--metric", "x"), "--metric"),
    ],
)
def test_mistakes_are_named(more: tuple[str, ...], said: str) -> None:
    done = run(*more)
    assert isinstance(done.exception, LeverpackError), done.output
    assert said in str(done.exception)
