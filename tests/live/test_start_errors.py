"""What can be wrong before the first order: one sentence each, exit code 2, nothing left open."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_paper import ended, get, started
from tests.conftest import ROOT
from tests.live.test_processes import RULE, running, wait_for

COMMAND = ("-m", "leverpack", "live", "--history", "5")
SYMBOL = ("--symbol", "BTC/USDT:USDT")
JOURNAL = "leverpack-live.db"
KEY, SECRET = "BINANCEUSDM_API_KEY", "BINANCEUSDM_API_SECRET"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process, url, _ = started(*SYMBOL, "--speed", "0", "--from", "2025-03-01")
    yield url
    ended(process)


def refused(
    folder: Path, *options: str, before: Callable[[], None] | None = None, **environ: str
) -> str:
    """The one sentence that a start ends with."""
    # Python would write its own files in halves too, and read them the next time.
    plain = {"PATH": "", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environ}
    process = subprocess.run(
        [sys.executable, *COMMAND, *options], cwd=folder, env=plain, text=True, timeout=60,
        capture_output=True, check=False, preexec_fn=before,
    )  # fmt: skip
    assert process.returncode == 2, process.stderr
    *_, last = process.stderr.splitlines()
    assert last.startswith("leverpack: ") and "Traceback" not in process.stderr
    return last


def small_files() -> None:
    """No file may grow beyond two blocks: what a full disk says to whoever writes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, resource.RLIM_INFINITY))


# What is wrong: options, environment, and words of the sentence.
WRONG: list[Any] = [
    ((), {KEY: "notthiskey", SECRET: "notthissecret"}, ("-2015", "API key", "rights")),
    (("--journal", "folder"), {}, ("folder", "is no file")),
    (("--journal", "file/j.db"), {}, ("file/j.db", "cannot be written")),
]
MORE: list[Any] = [
    ((), {KEY: "paper", SECRET: "notthissecret"}, ("-1022", "secret")),
    (("--journal", "/proc/none/j.db"), {}, ("/proc/none/j.db", "cannot be written")),
    (("--symbol", "BTC/USDT:USD"), {}, ("no symbol", "did you mean BTC/USDT:USDT")),
    (("--timeframe", "7m"), {}, ("no timeframe '7m'", "1h")),
    (("--venue", "hyperliquid"), {}, ("hyperliquid",)),
    (("--paper", "--timeframe", "7m"), {}, ("no timeframe '7m'",)),
    (("--paper", "--journal", "x.db"), {}, ("--paper", "leave --journal")),
]


def check(url: str, folder: Path, options: Any, environ: Any, words: Any) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_text("")
    symbol = () if "--symbol" in options else SYMBOL
    said = refused(folder, "--url", url, *symbol, *options, **environ)
    assert all(word in said for word in words), said
    assert not any(secret in said for secret in environ.values() if secret != "paper")
    state = get(f"{url}/paper/v1/state")
    assert (state["orders"], state["algos"], state["positions"]) == ([], [], [])


@pytest.mark.parametrize(("options", "environ", "words"), WRONG)
def test_one_sentence(url: str, tmp_path: Path, options: Any, environ: Any, words: Any):
    check(url, tmp_path, options, environ, words)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "environ", "words"), MORE)
def test_one_sentence_of_more(url: str, tmp_path: Path, options: Any, environ: Any, words: Any):
    check(url, tmp_path, options, environ, words)


def test_a_full_disk_at_the_start(url: str, tmp_path: Path):
    said = refused(tmp_path, "--url", url, *SYMBOL, before=small_files)
    assert JOURNAL in said and "look at the disk" in said


@pytest.mark.slow
@pytest.mark.parametrize(("address", "words"), [
    ("http://127.0.0.1:9", "Connect call failed"), ("http://no-such-host.invalid", "not known"),
])  # fmt: skip
@pytest.mark.parametrize("mode", [(), ("--paper",)])
def test_no_network(tmp_path: Path, address: str, words: str, mode: tuple[str, ...]):
    said = refused(
        tmp_path, "--url", address, "--yes", *SYMBOL, *mode, ENABLE_LIVE_TRADING="true"
    )
    assert "check the network" in said
    assert not (tmp_path / JOURNAL).exists()
    assert words in said or "no-such-host" in said  # systems word the second one differently


@pytest.mark.slow
def test_a_disk_that_fills_up_under_a_running_process(tmp_path: Path):
    """It goes on: the stop that rests is looked after, and nothing new is opened."""
    (tmp_path / "often.py").write_text(RULE)
    process, url, _ = started(*SYMBOL, "--from", "2025-03-01", "--speed", "36000")
    try:
        command = (*COMMAND, *SYMBOL, "--url", url, "--strategy", "often.py", "--param",
                   "stop_loss_pct=0.01", "--param", "take_profit_pct=0.01")  # fmt: skip
        with running(*command, cwd=tmp_path, PYTHONDONTWRITEBYTECODE="1") as run:
            wait_for(lambda: get(f"{url}/paper/v1/state")["positions"], run)
            held = (tmp_path / "leverpack-live.db-wal").stat().st_size
            resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (held, resource.RLIM_INFINITY))
            wait_for(lambda: not get(f"{url}/paper/v1/state")["positions"], run)
            spent = get(f"{url}/paper/v1/state")["costs"]["fees"]
            wait_for(lambda: get(f"{url}/paper/v1/state")["candle"] % 30 == 0, run)
            state = get(f"{url}/paper/v1/state")
            assert (state["positions"], state["costs"]["fees"]) == ([], spent)
            run.terminate()
            said = run.communicate(timeout=40)[0]
        assert "the journal cannot be written" in said and "writes are lost" in said
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
