"""What the sweep kernel works on: the columns of one symbol, one parameter set, its state.

Everything is a number or an array of numbers, so that it passes into compiled code as it is. Money
and prices are in quote currency, sizes in base units, rates and shares fractions; a bar is the
position of a candle, from 0. Flags are 0 or 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints

import numpy as np

Row = Any  # one record of the dtypes below, as numpy and numba hand it out

# How a run ended: DONE, or why it has to be run by Cerebro instead.
DONE, LEVERAGE_REFUSED, STOP_AT_ZERO, NOT_HALVED = range(4)
# What closed a trade; the order is that of REASON_NAMES.
STILL_OPEN, STOP, TARGET, TRAIL, TIME, EMERGENCY, NEAR, MARGIN, CUT, LIQUIDATION = range(10)
REASON_NAMES = (
    "open", "stop", "target", "trail", "time", "emergency", "liquidation near", "margin", "cut",
    "liquidation",
)  # fmt: skip
RUNNING, STOPPED_FOR_THE_DAY, STOPPED = range(3)
WORST, OHLC, OLHC = range(3)
INTRABAR = ("worst", "ohlc", "olhc")  # their names, in that order


# Rows of MarketColumns.candles; the mark rows repeat the first four where no mark was given.
OPEN, HIGH, LOW, CLOSE, MARK_OPEN, MARK_HIGH, MARK_LOW, MARK_CLOSE = range(8)
CAP, MMR, CUM, MAX_LEVERAGE = range(4)  # rows of MarketColumns.tiers


class MarketColumns(NamedTuple):
    """One symbol: candles and mark candles, funding, days, tier tables.

    ``candles`` has a row for each of OPEN to MARK_CLOSE and a column a bar. ``funding`` has one
    column a settlement: the bar at whose open it is charged, mark price, rate. ``days`` has the
    first bar of each UTC day and, last, the number of bars. ``tables`` has one row a tier table:
    the first bar at which it holds, its first and its last but one column in ``tiers``, its
    liquidation fee. ``tiers`` has the rows CAP to MAX_LEVERAGE.
    """

    candles: Any
    funding: Any
    days: Any
    tables: Any
    tiers: Any


class RuleColumns(NamedTuple):
    """One value a bar each; those that a strategy does not read are empty."""

    signals: Any  # int8: +1, -1, 0
    confidence: Any
    atr: Any
    adx: Any
    volatility: Any  # a day
    mean: Any
    mean_square: Any


class SetParams(NamedTuple):
    """One parameter set with the account it trades on; names are the strategy parameters'."""

    first_bar: int  # the first at which the strategy is asked
    cash: float
    start_leverage: float
    isolated: int
    maker: float
    taker: float
    slippage: float
    close_fee: float
    intrabar: int
    leverage: float
    max_leverage: float
    auto_set_leverage: int
    models: int  # bit k: model k of leverpack.risk.leverage.MODELS; 0: the fixed leverage
    base_leverage: float
    volatility_threshold: float
    volatility_target: float
    kelly_fraction: float
    drawdown_limit: float
    leverage_cap: float  # of the strategy itself; inf: none
    liquidation_stops: float
    sizing: int
    risk_per_trade: float
    stake: float
    equity_fraction: float
    margin_reserve: float
    min_confidence: float
    stop_loss_pct: float
    take_profit_pct: float
    atr_stop: float  # over 0: the stop lies so many ATR away, the target reward times that
    reward: float
    trail_pct: float
    break_even: int
    max_bars: int
    max_risk_per_trade: float
    max_stake: float
    max_notional_per_trade: float
    max_notional_per_symbol: float
    max_gross_exposure: float
    max_portfolio_leverage: float
    min_notional: float
    max_daily_loss: float
    max_daily_trades: int
    max_drawdown: float
    monitor: int  # watches the margin ratio
    warn_ratio: float
    exit_ratio: float
    warn_share: float
    exit_share: float
    cut_fraction: float


PARAMS = np.dtype((np.record,
    [(n, "f8" if kind is float else "i8") for n, kind in get_type_hints(SetParams).items()]
))  # fmt: skip
"""SetParams as one record."""


def _record(**fields: str) -> np.dtype[Any]:
    """Of np.record, so that the kernel reads row.name also where it is not compiled."""
    held = [(name, kind) for kind, names in fields.items() for name in names.split()]
    return np.dtype((np.record, np.dtype(held, align=True)))


STATE = _record(
    f8="open high low close mark_open mark_high mark_low mark_close "
    "wallet held entry margin leverage liquidation equity peak trough drawdown "
    "realised fees funding liquidation_fee insurance "
    "day_equity plan_side stop_distance target_distance filled price first_distance "
    "entry_size entry_reference cut_size nearest "
    "trade_size trade_entry trade_side trade_leverage trade_closed trade_value trade_nearest "
    "trade_worst before_realised before_fees before_funding before_liquidation_fee "
    "before_insurance worst_ratio nearest_all won lost clearance_fee",
    i8="code tier_from tier_to funding_at day observed_day day_trades halted has_plan rungs "
    "single_target opened_bar armed warned closing trade_bar trades wins liquidations ended kept "
    "held_bars refused",
)
"""Everything that changes during a run: the candle, the account, the plan, the trade under way, the
counts. ``held`` is the signed size of the position; ``liquidation`` is NaN while flat."""

RUNG = _record(
    f8="share_before share part distance closed stop target made stop_size target_size",
    i8="done stop_alive target_alive trailing since target_from stop_tried target_tried",
)
"""One part of a position with its stop and its target. ``part`` is the target's fraction of the
price (0.0: none), ``distance`` the same in quote currency; ``since`` is the bar in which the two
orders were made, at the price ``made``. Prices without an order mean nothing."""

TRADE = _record(
    f8="side quantity leverage entry_price exit_price pnl fees funding liquidation_fee "
    "insurance net worst_margin_ratio nearest_liquidation",
    i8="entry_bar exit_bar reason",
)
"""One position from flat to flat; ``exit_bar`` is -1 while it is still open at the end."""
