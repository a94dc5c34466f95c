"""Ctrl-C at a command that takes long: one word on what has happened, and 130."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT, heed_ctrl_c


def reads_its_input(process: subprocess.Popen[str]) -> bool:
    where = Path(f"/proc/{process.pid}/wchan")
    return not where.exists() or "pipe" in where.read_text()


def test_an_interrupted_backtest_says_so():
    process = subprocess.Popen(  # waits for candles that never come
        [sys.executable, "-m", "leverpack", "backtest", "--data", "-"], text=True, cwd=ROOT,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    until = time.monotonic() + 20.0
    while not reads_its_input(process) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert process.stderr is not None
    assert process.stderr.read().splitlines() == ["leverpack: interrupted"]
