"""``leverpack montecarlo``: which leverage survives on random histories out of real candles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.cli.candleoptions import folder_for_report, on_candles, progress
from leverpack.cli.sweepoptions import (
    ClusterOption,
    GridOption,
    RandomOption,
    WorkersOption,
    sets_of,
)
from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.sweep.mappictures import Listed
    from leverpack.sweep.montecarlo import Largest, MonteCarlo

_HISTORIES, _ORDERS = 200, 1_000


@on_candles
def montecarlo(
    settings: Any,
    grid: GridOption,
    histories: Annotated[int | None, typer.Option(
        min=1, help=f"How many are drawn; else {_HISTORIES}, with --trades {_ORDERS:,}."
    )] = None,
    days: Annotated[float, typer.Option(help="Length of each history.")] = 365.0,
    block: Annotated[int | None, typer.Option(
        help="Mean length of the pieces: candles, else a week; with --trades, trades, else 1."
    )] = None,
    kind: Annotated[str, typer.Option(
        help="stationary (pieces of random length) or circular (of one length)."
    )] = "stationary",
    below: Annotated[float, typer.Option(
        help="Look for the largest leverage whose chance of liquidation is under this fraction."
    )] = 0.05,
    trades: Annotated[bool, typer.Option(
        "--trades", help="Draw the trades of the real candles anew, not the candles."
    )] = False,
    random: RandomOption = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 0,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Parquet file, one row a history and set.")
    ] = None,
    report: Annotated[Path | None, typer.Option(
        help="Folder for maps of survival and of the drawdown, as PNG and as one page."
    )] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Run sets on random histories made of blocks of the candles: drawdown, liquidation, when."""
    if not 0.0 < below <= 1.0:
        raise SettingError(f"--below is a fraction above 0 and up to 1 (0.05 is 5 %), not {below}")
    sets = list(sets_of(settings, grid, random, seed))
    if trades:
        for option, given in (("--out", out), ("--report", report), ("--cluster", cluster)):
            if given is not None:
                raise SettingError(f"{option} does not go with --trades; leave one of them out")
        _orders(settings, sets, histories or _ORDERS, block or 1, kind, seed, as_json=as_json)
        return
    folder_for_report(report)
    from leverpack.sweep.montecarlo import monte_carlo
    from leverpack.sweep.runner import said_settings

    total = histories or _HISTORIES
    with progress("histories", total, quiet=as_json) as tell:
        found = monte_carlo(
            settings, sets, histories=total, days=days, block=block, kind=kind, seed=seed,
            workers=workers, cluster=cluster, on_history=tell,
        )  # fmt: skip
    told = {**said_settings(settings), "seed": seed, "kind": kind, "block": block}
    if out is not None:
        found.write(out, told)
    if as_json:
        typer.echo(json.dumps(_plain(found, below), indent=2, allow_nan=False))
    else:
        _show(found, below, out)
    if report is not None:
        _report(found, below, report, told, settings.data.name)
        if not as_json:
            from leverpack.sweep.mappictures import PAGE

            typer.echo(f"report: {report / PAGE}")


def _rows(found: MonteCarlo) -> list[dict[str, Any]]:
    """One row a set: its chance of liquidation, when it comes, drawdown and return."""
    from leverpack.sweep.montecarlo import DAYS, DRAWDOWN, RETURN

    rows = []
    for number, params in enumerate(found.sets):
        if number in found.refused:
            continue
        chance = found.chance(number)
        drawdown = found.quantiles(number, DRAWDOWN, (0.5, 0.95))
        returned = found.quantiles(number, RETURN, (0.05, 0.5, 0.95))
        soon, usual = found.quantiles(number, DAYS, (0.05, 0.5))
        rows.append({
            **params,
            "liquidated": chance.share, "at_least": chance.low, "at_most": chance.high,
            "days_to_liquidation_5": _known(soon), "days_to_liquidation_50": _known(usual),
            "max_drawdown_50": drawdown[0], "max_drawdown_95": drawdown[1],
            "return_5": returned[0], "return_50": returned[1], "return_95": returned[2],
        })  # fmt: skip
    return rows


def _known(value: float) -> float | None:
    return value if value == value else None  # NaN is none


def _plain(found: MonteCarlo, below: float) -> dict[str, Any]:
    return {
        "histories": len(found.values),
        "days": found.days,
        "sets": _rows(found),
        "below": below,
        "largest_leverage": [
            {**one.others, "leverage": one.leverage, "sure": one.sure}
            for one in found.largest_leverage(below)
        ],
        "refused": {str(k): why for k, why in found.refused.items()},
    }


def _listed(found: MonteCarlo) -> Listed:
    from leverpack.sweep.mappictures import Listed, said
    from leverpack.sweep.outcome import value_said

    names = list(found.sets[0])
    return Listed(
        f"{len(found.values):,} random histories of {found.days:g} days",
        [*map(said, names), "liquidated", "95 % bounds", "days to it: 5 %, median",
         "drawdown: median, 95 %", "return: 5 %, median, 95 %"],
        [
            [
                *(value_said("", row[n]) for n in names),
                f"{row['liquidated']:.1%}",
                f"{row['at_least']:.1%} to {row['at_most']:.1%}",
                _days_said(row),
                f"{row['max_drawdown_50']:.1%}, {row['max_drawdown_95']:.1%}",
                f"{row['return_5']:.1%}, {row['return_50']:.1%}, {row['return_95']:.1%}",
            ]
            for row in _rows(found)
        ],
    )  # fmt: skip


def _days_said(row: Mapping[str, Any]) -> str:
    if row["days_to_liquidation_50"] is None:
        return "never"
    return f"{row['days_to_liquidation_5']:.0f}, {row['days_to_liquidation_50']:.0f}"


def _answers(found: MonteCarlo, below: float) -> list[str]:
    """The largest leverage, in a sentence for each group of sets that are alike otherwise."""
    from leverpack.sweep.mappictures import said
    from leverpack.sweep.outcome import value_said

    sentences = []
    for one in found.largest_leverage(below):
        others = ", ".join(f"{said(k)} {value_said('', v)}" for k, v in one.others.items())
        start = f"{others}: " if others else ""
        chance = f"chance of liquidation in {found.days:g} days is under {below:.1%}"
        if one.leverage is None:
            sentences.append(f"{start}no leverage of the grid whose {chance}")
            continue
        found_one = f"{one.leverage:g}x{_sure(one)}"
        sentences.append(f"{start}the largest leverage whose {chance}: {found_one}")
    return sentences


def _sure(one: Largest) -> str:
    if one.sure is None:
        return "; too few histories to be sure of any: their upper 95 % bounds lie above"
    if one.sure == one.leverage:
        return "; its upper 95 % bound is under it too"
    return f"; by its upper 95 % bound too: {one.sure:g}x"


def _show(found: MonteCarlo, below: float, out: Path | None) -> None:
    from leverpack.cli.table import print_table

    listed = _listed(found)
    print_table(listed.title, listed.headers, listed.rows)
    for sentence in _answers(found, below):
        typer.echo(sentence)
    for why in list(found.refused.values())[:1]:
        typer.echo(f"some sets were refused, such as: {why}")
    if out is not None:
        typer.echo(f"histories: {out}")


def _report(
    found: MonteCarlo, below: float, report: Path, told: Mapping[str, Any], name: str
) -> None:
    from leverpack.sweep.mappictures import write_maps

    write_maps(
        found.table().to_pylist(), "max_drawdown", report, title=f"Random histories of {name}",
        listed=_listed(found), notes=_answers(found, below), settings=told,
    )  # fmt: skip


# -- the order of trades --------------------------------------------------------------------------


def _orders(
    settings: Any, sets: list[Mapping[str, Any]], orders: int, block: int, kind: str, seed: int,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Each set once on the real candles, and its trades drawn anew."""
    import numpy as np

    from leverpack.cli.table import print_table
    from leverpack.sweep.engine import SweepEngine
    from leverpack.sweep.mappictures import said
    from leverpack.sweep.montecarlo import closed_nets, trade_order
    from leverpack.sweep.outcome import value_said

    engine = SweepEngine(settings)
    rows: list[dict[str, Any]] = []
    for params in sets:
        nets = closed_nets(engine, params)
        found = trade_order(nets, settings.cash, orders=orders, block=block, kind=kind, seed=seed)
        low, middle, high = np.quantile(found.drawdowns, (0.05, 0.5, 0.95)).tolist()
        rows.append({
            **params, "trades": found.trades, "max_drawdown_real": found.real,
            "max_drawdown_5": low, "max_drawdown_50": middle, "max_drawdown_95": high,
            "loss": float((found.returns < 0.0).mean()),
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows, indent=2, allow_nan=False))
        return
    names = list(sets[0])
    print_table(
        f"drawdown between trades, drawn anew {orders:,} times",
        [*map(said, names), "trades", "as it was", "5 %", "median", "95 %", "ends in loss"],
        [
            [*(value_said("", row[n]) for n in names), str(row["trades"]),
             *(f"{row[n]:.1%}" for n in list(row)[-5:])]
            for row in rows
        ],
    )  # fmt: skip
