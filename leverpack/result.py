"""The plain records in which a run hands over what happened, to a report or to a caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
EXIT_REASONS = (
    "stop", "target", "trailing", "time", "signal", "liquidation", "emergency", "end",
)  # fmt: skip
"""How a trade ended: "emergency" is any exit that guards the account (limits, margin, nearness of
liquidation), "end" a position still open when the candles ran out."""


def _no_values() -> Floats:
    return np.empty(0)


@dataclass(slots=True)
class TradeRecord:
    """One position from flat to flat; money in quote currency, times in epoch ms UTC.

    ``exit_*`` are None while the position is still open at the end of the run; ``pnl`` is
    then the unrealised profit at the last close. ``net`` = pnl - fees + funding - interest
    - liquidation_fee + insurance (``funding`` is signed as cash: negative was paid).
    Ratios are fractions. ``exit_reason`` is one of EXIT_REASONS, of the fill that made it flat;
    ``reason`` is that order's own tag. ``stop_price`` and ``target_price`` are where the first
    stop and the nearest target came to rest after the entry, None where there was none.
    """

    symbol: str
    side: str  # "long" or "short"
    size: float  # largest size held, base units
    leverage: float
    entry_time: int
    entry_price: float  # average
    exit_time: int | None
    exit_price: float | None  # average
    pnl: float  # gross of all costs
    fees: float
    funding: float
    interest: float
    liquidation_fee: float
    insurance: float
    net: float
    margin: float  # initial margin at entry
    bars: int
    reason: str  # "stop", "target", "signal", "liquidation", "open", ...
    worst_margin_ratio: float | None  # where it came nearest to liquidation
    nearest_liquidation: float | None  # smallest |mark - liquidation price| / mark seen
    exit_reason: str = "end"
    profit_on_margin: float | None = None  # net / margin, fraction; None without a margin
    duration_ms: int | None = None  # entry to exit, or to the last candle while still open
    stop_price: float | None = None  # quote
    target_price: float | None = None  # quote


@dataclass(slots=True)
class LiquidationRecord:
    """A liquidation: what was taken, where, what it cost, what the insurance fund covered."""

    time: int
    symbol: str
    side: str
    size: float  # base units
    price: float
    fee: float  # quote
    shortfall: float  # quote, covered by the insurance fund
    gap: str  # "open": the candle opened beyond the price; "mark": only the mark went there; ""


@dataclass(slots=True)
class MarginCallRecord:
    """One episode in which the margin ratio stood at or over the call ratio."""

    start: int
    end: int | None  # None: still under way at the end of the run
    worst_margin_ratio: float
    bars: int


@dataclass(slots=True)
class SymbolSeries:
    """Per bar of one symbol; NaN where there is no position (``position`` is then 0)."""

    ts: Ints  # bar open, epoch ms UTC
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    mark: Floats  # mark close; the trade close where no mark series was given
    position: Floats  # signed size at the bar's close, base units
    liquidation_price: Floats
    liquidation_distance: Floats  # |mark - liquidation price| / mark, fraction
    leverage: Floats = field(default_factory=_no_values)  # set at the venue, x; NaN flat
    # Of a live run: our computation beside what the venue itself said; no values in a backtest.
    margin_ratio: Floats = field(default_factory=_no_values)
    venue_margin_ratio: Floats = field(default_factory=_no_values)
    venue_liquidation_price: Floats = field(default_factory=_no_values)  # quote

    @property
    def exposure(self) -> Floats:
        """Signed notional at the mark (quote), one value a bar; 0.0 flat."""
        return np.where(self.position == 0.0, 0.0, self.position * self.mark)


@dataclass(frozen=True, slots=True)
class Statistic:
    """One figure about a run with the sentence that defines it.

    ``value`` is None where it is not defined (no trades, one candle, no variance). ``unit``:
    "fraction" (0.01 is 1 %), "fraction a year", "quote", "ratio" (a plain number), "days",
    "count", "x". ``key`` is the name for programs, ``name`` the one for people.
    """

    key: str
    name: str
    value: float | int | None
    unit: str
    definition: str


@dataclass(frozen=True, slots=True)
class DayRecord:
    """Profit of one UTC day against the daily loss limit; money in quote currency.

    A day starts with the equity of its first candle's close, as the daily limit counts it; so
    the first candle's own move is in ``profit`` (close to close) and not in ``worst``.
    """

    day: int  # 00:00 UTC, epoch ms
    profit: float  # last close of the day less last close before it (first day: the deposit)
    change: float | None  # profit / equity before, fraction; None without equity
    worst: float  # lowest close of the day less the day's first equity, <= 0
    loss_limit: float | None  # max_daily_loss; None: no limit
    limit_reached: bool
    entries: int  # positions opened


@dataclass(frozen=True, slots=True)
class Shock:
    """What one instant move of all marks would have done to the account; quote currency."""

    move: float  # signed fraction of every mark
    equity_after: float  # with what was liquidated closed at the moved price, fee included
    change: float | None  # equity_after / equity before - 1; None without equity
    liquidated: list[str]  # symbols whose positions were closed by force
    liquidation_fees: float
    shortfall: float  # borne by the insurance fund


@dataclass(frozen=True, slots=True)
class Stress:
    """Instant moves at the most exposed moment: the close with the highest effective leverage.

    ``exposure`` holds the signed notional (quote) of each open position at that moment.
    """

    time: int  # epoch ms UTC
    equity: float
    effective_leverage: float
    exposure: dict[str, float]
    shocks: list[Shock]


@dataclass(frozen=True, slots=True)
class SurvivalRun:
    """The same run once more with another leverage.

    ``possible`` False: the venue does not allow that leverage, or refused orders that it took in
    the run itself; then it is no survival, whatever else is said.
    """

    leverage: float
    liquidations: int
    return_: float | None  # fraction; None: it could not run
    possible: bool

    @property
    def survived(self) -> bool:
        """No liquidation, and the venue took the orders."""
        return self.possible and not self.liquidations


@dataclass(frozen=True, slots=True)
class Survival:
    """The highest whole leverage at which this run was not liquidated, found by running it.

    ``highest`` None: it was liquidated even at 1x. ``ceiling`` is the highest leverage that was
    looked at (what venue and tiers allow); ``highest == ceiling`` says no more than that.
    ``complete`` False: the bound on the number of runs came before the answer was exact, and
    ``highest`` is the highest that was seen to survive. ``note`` says what was scaled.
    """

    highest: float | None
    ceiling: float
    complete: bool
    tried: list[SurvivalRun]  # in rising order of leverage
    note: str


class LateStatistics:
    """The field ``statistics``: a list, or what makes it, which is called when it is first read.

    The library behind the figures takes longer to import than a short backtest takes to run.
    """

    @overload
    def __get__(self, owner: None, kind: type) -> tuple[()]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> list[Statistic]: ...
    def __get__(self, owner: Any, kind: type) -> Any:
        if owner is None:  # what the dataclass takes for the field's default
            return ()
        held = vars(owner)["statistics"]
        if callable(held):
            held = vars(owner)["statistics"] = held()
        return held

    def __set__(self, owner: Any, value: Statistics) -> None:
        vars(owner)["statistics"] = value if callable(value) else list(value)


Statistics = Sequence[Statistic] | Callable[[], list[Statistic]]


@dataclass
class BacktestResult:
    """Everything a report needs; no Backtrader object inside.

    ``run``: strategy, params, symbols, timeframe, first, last (ISO), bars, cash, leverage,
    margin_mode, loop ("fast", "backtrader: <why>", or "live" of a journal), elapsed_s, bars_per_s.
    ``totals`` (quote currency unless said): start_equity, end_equity, return (fraction),
    max_drawdown (fraction), fees, funding (cash: negative was paid), interest,
    liquidation_fees, insurance, cost_of_leverage, trades, wins, liquidations, margin_calls,
    rejected_orders, worst_margin_ratio (or None), nearest_liquidation (fraction or None),
    nearest_liquidation_time (epoch ms or None), max_effective_leverage.
    ``series`` (all of one length): ts, equity, margin_ratio (at the close),
    worst_margin_ratio (inside the candle), margin_level, effective_leverage, free_margin,
    used_margin, unrealised, funding, fees, interest (the three to date); decided_leverage
    (notional over the initial margin that the leverage set asks for it, x; of one position the
    leverage set), call_ratio (margin ratio from which the venue calls) and liquidating_move (the
    smallest instant move of all marks together that liquidates a position, signed fraction:
    -0.08 is a fall of 8 %), these three NaN while flat.
    ``findings``: what the loader saw and did, each with its ``source``; ``files``: what was read,
    one summary a file, whose ``role`` is "data", "mark" or "funding".
    ``statistics`` is a list of :class:`Statistic`, worked out when it is first read.
    ``refusals`` and ``alarms``: how often the strategy refused or cut an entry, and closed
    everything, by reason. ``stress`` is None when no position was ever held, ``survival`` when it
    was not looked for.
    """

    run: dict[str, Any]
    assumptions: list[str]
    findings: list[dict[str, Any]]
    totals: dict[str, Any]
    series: dict[str, NDArray[Any]]
    symbols: dict[str, SymbolSeries]
    trades: list[TradeRecord] = field(default_factory=list)
    liquidations: list[LiquidationRecord] = field(default_factory=list)
    margin_calls: list[MarginCallRecord] = field(default_factory=list)
    rejections: list[dict[str, Any]] = field(default_factory=list)
    statistics: LateStatistics = LateStatistics()
    daily: list[DayRecord] = field(default_factory=list)
    stress: Stress | None = None
    survival: Survival | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, int] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
