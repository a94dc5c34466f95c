"""``leverpack rehearse``: the live path on a paper exchange beside the backtest, compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.cli.candleoptions import folder_for_report, on_candles, progress

if TYPE_CHECKING:
    from leverpack.rehearse.compare import Difference
    from leverpack.rehearse.run import Rehearsal

SHOWN = 40  # differences without a rule, one a row; with --json and --report there are all
EXIT_DIFFERS = 1
# The venue is the paper exchange's, and so are its fees; it fills at its prices.
NOT_ASKED = ("venue", "maker", "taker", "slippage", "interest_hourly", "fill")


@on_candles(without=NOT_ASKED)
def rehearse(
    settings: Any,
    history: Annotated[int, typer.Option(help="Candles before --from that warm up.")] = 500,
    journal: Annotated[
        Path | None, typer.Option(help="Keep the live run's journal here; a new file.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for rehearsal.json: both runs and all differences.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Trade live on a paper exchange in lock-step, backtest the same candles, show what differs.

    Exits with 1 where a difference is left that no stated rule explains.
    """
    folder_for_report(report)
    from leverpack.rehearse.run import rehearse as run

    with progress("candles", None, quiet=as_json) as tell:
        found = run(settings, history=history, journal=journal, progress=tell)
    plain = found.to_dict()
    if report is not None:
        from leverpack.report.write import write_text

        write_text(report / "rehearsal.json", json.dumps(plain, indent=2), "--report")
    if as_json:
        typer.echo(json.dumps(plain, indent=2, allow_nan=False))
    else:
        _show(found, plain)
        if report is not None:
            typer.echo(f"report: {report / 'rehearsal.json'}")
    if not found.agrees:
        raise typer.Exit(EXIT_DIFFERS)


def _show(found: Rehearsal, plain: dict[str, Any]) -> None:
    from leverpack.cli.table import print_table
    from leverpack.rehearse.compare import RULES
    from leverpack.rehearse.run import ASSUMED

    plan = found.plan
    print_table(
        f"{plain['strategy']} on {plan.symbol} {plan.timeframe}, {plain['candles']:,} candles "
        f"from {_when(plan.start_ms)}, {found.candles_per_s:,.0f} candles/s",
        ("", "live", "backtest", "largest difference"), _sums(plain),
    )  # fmt: skip
    differences = found.comparison.differences
    if differences:
        print_table(
            "What differs", ("trade", "candle", "what", "live", "backtest", "difference", "rule"),
            _rows(found),
        )  # fmt: skip
    for rule in RULES:
        if any(d.rule == rule.name for d in differences):
            typer.echo(f"rule {rule.name}: {rule.reason}")
    for sentence in ASSUMED:
        typer.echo(f"assumed: {sentence}")
    for text in found.alerts[:SHOWN]:
        typer.echo(f"alert of the live run: {text}")
    unexplained = len(found.comparison.unexplained)
    typer.echo(
        f"{unexplained} of {len(differences)} differences have no rule that explains them"
        if unexplained else
        f"the live path does what the backtest does ({len(differences)} differences, each by rule)"
        if differences else "the live path does what the backtest does, to the last digit"
    )  # fmt: skip


def _sums(plain: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    live, tested, largest = plain["live"], plain["backtest"], plain["largest"]

    def off(name: str) -> str:
        return f"{largest.get(name, 0.0):.2g}"

    for name, kind in (("trades", "size"), ("fills", "price"), ("liquidations", "")):
        one, other = (_count(side[name]) for side in (live, tested))
        yield name, one, other, f"{off(kind)} ({kind})" if kind else ""
    for name in ("pnl", "fees", "funding"):
        one, other = (sum(t[name] for t in side["trades"]) for side in (live, tested))
        yield name, f"{one:,.8f}", f"{other:,.8f}", off(name)
    yield (
        "equity at the end", f"{live['end_equity'] or 0.0:,.8f}",
        f"{tested['end_equity'] or 0.0:,.8f}", off("equity"),
    )  # fmt: skip


def _count(value: Any) -> str:
    return f"{value if isinstance(value, int) else len(value):,}"


def _rows(found: Rehearsal) -> Iterator[tuple[str, ...]]:
    """Those without a rule one by one, the others summed up by figure and rule."""
    compared = found.comparison
    for d in sorted(compared.unexplained, key=lambda d: d.trade)[:SHOWN]:  # the account first
        yield (
            str(d.trade or ""), _when(d.candle), d.what, _told(d, d.live), _told(d, d.backtest),
            _off(d), "",
        )  # fmt: skip
    left = len(compared.unexplained) - SHOWN
    if left > 0:
        yield "", "", f"and {left:,} more", "", "", "", ""
    by_rule: dict[tuple[str, str], list[Difference]] = {}
    for d in compared.differences:
        if d.rule:
            by_rule.setdefault((d.rule, d.what), []).append(d)
    for (rule, what), rows in by_rule.items():
        largest = max(rows, key=_size)
        place = str(largest.trade or "")
        yield (
            place, _when(largest.candle), f"{what}, {len(rows):,} times",
            _told(largest, largest.live), _told(largest, largest.backtest), _off(largest), rule,
        )  # fmt: skip


def _size(d: Difference) -> float:
    figures = isinstance(d.live, float) and isinstance(d.backtest, float)
    return abs(float(d.live or 0.0) - float(d.backtest or 0.0)) if figures else 0.0


def _off(d: Difference) -> str:
    return f"{_size(d):.2g}" if _size(d) else ""


def _told(d: Difference, value: Any) -> str:
    if value is None:
        return "none"
    if "candle" in d.what and isinstance(value, int) and value > 1e9:
        return _when(value)
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000.0, UTC):%Y-%m-%d %H:%M}"
