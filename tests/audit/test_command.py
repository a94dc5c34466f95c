"""``leverpack audit`` as a person types it and as cron calls it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from leverpack import cli
from leverpack.audit.rules import DEFINITIONS
from leverpack.config import Settings
from leverpack.errors import SettingError
from leverpack.live.store import CCXTStore
from tests.audit.desk import leverages, many, scatter, standing
from tests.conftest import ROOT, heed_ctrl_c
from tests.paper.stand import Stand, serving

BOUNDS = ("--target", "10", "--max", "20")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def stand() -> Iterator[Stand]:
    with standing(6, weight_limit=2_400) as held:
        yield held


@pytest.fixture
def run(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str, url: str = stand.url, stdin: str = "") -> Ran:
        command = ["leverpack", "audit", "--url", url, *arguments]
        monkeypatch.setattr(sys, "argv", command)
        (tmp_path / "stdin").write_text(stdin)
        with (tmp_path / "stdin").open() as file, pytest.raises(SystemExit) as ended:
            monkeypatch.setattr(sys, "stdin", file)
            cli.run()
        said = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, said.out, said.err)

    return typed


def by_hand(stand: Stand, symbol: str, leverage: int) -> None:
    assert stand.signed("POST", "leverage", symbol=symbol, leverage=leverage).status == 200


def buy(stand: Stand, symbol: str, quantity: str = "0.05", side: str = "BUY") -> None:
    sent = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity}
    assert stand.signed("POST", "order", **sent).status == 200


def test_the_exit_code_says_whether_all_is_well(stand: Stand, run: Run):
    ran = run(*BOUNDS)
    assert (ran.code, ran.err) == (0, "")
    assert "6 symbols: 6 OK" in ran.out
    assert "\x1b" not in ran.out
    by_hand(stand, "MADE003USDT", 50)
    by_hand(stand, "MADE004USDT", 5)
    ran = run(*BOUNDS)
    assert ran.code == 1
    assert "6 symbols: 1 HIGH, 1 LOW, 4 OK" in ran.out
    assert "lowest 5x, highest 50x, mean 15.83x" in ran.out
    rows = [line.split()[:3] for line in ran.out.splitlines() if "/USDT" in line]
    assert rows[:2] == [["MADE003/USDT:USDT", "HIGH", "50x"], ["MADE004/USDT:USDT", "LOW", "5x"]]
    assert len(rows) == 6
    assert run(*BOUNDS, "--bad").out.count("/USDT") == 2
    assert run(*BOUNDS, "--symbols", "BTC/USDT:USDT,MADE002/USDT:USDT").code == 0
    assert run(*BOUNDS, "--open").out.count("/USDT") == 0


def test_json_and_csv_hold_the_same_rows(stand: Stand, run: Run, tmp_path: Path):
    by_hand(stand, "MADE002USDT", 20)
    buy(stand, "MADE002USDT")
    buy(stand, "BTCUSDT", side="SELL")
    ran = run(*BOUNDS, "--json", "--csv", str(tmp_path / "rows.csv"))
    assert ran.code == 1
    said = json.loads(ran.out)
    price = stand.session.exchange.books.marks["BTCUSDT"]
    assert said["summary"]["statuses"] == {**dict.fromkeys(DEFINITIONS, 0), "MISMATCH": 1, "OK": 5}
    assert said["exposure"]["gross"] == pytest.approx(0.1 * price)
    assert said["exposure"]["net"] == pytest.approx(0.0)
    assert said["exposure"]["gross_at_decided_leverage"] == pytest.approx(0.075 * price)
    first = said["rows"][0]
    assert (first["symbol"], first["leverage"], first["decided"]) == ("MADE002/USDT:USDT", 20, 10)
    assert first["effective_leverage"] == pytest.approx(20.0, rel=0.01)
    assert first["tier_max"] == 50.0
    read = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [{k: v for k, v in r.items() if k != "reason"} for r in read] == [
        {k: "" if v is None else str(v) for k, v in r.items() if k != "reason"}
        for r in said["rows"]
    ]


def test_the_metrics_file_says_what_the_table_says(stand: Stand, run: Run, tmp_path: Path):
    by_hand(stand, "MADE002USDT", 50)
    assert run(*BOUNDS, "--metrics-file", str(tmp_path / "audit.prom")).code == 1
    lines = (tmp_path / "audit.prom").read_text().splitlines()
    symbol = 'exchange="binanceusdm",symbol="MADE002/USDT:USDT"'
    assert f"leverpack_audit_venue_leverage_ratio{{{symbol}}} 50.0" in lines
    assert f"leverpack_audit_decided_leverage_ratio{{{symbol}}} 10.0" in lines
    assert 'leverpack_audit_symbols{exchange="binanceusdm",status="HIGH"} 1.0' in lines
    assert 'leverpack_audit_in_bounds{exchange="binanceusdm"} 0.0' in lines


def test_limits_that_somebody_has_set_are_kept_and_defaults_are_not(
    stand: Stand, run: Run, monkeypatch: pytest.MonkeyPatch
):
    for symbol in list(stand.session.exchange.tapes)[:4]:  # MAX_POSITIONS is 3 by default
        buy(stand, symbol)
    assert run(*BOUNDS).code == 0
    monkeypatch.setenv("MAX_POSITIONS", "3")
    monkeypatch.setenv("QT_MAX_GROSS_EXPOSURE", "1000")
    ran = run(*BOUNDS)
    assert ran.code == 1
    assert "over the limit: max_positions: 4 open, 3 allowed" in ran.out
    assert "over the limit: max_gross_exposure" in ran.out
    monkeypatch.setenv("LEVERAGE", "7")
    monkeypatch.setenv("MAX_LEVERAGE", "9")
    assert "6 symbols: 6 HIGH" in run().out


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("", False)])
def test_fix_shows_asks_sets_and_reports(stand: Stand, run: Run, answer: str, done: bool):
    by_hand(stand, "MADE003USDT", 50)
    ran = run(*BOUNDS, "--fix", stdin=answer)
    assert "50x -> 10x" in ran.out
    assert ran.code == (0 if done else 1)
    assert ("1 fixed, 0 not" in ran.out) == done
    assert ("nothing was set" in ran.out) != done
    assert leverages(stand)["MADE003USDT"] == (10.0 if done else 50.0)


def test_fix_reports_what_is_refused_as_json_too(stand: Stand, run: Run, tmp_path: Path):
    for symbol in ("MADE003USDT", "MADE004USDT"):
        by_hand(stand, symbol, 50)
    buy(stand, "MADE003USDT", "0.01")
    stand.admin("POST", "faults", kind="leverage_stays", symbol="MADE004USDT")
    ran = run(*BOUNDS, "--fix", "--yes", "--json", "--csv", str(tmp_path / "rows.csv"))
    said = json.loads(ran.out)
    assert ran.code == 1
    assert [(s["symbol"], s["fixed"]) for s in said["fix"]] == [
        ("MADE003/USDT:USDT", False), ("MADE004/USDT:USDT", False),
    ]  # fmt: skip
    assert "-4161" in said["fix"][0]["reason"]
    ran = run(*BOUNDS, "--fix", "--yes")
    assert "1 fixed, 1 not" in ran.out
    assert "FAILED" in ran.out


WRONG = [
    (("--target", "30", "--max", "20"), "--target 30 is above --max 20"),
    (("--target", "2.5"), "binanceusdm takes whole numbers from 1"),
    (("--symbols", "BTC/USDT:USDX"), "did you mean BTC/USDT:USDT"),
    (("--margin-mode", "crossed"), "must be isolated, cross or any"),
    (("--watch", "often"), "--watch often: write 30s, 5m or 1h"),
    (("--watch", "1s"), "5s at least"),
    (("--fix", "--watch", "5m"), "exclude each other"),
    (("--fix", "--json"), "give --yes too"),
    (("--exchange", "binanceusd"), "did you mean binanceusdm"),
    (("--exchange", "kraken"), "leverage travels with each order"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_wrong_options_are_one_sentence(run: Run, arguments: tuple[str, ...], words: str):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_wrong_key_and_a_venue_that_is_away_are_one_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BINANCEUSDM_API_KEY", "not-the-key-of-this-account")
    monkeypatch.setenv("BINANCEUSDM_API_SECRET", "paper-secret")
    ran = run(*BOUNDS)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "check the" in ran.err
    assert "not-the-key" not in ran.err
    assert run(*BOUNDS, "--watch", "5s").code == 2
    ran = run(*BOUNDS, url="http://127.0.0.1:9")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)


def test_fixing_real_money_needs_leave_and_looking_does_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BINANCEUSDM_API_KEY", "paper")
    monkeypatch.setenv("BINANCEUSDM_API_SECRET", "paper")
    # What is not 127.0.0.1 by name counts as real money.
    with serving(many(3), host="127.0.0.2") as far:
        scatter(far)
        before = leverages(far)
        ran = run("--fix", *BOUNDS, url=far.url)
        assert ran.code == 2
        assert "ENABLE_LIVE_TRADING" in ran.err
        ran = run(*BOUNDS, "--json", url=far.url)
        assert ran.code in (0, 1), ran.err
        assert len(json.loads(ran.out)["rows"]) == 3
        assert leverages(far) == before
        store = CCXTStore(url=far.url, settings=Settings(), env_file=None, read_only=True)
        with store, pytest.raises(SettingError, match="from a store that only reads"):
            store.write("set_leverage", 5, "BTC/USDT:USDT")
        assert leverages(far) == before


def test_help_gives_the_definitions(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["leverpack", "audit", "--help"])
    with pytest.raises(SystemExit):
        cli.run()
    said = " ".join(capsys.readouterr().out.split())
    for status, words in DEFINITIONS.items():
        assert f"{status}: {words}." in said


# -- processes -----------------------------------------------------------------------------------


def command(stand: Stand, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "leverpack", "audit", "--url", stand.url, *BOUNDS, *arguments]


def test_cron_gets_plain_text_and_an_exit_code(stand: Stand, tmp_path: Path):
    by_hand(stand, "MADE003USDT", 25)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command(stand, "--bad"), capture_output=True, text=True, env=bare, cwd=tmp_path,
        stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    line = next(x for x in done.stdout.splitlines() if x.startswith("MADE003"))
    assert line.split()[1:5] == ["HIGH", "25x", "10x", "50x"]


@contextmanager
def watching(stand: Stand, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(stand, "--watch", "5s", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=folder, preexec_fn=heed_ctrl_c,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def look(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def test_watch_looks_again_sees_a_change_and_ends_with_ctrl_c(stand: Stand, tmp_path: Path):
    with watching(stand, tmp_path) as process:
        assert look(process)["in_bounds"]
        by_hand(stand, "MADE003USDT", 25)
        assert look(process)["summary"]["statuses"]["HIGH"] == 1
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert (process.returncode, said) == (0, "ended\n")
        assert time.monotonic() - began < 10.0


@pytest.mark.slow
def test_watch_outlives_a_look_that_fails(stand: Stand, tmp_path: Path):
    with watching(stand, tmp_path) as process:
        assert look(process)["in_bounds"]
        rule = {"kind": "error_before", "path": "/fapi/v1/symbolConfig"}
        stand.admin("POST", "faults", times=5, **rule)  # as often as a read is tried
        assert look(process)["in_bounds"]
        assert stand.admin("GET", "faults")["rules"][0]["happened"] == 5
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert "fetch_leverages" in said
        assert said.splitlines()[-1] == "ended"
