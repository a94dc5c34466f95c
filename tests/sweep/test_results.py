"""The result file: a documented schema, whole after an interruption, gone on with, never mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leverpack.errors import DataError, SettingError
from leverpack.sweep import FIGURES, Grid, SweepEngine, read_results, run_sweep
from leverpack.sweep.outcome import COUNTS
from leverpack.sweep.results import identity
from tests.conftest import ROOT, heed_ctrl_c
from tests.sweep.conftest import made_settings

GRID = Grid({"leverage": [2.0, 5.0, 900.0], "stop_loss_pct": [0.01, 0.03]})


def test_the_file_has_the_documented_schema(made: SweepEngine, tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    outcomes = list(run_sweep(made.settings, GRID, engine=made, out=out, workers=1))
    table, told = read_results(out)
    names = ["set", "param.leverage", "param.stop_loss_pct", *FIGURES, "engine", "why", "refused"]
    assert table.column_names == names
    for name in FIGURES:
        assert table.schema.field(name).type == (pa.int64() if name in COUNTS else pa.float64())
    assert told["figures"] == FIGURES
    assert told["settings"]["venue"] == "binanceusdm"
    rows = {row["set"]: row for row in table.to_pylist()}
    assert sorted(rows) == list(range(6))
    for outcome in outcomes:
        row = rows[outcome.number]
        assert {n: row[f"param.{n}"] for n in outcome.params} == GRID[outcome.number]
        assert {n: row[n] for n in FIGURES} == outcome.figures
        assert (row["refused"] or "") == outcome.refused
    assert sum(bool(row["refused"]) for row in rows.values()) == 2
    assert os.listdir(tmp_path) == [out.name]


def test_a_second_start_runs_only_what_is_missing(made: SweepEngine, tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    first = run_sweep(made.settings, GRID, engine=made, out=out, workers=1)
    done = [next(first).number, next(first).number]
    first.close()  # as an interruption does
    assert len(read_results(out)[0]) == 2
    rest = [o.number for o in run_sweep(made.settings, GRID, engine=made, out=out, workers=1)]
    assert sorted(done + rest) == list(range(6))
    assert list(run_sweep(made.settings, GRID, engine=made, out=out)) == []
    wider = Grid({"stop_loss_pct": [0.01, 0.03, 0.05], "leverage": [2.0]})
    more = [o.params for o in run_sweep(made.settings, wider, engine=made, out=out, workers=1)]
    assert more == [{"stop_loss_pct": 0.05, "leverage": 2.0}]
    assert len(read_results(out)[0]) == 7


def test_parts_of_a_run_that_was_killed_are_found(tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    script = f"""
import os
from leverpack.sweep import Grid, run_sweep
from leverpack.sweep import results
from tests.sweep.conftest import made_settings
results._SECONDS_A_PART = 0.0
grid = Grid({{"leverage": [float(k) for k in range(1, 51)]}})
for count, outcome in enumerate(run_sweep(made_settings(), grid, out={str(out)!r}, workers=1)):
    if count == 7:
        os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert not out.exists()
    grid = Grid({"leverage": [float(k) for k in range(1, 51)]})
    rest = list(run_sweep(made_settings(), grid, out=out, workers=1))
    assert len(rest) == 42
    rows = read_results(out)[0].to_pylist()
    assert sorted(row["param.leverage"] for row in rows) == [float(k) for k in range(1, 51)]
    assert os.listdir(tmp_path) == [out.name]


def test_control_c_keeps_what_is_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    command = [
        sys.executable, "-m", "leverpack", "sweep", "--data", "data/made_BTCUSDT_1h_2025.csv",
        "--symbol", "BTC/USDT:USDT", "--grid", "leverage=1:20",
        "--grid", "stop_loss_pct=0.01:0.08:0.0005", "--grid", "take_profit_pct=0.01:0.1:0.01",
        "--out", str(out), "--workers", "1", "--json",
    ]  # fmt: skip
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c
    )
    parts = tmp_path / f".{out.name}.parts"
    until = time.monotonic() + 120.0
    while not (parts.is_dir() and any(parts.iterdir())) and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"the same command goes on" in said
    held = len(read_results(out)[0])
    assert 0 < held < 20 * 141 * 10
    assert os.listdir(tmp_path) == [out.name]


def test_another_sweep_is_refused_and_nothing_is_lost(made: SweepEngine, tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    small = Grid({"leverage": [2.0]})
    list(run_sweep(made.settings, small, engine=made, out=out, workers=1))
    before = out.read_bytes()
    other = made_settings(slippage=0.001)
    with pytest.raises(DataError, match="another file with --out"):
        list(run_sweep(other, small, out=out, workers=1))
    with pytest.raises(DataError, match="another file"):
        list(run_sweep(made_settings("adaptive"), small, out=out, workers=1))
    assert out.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PAR1 not really PAR1", b"a,b\n1,2\n"])
def test_a_file_that_is_no_result_is_named(
    made: SweepEngine, tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "mine.parquet"
    out.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.parquet: .*--out"):
        list(run_sweep(made.settings, GRID, engine=made, out=out))
    assert out.read_bytes() == content
    pq.write_table(pa.table({"a": [1]}), out)
    with pytest.raises(DataError, match="no file of sweep results"):
        list(run_sweep(made.settings, GRID, engine=made, out=out))


def test_a_folder_that_cannot_be_written(made: SweepEngine) -> None:
    with pytest.raises(SettingError, match="cannot be written"):
        list(run_sweep(made.settings, GRID, engine=made, out=Path("/proc/sweep.parquet")))


def test_texts_and_ladders_come_back_as_they_were(tmp_path: Path) -> None:
    out = tmp_path / "sweep.parquet"
    grid: Any = Grid({"models": ["guide", "guide,drawdown"], "targets": [(), ((0.02, 0.5),)]})
    settings = made_settings("adaptive")
    list(run_sweep(settings, grid, out=out, workers=1))
    table, _ = read_results(out)
    assert set(table["param.models"].to_pylist()) == {"guide", "guide,drawdown"}
    assert {json.dumps(json.loads(t)) for t in table["param.targets"].to_pylist()} == {
        "[]", "[[0.02, 0.5]]",
    }  # fmt: skip
    assert list(run_sweep(settings, grid, out=out, workers=1)) == []


def test_the_same_set_is_the_same_whatever_the_order_of_its_names() -> None:
    assert identity({"a": 1, "b": 2.0}) == identity({"b": 2, "a": 1.0})
    assert identity({"a": True}) != identity({"a": 1})
