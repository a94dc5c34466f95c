"""``leverpack alerts``: whether messages reach the people whom they are for."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Messages to people: addresses in LEVERPACK_ALERTS, in the environment or .env.",
    no_args_is_help=True,
)


@app.callback()
def _top() -> None:
    """Messages to people: addresses in LEVERPACK_ALERTS, in the environment or .env."""


@app.command("test")
def test(
    each: Annotated[
        bool, typer.Option("--each", help="One message for each kind of alert, not one in all.")
    ] = False,
) -> None:
    """Send a test message to every channel; exit code 1 when one does not take it."""
    from leverpack.errors import SettingError
    from leverpack.live.bus import ALERT_KINDS
    from leverpack.monitor.channels import VARIABLE, find_channels
    from leverpack.monitor.episodes import worded

    channels = find_channels()
    if not channels:
        raise SettingError(
            f"no channel: set {VARIABLE} in the environment or in .env, such as "
            f"{VARIABLE}=ntfy://ntfy.sh/TOPIC (several apart by spaces)"
        )
    kinds = ", ".join(worded(kind) for kind in ALERT_KINDS)
    messages = [("test", f"A test. What will be told here: {kinds}.")]
    if each:
        messages = [(f"test: {worded(kind)}", "A test.") for kind in ALERT_KINDS]
    failed = 0
    for channel in channels:
        taken = sum(channel.send(f"leverpack: {title}", body) for title, body in messages)
        failed += taken < len(messages)
        word = "ok" if taken == len(messages) else f"FAILED ({taken} of {len(messages)} taken)"
        typer.echo(f"{channel.name}: {word}")
    if failed:
        typer.echo("check the address, its token and the network", err=True)
        raise typer.Exit(1)
