"""``leverpack monitor`` as a process: its address with the token, an orderly end, refusals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.conftest import ROOT
from tests.monitor.test_page import TOKEN, fill

COMMAND = [sys.executable, "-m", "leverpack", "monitor"]


def test_it_says_its_address_serves_and_ends_in_order(tmp_path: Path):
    path = tmp_path / "j.db"
    env = {**os.environ, "LEVERPACK_MONITOR_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    with fill(path), subprocess.Popen(
        [*COMMAND, "--journal", str(path), "--port", "0"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)", said)
        assert found and found[2] == TOKEN and "?" not in said
        with urllib.request.urlopen(f"{found[1]}/", timeout=20) as answer:
            assert "Kill switch" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
        assert process.returncode == 0, rest
        assert "Traceback" not in rest


def test_a_journal_that_is_not_there(tmp_path: Path):
    asked = [*COMMAND, "--journal", str(tmp_path / "none.db")]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("leverpack: ") and "none.db" in done.stderr
    assert done.stderr.count("\n") == 1
