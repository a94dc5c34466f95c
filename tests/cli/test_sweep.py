"""``leverpack sweep``: the table, JSON, samples, Optuna, and one sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leverpack.cli import app
from leverpack.errors import LeverpackError
from tests.conftest import ROOT

DATA = ROOT / "data" / "made_BTCUSDT_1h_2025.csv"
BASE = ["sweep", "--data", str(DATA), "--symbol", "BTC/USDT:USDT"]


def run(*more: str) -> Any:
    return CliRunner().invoke(app, [*BASE, *more])


def best_of(*more: str) -> list[dict[str, Any]]:
    done = run(*more, "--json")
    assert done.exit_code == 0, done.output
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def test_a_grid_as_a_table() -> None:
    done = run("--grid", "leverage=1:3", "--grid", "stop_loss_pct=0.02,0.04", "--top", "4")
    assert done.exit_code == 0, done.output
    assert "best by calmar of 6 sets" in done.stdout
    assert "liquidations" in done.stdout  # whole, on 80 columns
    assert sum(line.startswith(("1 ", "2 ", "3 ")) for line in done.stdout.splitlines()) == 4


def test_json_is_sorted_by_the_metric() -> None:
    rows = best_of("--grid", "stop_loss_pct=0.01:0.05:0.01", "--metric", "return", "--top", "3")
    assert len(rows) == 3
    found = [row["return"] for row in rows]
    assert found == sorted(found, reverse=True)
    low = best_of("--grid", "stop_loss_pct=0.01:0.05:0.01", "--metric", "max_drawdown")
    assert [r["max_drawdown"] for r in low] == sorted(r["max_drawdown"] for r in low)


def test_params_leverage_and_fees_hold_for_every_set() -> None:
    grid = ("--grid", "stop_loss_pct=0.02")
    (plain,) = best_of(*grid, "--metric", "fees")
    (dear,) = best_of(*grid, "--metric", "fees", "--taker", "0.005", "--maker", "0.005")
    assert dear["fees"] > 5 * plain["fees"]
    (shorts,) = best_of(*grid, "--metric", "fees", "--param", "sides=short")
    assert 0 < shorts["trades"] < plain["trades"]


def test_samples_are_the_seeds() -> None:
    sample = ("--grid", "stop_loss_pct=0.01:0.05", "--random", "5", "--top", "5")
    one = best_of(*sample, "--seed", "1", "--metric", "return")
    assert one == best_of(*sample, "--seed", "1", "--metric", "return")
    assert one != best_of(*sample, "--seed", "2", "--metric", "return")


def test_optuna_finds_what_the_grid_holds(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the optuna extra is not installed")
    grid = ("--grid", "stop_loss_pct=0.01:0.05", "--grid", "fast_period=5:15", "--metric", "return")
    out = tmp_path / "found.parquet"
    one = best_of(*grid, "--optuna", "12", "--seed", "3", "--workers", "1", "--out", str(out))
    assert one == best_of(*grid, "--optuna", "12", "--seed", "3", "--workers", "1")
    assert 0.01 <= one[0]["param.stop_loss_pct"] <= 0.05
    assert out.is_file()


def test_a_file_of_results(tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    rows = best_of("--grid", "leverage=1:5", "--out", str(out))
    assert len(rows) == 5
    done = run("--grid", "leverage=1:5", "--out", str(out))
    assert "of 0 sets run now" in done.stdout
    assert str(out) in done.stdout.replace("\n", "")


def test_refused_sets_are_said() -> None:
    done = run("--grid", "leverage=2,900")
    assert done.exit_code == 0
    assert "some sets were refused, such as: leverage 900" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--grid", "leverag=1:3"), "did you mean leverage"),
        (("--grid", "leverage=1:3", "--metric", "calmr"), "did you mean calmar"),
        (("--grid", "leverage=1:3", "--random", "2", "--optuna", "2"), "choose one"),
        (("--grid", "stop_loss_pct=0.01:0.05"), "--random"),
        (("--grid", "leverage=1:3", "--strategy", "conservativ"), "did you mean conservative"),
        (("--grid", "leverage=1:3", "--mark", "nowhere.csv"), "nowhere.csv"),
        (("--grid", "leverage=1:3", "--param", "leverage"), "name=value"),
    ],
)
def test_mistakes_are_named(more: tuple[str, ...], said: str) -> None:
    done = run(*more)
    assert isinstance(done.exception, LeverpackError)
    assert said in str(done.exception)
