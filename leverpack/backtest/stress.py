"""What would have killed this run: instant moves at its most exposed moment, higher leverages."""

from __future__ import annotations

import math
from collections.abc import Callable

from leverpack.errors import SettingError
from leverpack.margin.account import MarginAccount
from leverpack.margin.shock import shocked
from leverpack.result import BacktestResult, Shock, Stress, Survival, SurvivalRun

MOVES = (-0.30, -0.20, -0.10, -0.05, 0.05, 0.10, 0.20, 0.30)
MOST_RUNS = 8


def stress(
    moment: tuple[int, MarginAccount, dict[str, float]] | None,
    moves: tuple[float, ...] = MOVES,
) -> Stress | None:
    """Instant moves (signed fractions of all marks) applied to an account at one moment.

    ``moment`` is MarginAnalyzer's ``most_exposed``: time (epoch ms), account, marks; None: no
    position was ever held. The account's own functions do the reckoning.
    """
    if moment is None:
        return None
    time, account, marks = moment
    equity = account.equity(marks)
    exposure = {str(k): p.size * marks[str(k)] for k, p in account.open_positions()}
    return Stress(
        time=time,
        equity=equity,
        effective_leverage=sum(map(abs, exposure.values())) / equity,
        exposure=exposure,
        shocks=[_shock(account, marks, equity, move) for move in moves],
    )


def _shock(account: MarginAccount, marks: dict[str, float], equity: float, move: float) -> Shock:
    after = shocked(account, marks, move)
    return Shock(
        move=move,
        equity_after=after.equity,
        change=after.equity / equity - 1.0 if equity > 0.0 else None,
        liquidated=[str(key) for key in after.liquidated],
        liquidation_fees=after.fees,
        shortfall=after.shortfall,
    )


def find_survival(
    first: BacktestResult,
    again: Callable[[float], BacktestResult],
    ceiling: float,
    note: str,
    *,
    most_runs: int = MOST_RUNS,
) -> Survival:
    """The highest whole leverage up to ``ceiling`` at which the run is not liquidated, by halving.

    ``first`` is the run that was made, ``again(leverage)`` makes it once more. Halving finds a
    leverage that survives with its neighbour above that does not; where survival does not fall
    with leverage there may be others further up. A leverage at which the venue refuses more
    orders than in ``first``, or that cannot be set at all, is not this run any more and counts as
    too high.
    """
    tried = {first.run["leverage"]: _run_of(first)}
    top = max(1, math.floor(ceiling))
    low, high = 0, top + 1  # low survives (or is nothing at all), high does not
    asked = first.run["leverage"]
    if asked == math.floor(asked) and 1 <= asked <= top:
        low, high = (int(asked), high) if tried[asked].survived else (low, int(asked))
    for _ in range(most_runs):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        tried[middle] = _try(again, middle, first)
        low, high = (middle, high) if tried[middle].survived else (low, middle)
    return Survival(
        highest=float(low) if low else None,
        ceiling=float(top),
        complete=high - low <= 1,
        tried=[tried[leverage] for leverage in sorted(tried)],
        note=note,
    )


def _run_of(result: BacktestResult, allowed_refusals: int | None = None) -> SurvivalRun:
    refused = result.totals["rejected_orders"]
    return SurvivalRun(
        leverage=float(result.run["leverage"]),
        liquidations=result.totals["liquidations"],
        return_=result.totals["return"],
        possible=allowed_refusals is None or refused <= allowed_refusals,
    )


def _try(
    again: Callable[[float], BacktestResult], leverage: int, first: BacktestResult
) -> SurvivalRun:
    try:
        result = again(float(leverage))
    except SettingError:  # the venue does not allow it
        return SurvivalRun(float(leverage), 0, None, possible=False)
    return _run_of(result, first.totals["rejected_orders"])
