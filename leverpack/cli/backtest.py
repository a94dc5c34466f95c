"""``leverpack backtest``: candles in, result table and report out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from leverpack.cli.candleoptions import folder_for_report, on_candles, progress


@on_candles
def backtest(
    settings: Any,
    survival: Annotated[bool, typer.Option(
        "--survival", help="Look for the highest leverage that survives: up to 8 more runs."
    )] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse files that the loader warns of.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    open_page: Annotated[bool, typer.Option(
        "--open", help="Open the report in the browser; without --report it is reports/latest."
    )] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a strategy over candles with leverage, liquidation, funding and fees."""
    settings = replace(settings, strict=strict, survival=survival)
    if open_page and report is None:
        report = Path("reports") / "latest"
    folder_for_report(report)
    from leverpack.backtest.run import run_backtest

    with progress("candles", None, quiet=as_json) as tell:
        result = run_backtest(settings, progress=tell)
    written: dict[str, Path] = {}
    if report is not None:
        from leverpack.report import write_report

        written = write_report(result, report)
    _show(result, written, as_json)
    if open_page:
        from leverpack.cli.report import open_in_browser

        open_in_browser(written["page"])


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
