"""``leverpack universe``: which symbols of a set of candle files are worth trading."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverpack.errors import DataError, SettingError

if TYPE_CHECKING:
    from leverpack.candles.selection import Universe


def universe(
    sources: Annotated[
        list[str], typer.Argument(metavar="FOLDER_OR_GLOB...", help="Folders, globs or files.")
    ],
    min_volatility: Annotated[float, typer.Option(help="Daily volatility, 0.03 is 3 %.")] = 0.03,
    min_volume: Annotated[float, typer.Option(help="Quote volume per day.")] = 0.0,
    min_range: Annotated[float, typer.Option(help="Daily (high - low) / close, a fraction.")] = 0.0,
    min_days: Annotated[int, typer.Option(help="Whole days of candles.")] = 30,
    max_age_hours: Annotated[float, typer.Option(help="Behind the newest file, or --now.")] = 48.0,
    max_flat_hours: Annotated[float, typer.Option(help="Without any change of price.")] = 24.0,
    quote: Annotated[str | None, typer.Option(help="Only this quote currency (USDT).")] = None,
    rank_by: Annotated[str, typer.Option(help="volatility, volume or range.")] = "volatility",
    top: Annotated[int | None, typer.Option(help="Choose at most so many.")] = None,
    now: Annotated[
        str | None, typer.Option(help="As known at this time (ISO, UTC); later candles are unseen.")
    ] = None,
    on_fault: Annotated[str, typer.Option(help="error, drop or fill.")] = "error",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rank symbols by how much they move and trade, and tell why the others are left out.

    Stablecoins, stale and flat symbols and those with too little history are never chosen.
    """
    from leverpack.candles.universe import UniverseRules, universe_from_files

    rules = UniverseRules(
        min_volatility=min_volatility,
        min_volume=min_volume,
        min_range=min_range,
        min_days=min_days,
        max_age_hours=max_age_hours,
        max_flat_hours=max_flat_hours,
        quote=quote,
        rank_by=rank_by,
        top=top,
    )
    found = universe_from_files(sources, rules, now=_epoch_ms(now), on_fault=on_fault)  # type: ignore[arg-type]
    if not found.chosen and not found.left_out:
        path, reason = next(iter(found.refused.items()))
        raise DataError(f"none of the files holds candles to measure; {path}: {reason}")
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        _show(found)


def _epoch_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--now {text} is no time; write 2025-01-31T12:00") from None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return round(when.timestamp() * 1000)


def _show(found: Universe) -> None:
    from leverpack.candles.timeframes import timeframe_name
    from leverpack.cli.table import print_table

    if found.chosen:
        print_table(
            f"chosen, by {found.rules.rank_by}",
            ("", "symbol", "volatility", "range", "volume/day", "days", "last", "candles"),
            [
                (
                    str(place),
                    m.symbol,
                    f"{m.daily_volatility:.2%}",
                    f"{m.range_spread:.2%}",
                    _short(m.quote_volume),
                    str(m.days),
                    f"{m.last_price:.6g}",
                    timeframe_name(m.timeframe_ms),
                )
                for place, m in enumerate(found.chosen, 1)
            ],
        )
    else:
        typer.echo("no symbol is chosen")
    if found.left_out:
        print_table("left out", ("symbol", "reason"), list(found.left_out.items()))
    if found.refused:
        files = [(Path(path).name, reason) for path, reason in found.refused.items()]
        print_table("files not used", ("file", "reason"), files)
    for note in found.notes:
        typer.echo(note)


def _short(amount: float) -> str:
    """An amount of money with four digits at most: 13.73B, 358.3M, 950."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if amount >= unit:
            return f"{amount / unit:.4g}{name}"
    return f"{amount:.4g}"
