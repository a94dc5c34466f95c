"""Runs many parameter sets: compiled ones in threads, the others through Cerebro in processes."""

from __future__ import annotations

import hashlib
import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from leverpack.backtest.settings import BacktestSettings
from leverpack.sweep.cluster import run_on_cluster
from leverpack.sweep.engine import SweepEngine
from leverpack.sweep.grid import Grid
from leverpack.sweep.market import SweepMarket
from leverpack.sweep.outcome import Outcome
from leverpack.sweep.results import ResultFile
from leverpack.sweep.sets import settled

Numbered = tuple[int, Mapping[str, Any]]
Slow = tuple[int, Mapping[str, Any], str]  # with the reason
OnResult = Callable[[Outcome], Any]
_SETS_A_BATCH = 16  # for each worker; two batches are in memory
_WINDOW = 4_096  # sets that are put in order at a time, where they are no grid


def run_sweep(
    settings: BacktestSettings, grid: Iterable[Mapping[str, Any]], *, workers: int | None = None,
    on_result: OnResult | None = None, out: Path | None = None, most_trades: int = 0,
    market: SweepMarket | None = None, engine: SweepEngine | None = None,
    cluster: str | None = None,
) -> Generator[Outcome, None, None]:  # fmt: skip
    """Run every set of ``grid`` (a Grid, or any parameter sets) and yield what each came to.

    A set is a mapping of strategy parameters; it stands over those of ``settings``, and what
    comes out is what ``leverpack backtest`` makes of it. Sets come in the order that shares
    indicators best, with their number in the grid. ``workers`` None is every core. ``on_result``
    is called with each outcome. With ``out`` the rows go into that Parquet file (see
    leverpack.sweep.results); sets that it holds are left out, and an interruption keeps what is
    done. ``most_trades`` of each set's trades come along. ``cluster`` is the address of a Dask
    scheduler or Ray cluster whose workers run the sets instead (leverpack.sweep.cluster). Raises
    DataError and SettingError; a set that makes no sense is an outcome that says so.

    Nothing runs before the first outcome is asked for.
    """
    engine = engine or SweepEngine(settings, market)
    sets = in_good_order(engine, grid)
    file = None
    if out is not None:
        file = held = ResultFile(Path(out), sweep_key(engine), said_settings(settings))
        sets = (s for s in sets if not held.holds(s[1]))
    try:
        for outcome in run_sets(
            engine, sets, workers=workers, most_trades=most_trades, cluster=cluster
        ):
            if file is not None:
                file.add(outcome)
            if on_result is not None:
                on_result(outcome)
            yield outcome
    finally:
        if file is not None:
            file.close()


def run_sets(
    engine: SweepEngine, sets: Iterable[Numbered], *, workers: int | None = None,
    most_trades: int = 0, cluster: str | None = None,
) -> Iterator[Outcome]:  # fmt: skip
    """Run numbered sets on an engine, or on the workers of a ``cluster`` with another like it.

    Here outcomes come batch by batch, in their order within one; there as they are ready.
    """
    if cluster is not None:
        yield from run_on_cluster(engine, sweep_key(engine), sets, cluster, most_trades)
        return
    count = workers or joblib.cpu_count()
    waiting = iter(sets)
    batches = iter(lambda: list(islice(waiting, _SETS_A_BATCH * count)), [])
    pool = ThreadPoolExecutor(count)  # joblib's threads cost a tenth of such short runs
    begin = partial(_begin, engine, pool if count > 1 else None, most_trades)
    try:
        for batch in _one_ahead(map(begin, batches)):
            for _, outcome in batch.ready:
                yield outcome()
            if batch.slow:
                yield from _in_processes(engine, batch.slow, count, most_trades)
    finally:
        pool.shutdown(cancel_futures=True)


class _Batch(NamedTuple):
    """Sets that have been prepared; the compiled ones may be running already."""

    ready: list[tuple[int, Callable[[], Outcome]]]  # by number; the call waits for the outcome
    slow: list[Slow]


def _begin(
    engine: SweepEngine, pool: ThreadPoolExecutor | None, most_trades: int,
    batch: Sequence[Numbered],
) -> _Batch:  # fmt: skip
    """The kernel lets go of the GIL, so that threads do and nothing is copied."""
    ready: list[tuple[int, Callable[[], Outcome]]] = []
    slow = []
    for number, params in batch:
        made = engine.prepare(number, params)
        if isinstance(made, str):
            slow.append((number, params, made))
        elif isinstance(made, Outcome):
            ready.append((number, partial(_the_same, made)))
        elif pool is None:
            ready.append((number, partial(engine.run, made, most_trades=most_trades)))
        else:
            run = pool.submit(engine.run, made, most_trades=most_trades)
            ready.append((number, run.result))
    return _Batch(sorted(ready, key=lambda r: r[0]), slow)


def _the_same(outcome: Outcome) -> Outcome:
    return outcome


def _one_ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """Each batch after the next one is begun: threads never wait for sets to be prepared."""
    ahead: deque[_Batch] = deque()
    for batch in batches:
        ahead.append(batch)
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def _in_processes(
    engine: SweepEngine, slow: Sequence[Slow], workers: int, most_trades: int,
) -> Iterator[Outcome]:  # fmt: skip
    if workers == 1 or len(slow) == 1:
        for number, params, why in slow:
            yield engine.through_cerebro(number, params, why, most_trades=most_trades)
        return
    tasks = (
        joblib.delayed(_one_in_a_process)(
            engine.settings, engine.market, number, params, why, most_trades
        )
        for number, params, why in slow
    )
    yield from joblib.Parallel(n_jobs=workers, return_as="generator")(tasks)


def _one_in_a_process(
    settings: BacktestSettings, market: SweepMarket, number: int, params: Mapping[str, Any],
    why: str, most_trades: int,
) -> Outcome:  # fmt: skip
    return SweepEngine(settings, market).through_cerebro(
        number, params, why, most_trades=most_trades
    )


def run_chunk(
    settings: BacktestSettings, market: SweepMarket, sets: Sequence[Numbered]
) -> list[Outcome]:
    """All of ``sets`` in the process that calls it: the unit of work for a cluster.

    Everything in and out can be pickled; calling it twice gives the same outcomes.
    """
    engine = SweepEngine(settings, market)
    return list(run_sets(engine, sets, workers=1))


def in_good_order(
    engine: SweepEngine, grid: Iterable[Mapping[str, Any]]
) -> Iterator[Numbered]:
    """Sets with their number, those that read the same indicators near each other; lazily."""
    names = column_parameters(engine.strategy) if not engine.why_not else []
    if isinstance(grid, Grid):
        yield from grid.numbered(names)
        return
    waiting = iter(enumerate(grid))
    while window := list(islice(waiting, _WINDOW)):
        yield from sorted(window, key=lambda s: [str(s[1].get(n)) for n in names])


def column_parameters(strategy: Any) -> list[str]:
    """The parameters that choose or shape the strategy's indicators."""
    p = settled(strategy, {})
    columns = [strategy.columns_for(p), strategy.columns]
    names = {name for kind in columns for c in kind.values() for _, name in c.settings}
    texts = {n for n, v in strategy.params._getitems() if isinstance(v, str)}
    return sorted(names | texts)


def sweep_key(engine: SweepEngine) -> str:
    """A hash of what the outcomes depend on beside the sets: candles, settings, strategy."""
    found = hashlib.sha256(repr(sorted(said_settings(engine.settings).items())).encode())
    found.update(repr(sorted((k, repr(v)) for k, v in engine.base.items())).encode())
    found.update(engine.market.symbol.encode())
    for column in engine.market.columns:
        found.update(np.ascontiguousarray(column).tobytes())
    for kind in engine.strategy.__mro__:
        if kind.__module__.split(".")[0] not in ("backtrader", "builtins"):
            found.update(inspect.getsource(kind).encode())
    return found.hexdigest()[:24]


def said_settings(settings: BacktestSettings) -> dict[str, Any]:
    """The settings that decide the outcomes, as text."""
    # The files go by their contents.
    files = ("data", "mark", "funding")
    return {k: str(v) for k, v in asdict(settings).items() if k not in files}
