"""``leverpack strategies``, ``new-strategy``, and a strategy from a file of the user's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from strategies import STRATEGIES
from tests.cli.test_bad_input import YEAR, Call, leverpack  # noqa: F401 - a fixture


def test_the_list_and_one_strategys_parameters(leverpack: Call):  # noqa: F811
    code, out, err = leverpack("strategies")
    assert (code, err) == (0, "")
    assert all(name in out for name in STRATEGIES)
    code, out, _ = leverpack("strategies", "adaptive", "--json")
    (shown,) = json.loads(out)
    parameters = {p["name"]: p for p in shown["parameters"]}
    assert parameters["max_leverage"] == {"name": "max_leverage", "default": "5.0", "unit": "x"}
    assert all(p["unit"] for p in shown["parameters"])
    code, _, err = leverpack("strategies", "adaptiv")
    assert code == 2
    assert err == "leverpack: no strategy is called 'adaptiv'; did you mean adaptive?\n"


def test_a_new_strategy_runs_and_its_test_passes(
    leverpack: Call, tmp_path: Path  # noqa: F811
):
    code, out, err = leverpack("new-strategy", "GoldenCross", "--folder", str(tmp_path))
    assert (code, err) == (0, "")
    assert "--strategy" in out
    made = tmp_path / "golden_cross.py"
    assert "class GoldenCrossStrategy(LeverageStrategy)" in made.read_text()
    for command in (
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_golden_cross.py"],
        [sys.executable, str(made), str(YEAR)],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "equity" in done.stdout
    again, _, err = leverpack("new-strategy", "golden_cross", "--folder", str(tmp_path))
    assert again == 2
    assert "exists already" in err


def test_a_name_that_is_none(leverpack: Call, tmp_path: Path):  # noqa: F811
    for name in ("2fast", "class", "!"):
        code, _, err = leverpack("new-strategy", name, "--folder", str(tmp_path))
        assert code == 2
        assert "a name is made of letters" in err
    assert not list(tmp_path.iterdir())


def backtest(leverpack: Call, strategy: str) -> tuple[int, str, str]:  # noqa: F811
    return leverpack("backtest", "--data", str(YEAR), "--strategy", strategy, "--json")


def test_a_backtest_of_a_file(leverpack: Call, tmp_path: Path):  # noqa: F811
    leverpack("new-strategy", "mine", "--folder", str(tmp_path))
    code, out, err = backtest(leverpack, str(tmp_path / "mine.py"))
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["run"]["strategy"] == "MineStrategy"
    assert result["totals"]["trades"] > 5
    code, out, _ = backtest(leverpack, f"{tmp_path / 'mine.py'}:MineStrategy")
    assert json.loads(out)["totals"]["trades"] == result["totals"]["trades"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "the file holds no strategy class"),
        ("import backtrader as bt\nclass A(bt.Strategy): pass\nclass B(bt.Strategy): pass\n",
         "the file holds A, B: write"),
        ("x = 1\ny = 1 / 0\n", "mine.py:2: ZeroDivisionError"),
        ("x = 1\ndef f(:\n", "mine.py:2: SyntaxError"),
        ("import not_there_at_all\n", "mine.py:1: ModuleNotFoundError"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(
    leverpack: Call, tmp_path: Path, text: str, words: str  # noqa: F811
):
    path = tmp_path / "mine.py"
    path.write_text(text)
    code, out, err = backtest(leverpack, str(path))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there(leverpack: Call, tmp_path: Path):  # noqa: F811
    code, _, err = backtest(leverpack, str(tmp_path / "gone.py"))
    assert (code, "there is no such file" in err) == (2, True)
