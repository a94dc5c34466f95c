"""``leverpack audit``: what leverage an account really has, and how to mend it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from leverpack.errors import SettingError, VenueError

if TYPE_CHECKING:
    from rich.console import Console

    from leverpack.audit.fixing import Step
    from leverpack.audit.records import Audit
    from leverpack.audit.run import Auditor

OUT_OF_BOUNDS = 1
SHORTEST_WATCH_S = 5.0


def audit(
    exchange: Annotated[str | None, typer.Option(
        "--exchange", "--venue", help="ccxt's name of it; else the settings' venue."
    )] = None,
    symbols: Annotated[list[str] | None, typer.Option(
        help="BTC/USDT:USDT,ETH/USDT:USDT; repeatable. Without it every linear future."
    )] = None,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only symbols with an open position.")
    ] = False,
    target: Annotated[float | None, typer.Option(
        help="Leverage that every symbol should have; else LEVERAGE."
    )] = None,
    maximum: Annotated[float | None, typer.Option(
        "--max", help="Leverage above which a symbol is HIGH; else MAX_LEVERAGE."
    )] = None,
    margin_mode: Annotated[str | None, typer.Option(
        help="isolated, cross or any (not compared); else the settings'."
    )] = None,
    url: Annotated[str | None, typer.Option(
        help="Another server of the venue's protocol, such as `leverpack paper`."
    )] = None,
    bad: Annotated[bool, typer.Option("--bad", help="List only what is not OK.")] = False,
    fix: Annotated[bool, typer.Option(
        "--fix", help="Show what would be set, ask, set it, read it back."
    )] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --fix: do not ask.")] = False,
    watch: Annotated[str | None, typer.Option(
        metavar="EVERY", help="Look again and again, every 30s, 5m, 1h; Ctrl-C ends it."
    )] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print JSON; with --watch one line for each look."
    )] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this file too.")] = None,
    metrics_file: Annotated[Path | None, typer.Option(
        help="Write Prometheus metrics to this file, for node-exporter's textfile collector."
    )] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file, TOML.")] = None,
) -> None:
    """Show the leverage, margin mode and exposure that an account really has, and mend them.

    The status of a symbol is the first of these that holds:

    HIGH: leverage above --max.

    MISMATCH: above the target, another margin mode than decided, or hedge mode.

    LOW: leverage below the target, modes as decided.

    ERROR: the venue does not say, or ccxt cannot ask.

    OK: as decided; where tiers do not allow the target, the most they allow.

    Effective leverage is the notional at mark over the equity behind it:
    a position's own margin (isolated), or the account's (cross).

    Limits that somebody has set are held against all open positions:
    MAX_POSITIONS, MAX_PORTFOLIO_LEVERAGE, QT_MAX_GROSS_EXPOSURE and
    QT_MAX_POSITION_PER_SYMBOL.

    Only --fix changes anything, and needs ENABLE_LIVE_TRADING for real money.
    With --watch, alerts go to the channels that LEVERPACK_ALERTS names.

    Exit code 0: all is OK. 1: something is not. 2: there is no audit.
    """
    from leverpack.audit.run import limits_of

    every = _seconds(watch)
    if fix and every is not None:
        raise SettingError("--fix and --watch exclude each other; fix first, then watch")
    if fix and as_json and not yes:
        raise SettingError("--fix --json cannot ask; give --yes too, or leave --json out")
    loaded = _settings(config)
    store = _store(loaded.settings, exchange, url, read_only=not fix)
    names = [n.strip() for text in symbols or [] for n in text.split(",") if n.strip()]
    with store:
        from leverpack.audit.run import Auditor

        held = loaded.settings
        auditor = Auditor(
            store, target=held.leverage if target is None else target,
            maximum=held.max_leverage if maximum is None else maximum,
            margin_mode=margin_mode or held.margin_mode, limits=limits_of(loaded),
            symbols=names or None, only_open=only_open,
        )  # fmt: skip
        shower = _Shower(
            auditor, as_json=as_json, csv=csv, metrics=metrics_file, only_bad=bad
        )  # fmt: skip
        if every is not None:
            shower.watch(every)
            return
        found, steps = shower.once(), None
        if fix:
            found, steps = _fixed(shower, found, yes)
        if as_json:
            shower.print_json(found, steps)
    if not found.in_bounds:
        raise typer.Exit(OUT_OF_BOUNDS)


def _settings(config: Path | None) -> Any:
    from leverpack.config import load_settings

    loaded = load_settings(config=config)
    for sentence in loaded.warnings:
        typer.echo(f"leverpack: warning: {' '.join(sentence.split())}", err=True)
    return loaded


def _store(settings: Any, exchange: str | None, url: str | None, *, read_only: bool) -> Any:
    from leverpack.audit.reading import STORE_OPTIONS, require_set_leverage
    from leverpack.live.store import CCXTStore

    name = exchange or settings.venue
    options = STORE_OPTIONS.get(name.strip().lower(), {})
    store = CCXTStore(
        name, {"options": dict(options)}, sandbox=settings.sandbox, url=url, settings=settings,
        read_only=read_only,
    )  # fmt: skip
    require_set_leverage(store)
    return store


def _seconds(every: str | None) -> float | None:
    if every is None:
        return None
    from leverpack.candles.timeframes import timeframe_ms

    try:
        seconds = timeframe_ms(every) / 1000.0
    except SettingError:
        seconds = 0.0
    if seconds < SHORTEST_WATCH_S:
        raise SettingError(f"--watch {every}: write 30s, 5m or 1h; {SHORTEST_WATCH_S:g}s at least")
    return seconds


class _Shower:
    """Looks, and shows what was found as it was asked for."""

    def __init__(
        self, auditor: Auditor, *, as_json: bool, csv: Path | None, metrics: Path | None,
        only_bad: bool,
    ) -> None:  # fmt: skip
        from leverpack.cli.audittable import console

        self.auditor = auditor
        self.as_json = as_json
        self.csv, self.metrics = csv, metrics
        self.only_bad = only_bad
        self.console: Console = console()

    def once(self) -> Audit:
        """Look once, show the table unless JSON is wanted, write the file."""
        with _progress("reading") as progress:
            found = self.auditor.look(progress)
        if not self.as_json:
            self.console.print(self.view(found))
        self.write(found)
        return found

    def write(self, found: Audit) -> None:
        """Write the files that were asked for."""
        if self.csv is not None:
            from leverpack.audit.files import write_csv

            write_csv(self.csv, found)
        if self.metrics is not None:
            from leverpack.audit.rules import STATUSES
            from leverpack.monitor.auditmetrics import AuditMetrics

            AuditMetrics(
                found.exchange, found.time, found.rows, equity=found.equity,
                in_bounds=found.in_bounds, statuses=STATUSES,
            ).put(self.metrics)  # fmt: skip

    def view(self, found: Audit, *, summary_first: bool = False) -> Any:
        """The table as wide as the console."""
        from leverpack.cli.audittable import audit_view

        return audit_view(
            found, self.auditor.decided, self.console.width, only_bad=self.only_bad,
            summary_first=summary_first,
        )  # fmt: skip

    def print_json(self, found: Audit, steps: list[Step] | None = None, *, line: bool = False
                   ) -> None:  # fmt: skip
        """JSON, indented or in one line."""
        from leverpack.audit.files import to_dict

        indent = None if line else 2
        typer.echo(json.dumps(to_dict(found, steps), indent=indent, allow_nan=False))

    def watch(self, every: float) -> None:
        """Look every so many seconds until Ctrl-C; what fails later is said and tried again."""
        from rich.live import Live

        from leverpack.monitor.attach import attached

        store = self.auditor.store
        try:
            with attached(store, say=lambda text: typer.echo(text, err=True)):
                if self.as_json or not self.console.is_terminal:
                    self._repeat(every, self._say)
                with Live(
                    console=self.console, auto_refresh=False, vertical_overflow="crop"
                ) as live:
                    self._repeat(every, lambda found: live.update(
                        self.view(found, summary_first=True), refresh=True))  # fmt: skip
        except KeyboardInterrupt:
            typer.echo("ended", err=True)

    def _repeat(self, every: float, show: Callable[[Audit], None]) -> NoReturn:
        from leverpack.audit.alerting import Alerting

        alerting, seen = Alerting(self.auditor.store.bus), False
        while True:
            began = time.monotonic()
            try:
                found = self.auditor.look()
                self.write(found)
                show(found)
                alerting.take(found)
                seen = True
            except VenueError as fault:
                if not seen:  # a wrong key will not mend itself
                    raise
                typer.echo(f"leverpack: {fault}", err=True)
            time.sleep(max(0.0, began + every - time.monotonic()))

    def _say(self, found: Audit) -> None:
        if self.as_json:
            self.print_json(found, line=True)
        else:
            self.console.print(self.view(found))


def _fixed(shower: _Shower, before: Audit, yes: bool) -> tuple[Audit, list[Step] | None]:
    """The audit after all that was agreed to has been set and read back, and the steps."""
    from leverpack.audit.fixing import Fixer
    from leverpack.cli.audittable import outcome_view, plan_view

    fixer = Fixer(shower.auditor)
    steps = fixer.plan(before)
    count = sum(step.sent for step in steps)
    show = not shower.as_json
    if not steps:
        return before, steps
    if show:
        shower.console.print("", plan_view(steps))
    if not count or not (yes or _agreed(shower, count)):
        if show:
            typer.echo("nothing was set")
        return before, None
    with _progress("setting") as progress:
        after = fixer.fix(steps, progress)
    shower.write(after)
    if show:
        shower.console.print("", outcome_view(steps))
        done = sum(step.done for step in steps)
        typer.echo(f"{done} fixed, {len(steps) - done} not")
    return after, steps


def _agreed(shower: _Shower, count: int) -> bool:
    try:
        return typer.confirm(f"{shower.auditor.store!r}: set {count} symbols?")
    except typer.Abort:  # nobody is there to ask
        typer.echo("")
        return False


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while something takes long; nothing where that is piped."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    if not bar.console.is_terminal:
        yield lambda done, total: None
        return
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
