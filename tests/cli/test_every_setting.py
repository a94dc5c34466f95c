"""No setting is dead: a changed value changes what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leverpack.config import Settings, describe
from tests.cli.test_bad_input import YEAR, Call, leverpack  # noqa: F401 - a fixture
from tests.conftest import ROOT

pytestmark = pytest.mark.no_cover  # what it runs is measured elsewhere, at half the time

LADDER = ("--strategy", "confidence_ladder", "--param", "liquidation_stops=0")
ADAPTIVE = ("--strategy", "adaptive")
# A stop and a target so near that one candle often holds both.
NARROW = ("--param", "stop_loss_pct=0.002", "--param", "take_profit_pct=0.002")
# Field -> (environment name, value, arguments of the run that shows it).
CHANGED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "leverage": ("LEVERAGE", "7", ()),
    "max_leverage": ("MAX_LEVERAGE", "1.5", ()),
    "auto_set_leverage": ("AUTO_SET_LEVERAGE", "false", ADAPTIVE),
    "max_stake": ("MAX_POSITION_SIZE", "50", ()),
    "risk_per_trade": ("RISK_PER_TRADE", "0.02", ()),
    "max_daily_loss": ("MAX_DAILY_LOSS", "20", ADAPTIVE),
    "max_daily_trades": ("MAX_DAILY_TRADES", "1", ADAPTIVE),
    "max_positions": ("MAX_POSITIONS", "1", ()),
    "max_drawdown": ("MAX_DRAWDOWN", "0.02", ADAPTIVE),
    "max_portfolio_leverage": ("MAX_PORTFOLIO_LEVERAGE", "0.1", ()),
    "max_notional_per_trade": ("QT_MAX_NOTIONAL_PER_TRADE", "100", ()),
    "max_notional_per_symbol": ("QT_MAX_POSITION_PER_SYMBOL", "100", ()),
    "max_gross_exposure": ("QT_MAX_GROSS_EXPOSURE", "100", ()),
    "min_notional": ("QT_EXECUTION_MIN_NOTIONAL", "100000", ()),
    "min_confidence": ("QT_AI_MIN_CONFIDENCE", "0.9", LADDER),
    "min_volatility": ("QT_AI_MIN_VOLATILITY", "0.05", LADDER),
    "partial_targets": ("QT_PARTIAL_TP", "false", LADDER),
    "venue": ("LEVERPACK_VENUE", "okx", ()),
    "margin_mode": ("LEVERPACK_MARGIN_MODE", "cross", ()),
    "cash": ("LEVERPACK_CASH", "5000", ()),
    "maker": ("LEVERPACK_MAKER", "0.001", ()),
    "taker": ("LEVERPACK_TAKER", "0.001", ()),
    "slippage": ("LEVERPACK_SLIPPAGE", "0.001", ()),
    "interest_hourly": ("LEVERPACK_INTEREST_HOURLY", "0.00001", ()),
    "intrabar": ("LEVERPACK_INTRABAR", "ohlc", NARROW),
    "on_fault": ("LEVERPACK_ON_FAULT", "drop", ()),
    "fill": ("LEVERPACK_FILL", "previous", ()),
}
SHOWN_APART = ("max_positions", "on_fault", "fill")
LIVE = {
    "enable_live_trading": ("ENABLE_LIVE_TRADING", "true"),
    "sandbox": ("LEVERPACK_SANDBOX", "false"),
}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No settings but those that the test gives: no .env, no TOML, no names in the environment."""
    for row in describe():
        for name in row.env:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def outcome(leverpack: Call, *arguments: str, data: Path = YEAR) -> Any:  # noqa: F811
    """What a run comes to; a refusal is an outcome too."""
    mark = ROOT / "data" / "made_BTCUSDT_mark_1h_2025.csv"
    code, out, err = leverpack(
        "backtest", "--data", str(data), "--mark", str(mark), "--symbol", "BTC/USDT:USDT",
        *arguments, "--json",
    )  # fmt: skip
    if code:
        return err
    result = json.loads(out)
    keep = {k: result[k] for k in ("totals", "trades", "liquidations", "margin_calls")}
    return json.dumps(keep, sort_keys=True)


def test_the_list_is_all_there_is() -> None:
    assert set(CHANGED) | set(LIVE) == set(Settings.model_fields)


@pytest.mark.parametrize("field", [f for f in CHANGED if f not in SHOWN_APART])
def test_a_changed_value_changes_the_result(
    leverpack: Call, clean: pytest.MonkeyPatch, field: str  # noqa: F811
) -> None:
    name, value, arguments = CHANGED[field]
    before = outcome(leverpack, *arguments)
    clean.setenv(name, value)
    after = outcome(leverpack, *arguments)
    assert after != before
    if field != "auto_set_leverage":
        assert after.startswith("{"), after


def test_leverage_of_the_environment_is_what_the_broker_has(
    leverpack: Call, clean: pytest.MonkeyPatch  # noqa: F811
) -> None:
    clean.setenv("LEVERAGE", "7")
    trades = json.loads(outcome(leverpack))["trades"]
    assert trades
    assert {t["leverage"] for t in trades} == {7.0}
    trades = json.loads(outcome(leverpack, "--leverage", "4"))["trades"]
    assert {t["leverage"] for t in trades} == {4.0}  # the command line is nearer


def test_the_treatment_of_faults(
    leverpack: Call, clean: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:
    lines = YEAR.read_text().splitlines()
    lines[100] = lines[100].replace(lines[100].split(",")[2], "abc", 1)
    path = tmp_path / "faulty.csv"
    path.write_text("\n".join(lines) + "\n")
    assert "is not a number" in outcome(leverpack, data=path)
    clean.setenv(*CHANGED["on_fault"][:2])
    assert outcome(leverpack, data=path).startswith("{")


def test_the_treatment_of_missing_candles(
    leverpack: Call, clean: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:
    lines = YEAR.read_text().splitlines()
    path = tmp_path / "gaps.csv"
    path.write_text("\n".join(lines[:100] + lines[124:]) + "\n")

    def said(*arguments: str) -> str:
        code, out, err = leverpack("backtest", "--data", str(path), "--json", *arguments)
        return err if code else json.dumps(json.loads(out))

    assert "24 missing candles in 1 gaps" not in said()
    clean.setenv(*CHANGED["fill"][:2])
    assert "24 missing candles in 1 gaps" in said()
    assert "gaps.csv:100: after this line 24 1h candles are missing" in said("--fill", "error")


def test_open_positions_reach_the_strategy(
    leverpack: Call, clean: pytest.MonkeyPatch  # noqa: F811
) -> None:
    def params() -> Any:
        code, out, _ = leverpack("backtest", "--data", str(YEAR), "--json")
        assert code == 0
        return json.loads(out)["run"]["params"]

    assert params()["max_positions"] == 3
    clean.setenv("MAX_POSITIONS", "1")
    assert params()["max_positions"] == 1


@pytest.mark.parametrize("field", LIVE)
def test_what_live_trading_would_do_is_said(
    leverpack: Call, clean: pytest.MonkeyPatch, field: str  # noqa: F811
) -> None:
    if field == "sandbox":
        clean.setenv("ENABLE_LIVE_TRADING", "true")
    before = json.loads(leverpack("config", "--json")[1])["trading"]
    clean.setenv(*LIVE[field])
    after = json.loads(leverpack("config", "--json")[1])["trading"]
    assert before != after
    assert ("REAL MONEY" in after) == (field == "sandbox")


def test_a_file_and_a_command_line(
    leverpack: Call, clean: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:
    (tmp_path / "leverpack.toml").write_text("leverage = 6\ncash = 2000\n")
    (tmp_path / ".env").write_text("LEVERAGE=5\n")
    result = json.loads(outcome(leverpack))
    assert result["totals"]["start_equity"] == 2000.0
    assert {t["leverage"] for t in result["trades"]} == {5.0}


def test_a_strategy_parameter_beats_a_setting(
    leverpack: Call, clean: pytest.MonkeyPatch  # noqa: F811
) -> None:
    clean.setenv("RISK_PER_TRADE", "0.02")
    with_both = outcome(leverpack, "--param", "risk_per_trade=0.03")
    clean.delenv("RISK_PER_TRADE")
    assert with_both == outcome(leverpack, "--param", "risk_per_trade=0.03")


def test_a_wrong_value_is_one_sentence(
    leverpack: Call, clean: pytest.MonkeyPatch  # noqa: F811
) -> None:
    clean.setenv("LEVERAGE", "much")
    code, out, err = leverpack("backtest", "--data", str(YEAR))
    assert (code, out) == (2, "")
    assert "LEVERAGE" in err
    assert err.count("\n") == 1
