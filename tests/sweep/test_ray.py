"""A sweep on a real local Ray cluster, one of whose workers is killed; slow, as Ray is large."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from leverpack.sweep import SweepEngine, run_sweep
from leverpack.sweep.cluster import hand_over
from tests.sweep.test_cluster import GRID
from tests.sweep.test_runner import told

pytestmark = pytest.mark.slow
PORT = 26399


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    command = [sys.executable, "-m", "ray.scripts.scripts"]
    subprocess.run(
        [*command, "start", "--head", f"--port={PORT}", "--num-cpus=2", "--disable-usage-stats",
         "--include-dashboard=false", "--node-ip-address=127.0.0.1"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    yield f"ray:127.0.0.1:{PORT}"
    subprocess.run([*command, "stop", "--force"], check=True, stdout=subprocess.DEVNULL)


def _pid_and(number: int) -> tuple[int, int]:
    return os.getpid(), number


def test_the_same_outcomes_though_a_worker_is_killed(cluster: str, made: SweepEngine) -> None:
    alone = told(run_sweep(made.settings, GRID, engine=made, workers=1))
    got: list[Any] = []
    for outcome in run_sweep(made.settings, GRID, engine=made, cluster=cluster):
        got.append(outcome)
        if len(got) == 40:
            found = subprocess.run(["pgrep", "-f", "ray::_call"], capture_output=True, text=True)
            os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    assert sorted(o.number for o in got) == list(range(len(GRID)))
    assert told(got) == alone


def test_every_call_is_answered_once_by_other_processes(cluster: str) -> None:
    answers = list(hand_over(_pid_and, (), ((n,) for n in range(20)), cluster=cluster))
    assert sorted(number for _, number in answers) == list(range(20))
    assert os.getpid() not in {pid for pid, _ in answers}
