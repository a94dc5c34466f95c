"""``leverpack backtest``: candles in, result table and report out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from leverpack.errors import DataError, SettingError

Progress = Callable[[int, int], None]


def backtest(
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
    strategy: Annotated[str, typer.Option(help="Strategy of the pack.")] = "conservative",
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
    survival: Annotated[bool, typer.Option(
        "--survival", help="Look for the highest leverage that survives: up to 8 more runs."
    )] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse files that the loader warns of.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    open_page: Annotated[bool, typer.Option(
        "--open", help="Open the report in the browser; without --report it is reports/latest."
    )] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a strategy over candles with leverage, liquidation, funding and fees."""
    from leverpack.backtest.settings import BacktestSettings

    account = account_settings(
        config, leverage=leverage, margin_mode=margin_mode, cash=cash, venue=venue, maker=maker,
        taker=taker, slippage=slippage, interest_hourly=interest_hourly, intrabar=intrabar,
        on_fault=on_fault, fill=fill,
    )  # fmt: skip
    settings = BacktestSettings(
        data=data, mark=mark, funding=funding, tiers=tiers, symbol=symbol, strategy=strategy,
        params=name_values(param or []), start=moment("--from", start), end=moment("--to", end),
        strict=strict, survival=survival, **account,
    )  # fmt: skip
    settings.validate()
    check_sources({"--data": data, "--mark": mark, "--funding": funding})
    if open_page and report is None:
        report = Path("reports") / "latest"
    if report is not None and report.exists() and not report.is_dir():
        raise SettingError(f"--report {report}: this is a file; name a folder")
    from leverpack.backtest.run import run_backtest

    with candle_progress(quiet=as_json) as progress:
        result = run_backtest(settings, progress=progress)
    written: dict[str, Path] = {}
    if report is not None:
        from leverpack.report import write_report

        written = write_report(result, report)
    _show(result, written, as_json)
    if open_page:
        from leverpack.cli.report import open_in_browser

        open_in_browser(written["page"])


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
def candle_progress(*, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error where a person watches, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("candles", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("candles", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(result: Any, written: dict[str, Path], as_json: bool) -> None:
    from leverpack.report import summary_rows, to_json_dict

    if as_json:
        shown = to_json_dict(result) | {"report": {k: str(v) for k, v in written.items()}}
        typer.echo(json.dumps(shown, indent=2, allow_nan=False))
        return
    from leverpack.cli.table import print_pairs

    run = result.run
    print_pairs(
        f"{run['strategy']} on {', '.join(run['symbols'])} {run['timeframe']}, "
        f"{run['leverage']:g}x {run['margin_mode']}",
        summary_rows(result),
    )
    if "page" in written:
        typer.echo(f"report: {written['page']}")
