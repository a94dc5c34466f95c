"""One rehearsal from settings to the comparison: what the command line calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leverpack.backtest.assemble import iso
from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError
from leverpack.rehearse.compare import RULES, Comparison, Difference, compare
from leverpack.rehearse.live import Progress, rehearse_live, session_for
from leverpack.rehearse.plan import Outcome, Plan, plan_for
from leverpack.rehearse.tested import backtest
from leverpack.rehearse.trades import Trade

_MEMORY = Path("/dev/shm")  # a journal that is thrown away need not wait for a disk
ASSUMED = (
    "both fill at the candles' prices: no spread, slippage or depth",
    "trailing stops follow the closes in both; the venue's follow every trade",
    "the backtest has the venue's step, tick, minimum notional, fees and whole-number leverage",
)


@dataclass(slots=True)
class Rehearsal:
    """Both outcomes and their comparison; ``prompted`` are fills that no stream told of."""

    plan: Plan
    live: Outcome
    backtest: Outcome
    comparison: Comparison
    alerts: list[str]
    prompted: int
    elapsed_s: float

    @property
    def agrees(self) -> bool:
        """Whether a rule explains every difference, of which there may be none."""
        return not self.comparison.unexplained

    @property
    def candles_per_s(self) -> float:
        """Candles rehearsed a second, the live half with its start and end."""
        return self.comparison.candles / self.elapsed_s

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values; times are ISO 8601, UTC."""
        plan, compared = self.plan, self.comparison
        return {
            "strategy": plan.strategy.__name__,
            "symbol": plan.symbol,
            "timeframe": plan.timeframe,
            "first": iso(plan.start_ms),
            "last": iso(int(plan.candles.ts[-1])),
            "candles": compared.candles,
            "agrees": self.agrees,
            "unexplained": len(compared.unexplained),
            "differences": [_difference(d) for d in compared.differences],
            "largest": compared.largest,
            "rules": {rule.name: rule.reason for rule in RULES},
            "assumed": list(ASSUMED),
            "live": _side(compared.live, self.live),
            "backtest": _side(compared.backtest, self.backtest),
            "alerts": self.alerts,
            "prompted": self.prompted,
            "elapsed_s": self.elapsed_s,
            "candles_per_s": self.candles_per_s,
        }


def rehearse(
    settings: BacktestSettings, *, history: int = 500, journal: Path | None = None,
    progress: Progress | None = None,
) -> Rehearsal:  # fmt: skip
    """Run the settings live on a paper exchange and as a backtest, and compare.

    ``history`` candles before the start warm up; ``journal`` keeps the live run's, which is
    thrown away where None. Raises DataError, SettingError and VenueError, whose one sentence
    says what to do.
    """
    plan = plan_for(settings, history=history)
    with _journal(journal) as path:
        started = time.perf_counter()
        live, run = rehearse_live(plan, session_for(plan), path, progress)
        elapsed = time.perf_counter() - started
    tested = backtest(plan, run.broker.guard.settable)
    return Rehearsal(
        plan, live, tested, compare(plan, live, tested), list(run.broker.alerts), run.prompted,
        elapsed,
    )  # fmt: skip


@contextmanager
def _journal(given: Path | None) -> Iterator[Path]:
    if given is not None:
        if given.exists():
            raise SettingError(
                f"--journal {given}: it is there already, and a rehearsal begins a new one; "
                "name another"
            )
        yield given
        return
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "journal.db"


def _difference(d: Difference) -> dict[str, Any]:
    return {**asdict(d), "candle": iso(d.candle)}


def _side(trades: list[Trade], outcome: Outcome) -> dict[str, Any]:
    ends = sorted(outcome.equity)
    return {
        "trades": [
            {
                "side": t.side, "entry": iso(t.entry_candle), "size": t.size,
                "entry_price": t.entry_price,
                "exit": None if t.exit_candle is None else iso(t.exit_candle),
                "exit_price": t.exit_price, "pnl": t.pnl, "fees": t.fees, "funding": t.funding,
                "net": t.net, "exit_by": t.reason, "fills": len(t.fills),
            }
            for t in trades
        ],
        "fills": len(outcome.fills),
        "liquidations": outcome.liquidations,
        "refused": outcome.refused,
        "end_equity": outcome.equity[ends[-1]] if ends else None,
    }  # fmt: skip
