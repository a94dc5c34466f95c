"""Every setting, once: its name, default, unit, check, environment names and one sentence.

Sources in rising order: defaults, ``leverpack.toml``, ``.env``, environment, command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from leverpack.configsources import (
    COMMAND_LINE,
    Given,
    Layer,
    read_dotenv,
    read_environ,
    read_toml,
    shown,
)
from leverpack.errors import SettingError, nearest

CONFIG_FILE = Path("leverpack.toml")
CONFIG_VARIABLE = "LEVERPACK_CONFIG"
DEFAULT = "default"

Venue = Literal[
    "binanceusdm", "bybit", "okx", "kucoinfutures", "hyperliquid", "kraken", "binance"
]  # fmt: skip
VENUES: tuple[str, ...] = get_args(Venue)


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _number(value: Any) -> Any:
    # Python and pydantic take true for 1: `max_daily_loss = true` would be a limit of 1 USDT.
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return _stripped(value)


def _number_or_none(value: Any) -> Any:
    value = _number(value)
    return None if isinstance(value, str) and value.lower() == "none" else value


def _choice(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


Flag = Annotated[bool, BeforeValidator(_stripped)]
Number = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int, BeforeValidator(_number)]
MaybeNumber = Annotated[float | None, BeforeValidator(_number_or_none)]


def _setting(
    default: Any, unit: str, env: str, description: str, *, nothing: str = "", **checks: Any
) -> Any:
    """A field; ``env`` are its environment names, ``nothing`` says what 0 or None stands for."""
    extra: Any = {"unit": unit, "env": env.split(), "nothing": nothing}
    return Field(default, description=description, json_schema_extra=extra, **checks)


class Settings(BaseSettings):
    """All settings, checked and immutable; money in quote currency, rates as fractions.

    :func:`load_settings` reads them. Built directly, ``Settings(leverage=3)`` holds what it is
    given and defaults, whatever files and environment say, and raises pydantic's ValidationError.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    leverage: Number = _setting(
        2.0, "x", "LEVERAGE", "Leverage that a position is opened with.", gt=0
    )
    max_leverage: Number = _setting(
        125.0, "x", "MAX_LEVERAGE", "Highest leverage that any strategy may set.", ge=1
    )
    auto_set_leverage: Flag = _setting(
        True, "true/false", "AUTO_SET_LEVERAGE",
        "Set the leverage at the venue before an opening order, instead of only checking it.",
    )  # fmt: skip
    max_stake: Number = _setting(
        0.0, "quote", "MAX_POSITION_SIZE", "Largest initial margin of one trade.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    risk_per_trade: Number = _setting(
        0.01, "fraction of equity", "RISK_PER_TRADE", "Equity that one trade loses at its stop.",
        gt=0, lt=1,
    )  # fmt: skip
    max_daily_loss: Number = _setting(
        0.0, "quote", "MAX_DAILY_LOSS QT_MAX_DAILY_LOSS", "Loss in a UTC day that ends trading.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    max_daily_trades: Count = _setting(
        0, "count", "MAX_DAILY_TRADES", "Trades opened in a UTC day, at most.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    max_positions: Count = _setting(
        3, "count", "MAX_POSITIONS", "Positions open at once over all symbols, at most.", ge=1
    )
    max_drawdown: Number = _setting(
        0.0, "fraction", "MAX_DRAWDOWN", "Fall of equity from its highest that ends trading.",
        nothing="no limit", ge=0, le=1,
    )  # fmt: skip
    max_portfolio_leverage: Number = _setting(
        0.0, "x", "MAX_PORTFOLIO_LEVERAGE", "Notional of all positions over equity, at most.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    max_notional_per_trade: Number = _setting(
        0.0, "quote", "QT_MAX_NOTIONAL_PER_TRADE", "Largest notional of one trade.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    max_notional_per_symbol: Number = _setting(
        0.0, "quote", "QT_MAX_POSITION_PER_SYMBOL", "Largest notional held in one symbol.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    max_gross_exposure: Number = _setting(
        0.0, "quote", "QT_MAX_GROSS_EXPOSURE",
        "Largest notional of all positions, longs and shorts added up.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    min_notional: Number = _setting(
        0.0, "quote", "QT_EXECUTION_MIN_NOTIONAL", "Smallest notional that is worth an order.",
        nothing="no limit", ge=0,
    )  # fmt: skip
    min_confidence: Number = _setting(
        0.5, "fraction", "QT_AI_MIN_CONFIDENCE", "Confidence below which no trade is opened.",
        ge=0, le=1,
    )  # fmt: skip
    min_volatility: Number = _setting(
        0.03, "fraction a day", "QT_AI_MIN_VOLATILITY",
        "Daily volatility below which a symbol is left out.", ge=0, lt=1,
    )  # fmt: skip
    partial_targets: Flag = _setting(
        True, "true/false", "QT_PARTIAL_TP", "Close a position in parts, at several targets."
    )
    enable_live_trading: Flag = _setting(
        False, "true/false", "ENABLE_LIVE_TRADING", "Allow orders that trade real money."
    )
    sandbox: Flag = _setting(
        True, "true/false", "LEVERPACK_SANDBOX", "Talk to the venue's test network."
    )
    venue: Annotated[Venue, BeforeValidator(_choice)] = _setting(
        "binanceusdm", "choice", "LEVERPACK_VENUE", "Exchange whose rules and fees hold."
    )
    margin_mode: Annotated[Literal["isolated", "cross"], BeforeValidator(_choice)] = _setting(
        "isolated", "choice", "LEVERPACK_MARGIN_MODE",
        "Whether each position has its own margin or all share the wallet.",
    )  # fmt: skip
    cash: Number = _setting(
        10_000.0, "quote", "LEVERPACK_CASH", "Deposit that a backtest starts with.", gt=0
    )
    # A maker rebate is a negative fee.
    maker: MaybeNumber = _setting(
        None, "fraction", "LEVERPACK_MAKER", "Maker fee on notional.",
        nothing="the venue's", ge=-0.01, lt=0.1,
    )  # fmt: skip
    taker: MaybeNumber = _setting(
        None, "fraction", "LEVERPACK_TAKER", "Taker fee on notional.",
        nothing="the venue's", ge=0, lt=0.1,
    )  # fmt: skip
    slippage: Number = _setting(
        0.0, "fraction", "LEVERPACK_SLIPPAGE", "Part of the price that a market order gives away.",
        ge=0, lt=0.1,
    )  # fmt: skip
    interest_hourly: MaybeNumber = _setting(
        None, "fraction an hour", "LEVERPACK_INTEREST_HOURLY", "Interest on what is borrowed.",
        nothing="the venue's", ge=0, lt=0.1,
    )  # fmt: skip
    intrabar: Annotated[Literal["worst", "ohlc", "olhc"], BeforeValidator(_choice)] = _setting(
        "worst", "choice", "LEVERPACK_INTRABAR",
        "Which way a candle is taken to have gone when it holds both stop and target.",
    )  # fmt: skip
    on_fault: Annotated[Literal["error", "drop", "fill"], BeforeValidator(_choice)] = _setting(
        "error", "choice", "LEVERPACK_ON_FAULT", "What happens to a faulty row of a candle file."
    )
    fill: Annotated[Literal["none", "previous", "error"], BeforeValidator(_choice)] = _setting(
        "none", "choice", "LEVERPACK_FILL", "What happens to candles that are missing."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: load_settings reads the sources, with lines and conflicts."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each comes from, and sentences on names that nothing reads.

    An origin is ``default``, ``leverpack.toml:3``, ``.env:2``, ``environment LEVERAGE`` or
    ``command line``.
    """

    settings: Settings
    origins: dict[str, str]
    warnings: list[str]


class Row(NamedTuple):
    """One setting as shown to people; ``nothing`` is what a value of 0 or None stands for."""

    name: str
    value: bool | int | float | str | None
    unit: str
    env: tuple[str, ...]
    origin: str
    description: str
    nothing: str


def load_settings(
    *,
    config: Path | None = None,
    env_file: Path | None = Path(".env"),
    environ: Mapping[str, str] | None = None,
    **overrides: Any,
) -> Loaded:
    """Settings from all sources, each beating the one before: TOML, .env, environment, overrides.

    ``config`` is the TOML file; without it LEVERPACK_CONFIG names one (environment, then .env),
    else ``leverpack.toml`` in the working directory is read where there is one. ``env_file`` may
    be missing when it is called ``.env``; None reads none. ``environ`` is os.environ unless given.
    ``overrides`` are settings by name, None for "not given": the command line's options.

    Every value of every source is checked, one that is overridden too. Raises SettingError for a
    value that cannot be, for two names of one setting that differ in one source, for an override
    that is no setting and for a missing ``config``; DataError for a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    variables: dict[str, str] = {}
    dotenv = Layer()
    # A folder called .env is a virtual environment.
    if env_file is not None and (
        env_file.name != ".env" or (env_file.exists() and not env_file.is_dir())
    ):
        dotenv, variables = read_dotenv(env_file, environ, _ENV)
    file = _config_file(config, environ, variables)
    layers = [
        read_toml(file, _ENV) if file is not None else Layer(),
        dotenv,
        read_environ(environ, _ENV),
        _command_line(overrides),
    ]
    secrets = set[str]().union(*(layer.secrets for layer in layers))
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    for layer in layers:
        for name, (value, given) in _checked(layer.given, secrets).items():
            values[name] = value
            origins[name] = given.origin
    warnings = [sentence for layer in layers for sentence in layer.warnings]
    return Loaded(Settings(**values), origins, warnings)


def describe(loaded: Loaded | None = None) -> list[Row]:
    """A row for each setting, in the order of :class:`Settings`; without ``loaded`` the defaults.

    ``value`` is in ``unit``, a fraction as it is (0.01 is 1 %).
    """
    settings = Settings() if loaded is None else loaded.settings
    origins = {} if loaded is None else loaded.origins
    return [
        Row(
            name, getattr(settings, name), _extra(field, "unit"), _ENV[name],
            origins.get(name, DEFAULT), field.description or "", _extra(field, "nothing"),
        )
        for name, field in Settings.model_fields.items()
    ]  # fmt: skip


STRATEGY_SETTINGS = (
    "max_leverage", "auto_set_leverage", "max_stake", "risk_per_trade", "max_daily_loss",
    "max_daily_trades", "max_positions", "max_drawdown", "max_portfolio_leverage",
    "max_notional_per_trade", "max_notional_per_symbol", "max_gross_exposure", "min_notional",
    "min_confidence", "min_volatility", "partial_targets",
)  # fmt: skip
"""Settings that a strategy has as parameters, under the same names."""


def strategy_params(loaded: Loaded, known: Iterable[str]) -> dict[str, Any]:
    """Parameters for a strategy that knows the names ``known``: the settings somebody has set.

    What nobody has set is left to the strategy's own defaults.
    """
    names = set(known)
    return {
        name: getattr(loaded.settings, name)
        for name in STRATEGY_SETTINGS
        if name in names and loaded.origins.get(name, DEFAULT) != DEFAULT
    }


def trading_mode(settings: Settings) -> str:
    """What live trading would do with these settings: nothing, the sandbox, or real money."""
    if not settings.enable_live_trading:
        return "live trading is off"
    return "live trading in the sandbox" if settings.sandbox else "live trading with REAL MONEY"


def require_live(settings: Settings) -> None:
    """Raise SettingError, saying what to set, unless live trading is allowed."""
    if not settings.enable_live_trading:
        raise SettingError(
            "enable_live_trading is false, so no order leaves; set ENABLE_LIVE_TRADING=true "
            "(or enable_live_trading = true in leverpack.toml) to trade real money"
        )


def _extra(field: FieldInfo, key: str) -> Any:
    extra: Any = field.json_schema_extra
    return extra[key]


_ENV: dict[str, tuple[str, ...]] = {
    name: tuple(_extra(field, "env")) for name, field in Settings.model_fields.items()
}
SETTINGS = tuple(describe())


def _config_file(
    config: Path | None, environ: Mapping[str, str], variables: Mapping[str, str]
) -> Path | None:
    named = environ.get(CONFIG_VARIABLE) or variables.get(CONFIG_VARIABLE)
    if config is not None:
        said, file = f"--config {config}", config
    elif named:
        said, file = f"{CONFIG_VARIABLE}={named}", Path(named)
    else:
        return CONFIG_FILE if CONFIG_FILE.exists() else None
    if not file.exists():
        raise SettingError(f"{said}: there is no such file; check the path")
    return file


def _command_line(overrides: Mapping[str, Any]) -> Layer:
    for name in overrides:
        if name not in _ENV:
            hint = nearest(name, _ENV, "`leverpack config` lists them")
            raise SettingError(f"{COMMAND_LINE}: {name} is not a setting; {hint}")
    return Layer([
        Given(name, f"--{name.replace('_', '-')}", value, COMMAND_LINE)
        for name, value in overrides.items() if value is not None
    ])  # fmt: skip


def _checked(given: list[Given], secrets: set[str]) -> dict[str, tuple[Any, Given]]:
    """What one source gives, parsed, by setting; two names of a setting have to agree."""
    checked: dict[str, tuple[Any, Given]] = {}
    for one in given:
        value = _parsed(one, secrets)
        if one.field not in checked:
            checked[one.field] = value, one
        elif checked[one.field][0] != value:
            first = checked[one.field][1]
            both = " and ".join(
                f"{x.name}={shown(x.value, secrets, str)} ({x.place})" for x in (first, one)
            )
            raise SettingError(f"{both} set {one.field} to different values; keep one of them")
    return checked


def _parsed(given: Given, secrets: set[str]) -> Any:
    try:
        return getattr(Settings(**{given.field: given.value}), given.field)
    except ValidationError:
        # Without pydantic's text as the cause: it repeats the value, which may be a secret.
        field = Settings.model_fields[given.field]
        value = shown(given.value, secrets)
        raise SettingError(f"{given.where} must be {_expected(field)}, not {value}") from None


def _expected(field: FieldInfo) -> str:
    """What a field takes, in words, from its type and checks."""
    if field.annotation is bool:
        return "true or false (or yes/no, on/off, 1/0)"
    if get_origin(field.annotation) is Literal:
        return f"one of {', '.join(get_args(field.annotation))}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
    bounds = [
        f"{word} {getattr(check, key):g}"
        for check in field.metadata for key, word in words.items() if hasattr(check, key)
    ]  # fmt: skip
    number = "a whole number" if field.annotation is int else "a number"
    unit = _extra(field, "unit")
    if unit.startswith("fraction"):
        unit += ", where 0.01 is 1 %"
    none = " or none" if type(None) in get_args(field.annotation) else ""
    return f"{number} {' and '.join(bounds)} ({unit}){none}"
