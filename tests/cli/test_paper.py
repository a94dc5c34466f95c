"""``leverpack paper`` as a user starts it: a process, a client, an end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

CANDLES = ROOT / "data" / "made_BTCUSDT_1h_2025.csv"


def command(*extra: str, data: Path = CANDLES) -> list[str]:
    return [sys.executable, "-m", "leverpack", "paper", "--data", str(data), *extra]


def ended(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return rest


def started(*extra: str, data: Path = CANDLES) -> tuple[subprocess.Popen[str], str, str]:
    """The process, the address it printed, and all that it printed before the end of the help."""
    process = subprocess.Popen(
        command("--port", "0", *extra, data=data), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={"PYTHONUNBUFFERED": "1", "PATH": ""}, cwd=ROOT,
    )  # fmt: skip
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, said
    return process, found[0], said


def get(url: str, sent: Any = None) -> Any:
    data = None if sent is None else json.dumps(sent).encode()
    with urllib.request.urlopen(url, data, timeout=10) as answer:
        return json.loads(answer.read())


def test_it_serves_prints_what_to_paste_and_keeps_its_state(tmp_path: Path):
    state, faults = tmp_path / "state.json", tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "closed_elsewhere"\ncandle = 500\n')
    extra = ("--speed", "0", "--balance", "5000", "--state", str(state), "--faults", str(faults))
    process, url, said = started("--symbol", "BTC/USDT:USDT", *extra)
    try:
        assert "ccxt.binanceusdm(" in said
        assert f"point_at(exchange, '{url}')" in said
        assert get(f"{url}/paper/v1/step", {"candles": 24})["played"] == 24
        seen = get(f"{url}/paper/v1/state")
        assert (seen["account"]["wallet"], seen["faults"][0]["candle"]) == (5000.0, 500)
        with urllib.request.urlopen(f"{url}/", timeout=10) as page:
            assert b"no real money" in page.read()
    finally:
        assert f"state: {state}" in ended(process)
    process, url, _ = started("--symbol", "BTC/USDT:USDT", *extra)
    try:
        assert get(f"{url}/paper/v1/state")["symbols"]["BTCUSDT"]["played"] == 25
    finally:
        ended(process)


def test_real_time_runs_by_itself():
    process, url, _ = started("--speed", "36000")
    try:
        first = get(f"{url}/fapi/v1/time")["serverTime"]
        end = time.monotonic() + 20.0
        while get(f"{url}/fapi/v1/time")["serverTime"] < first + 3_600_000:
            assert time.monotonic() < end, "the replay stands still"
            time.sleep(0.02)
    finally:
        ended(process)


WRONG = [
    (("--speed", "-1"), "speed must not be negative"),
    (("--port", "70000"), "--port must lie in"),
    (("--from", "tomorrow"), "--from tomorrow: write"),
    (("--from", "2030-01-01"), "start after the last candle"),
    (("--spread", "2"), "spread must be a fraction"),
    (("--venue", "kraken"), "venue must be one of binanceusdm, bybit"),
    (("--venue", "bibit"), "did you mean bybit"),
    (("--balance", "0"), "deposit must be positive"),
    (("--symbol", "A", "--symbol", "B"), "--symbol was given 2 times"),
    (("--symbol", "BTCXYZ"), "ends in none of"),
    (("--faults", "none.toml"), "cannot be read"),
    (("--state", str(ROOT / "README.md")), "is no JSON"),
    (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
]


@pytest.mark.parametrize(("extra", "words"), WRONG)
def test_wrong_options_are_one_sentence(extra: tuple[str, ...], words: str):
    done = subprocess.run(
        command("--port", "0", *extra) if "--port" not in extra else command(*extra),
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
