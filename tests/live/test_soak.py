"""Ten feeds for long: memory flat, no thread and no connection left over, a clean stop."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT


def soaked(candles: int, timeout_s: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_soak", str(candles)], cwd=ROOT, text=True,
        capture_output=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def check(found: dict[str, Any], growth_mb: float) -> None:
    early, late = found["rss_mb"]
    assert late - early < growth_mb, found
    before, during, still, after = found["threads"]
    assert (before, during) == (after, still)
    before, during, still, after = found["files"]
    assert after <= before + 1 and still <= during + 2
    assert found["alerts"] == 0
    assert found["stop_s"] < 5.0


def test_some_minutes():
    found = soaked(24, 240.0)
    assert found["orders"] > 20
    check(found, 12.0)


@pytest.mark.slow
def test_a_day():
    found = soaked(1_440, 3_600.0)
    assert found["orders"] > 3_000
    check(found, 24.0)
