"""Sweeps: the same rules, compiled, over many parameter sets.

``run_sweep(settings, grid)`` runs every set of a :class:`Grid` and yields an :class:`Outcome` for
each: what ``leverpack backtest`` would have come to, in a fraction of the time.

    from leverpack.sweep import Grid, run_sweep

    grid = Grid({"leverage": range(1, 21), "stop_loss_pct": [0.01, 0.02, 0.03]})
    for outcome in run_sweep(BacktestSettings(data="btc-1h.csv"), grid):
        print(outcome.params, outcome.figures["calmar"], outcome.figures["liquidations"])

The pack's strategies run in a kernel that is compiled once and calls the very functions that
Cerebro calls. So does a strategy of your own whose rule is a function of plain numbers::

    class Breakout(LeverageStrategy):
        params = (("period", 20),)
        columns = {
            "highest": column("Highest", "high", ago=1, period="period"),
            "lowest": column("Lowest", "low", ago=1, period="period"),
        }
        rule = breakout  # def breakout(close, highest, lowest): 1, -1 or 0

Its arguments are columns and prices (open, high, low, close, volume) first, then parameters; it
may call other such functions and ``math``. ``confidence_rule`` is one too, and answers 0..1. Sizes,
leverage, exits and limits are the base's. Anything else (methods of your own, functions as
parameters, an emergency protocol, interest, other liquidation rules) runs through Cerebro in
processes: the same interface, the same figures, and the reason in ``Outcome.why``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leverpack.sweep.engine import SweepEngine
    from leverpack.sweep.grid import Grid, parse_grid
    from leverpack.sweep.market import load_market
    from leverpack.sweep.outcome import FIGURES, Outcome, best
    from leverpack.sweep.results import ResultFile, read_results
    from leverpack.sweep.runner import run_chunk, run_sets, run_sweep

_WHERE = {
    "FIGURES": "outcome", "Grid": "grid", "Outcome": "outcome", "ResultFile": "results",
    "SweepEngine": "engine", "best": "outcome", "load_market": "market", "parse_grid": "grid",
    "read_results": "results", "run_chunk": "runner", "run_sets": "runner", "run_sweep": "runner",
}  # fmt: skip
__all__ = [
    "FIGURES", "Grid", "Outcome", "ResultFile", "SweepEngine", "best", "load_market",
    "parse_grid", "read_results", "run_chunk", "run_sets", "run_sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"leverpack.sweep has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"leverpack.sweep.{_WHERE[name]}"), name)
