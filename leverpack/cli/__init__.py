"""The ``leverpack`` command: thin, and it imports what a command needs only when it runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from leverpack.cli import (
    alerts,
    audit,
    backtest,
    config,
    data,
    live,
    margin,
    monitor,
    montecarlo,
    paper,
    rehearse,
    report,
    strategies,
    sweep,
    universe,
    walkforward,
)
from leverpack.errors import InvariantError, LeverpackError

EXIT_INPUT, EXIT_DEFECT, EXIT_INTERRUPTED = 2, 3, 130

app = typer.Typer(
    name="leverpack",
    help="Leveraged crypto strategies for Backtrader: backtest, check data, calculate margin.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(alerts.app, name="alerts")
app.command("audit")(audit.audit)
app.command("backtest")(backtest.backtest)
app.add_typer(data.app, name="data")
app.command("live")(live.live)
app.command("stop")(live.stop)
app.command("margin")(margin.margin)
app.command("monitor")(monitor.monitor)
app.command("paper")(paper.paper)
app.command("rehearse")(rehearse.rehearse)
app.command("report")(report.report)
app.command("sweep")(sweep.sweep)
app.command("walkforward")(walkforward.walkforward)
app.command("montecarlo")(montecarlo.montecarlo)
app.command("universe")(universe.universe)
app.command("strategies")(strategies.strategies)
app.command("new-strategy")(strategies.new_strategy)
app.command("config")(config.config)


def _version(wanted: bool) -> None:
    if wanted:
        from leverpack import __version__

        typer.echo(f"leverpack {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read every file anew (LEVERPACK_CACHE=off).")
    ] = False,
) -> None:
    """Leveraged crypto strategies for Backtrader: backtest, check data, calculate margin."""


def run() -> None:
    """Run the command; an error is one sentence on standard error and an exit code.

    2: the user's data or settings; 3: a defect of leverpack; 130: interrupted.
    """
    # Wherever it is written: people add --debug at the end of the line that has just failed.
    debug = "--debug" in sys.argv[1:]
    if "--no-cache" in sys.argv[1:]:
        os.environ["LEVERPACK_CACHE"] = "off"
    arguments = [a for a in sys.argv[1:] if a not in ("--debug", "--no-cache")]
    try:
        # Not standalone: click would print usage errors in a box of several lines.
        code = app(args=arguments, prog_name="leverpack", standalone_mode=False) or 0
        if code == EXIT_INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            _say("interrupted")
        sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as fault:
        if debug:
            raise
        # Typer's usage errors, which it may keep in a click of its own.
        usage = getattr(fault, "format_message", None)
        if usage is not None:
            if usage():  # empty when only the help was shown
                _say(usage())
            sys.exit(EXIT_INPUT)
        if isinstance(fault, LeverpackError) and not isinstance(fault, InvariantError):
            _say(str(fault))
            sys.exit(EXIT_INPUT)
        _say(f"{type(fault).__name__}: {fault} (a defect; run again with --debug for the trace)")
        sys.exit(EXIT_DEFECT)


def _say(sentence: str) -> None:
    print(f"leverpack: {' '.join(sentence.split())}", file=sys.stderr)
