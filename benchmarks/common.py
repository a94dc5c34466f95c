"""What every benchmark shares: made candles as CSV, fresh processes, medians, the machine."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def machine() -> str:
    """Processor, cores and the versions that the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x.split(":")[1] for x in info.read_text().splitlines() if x.startswith("model n")]
        cpu = names[0].strip() if names else cpu
    parts = ("backtrader", "numpy", "pyarrow", "pandas")
    return (
        f"{cpu}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        + ", ".join(f"{p} {version(p)}" for p in parts)
    )


def make_csv(path: Path, rows: int, seed: int = 7) -> Path:
    """A plain CSV of one-minute candles, a random walk with waves, in the form ccxt users save."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 6e-4, rows) + 2e-4 * np.sin(np.arange(rows) / 300.0)
    close = np.round(30_000.0 * np.exp(np.cumsum(steps)), 1)
    start = np.concatenate([[30_000.0], close[:-1]])
    high = np.round(np.maximum(start, close) * (1.0 + rng.random(rows) * 6e-4), 1)
    low = np.round(np.minimum(start, close) * (1.0 - rng.random(rows) * 6e-4), 1)
    when = np.datetime64("2023-01-01T00:00") + np.arange(rows).astype("timedelta64[m]")
    stamps = np.char.replace(np.datetime_as_string(when, unit="s"), "T", " ")
    volume = np.round(rng.random(rows) * 50.0, 3)
    with path.open("w") as out:
        out.write("datetime,open,high,low,close,volume\n")
        for row in zip(stamps, start, high, low, close, volume, strict=True):
            out.write(",".join(map(str, row)) + "\n")
    return path


def in_fresh_process(module: str, *args: str) -> dict[str, Any]:
    """Run ``python -m module args`` and parse the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *args], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(args)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def median(values: list[float]) -> float:
    """The middle value; noisy machines are why it is not the mean."""
    return statistics.median(values)
