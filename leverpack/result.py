"""The plain records in which a run hands over what happened, to a report or to a caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(slots=True)
class TradeRecord:
    """One position from flat to flat; money in quote currency, times in epoch ms UTC.

    ``exit_*`` are None while the position is still open at the end of the run; ``pnl`` is
    then the unrealised profit at the last close. ``net`` = pnl - fees + funding - interest
    - liquidation_fee + insurance (``funding`` is signed as cash: negative was paid).
    Ratios are fractions.
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
    worst_margin_ratio: float | None
    nearest_liquidation: float | None  # smallest |mark - liquidation price| / mark seen


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


@dataclass(slots=True)
class BacktestResult:
    """Everything a report needs; no Backtrader object inside.

    ``run``: strategy, params, symbols, timeframe, first, last (ISO), bars, cash, leverage,
    margin_mode, loop ("fast" or "backtrader: <why>"), elapsed_s, bars_per_s.
    ``totals`` (quote currency unless said): start_equity, end_equity, return (fraction),
    max_drawdown (fraction), fees, funding (cash: negative was paid), interest,
    liquidation_fees, insurance, cost_of_leverage, trades, wins, liquidations, margin_calls,
    rejected_orders, worst_margin_ratio (or None), nearest_liquidation (fraction or None),
    nearest_liquidation_time (epoch ms or None), max_effective_leverage.
    ``series`` (all of one length): ts, equity, margin_ratio (at the close),
    worst_margin_ratio (inside the candle), margin_level, effective_leverage, free_margin,
    used_margin, funding, fees (both to date).
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
