"""The tables of ``leverpack audit``: all columns where there is room, the main ones elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from leverpack.audit.records import ANY
from leverpack.audit.rules import ERROR, HIGH, LOW, MISMATCH, OK, Decided

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from leverpack.audit.fixing import Step
    from leverpack.audit.records import Audit, AuditRow

STYLES = {
    OK: "green", LOW: "yellow", MISMATCH: "magenta", HIGH: "bold red", ERROR: "bold white on red",
}  # fmt: skip
WIDE = 130  # columns of a terminal from which on everything is shown
PIPED = 200  # where nobody's terminal folds the lines
_NEAR, _CLOSE = 0.05, 0.15  # liquidation distance, fractions: red, yellow
_MODES = {"isolated": "isol."}


def console() -> Console:
    """Standard output: as wide as the terminal, or wide and plain where it is piped."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=PIPED, no_color=True)


def audit_view(
    audit: Audit, decided: Decided, width: int, *, only_bad: bool = False,
    summary_first: bool = False,
) -> RenderableType:  # fmt: skip
    """The table of symbols, the summary, the exposure and the limits passed."""
    from rich.console import Group
    from rich.text import Text

    rows = [r for r in audit.rows if r.status != OK] if only_bad else audit.rows
    parts: list[Any] = [*_head(audit, decided), *(Text(line) for line in _sentences(audit))]
    parts += [Text(f"over the limit: {b}", style="bold red") for b in audit.breaches]
    if rows:
        parts.insert(len(parts) if summary_first else 0, _table(rows, width))
    return Group(*parts)


def _table(rows: Sequence[AuditRow], width: int) -> Any:
    from rich.table import Table

    wide = width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    left: dict[str, Any] = {"no_wrap": True}
    right: dict[str, Any] = {"no_wrap": True, "justify": "right"}
    table.add_column("symbol", **left)
    table.add_column("status", **left)
    table.add_column("lever-\nage" if not wide else "leverage", **right)
    if wide:
        table.add_column("decided", **right)
        table.add_column("tier max", **right)
    table.add_column("margin", **left)
    if wide:
        table.add_column("mode", **left)
    table.add_column("notional", **right)
    table.add_column("effec-\ntive" if not wide else "effective", **right)
    table.add_column("to liqui-\ndation" if not wide else "to liquidation", **right)
    table.add_column("why", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row, wide))
    return table


def _cells(row: AuditRow, wide: bool) -> list[Any]:
    from rich.text import Text

    style = STYLES[row.status]
    mode = row.margin_mode or "?"
    cells: list[Any] = [
        Text(row.symbol), Text(row.status, style),
        Text(_times(row.leverage), style if row.leverage != row.decided else ""),
    ]  # fmt: skip
    if wide:
        cells += [Text(_times(row.decided)), Text(_times(row.tier_max))]
    off = " margin instead of " in row.reason
    cells.append(Text(mode if wide else _MODES.get(mode, mode), STYLES[MISMATCH] if off else ""))
    if wide:
        hedge = row.position_mode == "hedge"
        cells.append(Text(row.position_mode or "?", STYLES[MISMATCH] if hedge else ""))
    cells += [
        Text(f"{row.notional:,.2f}" if row.notional else ""),
        Text("" if not row.notional else _times(row.effective_leverage, digits=2)),
        _distance(row), Text(_short(row, wide)),
    ]  # fmt: skip
    return cells


def _times(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "?"
    return f"{value:g}x" if digits is None else f"{value:.{digits}f}x"


def _distance(row: AuditRow) -> Any:
    from rich.text import Text

    if not row.notional:
        return Text("")
    if row.liquidation_distance is None:
        return Text("none")
    distance = row.liquidation_distance
    style = "bold red" if distance < _NEAR else "yellow" if distance < _CLOSE else ""
    return Text(f"{distance:.2%}", style)


def _short(row: AuditRow, wide: bool) -> str:
    """The reason without what other columns, their colours and the summary say already."""
    parts = [p.partition(" instead of ")[0] for p in row.reason.split(", ")]
    said = ("leverage ",) if wide else ("leverage ", f"{row.margin_mode} margin")
    return ", ".join(p for p in parts if not p.startswith(said))


def _head(audit: Audit, decided: Decided) -> list[Any]:
    """When and against what, and how many symbols have which status."""
    from rich.text import Text

    from leverpack.audit.run import summary

    mode = "" if decided.margin_mode == ANY else f" {decided.margin_mode}"
    when = datetime.fromtimestamp(audit.time / 1000, UTC)
    counts = [(f"{n} {s}", STYLES[s]) for s, n in summary(audit)["statuses"].items() if n]
    parts = [part for count in counts for part in (", ", count)][1:]
    return [
        Text(f"{audit.exchange}, {when:%Y-%m-%d %H:%M:%S} UTC; decided {decided.target:g}x{mode}, "
             f"at most {decided.maximum:g}x"),
        Text.assemble(f"{len(audit.rows)} symbols: ", *(parts or ["none"])),
    ]  # fmt: skip


def _sentences(audit: Audit) -> list[str]:
    from leverpack.audit.run import summary

    lines, found = [], summary(audit)
    if found["mean"] is not None:
        lines.append(
            f"leverage: lowest {found['lowest']:g}x, highest {found['highest']:g}x, "
            f"mean {found['mean']:.2f}x"
        )
    exposure = audit.exposure
    if not exposure.positions:
        return [*lines, "no open position"]
    lines.append(
        f"exposure: gross {exposure.gross:,.2f}, net {exposure.net:+,.2f} in {exposure.positions} "
        f"positions (long {exposure.longs:,.2f}, short {exposure.shorts:,.2f}), "
        f"{_times(exposure.leverage, digits=2)} of equity {_money(audit.equity)}"
    )
    if abs(audit.exposure_decided - sum(r.notional for r in audit.rows)) >= 0.01:
        lines.append(
            f"the margin in it would carry {audit.exposure_decided:,.2f} at the decided leverage"
        )
    return lines


def _money(value: float | None) -> str:
    return "?" if value is None else f"{value:,.2f}"


def plan_view(steps: Sequence[Step]) -> Any:
    """What is to be set, before anybody has said yes."""
    return _steps_table(steps, "to be set", [
        (s.row.symbol, s.words, s.refusal or s.warning, "yellow" if s.refusal or s.warning else "")
        for s in steps
    ])  # fmt: skip


def outcome_view(steps: Sequence[Step]) -> Any:
    """How it went, failures first."""
    failed = [s for s in steps if not s.done]
    mended = [s for s in steps if s.done]
    return _steps_table(steps, "set", [
        *((s.row.symbol, "FAILED", s.outcome, "bold red") for s in failed),
        *((s.row.symbol, "fixed", s.words, "green") for s in mended),
    ])  # fmt: skip


def _steps_table(steps: Sequence[Step], title: str, rows: Sequence[tuple[str, ...]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("symbol", no_wrap=True)
    table.add_column(title, no_wrap=True)
    table.add_column("", overflow="fold")
    for symbol, words, more, style in rows:
        table.add_row(Text(symbol), Text(words, style), Text(more))
    return table
