"""``leverpack data download``: candles, mark candles, funding and tiers from an exchange."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.candles.download.client import Client
    from leverpack.candles.download.run import Downloaded, Told

EXIT_INTERRUPTED = 130
_PAPER = ("binanceusdm", "bybit")
_SHOWN = 5  # gaps told one by one


def download(
    exchange: Annotated[str, typer.Option(help="By ccxt's name: binanceusdm, bybit, okx, ...")],
    symbols: Annotated[
        list[str],
        typer.Option(help="BTC/USDT:USDT; several by comma, or the option again."),
    ],
    start: Annotated[str, typer.Option("--from", help="First day or time, UTC.")],
    timeframe: Annotated[str, typer.Option(help="Length of the candles: 1m, 1h, 1d.")] = "1h",
    end: Annotated[
        str | None, typer.Option("--to", help="Last day or time, UTC; else up to now.")
    ] = None,
    mark: Annotated[bool, typer.Option("--mark", help="Mark candles too.")] = False,
    funding: Annotated[bool, typer.Option("--funding", help="Funding settlements too.")] = False,
    tiers: Annotated[
        bool, typer.Option(
            "--tiers", help="Today's leverage tiers too; most exchanges give them with "
            "LEVERPACK_API_KEY and LEVERPACK_API_SECRET in the environment only."
        )
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where the files are; made if not there.")] = Path(
        "data"
    ),
    attempts: Annotated[
        int, typer.Option(min=1, help="So often a request is tried where the network fails.")
    ] = 6,
    url: Annotated[
        str | None, typer.Option(help="Of a paper exchange (leverpack paper), for rehearsals.")
    ] = None,
) -> None:
    """Download closed candles, mark candles, funding and tiers into the project's own files.

    What the folder holds already is not asked for again; an interrupted download goes on.
    """
    from leverpack.candles.download.client import Client, open_exchange
    from leverpack.candles.download.run import Wish
    from leverpack.candles.download.run import download as fetch

    wish = Wish(
        symbols=tuple(dict.fromkeys(s.strip() for text in symbols for s in text.split(",") if s)),
        timeframe=timeframe, start_ms=_ms("--from", start),
        end_ms=None if end is None else _ms("--to", end, last=True),
        folder=folder, mark=mark, funding=funding, tiers=tiers,
    )  # fmt: skip
    client = Client(open_exchange(exchange, *_keys(url, tiers)), attempts=attempts)
    if url is not None:
        _rehearse(client, url)
    try:
        with _progress(client) as told:
            found = fetch(client, wish, told)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on with what is missing", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None  # it has been said
    _show(client, found)


def _keys(url: str | None, tiers: bool) -> tuple[str, str]:
    """API key and secret where they are needed; a paper exchange never sees the real ones."""
    if url is not None or not tiers:
        return ("paper", "paper") if tiers else ("", "")
    return os.environ.get("LEVERPACK_API_KEY", ""), os.environ.get("LEVERPACK_API_SECRET", "")


def _rehearse(client: Client, url: str) -> None:
    """Let the client talk to a paper exchange; its files never mix with those of the real one."""
    from leverpack.paper.client import point_at

    if client.exchange.id not in _PAPER:
        raise SettingError(f"--url goes with --exchange {' or '.join(_PAPER)} only")
    if not url.startswith(("http://", "https://")):
        raise SettingError(f"--url {url}: write http://127.0.0.1:8686")
    point_at(client.exchange, url)
    client.name = f"{client.name}-paper"


def _ms(option: str, text: str, *, last: bool = False) -> int:
    """Epoch ms of a day or time in UTC; as a ``last`` one, the end (excluded) of what it means."""
    from leverpack.cli.candleoptions import moment

    when = moment(option, text)
    assert when is not None
    if not isinstance(when, datetime):
        day: date = when + timedelta(days=1) if last else when
        return round(datetime.combine(day, time(), UTC).timestamp() * 1000)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return round(when.timestamp() * 1000) + last


@contextmanager
def _progress(client: Client) -> Iterator[Told | None]:
    """A bar for each file on standard error where a person watches; waits are said in any case."""
    if not sys.stderr.isatty():
        client.told = lambda sentence: print(sentence, file=sys.stderr)
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TimeRemainingColumn
    from rich.text import Text

    columns = ("{task.description}", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        client.told = lambda sentence: bars.console.print(Text(sentence))
        tasks: dict[str, TaskID] = {}

        def told(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=max(total, 1))
            bars.update(tasks[name], completed=done if total else 1)

        yield told


def _show(client: Client, found: list[Downloaded]) -> None:
    from leverpack.candles.series import iso
    from leverpack.cli.table import print_table

    rows = [
        (one.path.name, f"{one.rows:,}", f"{one.new:,}", iso(one.span[0])[:10],
         iso(one.span[1])[:10], str(len(one.gaps)))
        if one.span
        else (one.path.name, "", "", "", "", "")
        for one in found
    ]  # fmt: skip
    headers = ("file", "rows", "new", "first", "last", "gaps")
    print_table(f"{client.name}, {client.requests} requests", headers, rows)
    for one in found:
        for note in one.notes:
            typer.echo(f"{one.path.name}: {note}")
        for first, after in one.gaps[:_SHOWN]:
            typer.echo(f"{one.path.name}: nothing from {iso(first)} to {iso(after)}, asked twice")
        if len(one.gaps) > _SHOWN:
            typer.echo(f"{one.path.name}: and {len(one.gaps) - _SHOWN} more gaps")
