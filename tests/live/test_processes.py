"""Separate processes, as a user starts them: the paper exchange, and what trades on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverpack.live.journal import Journal
from tests.cli.test_paper import ended, get, started
from tests.conftest import ROOT

RULE = """
from strategies import LeverageStrategy

class Often(LeverageStrategy):
    def signal(self, data):
        return 1 if data.close[0] > data.open[0] else -1
"""
QUICK = ("--param", "stop_loss_pct=0.004", "--param", "take_profit_pct=0.004")


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    start, speed = getattr(request, "param", ("2025-03-01", 36_000))
    process, url, _ = started(
        "--symbol", "BTC/USDT:USDT", "--from", start, "--speed", str(speed))
    yield url
    ended(process)


@contextmanager
def running(*command: str, cwd: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    plain = {k: v for k, v in os.environ.items() if "API" not in k and "LEVERPACK" not in k}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**plain, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def trades(url: str) -> float:
    return abs(float(get(f"{url}/paper/v1/state")["costs"]["fees"]))


def wait_for(true: Any, process: subprocess.Popen[str], within: float = 40.0) -> None:
    until = time.monotonic() + within
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "nothing was traded"
        time.sleep(0.2)


def stopped(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    started_at = time.monotonic()
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert time.monotonic() - started_at < 5.0
    return said


def test_leverpack_live_trades_and_stops(url: str, tmp_path: Path):
    (tmp_path / "often.py").write_text(RULE)
    (tmp_path / "live.toml").write_text('venue = "binanceusdm"\nleverage = 3\n')
    command = ("-m", "leverpack", "live", "--config", "live.toml", "--symbol", "BTC/USDT:USDT",
               "--strategy", "often.py", "--history", "20", "--url", url, *QUICK)  # fmt: skip
    with running(*command, cwd=tmp_path) as process:
        wait_for(lambda: trades(url) > 0.0, process)
        said = stopped(process)
    assert "live at CCXTStore('binanceusdm'" in said and "ended: equity" in said
    state = get(f"{url}/paper/v1/state")
    assert all(p["leverage"] == "3" and p["isolated"] for p in state["positions"])
    with Journal(tmp_path / "leverpack-live.db") as journal:
        own = {i["client_id"] for i in journal.intents()}
        assert own and journal.rows("candles") and journal.rows("leverage")
    resting = {o["clientOrderId"] for o in state["orders"]}
    resting |= {a["clientAlgoId"] for a in state["algos"]}
    assert resting <= own
    # Level 3 closes what is left at the next start, and trading stays stopped.
    halt = subprocess.run([sys.executable, "-m", "leverpack", "stop"], cwd=tmp_path, text=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
                          check=False)  # fmt: skip
    assert (halt.returncode, "everything closed" in halt.stdout) == (0, True), halt.stderr
    with running(*command, cwd=tmp_path) as process:
        wait_for(lambda: get(f"{url}/paper/v1/state")["listeners"] > 0, process)
        wait_for(lambda: not get(f"{url}/paper/v1/state")["positions"], process)
        wait_for(lambda: not get(f"{url}/paper/v1/state")["algos"], process)
        stopped(process)


@pytest.mark.parametrize("url", [("2025-03-22", 18_000)], indirect=True)
def test_the_example(url: str, tmp_path: Path):
    script = str(ROOT / "examples" / "run_live.py")
    with running(script, "--url", url, cwd=tmp_path) as process:
        wait_for(lambda: trades(url) > 0.0, process)
        said = stopped(process)
    assert "equity" in said and "Traceback" not in said
    with Journal(tmp_path / "leverpack-live.db") as journal:
        own = {i["client_id"] for i in journal.intents()}
        assert journal.fills() and {f["client_id"] for f in journal.fills()} <= own


NOWHERE = ("--url", "http://127.0.0.1:9")


@pytest.mark.parametrize("call", [
    ("run_live.py",), ("run_live.py", *NOWHERE), ("run_paper.py", *NOWHERE),
])  # fmt: skip
def test_the_examples_without_keys_or_a_venue(call: tuple[str, ...], tmp_path: Path):
    name, *more = call
    bare = {n: v for n, v in os.environ.items() if not n.startswith(("BINANCE", "LEVERPACK"))}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *more], cwd=tmp_path, text=True,
        env={**bare, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"{name}: ") and len(done.stderr.splitlines()) == 1


WRONG = [
    (("--symbol", "BTC/USDT:USD"), "did you mean BTC/USDT:USDT"),
    (("--symbol", "BTC/USDT:USDT", "--timeframe", "7m"), "no timeframe '7m'"),
    (("--symbol", "BTC/USDT:USDT", "--on-unknown", "ask"), "--on-unknown"),
    (("--symbol", "BTC/USDT:USDT", "--strategy", "conservativ"), "did you mean conservative"),
    (("--symbol", "BTC/USDT:USDT", "--journal", "no.toml/x.db"), "cannot be written"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "words"), WRONG)
def test_one_sentence_each(url: str, tmp_path: Path, options: tuple[str, ...], words: str):
    (tmp_path / "no.toml").write_text("")
    with running("-m", "leverpack", "live", "--url", url, *options, cwd=tmp_path) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert words in said and "Traceback" not in said
    assert said.splitlines()[-1].startswith("leverpack: ")


@pytest.mark.slow
def test_no_key_no_network_no_permission(tmp_path: Path):
    command = ("-m", "leverpack", "live", "--symbol", "BTC/USDT:USDT")
    cases: list[tuple[tuple[str, ...], dict[str, str], str]] = [
        ((), {}, "no API key"),
        (("--url", "http://127.0.0.1:9"), {}, "check the network"),
        (("--url", "http://exchange.example"), {}, "ENABLE_LIVE_TRADING"),
        ((), {"LEVERPACK_SANDBOX": "false"}, "ENABLE_LIVE_TRADING"),
    ]
    for options, environ, words in cases:
        with running(*command, *options, cwd=tmp_path, **environ) as process:
            said, _ = process.communicate(timeout=30)
        assert (process.returncode, words in said) == (2, True), said
        assert json.dumps(said).count("Traceback") == 0
