"""What ``sweep``, ``walkforward`` and ``montecarlo`` share: sets, workers, words about luck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from leverpack.backtest.settings import BacktestSettings

GridOption = Annotated[list[str], typer.Option(
    help="Parameter and values: leverage=1:20, stop_loss_pct=0.01:0.05:0.005, "
    "slow_period=20,50; repeatable. Texts are separated by |."
)]  # fmt: skip
RandomOption = Annotated[
    int | None, typer.Option("--random", min=1, help="So many sets at random, not all.")
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="How many at once; else every core.")
]
ClusterOption = Annotated[str | None, typer.Option(
    help="A Dask scheduler, tcp://HOST:8786, or Ray cluster, ray://HOST:10001; it runs the sets."
)]  # fmt: skip


def sets_of(
    settings: BacktestSettings, grid: Sequence[str], random: int | None, seed: int
) -> Any:
    """The sets of ``--grid`` and ``--random``; the grid itself where all of it is meant."""
    from leverpack.backtest.run import find_strategy
    from leverpack.sweep.grid import parse_grid

    axes = parse_grid(grid, find_strategy(settings.strategy))
    return axes if random is None else axes.sample(random, seed)


def verdict_said(verdict: Any) -> list[str]:
    """In sentences how much of the best set is luck."""
    found, luck = [], verdict.deflated
    if luck is not None:
        found.append(
            f"deflated Sharpe ratio {luck.probability:.1%}: the chance that the best set is better "
            f"than the luckiest of {luck.trials:,} worthless ones"
        )
    if verdict.overfitting is not None:
        over = verdict.overfitting
        found.append(
            f"probability of overfitting {over.probability:.1%}: how often the best set of one "
            f"half of the days is no better than the median in the other half, over "
            f"{over.splits:,} splits"
        )
    if verdict.why:
        found.append(f"no more can be said of luck: {verdict.why}")
    return found
