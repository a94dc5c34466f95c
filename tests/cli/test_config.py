"""``leverpack config``: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leverpack.config import SETTINGS
from tests.cli.test_bad_input import Call, leverpack, one_sentence  # noqa: F401 - a fixture
from tests.cli.test_commands import imported_by


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in the working directory or the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("LEVERPACK_CONFIG", "LEVERPACK_SHARED", *(n for r in SETTINGS for n in r.env)):
        monkeypatch.delenv(name, raising=False)


def test_every_setting_with_value_unit_and_origin(
    leverpack: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
):
    (tmp_path / "leverpack.toml").write_text("\nleverage = 3")
    (tmp_path / ".env").write_text("MAX_POSITION_SIZE=1500")
    monkeypatch.setenv("ENABLE_LIVE_TRADING", "yes")
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = leverpack("config")
    assert (code, err) == (0, "")
    rows = {}
    for line in out.splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        rows[cells[0]] = cells[1:]
    assert {row.name for row in SETTINGS} <= set(rows)
    assert rows["leverage"] == ["3 x", "leverpack.toml:2"]
    assert rows["max_stake"] == ["1,500 quote", ".env:1"]
    assert rows["enable_live_trading"] == ["true", "environment ENABLE_LIVE_TRADING"]
    assert rows["max_daily_loss"] == ["0 quote (no limit)", "default"]
    assert rows["maker"] == ["the venue's", "default"]
    assert rows["risk_per_trade"] == ["0.01 fraction of equity", "default"]
    assert rows["venue"] == ["binanceusdm", "default"]


def test_json_is_all_there_is_on_standard_output(
    leverpack: Call, tmp_path: Path  # noqa: F811
):
    (tmp_path / "mine.toml").write_text("leverage = 3\nleverge = 4")
    code, out, err = leverpack("config", "--config", "mine.toml", "--json")
    shown = json.loads(out)
    assert code == 0
    assert [row["name"] for row in shown["settings"]] == [row.name for row in SETTINGS]
    first = shown["settings"][0]
    assert (first["value"], first["unit"], first["env"]) == (3.0, "x", ["LEVERAGE"])
    assert first["origin"] == "mine.toml:1"
    assert shown["warnings"] == [
        "mine.toml:2: leverge is not a setting and is ignored; did you mean leverage?"
    ]
    assert err == f"leverpack: warning: {shown['warnings'][0]}\n"


def test_warnings_go_to_standard_error_and_no_secret_anywhere(
    leverpack: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
):
    (tmp_path / ".env").write_text("LEVERPACK_API_KEY=hush-1234\nMAX_DAILY_LOS=5")
    monkeypatch.setenv("QT_API_SECRET", "hush-5678")
    for arguments in ([], ["--json"]):
        code, out, err = leverpack("config", *arguments)
        assert code == 0
        assert "hush" not in out + err
        assert ".env:2: MAX_DAILY_LOS is not a setting" in err
    assert "leverpack: warning" not in out


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({"leverpack.toml": "cash = 1\nleverage = 'abc'"}, [],
         ["leverpack.toml:2", "leverage", "'abc'", "a number above 0"]),
        ({"leverpack.toml": "leverage = "}, [], ["leverpack.toml:1", "not TOML"]),
        ({".env": "\nLEVERPACK_VENUE=bybt"}, [], [".env:2", "LEVERPACK_VENUE", "'bybt'", "bybit"]),
        ({".env": "MAX_DAILY_LOSS=50\nQT_MAX_DAILY_LOSS=40"}, [],
         ["MAX_DAILY_LOSS=50", "QT_MAX_DAILY_LOSS=40", "different"]),
        ({}, ["--config", "nowhere.toml"], ["--config nowhere.toml", "no such file"]),
        ({"a.toml": "venue = 3"}, ["--config", "a.toml"], ["a.toml:1", "venue", "3"]),
    ],
)  # fmt: skip
def test_wrong_values(
    leverpack: Call, tmp_path: Path, files: dict[str, str],  # noqa: F811
    arguments: list[str], words: list[str],
):  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    code, out, err = leverpack("config", *arguments)
    assert out == ""
    one_sentence(code, err, *words)


def test_only_who_needs_settings_imports_pydantic():
    assert not imported_by("--help") & {"pydantic", "pydantic_settings"}
    loaded = imported_by("config")
    assert "pydantic_settings" in loaded
    assert not loaded & {"backtrader", "ccxt", "matplotlib", "numba", "numpy", "pandas"}
