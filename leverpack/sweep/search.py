"""Looks for good parameter sets with Optuna instead of running all of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError
from leverpack.sweep.engine import SweepEngine
from leverpack.sweep.grid import Axis, Grid
from leverpack.sweep.outcome import FIGURES, LOWER_IS_BETTER, Outcome
from leverpack.sweep.results import ResultFile
from leverpack.sweep.runner import run_sets, said_settings, sweep_key


def search(
    settings: BacktestSettings, grid: Grid, trials: int, *, metric: str, seed: int = 0,
    workers: int = 1, out: Path | None = None, engine: SweepEngine | None = None,
) -> Generator[Outcome, None, None]:  # fmt: skip
    """Run ``trials`` sets from the axes of ``grid``, each chosen by what the ones before came to.

    Optuna's TPE sampler, seeded; with one worker the same sets for the same seed. Sets without
    the metric count as failed. ``out`` as in run_sweep, but the search starts anew each time.
    Raises SettingError without the optuna library.
    """
    try:
        import optuna
    except ImportError as fault:
        raise SettingError(
            "--optuna: the optuna library is not there; pip install 'leverpack[optuna]'"
        ) from fault
    if metric not in FIGURES:
        raise SettingError(f"--metric: no figure is called {metric!r}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = engine or SweepEngine(settings)
    file = None
    if out is not None:
        file = ResultFile(Path(out), sweep_key(engine), said_settings(settings))
    study = optuna.create_study(
        direction="minimize" if metric in LOWER_IS_BETTER else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    try:
        for first in range(0, trials, workers):
            asked = [study.ask() for _ in range(min(workers, trials - first))]
            sets = [(t.number, _suggested(t, grid.axes)) for t in asked]
            by_number = {t.number: t for t in asked}
            for outcome in run_sets(engine, sets, workers=workers):
                value = outcome.figures[metric]
                failed = optuna.trial.TrialState.FAIL if value is None else None
                study.tell(by_number[outcome.number], value, state=failed)
                if file is not None:
                    file.add(outcome)
                yield outcome
    finally:
        if file is not None:
            file.close()


def _suggested(trial: Any, axes: tuple[Axis, ...]) -> Mapping[str, Any]:
    """One value of each axis; steps by their place, so that Optuna knows which lie together."""
    found = {}
    for axis in axes:
        if not axis.values:
            found[axis.name] = trial.suggest_float(axis.name, axis.low, axis.high)
        else:
            found[axis.name] = axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
    return found
