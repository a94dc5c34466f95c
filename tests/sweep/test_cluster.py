"""A sweep on a real Dask scheduler with two workers: one is killed, nothing is lost or doubled."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import SettingError
from leverpack.sweep import Grid, SweepEngine, read_results, run_sweep
from leverpack.sweep.cluster import hand_over
from leverpack.sweep.montecarlo import monte_carlo
from leverpack.sweep.walkforward import walk_forward
from tests.conftest import ROOT
from tests.sweep.test_runner import told

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

distributed = pytest.importorskip("distributed", reason="the cluster extra is not installed")

GRID = Grid({"leverage": range(1, 9), "stop_loss_pct": [0.005 * k for k in range(1, 101)]})
WAITS = 60.0


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])
        self.workers = [self._start("worker", self.address) for _ in range(2)]

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        more = ["--no-nanny", "--nthreads", "1"] if kind == "worker" else ["--host", "127.0.0.1"]
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + kind, *arguments, *more,
             "--no-dashboard"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_for(self, workers: int) -> None:
        """Until the scheduler knows so many workers."""
        with distributed.Client(self.address, timeout=WAITS, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=WAITS)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        made.wait_for(2)
        yield made
    finally:
        made.stop()


def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    cluster: Cluster, made: SweepEngine, tmp_path: Path
) -> None:
    out = tmp_path / "swept.parquet"
    alone = told(run_sweep(made.settings, GRID, engine=made, workers=1))
    got: list[Any] = []
    for outcome in run_sweep(
        made.settings, GRID, engine=made, cluster=cluster.address, out=out
    ):
        got.append(outcome)
        if len(got) == 100:
            assert cluster.workers[0].poll() is None
            cluster.workers[0].kill()
            cluster.workers[0].wait()
    assert sorted(o.number for o in got) == list(range(len(GRID)))
    assert told(got) == alone
    rows = read_results(out)[0]
    assert sorted(rows["set"].to_pylist()) == list(range(len(GRID)))


def test_what_cerebro_runs_and_histories_come_from_the_workers_too(
    cluster: Cluster, made: SweepEngine
) -> None:
    sets = [{**GRID[n], "emergency": {"drawdown": 0.2}} for n in (3, 5)]
    alone = told(run_sweep(made.settings, sets, engine=made, workers=1))
    there = list(run_sweep(made.settings, sets, engine=made, cluster=cluster.address))
    assert told(there) == alone
    assert {o.engine for o in there} == {"cerebro"}
    drawn: dict[str, Any] = {"histories": 4, "days": 20, "seed": 5, "market": made.market}
    here = monte_carlo(made.settings, GRID[:3], workers=1, **drawn)
    spread = monte_carlo(made.settings, GRID[:3], cluster=cluster.address, **drawn)
    assert here.values.tobytes() == spread.values.tobytes()


def test_walking_forward_chooses_the_same_sets_there(cluster: Cluster, made: SweepEngine) -> None:
    how: dict[str, Any] = {"train": 2400, "test": 2400, "market": made.market}
    sets = [GRID[n] for n in range(0, len(GRID), 40)]
    here = walk_forward(made.settings, sets, workers=1, **how)
    there = walk_forward(made.settings, sets, cluster=cluster.address, **how)
    assert [f.params for f in here.folds] == [f.params for f in there.folds]
    assert here.chained == there.chained
    assert here.verdict == there.verdict


def test_both_workers_work_at_the_same_time(cluster: Cluster, tmp_path: Path) -> None:
    done = list(hand_over(_met_another, (str(tmp_path),), [()] * 8, cluster=cluster.address))
    assert {pid for pid, _ in done} == {w.pid for w in cluster.workers}
    assert len(done) == 8 and all(met for _, met in done)


def _met_another(folder: str) -> tuple[int, bool]:
    """Stay until another worker is here, too: one that works alone would wait in vain."""
    (Path(folder) / str(os.getpid())).touch()
    until = time.monotonic() + WAITS / 4
    while not (met := len(os.listdir(folder)) > 1) and time.monotonic() < until:
        time.sleep(0.01)
    return os.getpid(), met


def test_who_stops_early_hears_nothing_and_the_cluster_goes_on(
    cluster: Cluster, made: SweepEngine, caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:  # fmt: skip
    for count in (1, 70):
        outcomes = run_sweep(made.settings, GRID, engine=made, cluster=cluster.address)
        for _ in range(count):
            next(outcomes)
        outcomes.close()
    assert not [w for w in recwarn if "cancelled" in str(w.message)]
    assert not [r for r in caplog.records if r.name.startswith("tornado")]
    few = GRID[:3]
    assert len(list(run_sweep(made.settings, few, engine=made, cluster=cluster.address))) == 3


def test_a_scheduler_that_is_not_there_is_one_sentence(
    made: SweepEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leverpack.sweep.cluster._SECONDS_TO_ANSWER", 0.5)
    with pytest.raises(SettingError, match="--cluster: Ray is not there; pip install"):
        monkeypatch.setitem(sys.modules, "ray", None)
        list(run_sweep(made.settings, GRID[:1], engine=made, cluster="ray://10.0.0.5:10001"))
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(SettingError, match=f"--cluster {address}: no Dask scheduler"):
            list(run_sweep(made.settings, GRID[:1], engine=made, cluster=address))
