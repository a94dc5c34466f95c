"""``leverpack data``: what the loader sees in a file, and what it did about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from leverpack.errors import SettingError

app = typer.Typer(help="Look at candle, mark and funding files.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    """Look at candle, mark and funding files."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="Candles, mark candles or funding settlements.")],
    kind: Annotated[str, typer.Option(help="auto, candles, mark or funding.")] = "auto",
    on_fault: Annotated[str, typer.Option(help="error, drop or fill.")] = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a file holds: columns, unit, order, gaps, duplicates, faults and treatment.

    Exit code 0 when a backtest would take the file, 2 when it would not.
    """
    from leverpack.backtest.settings import ON_FAULT
    from leverpack.candles.check import check_file

    if on_fault not in ON_FAULT:
        raise SettingError(f"--on-fault must be one of {', '.join(ON_FAULT)}, not {on_fault!r}")
    found = check_file(file, kind=kind, on_fault=on_fault)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    else:
        _show(str(file), found)
    if not found["ok"]:
        raise typer.Exit(2)


def _show(name: str, found: dict[str, object]) -> None:
    from leverpack.cli.table import print_pairs, print_table

    findings = found.pop("findings", [])
    columns = found.get("columns")
    if isinstance(columns, dict):
        found["columns"] = ", ".join(f"{k} = {v}" for k, v in columns.items())
    print_pairs(name, [(k, _plain(v)) for k, v in found.items()])
    if isinstance(findings, list) and findings:
        print_table(
            "findings",
            ("severity", "what", "line", "count", "treatment"),
            [
                (f["severity"], f["message"], f["line"] or "", f["count"], f["treatment"])
                for f in findings
            ],
        )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.10g}"
    return "none" if value in ([], "", None) else str(value)
