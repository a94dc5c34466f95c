"""Monte Carlo: what sets come to on random histories, and with their trades in another order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analyzers.figures import drawdowns, simple_returns
from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError
from leverpack.files import put_file
from leverpack.result import Floats, Ints
from leverpack.risk.limits import DAY_MS
from leverpack.sweep.bootstrap import Shapes, block_picks, history, shapes_of
from leverpack.sweep.cluster import hand_over
from leverpack.sweep.engine import SweepEngine
from leverpack.sweep.market import SweepMarket, load_market
from leverpack.sweep.outcome import Outcome
from leverpack.sweep.records import LIQUIDATION, STILL_OPEN
from leverpack.sweep.results import plain

Params = Mapping[str, Any]
FIGURES: dict[str, str] = {
    "return": "end equity over the deposit, less 1; fraction",
    "max_drawdown": "largest fall from the highest close of a candle; fraction",
    "liquidations": "positions closed by force; count",
    "days_to_liquidation": "from the start to the candle of the first of them; NaN: none",
}
"""What is kept of each set on each history."""
RETURN, DRAWDOWN, LIQUIDATIONS, DAYS = range(4)
CONFIDENCE = 0.95
_TRADES_FIRST = 64  # are looked through for the first liquidation before all are


@dataclass(frozen=True)
class Chance:
    """How often something happened: ``share`` of ``of`` histories, and the 95 % bounds of it.

    Clopper, Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934.
    """

    share: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class Largest:
    """The largest leverage that survives, of the sets that are alike in everything else.

    ``leverage`` and all below it that were tried are liquidated in fewer histories than asked
    for; for ``sure`` even the upper bound lies below. None: not even the lowest one.
    """

    others: Params
    leverage: float | None
    sure: float | None


@dataclass(frozen=True)
class MonteCarlo:
    """``values[history, set, figure]`` (NaN for a refused set) in the order of FIGURES.

    ``days`` is the length of each history; ``refused`` has the sentence by the set's number.
    """

    sets: tuple[Params, ...]
    values: Floats
    days: float
    refused: Mapping[int, str]

    def chance(self, number: int) -> Chance:
        """How often a set is liquidated within the length of a history."""
        count = self.values[:, number, LIQUIDATIONS]
        return chance_of(int((count > 0.0).sum()), len(count))

    def quantiles(self, number: int, figure: int, at: Sequence[float]) -> list[float]:
        """Quantiles of a set's figure over the histories that have it; NaN where none has."""
        values = self.values[:, number, figure]
        known = values[~np.isnan(values)]
        return [float(q) for q in np.quantile(known, at)] if len(known) else [np.nan] * len(at)

    def largest_leverage(self, below: float) -> list[Largest]:
        """The largest ``leverage`` whose chance of liquidation is under ``below`` (fraction)."""
        groups: dict[str, list[int]] = {}
        for number, params in enumerate(self.sets):
            if "leverage" in params and number not in self.refused:
                others = {k: v for k, v in params.items() if k != "leverage"}
                groups.setdefault(repr(sorted(others.items())), []).append(number)
        return [self._largest(numbers, below) for numbers in groups.values()]

    def _largest(self, numbers: Sequence[int], below: float) -> Largest:
        leverage = sure = None
        is_sure = True
        for number in sorted(numbers, key=lambda n: float(self.sets[n]["leverage"])):
            found = self.chance(number)
            if not found.share < below:
                break
            leverage = float(self.sets[number]["leverage"])
            is_sure = is_sure and found.high < below
            sure = leverage if is_sure else sure
        others = {k: v for k, v in self.sets[numbers[0]].items() if k != "leverage"}
        return Largest(others, leverage, sure)

    def table(self) -> pa.Table:
        """One row a history and set: ``history``, ``set``, ``param.NAME`` and the figures."""
        histories, sets = self.values.shape[:2]
        columns: dict[str, Any] = {
            "history": np.repeat(np.arange(histories), sets),
            "set": np.tile(np.arange(sets), histories),
        }
        for name in dict.fromkeys(n for params in self.sets for n in params):
            own = [plain(params.get(name)) for params in self.sets]
            columns[f"param.{name}"] = own * histories
        for k, name in enumerate(FIGURES):
            values = self.values[:, :, k].ravel()
            columns[name] = pa.array(values, mask=np.isnan(values))
        return pa.table(columns)

    def write(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Write :meth:`table` as a Parquet file, whole or not at all.

        Its metadata holds, under ``leverpack.montecarlo``, JSON with ``settings`` (as handed in),
        ``days`` and ``figures``. Raises SettingError when the file cannot be written.
        """
        told = {"settings": dict(settings), "days": self.days, "figures": FIGURES}
        table = self.table().replace_schema_metadata(
            {b"leverpack.montecarlo": json.dumps(told, default=str).encode()}
        )
        try:
            put_file(path, lambda beside: pq.write_table(table, beside))
        except OSError as fault:
            raise SettingError(
                f"--out {path}: cannot be written ({fault.strerror or fault})"
            ) from fault


def chance_of(happened: int, of: int) -> Chance:
    """A share with its exact binomial bounds at 95 %."""
    from scipy.stats import binomtest

    bounds = binomtest(happened, of).proportion_ci(CONFIDENCE, "exact")
    return Chance(happened / of, float(bounds.low), float(bounds.high), of)


def monte_carlo(
    settings: BacktestSettings, sets: Iterable[Params], *, histories: int = 200,
    days: float = 365.0, block: int | None = None, kind: str = "stationary", seed: int = 0,
    workers: int | None = None, cluster: str | None = None, market: SweepMarket | None = None,
    on_history: Callable[[int], Any] | None = None,
) -> MonteCarlo:  # fmt: skip
    """Run every set on the same ``histories`` of ``days`` drawn from the settings' candles.

    ``block`` is the (mean) length of the pieces in candles, None: a week, or a quarter of what
    there is. History k depends on ``seed`` and k alone: neither workers nor their number change
    it. ``on_history`` hears how many are done. Raises SettingError and DataError.
    """
    asked = tuple(dict(s) for s in sets)
    if not asked:
        raise SettingError("--grid: there are no sets to run")
    _at_least_one("--histories", histories)
    market = market or load_market(settings)
    shapes = shapes_of(market.feed)
    step = shapes.candles.timeframe_ms
    length = round(days * DAY_MS / step)
    if length < 2:
        raise SettingError(f"--days {days:g}: that is less than two candles")
    block = _usual_block(len(shapes), step) if block is None else block
    block_picks(len(shapes), 1, block, np.random.default_rng(0), kind)  # refuses before it begins
    seeds = np.random.SeedSequence(seed).spawn(histories)
    values = np.full((histories, len(asked), len(FIGURES)), np.nan)
    refused: dict[int, str] = {}
    shared = (settings, shapes, asked, length, block, kind)
    done = hand_over(one_history, shared, enumerate(seeds), workers=workers, cluster=cluster)
    for count, (number, found, why) in enumerate(done, 1):
        values[number] = found
        refused |= why
        if on_history is not None:
            on_history(count)
    return MonteCarlo(asked, values, length * step / DAY_MS, dict(sorted(refused.items())))


def one_history(
    settings: BacktestSettings, shapes: Shapes, sets: Sequence[Params], length: int, block: int,
    kind: str, number: int, seed: np.random.SeedSequence,
) -> tuple[int, Floats, dict[int, str]]:  # fmt: skip
    """The figures of every set on one history, and why sets were refused, by their numbers."""
    picks = block_picks(len(shapes), length, block, np.random.default_rng(seed), kind)
    engine = SweepEngine(settings, history(settings, shapes, picks))
    found = np.full((len(sets), len(FIGURES)), np.nan)
    refused = {}
    step = shapes.candles.timeframe_ms
    for k, params in enumerate(sets):
        outcome = with_first_liquidation(engine, params)
        if outcome.refused:
            refused[k] = outcome.refused
            continue
        bars = liquidated_at(outcome)
        found[k] = (
            outcome.figure("return"), outcome.figure("max_drawdown"),
            outcome.figure("liquidations"), bars[0] * step / DAY_MS if len(bars) else np.nan,
        )  # fmt: skip
    return number, found, refused


def with_first_liquidation(engine: SweepEngine, params: Params) -> Outcome:
    """A set's outcome with as many trades as it takes to see its first liquidation."""
    outcome = engine.outcome(params, most_trades=_TRADES_FIRST)
    if outcome.figures["liquidations"] and not len(liquidated_at(outcome)):
        return with_all_trades(engine, params, outcome)
    return outcome


def with_all_trades(
    engine: SweepEngine, params: Params, ran: Outcome | None = None
) -> Outcome:
    """A set's outcome with every trade of it, run again for those that have not been kept."""
    ran = ran or engine.outcome(params)
    if ran.refused:
        return ran
    return engine.outcome(params, most_trades=int(ran.figure("trades")) + 1)  # one still open


def liquidated_at(outcome: Outcome) -> Ints:
    """The bars of the liquidations among the trades that were kept."""
    trades = outcome.trades
    bars: Ints = np.asarray(trades["exit_bar"])[np.asarray(trades["reason"]) == LIQUIDATION]
    return bars


def _usual_block(source: int, step: int) -> int:
    return max(1, min(round(7 * DAY_MS / step), source // 4))


def _at_least_one(option: str, value: int) -> None:
    if value < 1:
        raise SettingError(f"{option}: it must be 1 at least, not {value}")


# -- the order of trades --------------------------------------------------------------------------


@dataclass(frozen=True)
class TradeOrder:
    """``drawdowns`` (fractions, between the ends of trades) and ``returns`` of every order drawn;
    ``real`` is the drawdown of the order that was."""

    trades: int
    real: float
    drawdowns: Floats
    returns: Floats


def closed_nets(engine: SweepEngine, params: Params) -> Floats:
    """The profit of each closed trade of a set, quote; SettingError for a set that is refused."""
    outcome = with_all_trades(engine, params)
    if outcome.refused:
        raise SettingError(f"--grid: {outcome.refused}")
    trades = outcome.trades
    nets: Floats = np.array(trades["net"])[np.asarray(trades["reason"]) != STILL_OPEN]
    return nets


def trade_order(
    nets: Sequence[float] | Floats, cash: float, *, orders: int = 1_000, block: int = 1,
    kind: str = "stationary", seed: int = 0,
) -> TradeOrder:  # fmt: skip
    """Draw closed trades anew, ``orders`` times, in blocks of (a mean of) ``block`` trades.

    ``nets`` are the profits after all costs, quote, in the order in which they were made from the
    deposit ``cash``; each counts as a share of the equity before it. Raises SettingError where
    there are none.
    """
    _at_least_one("--histories", orders)
    profits = np.asarray(nets, float)
    if not len(profits):
        raise SettingError("--trades: no trade was closed, so that there is no order to draw")
    shares = simple_returns(cash + np.cumsum(profits), cash)
    fallen, ends = np.empty(orders), np.empty(orders)
    for k, own in enumerate(np.random.SeedSequence(seed).spawn(orders)):
        rng = np.random.default_rng(own)
        picks = block_picks(len(shares), len(shares), block, rng, kind)
        fallen[k], ends[k] = _came_to(shares[picks])
    return TradeOrder(len(shares), _came_to(shares)[0], fallen, ends)


def _came_to(shares: Floats) -> tuple[float, float]:
    """Largest drawdown and return of these trades, one after the other."""
    equity = np.multiply.accumulate(1.0 + shares)
    return float(drawdowns(equity, 1.0).max()), float(equity[-1]) - 1.0
