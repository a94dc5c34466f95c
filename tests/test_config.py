"""Every setting: its names, sources, checks, and that no secret is ever shown."""

from __future__ import annotations

import pickle
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from leverpack.backtest.settings import FILL, INTRABAR, MARGIN_MODES, ON_FAULT, BacktestSettings
from leverpack.config import (
    SETTINGS,
    VENUES,
    Loaded,
    Settings,
    describe,
    load_settings,
    require_live,
)
from leverpack.configsources import looks_secret
from leverpack.errors import DataError, SettingError

FLAG, RATE = (True, False), (0.0, 0.0999)
LIMIT = (0.0, 1e9)
# name: environment names, unit, default, choices or lowest and highest, some values that are wrong
TABLE: dict[str, tuple[str, str, Any, tuple[Any, ...], tuple[Any, ...]]] = {
    "leverage": ("LEVERAGE", "x", 2.0, (0.1, 150.0), (0, -1)),
    "max_leverage": ("MAX_LEVERAGE", "x", 125.0, (1.0, 150.0), (0.9,)),
    "auto_set_leverage": ("AUTO_SET_LEVERAGE", "true/false", True, FLAG, (2, "ja")),
    "max_stake": ("MAX_POSITION_SIZE", "quote", 0.0, LIMIT, (-1,)),
    "risk_per_trade": ("RISK_PER_TRADE", "fraction of equity", 0.01, (0.001, 0.999), (0, 1)),
    "max_daily_loss": ("MAX_DAILY_LOSS QT_MAX_DAILY_LOSS", "quote", 0.0, LIMIT, (-50,)),
    "max_daily_trades": ("MAX_DAILY_TRADES", "count", 0, (0, 10_000), (-1, 2.5)),
    "max_positions": ("MAX_POSITIONS", "count", 3, (1, 1_000), (0, 1.5)),
    "max_drawdown": ("MAX_DRAWDOWN", "fraction", 0.0, (0.0, 1.0), (20, -0.2)),
    "max_portfolio_leverage": ("MAX_PORTFOLIO_LEVERAGE", "x", 0.0, (0.0, 100.0), (-1,)),
    "max_notional_per_trade": ("QT_MAX_NOTIONAL_PER_TRADE", "quote", 0.0, LIMIT, (-1,)),
    "max_notional_per_symbol": ("QT_MAX_POSITION_PER_SYMBOL", "quote", 0.0, LIMIT, (-1,)),
    "max_gross_exposure": ("QT_MAX_GROSS_EXPOSURE", "quote", 0.0, LIMIT, (-1,)),
    "min_notional": ("QT_EXECUTION_MIN_NOTIONAL", "quote", 0.0, LIMIT, (-1,)),
    "min_confidence": ("QT_AI_MIN_CONFIDENCE", "fraction", 0.5, (0.0, 1.0), (1.01, 50)),
    "min_volatility": ("QT_AI_MIN_VOLATILITY", "fraction a day", 0.03, (0.0, 0.99), (3,)),
    "partial_targets": ("QT_PARTIAL_TP", "true/false", True, FLAG, (3,)),
    "enable_live_trading": ("ENABLE_LIVE_TRADING", "true/false", False, FLAG, ("maybe",)),
    "sandbox": ("LEVERPACK_SANDBOX", "true/false", True, FLAG, ("nein",)),
    "venue": ("LEVERPACK_VENUE", "choice", "binanceusdm", VENUES, ("mtgox", 1)),
    "margin_mode": ("LEVERPACK_MARGIN_MODE", "choice", "isolated", MARGIN_MODES, ("both",)),
    "cash": ("LEVERPACK_CASH", "quote", 10_000.0, (0.01, 1e9), (0, -5)),
    "maker": ("LEVERPACK_MAKER", "fraction", None, (-0.01, 0.0999), (0.1, -0.02)),
    "taker": ("LEVERPACK_TAKER", "fraction", None, RATE, (0.1, -0.001)),
    "slippage": ("LEVERPACK_SLIPPAGE", "fraction", 0.0, RATE, (0.1, -0.001)),
    "interest_hourly": ("LEVERPACK_INTEREST_HOURLY", "fraction an hour", None, RATE, (0.1, -1)),
    "intrabar": ("LEVERPACK_INTRABAR", "choice", "worst", INTRABAR, ("best",)),
    "on_fault": ("LEVERPACK_ON_FAULT", "choice", "error", ON_FAULT, ("guess",)),
    "fill": ("LEVERPACK_FILL", "choice", "none", FILL, ("next",)),
}
ALIASES = [(name, alias) for name, row in TABLE.items() for alias in row[0].split()]
NUMBERS = [name for name, row in TABLE.items() if row[1] not in ("true/false", "choice")]


def value_of(name: str) -> st.SearchStrategy[Any]:
    _, unit, _, values, _ = TABLE[name]
    if unit in ("true/false", "choice"):
        return st.sampled_from(values)
    if unit == "count":
        return st.integers(*values)
    return st.floats(*values)


def toml_of(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else f'"{value}"'


def load(
    folder: Path, *, toml: str | None = None, dotenv: str | None = None,
    environ: dict[str, str] | None = None, **overrides: Any,
) -> Loaded:  # fmt: skip
    """Settings from these texts in ``folder``'s files, and from nothing else."""
    file = folder / "leverpack.toml"
    for path, text in ((file, toml), (folder / ".env", dotenv)):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
    return load_settings(
        config=file if toml is not None else None, env_file=folder / ".env",
        environ=environ or {}, **overrides,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings lie in the working directory."""
    monkeypatch.chdir(tmp_path)


# -- what there is -------------------------------------------------------------------------------


def test_the_table_of_settings():
    shown = {row.name: (" ".join(row.env), row.unit, row.value) for row in SETTINGS}
    assert shown == {name: row[:3] for name, row in TABLE.items()}
    assert all(type(row.value) is type(TABLE[row.name][2]) for row in SETTINGS)


def test_every_setting_has_one_sentence_and_no_name_stands_twice():
    for row in SETTINGS:
        assert row.description.endswith(".")
        assert ". " not in row.description
    names = [alias for _, alias in ALIASES]
    assert len(names) == len(set(names))


def test_no_setting_is_a_secret():
    assert not [n for row in ALIASES for n in row if looks_secret(n)]
    for name in ("BINANCE_API_KEY", "okx_secret", "DB_PASSWORD", "LEVERPACK_TOKEN", "apiKey"):
        assert looks_secret(name)


def test_the_defaults_are_those_of_a_backtest():
    backtest = BacktestSettings(data=Path("x.csv"))
    assert backtest.leverage is None  # the strategy's own
    for name in ("margin_mode", "cash", "slippage", "intrabar", "on_fault", "fill"):
        assert getattr(Settings(), name) == getattr(backtest, name)


def test_every_value_of_the_table_passes_a_backtest_s_own_check():
    for name in ("leverage", "margin_mode", "cash", "maker", "taker", "slippage", "intrabar"):
        for value in TABLE[name][3]:
            BacktestSettings(data=Path("x.csv"), **{name: value}).validate()


# -- sources -------------------------------------------------------------------------------------

SOURCES = ("toml", "dotenv", "environ", "overrides")
CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(
            st.dictionaries(st.sampled_from(SOURCES), value_of(name)),
            st.sampled_from(row[0].split()), st.sampled_from(row[0].split()),
        )
        for name, row in TABLE.items()
    },
)  # fmt: skip


@given(CHOSEN)
@settings(max_examples=80, deadline=None)
def test_each_source_beats_the_one_below(chosen: dict[str, tuple[dict[str, Any], str, str]]):
    toml, dotenv = [], []
    environ: dict[str, str] = {}
    overrides: dict[str, Any] = {}
    values = {row.name: row.value for row in SETTINGS}
    origins = dict.fromkeys(values, "default")
    with tempfile.TemporaryDirectory() as folder:
        for name, (given_by, in_file, in_environ) in chosen.items():
            if "toml" in given_by:
                toml.append(f"{name} = {toml_of(given_by['toml'])}")
                origins[name] = f"{folder}/leverpack.toml:{len(toml)}"
            if "dotenv" in given_by:
                dotenv.append(f"{in_file}={given_by['dotenv']}")
                origins[name] = f"{folder}/.env:{len(dotenv)}"
            if "environ" in given_by:
                environ[in_environ] = str(given_by["environ"])
                origins[name] = f"environment {in_environ}"
            if "overrides" in given_by:
                overrides[name] = given_by["overrides"]
                origins[name] = "command line"
            for source in SOURCES:
                values[name] = given_by.get(source, values[name])
        loaded = load(
            Path(folder), toml="\n".join(toml), dotenv="\n".join(dotenv), environ=environ,
            **overrides,
        )  # fmt: skip
    assert loaded.settings.model_dump() == values
    assert loaded.origins == origins
    assert loaded.warnings == []


@pytest.mark.parametrize("name", TABLE)
def test_each_source_beats_the_one_below_for_every_setting(tmp_path: Path, name: str):
    alias = TABLE[name][0].split()[-1]
    low, high = (TABLE[name][3][i] for i in (0, -1))
    one, other = f"{name} = {toml_of(low)}\n", f"{alias}={high}\n"
    get = lambda **sources: getattr(load(tmp_path, **sources).settings, name)  # noqa: E731
    assert get(toml=one) == low
    assert get(toml=one, dotenv=other) == high
    assert get(toml=one, dotenv=other, environ={alias: str(low)}) == low
    assert get(toml=one, dotenv=other, environ={alias: str(low)}, **{name: high}) == high


@pytest.mark.parametrize(("name", "alias"), ALIASES)
def test_every_alias_in_environment_and_dotenv(tmp_path: Path, name: str, alias: str):
    value = TABLE[name][3][-1]
    for written in (alias, alias.lower()):
        loaded = load(tmp_path, environ={written: f" {value} "})
        assert getattr(loaded.settings, name) == value
        assert loaded.origins[name] == f"environment {written}"
    loaded = load(tmp_path, dotenv=f"# limits\n\n{alias}={value}\n")
    assert getattr(loaded.settings, name) == value
    assert loaded.origins[name] == f"{tmp_path / '.env'}:3"


def test_another_name_in_a_higher_source_is_no_conflict(tmp_path: Path):
    loaded = load(tmp_path, dotenv="MAX_DAILY_LOSS=50", environ={"QT_MAX_DAILY_LOSS": "40"})
    assert loaded.settings.max_daily_loss == 40.0


def test_the_files_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "leverpack.toml").write_text("# mine\n\nleverage = 3\ncash = 50")
    (tmp_path / ".env").write_text("CASH=1\nLEVERPACK_CASH=60")
    for _, alias in ALIASES:
        monkeypatch.delenv(alias, raising=False)
    monkeypatch.delenv("LEVERPACK_CONFIG", raising=False)
    monkeypatch.setenv("MAX_POSITIONS", "7")
    loaded = load_settings()
    assert loaded.origins["leverage"] == "leverpack.toml:3"
    assert loaded.origins["cash"] == ".env:2"
    assert loaded.origins["max_positions"] == "environment MAX_POSITIONS"
    assert (loaded.settings.leverage, loaded.settings.cash) == (3.0, 60.0)
    assert load_settings(env_file=None).settings.cash == 50.0


def test_which_toml_file_is_read(tmp_path: Path):
    for number, name in enumerate(("leverpack", "variable", "dotenv", "option"), 1):
        (tmp_path / f"{name}.toml").write_text(f"leverage = {number}")
    get = lambda **given: load_settings(**given).settings.leverage  # noqa: E731
    environ = {"LEVERPACK_CONFIG": "variable.toml"}
    assert get(environ={}) == 1
    assert get(environ=environ) == 2
    assert get(environ=environ, config=Path("option.toml")) == 4
    (tmp_path / ".env").write_text("LEVERPACK_CONFIG=dotenv.toml")
    assert get(environ={}) == 3
    assert get(environ=environ) == 2


def test_dotenv_as_people_write_it(tmp_path: Path):
    loaded = load(tmp_path, environ={"HALF": "0.25"}, dotenv=(
        "\n# limits\nexport LEVERAGE=5   # five\n\n\nMAX_POSITIONS = '4'\n"
        'LEVERPACK_VENUE="OKX"\nNOTE="two\nlines"\nBASE=7\nMAX_DAILY_TRADES=${BASE}\n'
        "MAX_DRAWDOWN=${HALF}\nRISK_PER_TRADE=${NOBODY:-0.02}\r\nMAX_LEVERAGE=20"
    ))  # fmt: skip
    got = loaded.settings
    assert (got.leverage, got.max_positions, got.venue) == (5.0, 4, "okx")
    assert (got.max_daily_trades, got.max_drawdown, got.risk_per_trade) == (7, 0.25, 0.02)
    lines = {k: int(v.rsplit(":", 1)[1]) for k, v in loaded.origins.items() if v != "default"}
    assert lines == {
        "leverage": 3, "max_positions": 6, "venue": 7, "max_daily_trades": 11,
        "max_drawdown": 12, "risk_per_trade": 13, "max_leverage": 14,
    }  # fmt: skip
    assert loaded.warnings == []


def test_the_line_of_a_key_is_not_that_of_a_text_that_looks_like_it(tmp_path: Path):
    toml = 'note = """\nleverage = 9\n"""\n"cash" = 5 # leverage = 8\n\nleverage = 3\n'
    toml += "[a]\ncash = 1\n"
    loaded = load(tmp_path, toml=toml)
    assert loaded.origins["leverage"].endswith(".toml:6")
    assert loaded.origins["cash"].endswith(".toml:4")
    assert loaded.settings.cash == 5.0


def test_an_override_of_none_is_not_given(tmp_path: Path):
    loaded = load(tmp_path, environ={"LEVERPACK_MAKER": "0.0001"}, maker=None, leverage=None)
    assert loaded.settings.maker == 0.0001
    assert loaded.origins["leverage"] == "default"
    loaded = load(tmp_path, toml="maker = 0.0001", environ={"LEVERPACK_MAKER": "none"})
    assert loaded.settings.maker is None


def test_an_empty_variable_is_not_set_and_says_so(tmp_path: Path):
    loaded = load(tmp_path, dotenv="LEVERAGE=7\nMAX_DAILY_LOSS=", environ={"LEVERAGE": " "})
    assert loaded.settings.leverage == 7.0
    assert loaded.origins["leverage"].endswith(".env:1")
    assert len(loaded.warnings) == 2
    assert ".env:2: MAX_DAILY_LOSS is empty" in loaded.warnings[0]
    assert "environment: LEVERAGE is empty" in loaded.warnings[1]


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [(t, v) for words, v in (("true yes on 1 t y", True), ("false no off 0 f n", False))
     for word in words.split() for t in (word, word.upper(), word.title(), f" {word} ")],
)  # fmt: skip
def test_the_spellings_of_a_boolean(tmp_path: Path, text: str, value: bool):
    for name in ("enable_live_trading", "sandbox"):
        alias = TABLE[name][0]
        assert getattr(load(tmp_path, environ={alias: text}).settings, name) is value
        assert getattr(load(tmp_path, toml=f'{name} = "{text}"').settings, name) is value


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name, row in TABLE.items() for wrong in row[4]]
)
def test_a_value_out_of_range(tmp_path: Path, name: str, wrong: Any):
    alias = TABLE[name][0].split()[0]
    both = f"{alias} ({name})"
    with pytest.raises(SettingError) as fault:
        load(tmp_path, toml=f"\n{name} = {toml_of(wrong)}")
    assert str(fault.value).startswith(f"{tmp_path / 'leverpack.toml'}:2: {name} must be ")
    assert str(fault.value).endswith(f", not {wrong!r}")
    with pytest.raises(SettingError) as fault:
        load(tmp_path, environ={alias: str(wrong)})
    assert str(fault.value).startswith(f"environment: {both} must be ")
    with pytest.raises(SettingError, match=f"^--{name.replace('_', '-')} must be "):
        load(tmp_path, **{name: wrong})
    with pytest.raises(SettingError) as fault:
        load(tmp_path, dotenv=f"\n\n{alias}={wrong}")
    assert str(fault.value).startswith(f"{tmp_path / '.env'}:3: {both} must be ")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", ["abc", "nan", "inf", "-inf", "1%", "0,5", "0.5 USDT", "true"])
def test_what_is_no_number(tmp_path: Path, name: str, wrong: str):
    with pytest.raises(SettingError, match=f"{name}.* must be a .*number"):
        load(tmp_path, environ={TABLE[name][0].split()[0]: wrong})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", ["true", "nan", "inf", "[1]", "{a = 1}", "2025-01-01"])
def test_what_is_no_number_in_toml(tmp_path: Path, name: str, wrong: str):
    with pytest.raises(SettingError, match=rf"leverpack.toml:1: {name} must be a .*number"):
        load(tmp_path, toml=f"{name} = {wrong}")


def test_the_message_says_what_is_expected(tmp_path: Path):
    for name, words in {
        "leverage": "a number above 0 (x), not 'abc'",
        "risk_per_trade": "a number above 0 and below 1 (fraction of equity, where 0.01 is 1 %)",
        "max_positions": "a whole number of at least 1 (count)",
        "maker": "of at least -0.01 and below 0.1 (fraction, where 0.01 is 1 %) or none",
        "sandbox": "true or false",
        "venue": ", ".join(VENUES),
    }.items():
        with pytest.raises(SettingError) as fault:
            load(tmp_path, **{name: "abc"})
        assert words in str(fault.value)


def test_a_wrong_value_is_refused_though_a_higher_source_overrides_it(tmp_path: Path):
    with pytest.raises(SettingError, match=r"leverpack.toml:1: leverage .* 'abc'"):
        load(tmp_path, toml="leverage = 'abc'", environ={"LEVERAGE": "3"}, leverage=4)


# -- conflicts -----------------------------------------------------------------------------------


def test_two_names_that_differ(tmp_path: Path):
    environ = {"QT_MAX_DAILY_LOSS": "40", "MAX_DAILY_LOSS": "50"}
    with pytest.raises(SettingError) as fault:
        load(tmp_path, environ=environ)
    assert str(fault.value) == (
        "MAX_DAILY_LOSS=50 (environment) and QT_MAX_DAILY_LOSS=40 (environment) "
        "set max_daily_loss to different values; keep one of them"
    )
    with pytest.raises(SettingError) as fault:
        load(tmp_path, dotenv="MAX_DAILY_LOSS=50\nLEVERAGE=2\nQT_MAX_DAILY_LOSS=40")
    place = str(tmp_path / ".env")
    assert f"MAX_DAILY_LOSS=50 ({place}:1)" in str(fault.value)
    assert f"QT_MAX_DAILY_LOSS=40 ({place}:3)" in str(fault.value)


def test_two_names_that_agree(tmp_path: Path):
    environ = {"QT_MAX_DAILY_LOSS": "50.00", "MAX_DAILY_LOSS": "50"}
    loaded = load(tmp_path, environ=environ)
    assert loaded.settings.max_daily_loss == 50.0
    assert loaded.origins["max_daily_loss"] == "environment MAX_DAILY_LOSS"


def test_one_name_twice_in_a_file(tmp_path: Path):
    with pytest.raises(SettingError, match=r"LEVERAGE=3 .*:1\) and LEVERAGE=4 .*:2\)"):
        load(tmp_path, dotenv="LEVERAGE=3\nLEVERAGE=4")
    with pytest.raises(DataError, match=r"leverpack.toml:2: .*overwrite"):
        load(tmp_path, toml="leverage = 3\nleverage = 4\n")


# -- unknown names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MAX_DAILY_LOS", "did you mean MAX_DAILY_LOSS?"),
        ("QT_MAX_GROS_EXPOSURE", "did you mean QT_MAX_GROSS_EXPOSURE?"),
        ("LEVERPACK_VENU", "did you mean LEVERPACK_VENUE?"),
        ("MAX_STAKE", "did you mean MAX_POSITION_SIZE?"),
        ("VENUE", "did you mean LEVERPACK_VENUE?"),
        ("LEVERGE", "did you mean LEVERAGE?"),
        ("QT_ZZ", "ignored"),
    ],
)
def test_unknown_variables_are_named(tmp_path: Path, name: str, hint: str):
    for place, sources in (
        ("environment", {"environ": {name: "hush-1"}}),
        (f"{tmp_path / '.env'}:2", {"dotenv": f"\n{name}=hush-1"}),
    ):
        loaded = load(tmp_path, **sources)  # type: ignore[arg-type]
        (sentence,) = loaded.warnings
        assert sentence.startswith(f"{place}: {name} is not a setting and is ignored")
        assert sentence.endswith(hint)
        assert "hush-1" not in sentence
        assert loaded.settings == Settings()


def test_other_variables_are_nobody_s_business(tmp_path: Path):
    environ = {"PATH": "/bin", "HOME": "/", "LEVERPACK_CONFIG": "", "LEVERPACK_SHARED": "x"}
    assert load(tmp_path, environ=environ, dotenv="DATABASE_URL=x\nPORT=1").warnings == []


@pytest.mark.parametrize(
    ("toml", "line", "words"),
    [
        ("\nleverge = 3", 2, "leverge is not a setting and is ignored; did you mean leverage?"),
        ("MAX_POSITION_SIZE = 3", 1, "did you mean max_stake?"),
        ("Leverage = 3", 1, "did you mean leverage?"),
        ("zzz = 3", 1, "zzz is not a setting and is ignored"),
        ("cash = 1\n[risk]\nmax_daily_loss = 5", 2, "not in a table"),
    ],
)
def test_unknown_keys_are_named(tmp_path: Path, toml: str, line: int, words: str):
    loaded = load(tmp_path, toml=toml)
    (sentence,) = loaded.warnings
    assert sentence.startswith(f"{tmp_path / 'leverpack.toml'}:{line}: ")
    assert sentence.endswith(words)
    assert loaded.settings == Settings(cash=loaded.settings.cash)


def test_an_unknown_override(tmp_path: Path):
    with pytest.raises(SettingError, match=r"command line: leverge .* did you mean leverage"):
        load(tmp_path, leverge=3)


# -- secrets -------------------------------------------------------------------------------------

SECRET_NAMES = (
    "BINANCE_API_KEY", "LEVERPACK_API_SECRET", "QT_PASSWORD", "MAX_TOKEN", "LEVERAGE_KEY",
    "okx_passphrase", "LEVERPACK_PRIVATE_KEY",
)  # fmt: skip


@given(
    st.sampled_from(SECRET_NAMES), st.sampled_from(["toml", "dotenv", "environ"]),
    st.text(string.ascii_letters + string.digits + "-_+/=", min_size=8, max_size=40),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_a_secret_is_never_shown(name: str, source: str, body: str):
    secret = f"hush-{body}"
    sources: dict[str, Any] = {
        "toml": f'"{name}" = "{secret}"', "dotenv": f"{name}='{secret}'", "environ": {name: secret},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(Path(folder), **{source: sources[source]})
        assert secret not in repr(loaded)
        assert secret not in repr(describe(loaded))
        # Pasted into the wrong place, it is not repeated either.
        for wrong in (
            {"leverage": secret}, {"venue": f"x{secret}"}, {"sandbox": {"a": secret}},
            {"cash": [secret]},
        ):  # fmt: skip
            with pytest.raises(SettingError) as fault:
                load(Path(folder), **{source: sources[source]}, **wrong)
            assert secret not in str(fault.value)
            assert next(iter(wrong)) in str(fault.value)


def test_a_secret_reached_by_its_name_is_not_shown(tmp_path: Path):
    with pytest.raises(SettingError) as fault:
        load(tmp_path, dotenv="LEVERAGE=${MY_SECRET}", environ={"MY_SECRET": "hush-1234"})
    assert "LEVERAGE" in str(fault.value)
    assert "hush" not in str(fault.value)
    assert fault.value.__suppress_context__


def test_a_line_that_cannot_be_read_is_not_shown(tmp_path: Path):
    with pytest.raises(DataError) as fault:
        load(tmp_path, dotenv="LEVERAGE=3\n\nMY_SECRET='hush-1234\n")
    assert str(fault.value).startswith(f"{tmp_path / '.env'}:3: ")
    assert "hush" not in str(fault.value)


def test_a_secret_in_the_toml_file_is_warned_of(tmp_path: Path):
    (sentence,) = load(tmp_path, toml="api_key = 'hush-1234'").warnings
    assert "keep secrets out of this file" in sentence


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("cash = 1\nleverage = \n", 2), ("cash = 1\n\nleverage 3", 3), ("leverage = 3 4", 1),
        ("\n\n\nvenue = okx", 4), ("a = 1\nb = '''\n\n", 2), ("[a\n", 1), ("x = [1,\n2", 2),
    ],
)  # fmt: skip
def test_a_syntax_error_names_file_and_line(tmp_path: Path, toml: str, line: int):
    with pytest.raises(DataError) as fault:
        load(tmp_path, toml=toml)
    assert str(fault.value).startswith(f"{tmp_path / 'leverpack.toml'}:{line}: is not TOML: ")
    assert fault.value.line == line
    assert "(at " not in str(fault.value)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(SettingError, match=r"--config nowhere.toml: there is no such file"):
        load_settings(config=Path("nowhere.toml"), environ={})
    with pytest.raises(SettingError, match=r"LEVERPACK_CONFIG=nowhere.toml: there is no such"):
        load_settings(environ={"LEVERPACK_CONFIG": "nowhere.toml"})
    with pytest.raises(DataError, match=r"live.env: there is no such file"):
        load_settings(env_file=Path("live.env"), environ={})
    with pytest.raises(DataError, match="folder"):
        load_settings(config=tmp_path, environ={})


def test_a_virtual_environment_called_dotenv_is_no_file_of_settings(tmp_path: Path):
    (tmp_path / ".env" / "bin").mkdir(parents=True)
    assert load_settings(environ={}).settings == Settings()


def test_a_file_in_another_encoding(tmp_path: Path):
    (tmp_path / "leverpack.toml").write_bytes("note = 'für'".encode("latin-1"))
    with pytest.raises(DataError, match=r"leverpack.toml: .*UTF-8"):
        load_settings(environ={})
    (tmp_path / "leverpack.toml").write_bytes(b"\xef\xbb\xbfleverage = 3\r\ncash = 4\r\n")
    loaded = load_settings(environ={})
    assert (loaded.settings.leverage, loaded.origins["cash"]) == (3.0, "leverpack.toml:2")


# -- the object ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_settings_cannot_be_changed(name: str):
    made = Settings()
    with pytest.raises(ValidationError):
        setattr(made, name, TABLE[name][3][0])
    with pytest.raises(ValidationError):
        delattr(made, name)
    assert made == Settings()


def test_built_directly_it_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".env").write_text("LEVERAGE=7")
    monkeypatch.setenv("LEVERAGE", "8")
    monkeypatch.setenv("cash", "9")
    assert Settings().model_dump() == {name: row[2] for name, row in TABLE.items()}
    with pytest.raises(ValidationError):
        Settings(leverage=-1)
    with pytest.raises(ValidationError):
        Settings(leverge=1)  # type: ignore[call-arg]


def test_it_goes_to_other_processes_whole(tmp_path: Path):
    loaded = load(tmp_path, environ={"LEVERAGE": "7"})
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_describe(tmp_path: Path):
    rows = {row.name: row for row in describe(load(tmp_path, environ={"MAX_DAILY_LOSS": "50"}))}
    assert list(rows) == list(TABLE)
    assert rows["max_daily_loss"][:5] == (
        "max_daily_loss", 50.0, "quote", ("MAX_DAILY_LOSS", "QT_MAX_DAILY_LOSS"),
        "environment MAX_DAILY_LOSS",
    )  # fmt: skip
    assert rows["cash"].origin == "default"


def test_live_trading_has_to_be_allowed(tmp_path: Path):
    with pytest.raises(SettingError, match=r"ENABLE_LIVE_TRADING=true"):
        require_live(Settings())
    require_live(load(tmp_path, dotenv="ENABLE_LIVE_TRADING=yes").settings)
