"""Many sets: the same outcomes in threads and processes, each indicator once, memory that stays."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzers.figures import return_figures
from leverpack.errors import SettingError
from leverpack.sweep import Grid, SweepEngine, best, run_chunk, run_sets, run_sweep
from leverpack.sweep import market as market_module
from leverpack.sweep.outcome import FIGURES, daily_figures
from tests.conftest import ROOT
from tests.sweep.conftest import made_settings
from tests.sweep.test_parity import near

GRID = Grid({"fast_period": [5, 8], "leverage": [2.0, 5.0, 12.0], "stop_loss_pct": [0.02, 0.04]})


def told(outcomes: Any) -> dict[int, Any]:
    return {o.number: (dict(o.params), o.figures, o.refused, o.daily.tolist()) for o in outcomes}


def test_one_worker_two_and_a_chunk_of_a_cluster_agree(made: SweepEngine) -> None:
    alone = told(run_sweep(made.settings, GRID, engine=made, workers=1))
    assert sorted(alone) == list(range(len(GRID)))
    assert {n: p for n, (p, *_) in alone.items()} == dict(enumerate(GRID))
    assert told(run_sweep(made.settings, GRID, engine=made, workers=2)) == alone
    settings, market = pickle.loads(pickle.dumps((made.settings, made.market)))
    assert told(run_chunk(settings, market, list(enumerate(GRID)))) == alone


def test_cerebro_in_processes_gives_the_same(made: SweepEngine) -> None:
    sets = [(n, {**GRID[n], "emergency": {"drawdown": 0.2}}) for n in range(3)]
    alone = told(run_sets(made, sets, workers=1))
    assert told(run_sets(made, sets, workers=2)) == alone
    assert all(figures["trades"] for _, figures, _, _ in alone.values())


def test_on_result_hears_of_every_outcome(made: SweepEngine) -> None:
    heard: list[Any] = []
    found = list(run_sweep(made.settings, GRID, engine=made, workers=1, on_result=heard.append))
    assert heard == found


def test_each_indicator_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Any] = []
    plain = market_module._computed

    def noted(feed: Any, wanted: list[Any]) -> Any:
        computed.extend(wanted)
        return plain(feed, wanted)

    monkeypatch.setattr(market_module, "_computed", noted)
    outcomes = list(run_sweep(made_settings(), GRID, workers=1))
    assert len(outcomes) == 12
    assert len(computed) == len(set(computed)) == 4  # two fast averages, one slow, one RSI


def test_indicators_do_not_pile_up() -> None:
    engine = SweepEngine(made_settings())
    engine.market.most_bytes = 6 * engine.market.bars * 8
    grid = Grid({"fast_period": range(3, 29), "slow_period": [30, 60]})
    assert len(list(run_sweep(engine.settings, grid, engine=engine, workers=1))) == 52
    held = sum(values.nbytes for values, _ in engine.market._kept.values())
    assert held <= engine.market.most_bytes


def test_memory_does_not_grow_with_the_number_of_sets() -> None:
    script = """
import resource, sys
from leverpack.sweep import SweepEngine, run_sweep
from tests.sweep.conftest import made_settings
from tests.sweep.test_parity import near
engine = SweepEngine(made_settings())
sets = ({"stop_loss_pct": 0.01 + 1e-6 * k} for k in range(int(sys.argv[1])))
count = sum(1 for _ in run_sweep(engine.settings, sets, engine=engine, workers=1))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

    def peak_kb(sets: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", script, str(sets)], cwd=ROOT, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        count, peak = done.stdout.split()
        assert int(count) == sets
        return int(peak)

    peak_kb(10)  # compiles, if nobody has
    assert peak_kb(2_000) < 1.03 * peak_kb(100)


def test_a_second_process_compiles_nothing() -> None:
    script = """
from leverpack.sweep import SweepEngine
from leverpack.sweep.compiling import engine
from tests.sweep.conftest import made_settings
from tests.sweep.test_parity import near
SweepEngine(made_settings()).outcome({})
print(sum(engine().stats.cache_hits.values()), sum(engine().stats.cache_misses.values()))
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["1", "0"]


def test_without_a_cache_directory_it_compiles_in_memory(tmp_path: Path) -> None:
    script = """
from leverpack.sweep.compiling import code_folder, write_beside, kept_compiled

assert write_beside(code_folder("x") / "y.py", "z = 1") is None
def twice(x):
    return 2 * x
assert kept_compiled(twice, "key")(21) == 42
"""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "LEVERPACK_CACHE": str(blocked)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_daily_figures_are_those_of_the_report(seed: int) -> None:
    rng = np.random.default_rng(seed)
    daily = 10_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (2, 40, 400)[seed % 3])))
    ts = np.arange(len(daily), dtype=np.int64) * 86_400_000
    theirs = return_figures(ts, daily, 10_000.0, 86_400_000)
    for name, value in daily_figures(daily, 10_000.0).items():
        assert near(value, theirs[name]), name


@pytest.mark.parametrize(
    "daily", [[], [10_000.0], [10_000.0] * 5, [10_100.0, 10_200.0, 10_300.0], [5_000.0, 0.0, 0.0]]
)
def test_what_is_not_defined_is_none(daily: list[float]) -> None:
    values = np.array(daily)
    ts = np.arange(len(values), dtype=np.int64) * 86_400_000
    theirs = return_figures(ts, values, 10_000.0, 86_400_000)
    for name, value in daily_figures(values, 10_000.0).items():
        assert near(value, theirs[name]), name


def test_the_best_by_a_metric() -> None:
    figures = ((1.0, 5.0), (None, 1.0), (3.0, 9.0))
    rows = [{"calmar": calmar, "fees": fees} for calmar, fees in figures]
    assert [r["calmar"] for r in best(rows, "calmar", 5)] == [3.0, 1.0]
    assert [r["fees"] for r in best(rows, "fees", 2)] == [1.0, 5.0]
    with pytest.raises(SettingError, match="did you mean calmar"):
        best(rows, "calmr", 1)
    assert set(FIGURES) == set(SweepEngine(made_settings()).outcome({}).figures)


