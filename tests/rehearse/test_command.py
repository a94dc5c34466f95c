"""``leverpack rehearse`` at the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from leverpack.cli import app
from tests.paper.stand import START, walk

OPTIONS = [
    "--symbol", "BTC/USDT:USDT", "--leverage", "5", "--param", "fast_period=3", "--param",
    "slow_period=8", "--param", "rsi_period=3", "--param", "rsi_oversold=48", "--param",
    "rsi_overbought=52", "--param", "stop_loss_pct=0.005", "--param", "take_profit_pct=0.008",
]  # fmt: skip


def data(folder: Path) -> Path:
    lines = ["time,open,high,low,close,volume"]
    for i, row in enumerate(walk(45, swing=0.004)):
        lines.append(f"{START + i * 3_600_000},{','.join(map(str, row))},1000")
    path = folder / "BTCUSDT-1h.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_rehearsal_that_agrees(tmp_path: Path):
    words = ["rehearse", "--data", str(data(tmp_path)), *OPTIONS, "--report", str(tmp_path / "r"),
             "--journal", str(tmp_path / "j.db")]  # fmt: skip
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "the live path does what the backtest does" in told.output
    found = json.loads((tmp_path / "r" / "rehearsal.json").read_text())
    assert found["agrees"] and not found["unexplained"]
    assert len(found["live"]["trades"]) == len(found["backtest"]["trades"]) > 2
    assert (tmp_path / "j.db").is_file()


def test_json_and_the_exit_code_of_a_difference(tmp_path: Path, monkeypatch):
    from leverpack.rehearse import run
    from leverpack.rehearse.live import session_for

    monkeypatch.setattr(run, "session_for", lambda plan: session_for(plan, taker=0.0006))
    words = ["rehearse", "--data", str(data(tmp_path)), *OPTIONS]
    told = CliRunner().invoke(app, [*words, "--json"])
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert not found["agrees"]
    assert {d["what"] for d in found["differences"] if not d["rule"]} >= {"fees"}
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1
    assert "have no rule that explains them" in told.output
