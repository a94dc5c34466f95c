"""``leverpack config``: every setting, its value and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leverpack.config import Row


def config(
    file: Annotated[
        Path | None,
        typer.Option("--config", help="TOML file, instead of LEVERPACK_CONFIG or leverpack.toml."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with descriptions.")] = False,
) -> None:
    """Show each setting, its value, its unit and where it came from.

    Sources in rising order: defaults, TOML file, .env, environment. Warnings go to standard error.
    """
    from leverpack.config import describe, load_settings, trading_mode

    loaded = load_settings(config=file)
    rows = describe(loaded)
    for sentence in loaded.warnings:
        typer.echo(f"leverpack: warning: {' '.join(sentence.split())}", err=True)
    if as_json:
        shown = {
            "settings": [row._asdict() for row in rows], "warnings": loaded.warnings,
            "trading": trading_mode(loaded.settings),
        }  # fmt: skip
        typer.echo(json.dumps(shown, indent=2, allow_nan=False))
        return
    from leverpack.cli.table import print_table

    print_table(
        "settings",
        ("setting", "value", "from"),
        [(row.name, _plain(row), row.origin) for row in rows],
    )
    typer.echo(trading_mode(loaded.settings))


def _plain(row: Row) -> str:
    """The value with its unit, and what a 0 stands for: a bare one reads as "none allowed"."""
    if row.value is None:
        return row.nothing
    if isinstance(row.value, bool):
        return "true" if row.value else "false"
    if isinstance(row.value, str):
        return row.value
    text = f"{row.value:,.10g} {row.unit}"
    return f"{text} ({row.nothing})" if row.nothing and not row.value else text
