"""``leverpack sweep``: many parameter sets over the same candles, the best of them as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.cli.candleoptions import folder_for_report, on_candles, progress
from leverpack.cli.sweepoptions import (
    ClusterOption,
    GridOption,
    RandomOption,
    WorkersOption,
    sets_of,
    verdict_said,
)
from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.backtest.settings import BacktestSettings
    from leverpack.sweep.overfit import Verdict

RESULTS = "sweep.parquet"  # in the folder of --report


@on_candles
def sweep(
    settings: Any,
    grid: GridOption,
    random: RandomOption = None,
    optuna: Annotated[
        int | None, typer.Option("--optuna", min=1, help="So many sets, chosen by Optuna.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --random and --optuna.")] = 0,
    metric: Annotated[str, typer.Option(help="What is best: calmar, return, sharpe, ...")] = (
        "calmar"
    ),
    top: Annotated[int, typer.Option(min=1, help="How many sets the table shows.")] = 10,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Parquet file of all results; gone on with if there.")
    ] = None,
    report: Annotated[Path | None, typer.Option(
        help="Folder for maps of survival and of the metric, as PNG and as one page."
    )] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the best sets as JSON.")] = False,
) -> None:
    """Run a strategy with many parameter sets and show the best ones."""
    from leverpack.sweep.outcome import best

    if random is not None and optuna is not None:
        raise SettingError("--random and --optuna: choose one of them")
    if cluster is not None and optuna is not None:
        raise SettingError("--cluster and --optuna: Optuna chooses set after set; leave one out")
    best((), metric, top)  # a metric that there is not is said before anything runs
    folder_for_report(report)
    if report is not None and out is None:
        report.mkdir(parents=True, exist_ok=True)
        out = report / RESULTS
    rows, ran, refused, verdict = _run(
        settings, sets_of(settings, grid, random, seed), optuna, seed, metric, workers, cluster,
        out, quiet=as_json, top=top,
    )  # fmt: skip
    luck = [] if verdict is None else verdict_said(verdict)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _show(rows, metric, ran, refused, luck, out)
    if report is not None and out is not None:
        _report(settings, metric, luck, out, report)
        if not as_json:
            from leverpack.sweep.mappictures import PAGE

            typer.echo(f"report: {report / PAGE}")


def _run(
    settings: BacktestSettings, sets: Any, optuna: int | None, seed: int, metric: str,
    workers: int | None, cluster: str | None, out: Path | None, *, quiet: bool, top: int,
) -> tuple[list[Mapping[str, Any]], int, str, Verdict | None]:  # fmt: skip
    """The best rows, how many sets ran now, a reason of one that was refused, and the luck in it.

    The last is None where some sets had been run before: their days are not in the file.
    """
    from leverpack.sweep.engine import SweepEngine
    from leverpack.sweep.outcome import best
    from leverpack.sweep.overfit import Trials
    from leverpack.sweep.results import read_results, row_of
    from leverpack.sweep.runner import run_sweep
    from leverpack.sweep.search import search

    total = optuna if optuna is not None else len(sets)
    engine = SweepEngine(settings)
    if optuna is not None:
        outcomes = search(
            settings, sets, optuna, metric=metric, seed=seed, workers=workers or 1, out=out,
            engine=engine,
        )  # fmt: skip
    else:
        outcomes = run_sweep(
            settings, sets, workers=workers, out=out, engine=engine, cluster=cluster
        )
    trials = Trials(engine.days, settings.cash, metric)
    rows: list[Mapping[str, Any]] = []
    ran, refused = 0, ""
    try:
        with closing(outcomes), progress("sets", total, quiet=quiet) as tell:
            for outcome in outcomes:
                ran += 1
                refused = refused or outcome.refused
                rows = best([*rows, row_of(outcome)], metric, top)
                trials.add(outcome)
                tell(ran)
    except KeyboardInterrupt:
        kept = f"and kept in {out}; the same command goes on" if out else "; --out would keep them"
        typer.echo(f"{ran:,} of {total:,} sets are done {kept}", err=True)
        raise
    if out is not None:
        rows = best(read_results(out)[0].to_pylist(), metric, top)
    return rows, ran, refused, trials.verdict() if ran == total else None


def _report(
    settings: BacktestSettings, metric: str, luck: list[str], out: Path, report: Path
) -> None:
    from leverpack.sweep.mappictures import best_listed, write_maps
    from leverpack.sweep.results import read_results
    from leverpack.sweep.runner import said_settings

    table, _ = read_results(out)
    every = table.to_pylist()
    refused = sum(1 for row in every if row["refused"])
    sets = f"{len(every):,} sets, {refused:,} of them refused. All results: {out.name}."
    write_maps(
        every, metric, report, title=f"Sweep of {settings.strategy} on {settings.data.name}",
        listed=best_listed(every, metric, 20), notes=[sets, *luck],
        settings=said_settings(settings),
    )  # fmt: skip


def _show(
    rows: list[Mapping[str, Any]], metric: str, ran: int, refused: str, luck: list[str],
    out: Path | None,
) -> None:  # fmt: skip
    from leverpack.cli.table import print_table
    from leverpack.sweep.mappictures import best_listed

    found = best_listed(rows, metric, len(rows))
    print_table(f"{found.title} of {ran:,} sets run now", found.headers, found.rows)
    for sentence in luck:
        typer.echo(sentence)
    if refused:
        typer.echo(f"some sets were refused, such as: {refused}")
    if out is not None:
        typer.echo(f"results: {out}")
