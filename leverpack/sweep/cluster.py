"""Hands work over: to processes of this machine, or to a Dask or Ray cluster."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import joblib

from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError
from leverpack.sweep.engine import SweepEngine
from leverpack.sweep.market import SweepMarket
from leverpack.sweep.outcome import Outcome

Numbered = tuple[int, Mapping[str, Any]]
_SETS_A_TASK = 32  # compiled ones; those that Cerebro runs go one by one
_SECONDS_TO_ANSWER = 10
_TASKS_A_CPU = 2  # under way at Ray, so that none waits for this process
_RETRIES = 5  # of a task whose worker was lost
_LOCK = threading.Lock()
_LATEST: list[tuple[str, SweepEngine]] = []  # of this process: at most one


def hand_over(
    function: Callable[..., Any], shared: tuple[Any, ...], calls: Iterable[tuple[Any, ...]], *,
    workers: int | None = None, cluster: str | None = None,
) -> Iterator[Any]:  # fmt: skip
    """What ``function(*shared, *call)`` answers for each call, in the order in which it is ready.

    ``shared`` goes to each machine of a ``cluster`` once: the address of a Dask scheduler
    ("tcp://HOST:8786"), or of a Ray cluster ("ray://HOST:10001"; on one of its machines
    "ray:auto"); else ``workers`` processes of this machine do it, None: one a core, 1: this one.
    On a cluster a call whose worker is lost is made again by another one, and is answered once.
    Calls are taken as workers become free. Raises SettingError where no cluster answers.
    """
    if cluster is not None and cluster.startswith("ray:"):
        yield from _on_ray(function, shared, calls, cluster)
    elif cluster is not None:
        yield from _on_cluster(function, shared, calls, cluster)
    elif workers == 1:
        for call in calls:
            yield function(*shared, *call)
    else:
        parallel = joblib.Parallel(
            n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered", batch_size=1
        )
        yield from _answers(parallel, (joblib.delayed(_call)(function, shared, c) for c in calls))


def _answers(parallel: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    """What the tasks answer; whoever stops asking is not told that tasks under way are lost."""
    answers = parallel(tasks)
    try:
        for answer in answers:  # noqa: UP028 - it would be closed before the filter stands
            yield answer
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            answers.close()


def _call(function: Callable[..., Any], shared: tuple[Any, ...], call: tuple[Any, ...]) -> Any:
    return function(*shared, *call)


def _on_cluster(
    function: Callable[..., Any], shared: tuple[Any, ...], calls: Iterable[tuple[Any, ...]],
    address: str,
) -> Iterator[Any]:  # fmt: skip
    # Every worker gets a copy of what is shared, so that it is not lost with one of them.
    with _client(address) as client, joblib.parallel_config(
        backend="dask", client=client, scatter=[shared],
        wait_for_workers_timeout=_SECONDS_TO_ANSWER,
    ):  # fmt: skip
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        yield from _answers(parallel, (joblib.delayed(_call)(function, shared, c) for c in calls))


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of the scheduler; what goes wrong with the cluster becomes one sentence."""
    try:
        import distributed
    except ImportError as fault:
        raise SettingError(
            "--cluster: the distributed library is not there; pip install 'leverpack[cluster]'"
        ) from fault
    try:
        client: Any = distributed.Client(  # type: ignore[no-untyped-call]
            address, timeout=_SECONDS_TO_ANSWER, set_as_default=False
        )
    except (OSError, ValueError) as fault:
        raise SettingError(
            f"--cluster {address}: no Dask scheduler answers there; start one with dask "
            "scheduler and give the address that it prints, such as tcp://10.0.0.5:8786"
        ) from fault
    with _closed_quietly(client):
        if not client.scheduler_info()["workers"]:
            raise SettingError(
                f"--cluster {address}: the scheduler has no workers; start some with dask worker "
                f"{address}"
            )
        try:
            yield client
        except distributed.KilledWorker as fault:
            raise SettingError(
                f"--cluster {address}: a task was lost with every worker that tried it; look at "
                "their memory, and give fewer candles or larger workers"
            ) from fault


def _on_ray(
    function: Callable[..., Any], shared: tuple[Any, ...], calls: Iterable[tuple[Any, ...]],
    address: str,
) -> Iterator[Any]:  # fmt: skip
    """Ray's own tasks: its joblib backend answers only when all is done, and nothing is kept."""
    with _ray(address) as ray:
        make = ray.remote(max_retries=_RETRIES)(_call)
        kept = ray.put(shared)
        waiting = iter(calls)
        at_once = _TASKS_A_CPU * max(1, int(ray.cluster_resources().get("CPU", 1.0)))
        flying = [make.remote(function, kept, call) for call in islice(waiting, at_once)]
        while flying:
            (done,), flying = ray.wait(flying, num_returns=1)
            flying += [make.remote(function, kept, call) for call in islice(waiting, 1)]
            yield ray.get(done)


@contextmanager
def _ray(address: str) -> Iterator[Any]:
    """Ray, connected; what goes wrong with the cluster becomes one sentence."""
    try:
        import ray
    except ImportError as fault:
        raise SettingError("--cluster: Ray is not there; pip install 'ray[client]'") from fault
    where = address if address.startswith("ray://") else address.removeprefix("ray:")
    try:
        ray.init(where, logging_level="ERROR", log_to_driver=False)
    except (ConnectionError, OSError, ValueError, RuntimeError) as fault:
        raise SettingError(
            f"--cluster {address}: no Ray cluster answers there; give ray://HOST:10001, or "
            "ray:auto on one of its machines"
        ) from fault
    try:
        yield ray
    except ray.exceptions.WorkerCrashedError as fault:
        raise SettingError(
            f"--cluster {address}: a task was lost with every worker that tried it; look at "
            "their memory, and give fewer candles or larger workers"
        ) from fault
    finally:
        ray.shutdown()


@contextmanager
def _closed_quietly(client: Any) -> Iterator[None]:
    """Close the client at the end; answers that are on their way then would be logged as errors."""
    try:
        yield
    finally:
        loop = logging.getLogger("tornado.application")
        before = loop.level
        loop.setLevel(logging.CRITICAL)
        try:
            client.close()
        finally:
            loop.setLevel(before)


def run_on_cluster(
    engine: SweepEngine, key: str, sets: Iterable[Numbered], address: str, most_trades: int = 0
) -> Iterator[Outcome]:
    """Run numbered sets on the workers of a cluster; ``key`` names what the engine runs.

    The candles are sent; leverpack, a strategy file and a tier file must be there.
    """
    waiting = iter(sets)
    at_once = 1 if engine.why_not else _SETS_A_TASK
    chunks = iter(lambda: (list(islice(waiting, at_once)),), ([],))
    shared = (key, engine.settings, engine.market, most_trades)
    for outcomes in hand_over(run_part, shared, chunks, cluster=address):
        yield from outcomes


def run_part(
    key: str, settings: BacktestSettings, market: SweepMarket, most_trades: int,
    sets: Sequence[Numbered],
) -> list[Outcome]:  # fmt: skip
    """All of ``sets`` in the worker that calls it, whose engine stays for the next part."""
    with _LOCK:  # preparing is no work for threads, nor is Cerebro
        engine = _engine(key, settings, market)
        ready = [(n, params, engine.prepare(n, params)) for n, params in sets]
        slow = {
            n: engine.through_cerebro(n, params, made, most_trades=most_trades)
            for n, params, made in ready
            if isinstance(made, str)
        }
    done = []
    for number, _, made in ready:
        if isinstance(made, Outcome):
            done.append(made)
        elif isinstance(made, str):
            done.append(slow[number])
        else:
            done.append(engine.run(made, most_trades=most_trades))
    return done


def _engine(key: str, settings: BacktestSettings, market: SweepMarket) -> SweepEngine:
    if not _LATEST or _LATEST[0][0] != key:
        _LATEST[:] = [(key, SweepEngine(settings, market))]
    return _LATEST[0][1]
