"""What commands on candles share: files, account, period, strategy, and their settings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from leverpack.errors import DataError, SettingError

if TYPE_CHECKING:
    from leverpack.backtest.settings import BacktestSettings

_FIRST = ("data",)  # before the command's own options
_ACCOUNT = (
    "leverage", "margin_mode", "cash", "venue", "maker", "taker", "slippage", "interest_hourly",
    "intrabar", "on_fault", "fill",
)  # fmt: skip


def _options(
    data: Annotated[Path, typer.Option(
        help="Candles: a file (CSV, JSON, Parquet, Feather; packed or not), a folder or 'x/*.zip' "
        "of files that make one series, or - for standard input."
    )],
    mark: Annotated[Path | None, typer.Option(help="Mark candles, of any length.")] = None,
    funding: Annotated[Path | None, typer.Option(help="Funding settlements.")] = None,
    tiers: Annotated[
        Path | None, typer.Option(help="Tier table: leverpack's CSV or a ccxt JSON.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="BTC/USDT:USDT; else by file name.")] = None,
    strategy: Annotated[
        str, typer.Option(help="Strategy of the pack, or FILE.py[:Class] of your own.")
    ] = "conservative",
    param: Annotated[
        list[str] | None, typer.Option(help="Strategy parameter name=value; repeatable.")
    ] = None,
    leverage: Annotated[
        float | None, typer.Option(help="Leverage; else the settings' or the strategy's own.")
    ] = None,
    margin_mode: Annotated[str | None, typer.Option(help="isolated or cross.")] = None,
    cash: Annotated[float | None, typer.Option(help="Deposit, quote currency.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day or time, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day or time, UTC.")] = None,
    venue: Annotated[str | None, typer.Option(
        help="binanceusdm, bybit, okx, kucoinfutures, hyperliquid, kraken or binance (the last "
        "two: spot margin). It decides rule, fees, funding or interest, and the leverage cap."
    )] = None,
    maker: Annotated[
        float | None, typer.Option(help="Maker fee, fraction of notional; else the venue's.")
    ] = None,
    taker: Annotated[
        float | None, typer.Option(help="Taker fee, fraction of notional; else the venue's.")
    ] = None,
    slippage: Annotated[float | None, typer.Option(help="Slippage, fraction of price.")] = None,
    interest_hourly: Annotated[
        float | None, typer.Option(help="Interest on what is borrowed; else the venue's.")
    ] = None,
    intrabar: Annotated[str | None, typer.Option(help="worst, ohlc or olhc.")] = None,
    on_fault: Annotated[str | None, typer.Option(help="Faulty rows: error, drop or fill.")] = None,
    fill: Annotated[
        str | None, typer.Option(help="Missing candles: none, previous (close) or error.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> None:
    """Only the parameters count."""


def on_candles(
    command: Callable[..., None] | None = None, *, without: Sequence[str] = ()
) -> Callable[..., Any]:
    """``command(settings, ...)`` with the options that make a BacktestSettings in its place.

    ``without`` names shared options that the command does not have. Its annotations must be
    there when the command is made: of ``settings`` it is Any.
    """
    if command is None:
        return lambda given: on_candles(given, without=without)
    chosen = command
    shared = [p for p in _parameters(_options) if p.name not in without]
    own = _parameters(chosen)[1:]

    def run(**given: Any) -> None:
        settings = _settings({p.name: given.pop(p.name) for p in shared})
        chosen(settings, **given)

    first = [p for p in shared if p.name in _FIRST]
    options = [*first, *own, *(p for p in shared if p.name not in _FIRST)]
    signature = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in options])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in options}
    run.__name__, run.__doc__ = chosen.__name__, chosen.__doc__
    return run


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        p.replace(annotation=hints[p.name]) for p in inspect.signature(function).parameters.values()
    ]


def _settings(given: dict[str, Any]) -> BacktestSettings:
    from leverpack.backtest.settings import BacktestSettings

    asked = {n: given[n] for n in _ACCOUNT if n in given}
    account = account_settings(given["config"], **{"venue": None, **asked})
    files = {name: given[name] for name in ("data", "mark", "funding")}
    settings = BacktestSettings(
        **files, tiers=given["tiers"], symbol=given["symbol"], strategy=given["strategy"],
        params=name_values(given["param"] or []), start=moment("--from", given["start"]),
        end=moment("--to", given["end"]), **account,
    )  # fmt: skip
    settings.validate()
    check_sources({f"--{name}": path for name, path in files.items()})
    return settings


def check_sources(named: dict[str, Path | None]) -> None:
    """Raise SettingError for an option whose files are not there, before anything is read."""
    from leverpack.candles.sources import STDIN, files_of

    given = {option: str(path) for option, path in named.items() if path is not None}
    if list(given.values()).count(STDIN) > 1:
        raise SettingError(f"{' and '.join(given)}: standard input (-) can be only one of them")
    for option, path in given.items():
        try:
            files_of(path)
        except DataError as fault:
            raise SettingError(f"{option} {fault}") from fault


def account_settings(config: Path | None, **given: Any) -> dict[str, Any]:
    """The settings of all sources, with what the command line gave on top; warnings are said."""
    from leverpack.config import DEFAULT, STRATEGY_SETTINGS, load_settings, strategy_params

    loaded = load_settings(config=config, **given)
    for sentence in loaded.warnings:
        typer.echo(f"leverpack: warning: {' '.join(sentence.split())}", err=True)
    account = {name: getattr(loaded.settings, name) for name in given}
    if loaded.origins["leverage"] == DEFAULT:
        account["leverage"] = None  # nobody asked: each strategy has a leverage of its own
    account["from_settings"] = strategy_params(loaded, STRATEGY_SETTINGS)
    return account


def name_values(texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise SettingError(f"--param {text!r}: write name=value")
        pairs[name.strip()] = value.strip()
    return pairs


def moment(option: str, text: str | None) -> date | datetime | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"{option} {text}: write 2025-01-31 or 2025-01-31T12:00") from None


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool) -> Iterator[Callable[..., Any]]:
    """A progress bar with the time left on standard error, where a person watches.

    Yields ``tell(done, total=None)``.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total=None: bar.update(
            task, completed=done, **({} if total is None else {"total": total})
        )


def folder_for_report(report: Path | None) -> None:
    """Raise SettingError where the folder of ``--report`` is a file, before anything runs."""
    if report is not None and report.exists() and not report.is_dir():
        raise SettingError(f"--report {report}: this is a file; name a folder")
