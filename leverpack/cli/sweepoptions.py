"""What ``sweep``, ``walkforward`` and ``montecarlo`` share: candles, account, sets and progress."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from leverpack.cli.backtest import account_settings, check_sources, moment, name_values

if TYPE_CHECKING:
    from leverpack.backtest.settings import BacktestSettings

GridOption = Annotated[list[str], typer.Option(
    help="Parameter and values: leverage=1:20, stop_loss_pct=0.01:0.05:0.005, "
    "slow_period=20,50; repeatable. Texts are separated by |."
)]  # fmt: skip
RandomOption = Annotated[
    int | None, typer.Option("--random", min=1, help="So many sets at random, not all.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="How many at once; else every core.")
]
ClusterOption = Annotated[str | None, typer.Option(
    help="A Dask scheduler, tcp://HOST:8786, or Ray cluster, ray://HOST:10001; it runs the sets."
)]  # fmt: skip
_FIRST = ("data",)  # of the shared options; the others follow the command's own


def _settings(
    data: Annotated[Path, typer.Option(help="Candles: CSV or Parquet; folder, pattern, or -.")],
    mark: Annotated[Path | None, typer.Option(help="Mark candles, of any length.")] = None,
    funding: Annotated[Path | None, typer.Option(help="Funding settlements.")] = None,
    tiers: Annotated[
        Path | None, typer.Option(help="Tier table: leverpack's CSV or a ccxt JSON.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="BTC/USDT:USDT; else by file name.")] = None,
    strategy: Annotated[str, typer.Option(help="Strategy, or FILE.py.")] = "conservative",
    param: Annotated[
        list[str] | None, typer.Option(help="Parameter of every set, name=value; repeatable.")
    ] = None,
    leverage: Annotated[float | None, typer.Option(help="Leverage of every set.")] = None,
    margin_mode: Annotated[str | None, typer.Option(help="isolated or cross.")] = None,
    cash: Annotated[float | None, typer.Option(help="Deposit, quote currency.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day or time, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day or time, UTC.")] = None,
    venue: Annotated[str | None, typer.Option(help="As in leverpack backtest.")] = None,
    maker: Annotated[float | None, typer.Option(help="Maker fee; else the venue's.")] = None,
    taker: Annotated[float | None, typer.Option(help="Taker fee; else the venue's.")] = None,
    slippage: Annotated[float | None, typer.Option(help="Slippage, fraction of price.")] = None,
    interest_hourly: Annotated[float | None, typer.Option(help="Else the venue's.")] = None,
    intrabar: Annotated[str | None, typer.Option(help="worst, ohlc or olhc.")] = None,
    on_fault: Annotated[str | None, typer.Option(help="Faulty rows: error, drop or fill.")] = None,
    fill: Annotated[
        str | None, typer.Option(help="Missing candles: none, previous or error.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> Any:
    from leverpack.backtest.settings import BacktestSettings

    account = account_settings(
        config, leverage=leverage, margin_mode=margin_mode, cash=cash, venue=venue, maker=maker,
        taker=taker, slippage=slippage, interest_hourly=interest_hourly, intrabar=intrabar,
        on_fault=on_fault, fill=fill,
    )  # fmt: skip
    settings = BacktestSettings(
        data=data, mark=mark, funding=funding, tiers=tiers, symbol=symbol, strategy=strategy,
        params=name_values(param or []), start=moment("--from", start), end=moment("--to", end),
        **account,
    )  # fmt: skip
    settings.validate()
    check_sources({"--data": data, "--mark": mark, "--funding": funding})
    return settings


def on_candles(command: Callable[..., None]) -> Callable[..., None]:
    """``command(settings, ...)`` with the options that make a BacktestSettings in its place.

    Its annotations must be there when the command is made: of ``settings`` it is Any.
    """
    shared, own = _parameters(_settings), _parameters(command)[1:]

    def run(**given: Any) -> None:
        settings = _settings(**{p.name: given.pop(p.name) for p in shared})
        command(settings, **given)

    first = [p for p in shared if p.name in _FIRST]
    options = [*first, *own, *(p for p in shared if p.name not in _FIRST)]
    signature = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in options])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in options}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        p.replace(annotation=hints[p.name]) for p in inspect.signature(function).parameters.values()
    ]


def sets_of(
    settings: BacktestSettings, grid: Sequence[str], random: int | None, seed: int
) -> Any:
    """The sets of ``--grid`` and ``--random``; the grid itself where all of it is meant."""
    from leverpack.backtest.run import find_strategy
    from leverpack.sweep.grid import parse_grid

    axes = parse_grid(grid, find_strategy(settings.strategy))
    return axes if random is None else axes.sample(random, seed)


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
    from leverpack.errors import SettingError

    if report is not None and report.exists() and not report.is_dir():
        raise SettingError(f"--report {report}: this is a file; name a folder")


def verdict_said(verdict: Any) -> list[str]:
    """In sentences how much of the best set is luck."""
    found, luck = [], verdict.deflated
    if luck is not None:
        found.append(
            f"deflated Sharpe ratio {luck.probability:.1%}: the chance that the best set is better "
            f"than the luckiest of {luck.trials:,} worthless ones"
        )
    if verdict.overfitting is not None:
        over = verdict.overfitting
        found.append(
            f"probability of overfitting {over.probability:.1%}: how often the best set of one "
            f"half of the days is no better than the median in the other half, over "
            f"{over.splits:,} splits"
        )
    if verdict.why:
        found.append(f"no more can be said of luck: {verdict.why}")
    return found
