"""Bad input at the command line: one sentence, exit code 2, no traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leverpack.cli import run
from tests.conftest import ROOT

YEAR = ROOT / "data" / "made_BTCUSDT_1h_2025.csv"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def leverpack(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command in this process: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["leverpack", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            run()
        out = capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), out.out, out.err

    return call


@pytest.fixture
def lines() -> list[str]:
    return YEAR.read_text().splitlines()[:200]


@pytest.fixture
def save(tmp_path: Path) -> Callable[[list[str]], str]:
    def write(rows: list[str]) -> str:
        path = tmp_path / "candles.csv"
        path.write_text("\n".join(rows) + ("\n" if rows else ""))
        return str(path)

    return write


def one_sentence(code: int, err: str, *words: str) -> None:
    assert code == 2
    assert err.startswith("leverpack: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err, err


def swap_high_and_low(row: str) -> str:
    when, start, high, low, *rest = row.split(",")
    return ",".join([when, start, low, high, *rest])


def test_missing_file(leverpack: Call):
    code, _, err = leverpack("backtest", "--data", "nowhere.csv")
    one_sentence(code, err, "--data nowhere.csv", "no such file")


def test_empty_file(leverpack: Call, save: Callable[[list[str]], str]):
    code, _, err = leverpack("backtest", "--data", save([]))
    one_sentence(code, err, "candles.csv", "empty")


def test_header_only(leverpack: Call, save: Callable[[list[str]], str], lines: list[str]):
    code, _, err = leverpack("backtest", "--data", save(lines[:1]))
    one_sentence(code, err, "candles.csv", "no rows")


@pytest.mark.parametrize(
    ("line", "change", "words"),
    [
        (17, lambda r: r.replace(r.split(",")[1], "abc", 1), "'abc' is not a number"),
        (23, swap_high_and_low, "below the low"),
        (40, lambda r: r.replace(r.split(",")[4], "-5.0", 1), "-5"),
        (41, lambda r: r.replace(r.split(",")[4], "inf", 1), "inf"),
    ],
)
def test_a_faulty_line_is_named(
    leverpack: Call, save: Callable[[list[str]], str], lines: list[str], line: int,
    change: Callable[[str], str], words: str,
):  # fmt: skip
    lines[line - 1] = change(lines[line - 1])
    code, _, err = leverpack("backtest", "--data", save(lines))
    one_sentence(code, err, f"candles.csv:{line}:", words)


def test_duplicate_times(leverpack: Call, save: Callable[[list[str]], str], lines: list[str]):
    lines.insert(31, lines[30])
    code, _, err = leverpack("backtest", "--data", save(lines))
    one_sentence(code, err, "candles.csv:32:", "line 31")
    code, out, err = leverpack("backtest", "--data", save(lines), "--on-fault", "drop")
    assert code == 0
    assert "candles" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategy", "conservativ"], ["--strategy", "did you mean conservative"]),
        (["--strategy", "zzz"], ["--strategy", "conservative"]),
        (["--param", "stop_los_pct=0.1"], ["stop_los_pct", "did you mean stop_loss_pct"]),
        (["--param", "stop_loss_pct=abc"], ["stop_loss_pct=abc", "a number"]),
        (["--param", "stop_loss_pct"], ["write name=value"]),
        (["--param", "stop_loss_pct=2"], ["stop_loss_pct", "between 0 and 1"]),
        (["--leverage", "200", "--symbol", "BTCUSDT"], ["leverage 200", "125x", "BTCUSDT"]),
        (["--leverage", "200", "--symbol", "WHO/USDT"], ["leverage 200", "50x", "WHO"]),
        (["--leverage", "0"], ["--leverage", "above 0"]),
        (["--leverage", "nan"], ["--leverage", "above 0"]),
        (["--leverage", "abc"], ["--leverage"]),
        (["--cash", "-5"], ["--cash", "-5"]),
        (["--margin-mode", "both"], ["--margin-mode", "isolated, cross"]),
        (["--intrabar", "best"], ["--intrabar"]),
        (["--taker", "5"], ["--taker", "fraction"]),
        (["--on-fault", "guess"], ["--on-fault"]),
        (["--from", "yesterday"], ["--from yesterday"]),
        (["--from", "2025-02-01", "--to", "2025-01-01"], ["--from", "--to"]),
        (["--from", "2031-01-01"], ["no candle"]),
        (["--mark", str(YEAR)], ["volume", "mark"]),
        (["--mark", "nowhere.csv"], ["--mark nowhere.csv"]),
        (["--funding", str(YEAR)], ["rate"]),
        (["--tiers", str(YEAR)], ["symbol is missing"]),
        (["--tiers", "nowhere.csv"], ["nowhere.csv"]),
        (["--report", str(YEAR)], ["--report", "folder"]),
        (["--bogus"], ["--bogus"]),
    ],
    ids=lambda v: " ".join(v)[-40:] if isinstance(v, list) else None,
)
def test_bad_settings(leverpack: Call, arguments: list[str], words: list[str]):
    code, _, err = leverpack("backtest", "--data", str(YEAR), *arguments)
    one_sentence(code, err, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backtest"], ["--data"]),
        (["frobnicate"], ["frobnicate"]),
        (["data", "check", "nowhere.csv"], ["nowhere.csv"]),
        (["margin"], ["--entry"]),
        (["margin", "--entry", "1", "--size", "1"], ["symbol"]),
        (["margin", "--entry", "1", "--size", "1", "--mmr", "0.01", "--side", "up"], ["side"]),
        (["margin", "--symbol", "BTCUSDT", "--entry", "9", "--size", "1", "--leverage", "500"],
         ["500", "150x"]),
        (["margin", "--entry", "1", "--size", "1", "--mmr", "0.01", "--other", "x"], ["--other"]),
        (["margin", "--vectors", str(YEAR)], ["JSON"]),
        (["margin", "--vectors", "nowhere.json"], ["nowhere.json"]),
    ],
    ids=lambda v: " ".join(v)[-40:] if isinstance(v, list) else None,
)  # fmt: skip
def test_bad_calls(leverpack: Call, arguments: list[str], words: list[str]):
    code, _, err = leverpack(*arguments)
    one_sentence(code, err, *words)


def test_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "leverpack", "backtest", "--data", "nowhere.csv"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    one_sentence(done.returncode, done.stderr, "nowhere.csv")


def test_debug_shows_the_trace():
    done = subprocess.run(
        [sys.executable, "-m", "leverpack", "margin", "--debug"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" in done.stderr
    assert "SettingError" in done.stderr
