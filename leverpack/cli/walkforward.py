"""``leverpack walkforward``: choose on one stretch of candles, try it on the one that follows."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from leverpack.cli.candleoptions import on_candles, progress
from leverpack.cli.sweepoptions import (
    ClusterOption,
    GridOption,
    RandomOption,
    WorkersOption,
    sets_of,
    verdict_said,
)
from leverpack.errors import SettingError

if TYPE_CHECKING:
    from leverpack.sweep.walkforward import Fold, Stability, WalkForward

_CHAINED = (
    "return", "cagr", "max_drawdown", "calmar", "sharpe", "sortino", "volatility", "trades",
    "liquidations",
)  # fmt: skip


@on_candles
def walkforward(
    settings: Any,
    grid: GridOption,
    train: Annotated[float, typer.Option(min=0, help="Days to choose on.")],
    test: Annotated[float, typer.Option(min=0, help="Days to try the choice on.")],
    purge: Annotated[
        int, typer.Option(min=0, help="Candles left out between the two.")
    ] = 0,
    anchored: Annotated[
        bool, typer.Option("--anchored", help="Choose on everything before, not on a window.")
    ] = False,
    metric: Annotated[str, typer.Option(help="What is best: calmar, return, sharpe, ...")] = (
        "calmar"
    ),
    random: RandomOption = None,
    seed: Annotated[int, typer.Option(help="Of --random.")] = 0,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Choose the best set on one stretch of candles and try it on the next, again and again."""
    from leverpack.risk.limits import DAY_MS
    from leverpack.sweep.market import load_market
    from leverpack.sweep.walkforward import walk_forward

    sets = sets_of(settings, grid, random, seed)
    market = load_market(settings)
    step = market.feed.candles.timeframe_ms
    if not step:
        raise SettingError("--data: one candle alone cannot be walked over")
    with progress("runs", None, quiet=as_json) as tell:
        found = walk_forward(
            settings, sets, train=round(train * DAY_MS / step), test=round(test * DAY_MS / step),
            purge=purge, anchored=anchored, metric=metric, workers=workers,
            cluster=cluster, market=market, on_set=tell,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=2, allow_nan=False))
    else:
        _show(found)


def _plain(found: WalkForward) -> dict[str, Any]:
    """Everything but the days, as plain values."""
    told: dict[str, Any] = _finite({
        "metric": found.metric,
        "folds": [asdict(fold) for fold in found.folds],
        "stability": [asdict(one) for one in found.stability],
        "out_of_sample": dict(found.chained),
        "efficiency": found.efficiency,
        "luck": asdict(found.verdict),
    })  # fmt: skip
    return told


def _finite(value: Any) -> Any:
    """JSON knows no infinity: null instead."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(found: WalkForward) -> None:
    from leverpack.cli.table import print_pairs, print_table
    from leverpack.sweep.mappictures import said
    from leverpack.sweep.outcome import value_said

    metric = said(found.metric)
    print_table(
        f"chosen by {metric}, then tried on what follows",
        ["tried from", "to", "chosen", f"{metric} in", f"{metric} out", "return in", "return out",
         "max drawdown out", "liquidations out"],
        [_row(fold, found.metric) for fold in found.folds],
    )  # fmt: skip
    if found.stability:
        print_table(
            "how steady the choice is", ["parameter", "commonest", "share of choices", "moves"],
            [_steady(one) for one in found.stability],
        )  # fmt: skip
    pairs = [(said(name), value_said(name, found.chained[name])) for name in _CHAINED]
    pairs.append(("efficiency: growth out over growth in", value_said("", found.efficiency)))
    print_pairs("out of sample, one account through all tests", pairs)
    for sentence in verdict_said(found.verdict):
        typer.echo(sentence)


def _row(fold: Fold, metric: str) -> list[str]:
    from leverpack.sweep.mappictures import said
    from leverpack.sweep.outcome import value_said

    chosen = "none"
    if fold.params is not None:
        chosen = ", ".join(f"{said(k)} {value_said('', v)}" for k, v in fold.params.items())
    inside, outside = fold.inside or {}, fold.outside or {}
    figures = (
        (metric, inside), (metric, outside), ("return", inside), ("return", outside),
        ("max_drawdown", outside), ("liquidations", outside),
    )  # fmt: skip
    dates = [stamp[:10] for stamp in fold.test]
    return [*dates, chosen, *(value_said(name, of.get(name)) for name, of in figures)]


def _steady(one: Stability) -> list[str]:
    from leverpack.sweep.mappictures import said
    from leverpack.sweep.outcome import value_said

    moves = "" if one.moves is None else f"{one.moves:.0%} of its range"
    return [said(one.name), value_said("", one.commonest), f"{one.share:.0%}", moves]
