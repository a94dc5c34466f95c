"""The commands as typed by hand: what they print, write and import."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_bad_input import YEAR, Call, leverpack  # noqa: F401 - a fixture
from tests.conftest import ROOT, needs_shared, real, shared_dir

SAMPLE = [
    "--data", str(YEAR), "--mark", str(ROOT / "data" / "made_BTCUSDT_mark_1h_2025.csv"),
    "--funding", str(ROOT / "data" / "made_BTCUSDT_funding_2025.csv"),
    "--symbol", "BTC/USDT:USDT", "--leverage", "12", "--param", "risk_per_trade=0.04",
    "--param", "stop_loss_pct=0.09", "--param", "take_profit_pct=0.12",
]  # fmt: skip


def test_the_sample_backtest_prints_a_table_and_writes_the_report(
    leverpack: Call, tmp_path: Path  # noqa: F811
):
    code, out, err = leverpack("backtest", *SAMPLE, "--report", str(tmp_path / "r"))
    assert (code, err) == (0, "")
    assert "Liquidations / calls" in out
    assert "report.html" in out.replace("\n", "")
    written = {p.name for p in (tmp_path / "r").iterdir()}
    assert written == {
        "result.json", "series.parquet", "trades.csv", "margin.csv", "chart.png", "report.html"
    }
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    totals = result["totals"]
    assert result["run"]["loop"] == "fast"
    assert totals["liquidations"] == len(result["liquidations"]) >= 1
    assert totals["funding"] < 0.0
    with (tmp_path / "r" / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert len(trades) == len(result["trades"])
    gained = sum(t["net"] for t in result["trades"])
    assert totals["end_equity"] == pytest.approx(totals["start_equity"] + gained, abs=1e-6)
    bill = totals["fees"] - totals["funding"] + totals["interest"]
    bill += totals["liquidation_fees"] - totals["insurance"]
    assert totals["cost_of_leverage"] == pytest.approx(bill)


def test_json_is_all_there_is_on_standard_output(leverpack: Call):  # noqa: F811
    code, out, err = leverpack("backtest", *SAMPLE, "--json")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["run"]["leverage"] == 12.0
    assert any("tier table of 2024-10" in x for x in result["assumptions"])


def test_the_same_run_twice_gives_the_same_result(leverpack: Call):  # noqa: F811
    first, second = (json.loads(leverpack("backtest", *SAMPLE, "--json")[1]) for _ in range(2))
    for timing in ("elapsed_s", "load_s", "bars_per_s"):
        first["run"].pop(timing)
        second["run"].pop(timing)
    assert first == second


def test_leverage_reaches_the_broker_and_the_trades(leverpack: Call):  # noqa: F811
    result = json.loads(leverpack("backtest", "--data", str(YEAR), "--leverage", "7", "--json")[1])
    assert result["run"]["params"]["leverage"] == 7.0
    assert {t["leverage"] for t in result["trades"]} == {7.0}


def test_data_check_of_a_good_file(leverpack: Call):  # noqa: F811
    code, out, _ = leverpack("data", "check", str(YEAR), "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["rows"], found["timeframe"], found["gaps"], found["ok"]) == (8760, "1h", 0, True)
    code, out, _ = leverpack("data", "check", str(YEAR))
    assert code == 0
    assert "8760" in out


def test_data_check_of_a_faulty_file_lists_the_faults(leverpack: Call, tmp_path: Path):  # noqa: F811
    rows = YEAR.read_text().splitlines()[:100]
    rows[9] = rows[9].replace(",", ",x", 1)
    rows[19] = rows[18]
    path = tmp_path / "faulty.csv"
    path.write_text("\n".join(rows))
    code, out, _ = leverpack("data", "check", str(path), "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (2, False)
    assert {f["line"] for f in found["findings"] if f["severity"] == "error"} == {10, 20}


def test_margin_calculator(leverpack: Call):  # noqa: F811
    arguments = ["--symbol", "BTCUSDT", "--side", "short", "--entry", "100000", "--size", "6"]
    code, out, _ = leverpack("margin", *arguments, "--leverage", "2", "--json")
    assert code == 0
    assert json.loads(out)["liquidation_price"] == pytest.approx(149_279.68, abs=0.005)
    code, out, _ = leverpack("margin", *arguments, "--leverage", "2")
    assert "149,279.68" in out


@needs_shared
@pytest.mark.parametrize("name", ["liquidation.json", "funding_interest.json", "tiers.json"])
def test_published_figures(leverpack: Call, name: str):  # noqa: F811
    path = shared_dir() / "vectors" / name
    code, out, _ = leverpack("margin", "--vectors", str(path), "--json")
    cases = json.loads(out)
    assert code == 0
    assert not [c for c in cases if c["verdict"] == "off"]


def test_a_figure_that_is_off_gives_exit_code_1(leverpack: Call, tmp_path: Path):  # noqa: F811
    row = {
        "id": "mine", "source": "test", "exchange": "binanceusdm", "kind": "published_test",
        "formula": "binance_linear", "contract": "linear", "contract_size": 1.0,
        "margin_mode": "isolated", "side": "short", "entry_price": 10, "size": 1, "leverage": 5,
        "wallet_balance": 2.0, "mmr": 0.01, "maintenance_amount": 0.01, "other_positions": [],
        "expected_liquidation_price": 12.0, "tolerance": 1e-6, "note": "",
        "input_status": "direct",
    }  # fmt: skip
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([row]))
    code, out, _ = leverpack("margin", "--vectors", str(path))
    assert code == 1
    assert "1 off" in out


@needs_shared
def test_real_candles_with_mark_and_funding(leverpack: Call):  # noqa: F811
    code, out, _ = leverpack(
        "backtest", "--data", str(real("binanceusdm_SOLUSDT_perp_15m_20221001_20230102.parquet")),
        "--mark", str(real("binanceusdm_SOLUSDT_mark_8h_20221001_20230107.parquet")),
        "--funding", str(real("binanceusdm_SOLUSDT_funding_20200913_20260630.parquet")),
        "--leverage", "5", "--from", "2022-11-01", "--to", "2022-11-30", "--json",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert result["run"]["bars"] == 30 * 96
    assert result["totals"]["funding"] != 0.0


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['leverpack', *{list(arguments)!r}]\n"
        "from leverpack.cli import run\nrun()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    line = next(x for x in done.stderr.splitlines() if x.startswith("LOADED"))
    return set(line.split()[1:])


def test_help_imports_no_framework():
    loaded = imported_by("backtest", "--help")
    assert not loaded & {"backtrader", "ccxt", "matplotlib", "numba", "numpy", "pandas", "pyarrow"}


def test_the_calculator_imports_no_framework():
    loaded = imported_by("margin", "--symbol", "BTCUSDT", "--entry", "1e5", "--size", "1")
    assert not loaded & {"backtrader", "ccxt", "matplotlib", "numba", "pandas", "pyarrow"}


def test_a_backtest_without_report_draws_nothing():
    loaded = imported_by("backtest", "--data", str(YEAR), "--json")
    assert "backtrader" in loaded
    assert not loaded & {"ccxt", "matplotlib", "numba", "jinja2"}


def test_version(leverpack: Call):  # noqa: F811
    assert leverpack("--version")[1].startswith("leverpack 0.")


@pytest.mark.parametrize(
    ("option", "value", "total"),
    [
        ("--maker", "0.001", "fees"), ("--taker", "0.001", "fees"),
        ("--interest-hourly", "0.00001", "interest"), ("--slippage", "0.001", "end_equity"),
    ],
)  # fmt: skip
def test_every_cost_option_reaches_the_account(
    leverpack: Call, option: str, value: str, total: str  # noqa: F811
):
    plain = json.loads(leverpack("backtest", *SAMPLE, "--json")[1])
    dearer = json.loads(leverpack("backtest", *SAMPLE, option, value, "--json")[1])
    name = option.removeprefix("--").replace("-", "_")
    assert dearer["run"][name] == float(value)
    assert dearer["totals"][total] != plain["totals"][total]
    if total != "end_equity":
        assert dearer["totals"][total] > plain["totals"][total]
