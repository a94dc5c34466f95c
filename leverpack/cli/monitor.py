"""``leverpack monitor``: a page on this machine that shows a live run from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leverpack.monitor.page import PageServer


def monitor(
    journal: Annotated[Path, typer.Option(help="Journal of the run to watch.")] = Path(
        "leverpack-live.db"
    ),
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)] = 8787,
    host: Annotated[str, typer.Option(
        help="Address to listen on; another than this machine's own asks the token of readers too."
    )] = "127.0.0.1",
) -> None:
    """Show a live run in the browser: distances to liquidation, orders, limits, a kill switch."""
    from leverpack.cli.serving import serve
    from leverpack.monitor.page import chosen_token, serving

    token = chosen_token()
    serve(serving(journal, token, host=host, port=port), lambda server: _greeting(server, token))


def _greeting(server: PageServer, token: str) -> str:
    warning = "" if server.is_local else (
        "\nanybody on this network can reach it, and what it sends is not encrypted: better reach "
        "it through a tunnel"
    )  # fmt: skip
    return (
        f"live page of {server.journal}: {server.url}/#token={token}\n"
        "whoever has this address can use the kill switch; without what follows the # the page "
        f"only shows{warning}\nCtrl-C ends it"
    )
