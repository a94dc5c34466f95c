"""The statistics against an independent library and against their definitions, on real runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyzers.figures import longest_under_water, return_figures, trade_figures
from leverpack.backtest.run import run_backtest
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.timeframes import DAY_MS, HOUR_MS
from leverpack.report import to_json_dict
from leverpack.report.statistics import daily_records
from leverpack.result import BacktestResult
from tests.conftest import ROOT, needs_shared, real

DAY0 = 20_000 * DAY_MS
REAL = {
    "conservative on BTC": ("BTCUSDT", "20190908", "conservative", 5.0, {}),
    "adaptive on ETH": ("ETHUSDT", "20241231", "adaptive", 3.0, {}),
    "ladder on SOL": ("SOLUSDT", "20241231", "confidence_ladder", 10.0, {"max_daily_loss": "60"}),
}


@cache
def real_run(name: str) -> BacktestResult:
    symbol, first, strategy, leverage, params = REAL[name]
    return run_backtest(
        BacktestSettings(
            data=real(f"binanceusdm_{symbol}_perp_1h_{first}_20260219.parquet"),
            mark=real(f"binanceusdm_{symbol}_mark_1h_20241231_20260219.parquet"),
            start=date(2025, 1, 1), end=date(2025, 12, 31), strategy=strategy, leverage=leverage,
            params=dict(params),
        )
    )  # fmt: skip


def figures(result: BacktestResult) -> dict[str, Any]:
    return {s.key: s.value for s in result.statistics}


def daily_returns(result: BacktestResult) -> pd.Series:
    """From the definition: last equity of each UTC day, the deposit before the first."""
    index = pd.to_datetime(result.series["ts"], unit="ms", utc=True)
    days = pd.Series(result.series["equity"], index=index).resample("D").last().ffill()
    first = pd.Series([result.totals["start_equity"]], index=[days.index[0] - pd.Timedelta("1D")])
    returns = pd.concat([first, days]).pct_change().dropna()
    returns.index = returns.index.tz_localize(None)
    return returns


@needs_shared
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    "key", ["sharpe", "sortino", "calmar", "volatility", "cagr", "daily_drawdown"]
)
def test_agrees_with_an_independent_library(name: str, key: str) -> None:
    quantstats = pytest.importorskip("quantstats.stats", reason="quantstats is a dev library")
    result, returns = real_run(name), daily_returns(real_run(name))
    got = figures(result)
    # The drawdown between closes of days is what Calmar divides by.
    got["daily_drawdown"] = -got["cagr"] / got["calmar"]
    theirs = {
        "sharpe": lambda: quantstats.sharpe(returns, periods=365),
        "sortino": lambda: quantstats.sortino(returns, periods=365),
        "calmar": lambda: quantstats.calmar(returns, periods=365),
        "volatility": lambda: quantstats.volatility(returns, periods=365),
        "cagr": lambda: quantstats.cagr(returns, periods=365),
        "daily_drawdown": lambda: quantstats.max_drawdown(returns),
    }
    assert got["trades"] > 10
    assert got[key] == pytest.approx(float(theirs[key]()), rel=1e-6, abs=1e-9)


@needs_shared
@pytest.mark.parametrize("name", REAL)
def test_agrees_with_the_definitions(name: str) -> None:
    result, returns = real_run(name), daily_returns(real_run(name))
    got = figures(result)
    equity = pd.Series(np.concatenate([[10_000.0], result.series["equity"]]))
    closed = [t for t in result.trades if t.exit_time is not None]
    nets = pd.Series([t.net for t in closed])
    candles = equity.pct_change().dropna()
    held = next(iter(result.symbols.values())).position != 0
    leverage = result.series["effective_leverage"][held]
    want = {
        "return": equity.iloc[-1] / 10_000.0 - 1.0,
        "max_drawdown": (1.0 - equity / equity.cummax()).max(),
        "sharpe_candles": candles.mean() / candles.std() * math.sqrt(365 * 24),
        "best_day": returns.max(), "worst_day": returns.min(),
        "skew": returns.skew(), "kurtosis": returns.kurt(),
        "trades": len(nets), "win_rate": (nets > 0).mean(), "average_profit": nets.mean(),
        "average_win": nets[nets > 0].mean(), "average_loss": nets[nets <= 0].mean(),
        "expectancy": nets.mean() / abs(nets[nets <= 0].mean()),
        "profit_factor": nets[nets > 0].sum() / abs(nets[nets <= 0].sum()),
        "best_trade": nets.max(), "worst_trade": nets.min(),
        "losing_streak": (nets <= 0).groupby((nets > 0).cumsum()).sum().max(),
        "average_on_margin": np.mean([t.net / t.margin for t in closed]),
        "average_days_held": np.mean([(t.exit_time - t.entry_time) / 86_400_000 for t in closed]),
        "exposure_time": held.mean(), "average_leverage": leverage.mean(),
        "max_leverage": leverage.max(), "under_water_days": _slow_under_water(result) / DAY_MS,
    }  # fmt: skip
    for key, value in want.items():
        assert got[key] == pytest.approx(value, rel=1e-6, abs=1e-12), key
    assert set(want) | {"cagr", "volatility", "sharpe", "sortino", "calmar"} == set(got)


def _slow_under_water(result: BacktestResult) -> int:
    peak, since, longest = 10_000.0, int(result.series["ts"][0]), 0
    for time, value in zip(result.series["ts"].tolist(), result.series["equity"], strict=True):
        longest = max(longest, time - since)
        if value >= peak:
            peak, since = value, time
    return longest


@needs_shared
def test_days_add_up_and_show_the_limit() -> None:
    result = real_run("ladder on SOL")
    assert math.fsum(d.profit for d in result.daily) == pytest.approx(
        result.totals["end_equity"] - 10_000.0, abs=1e-6
    )
    assert sum(d.entries for d in result.daily) == len(result.trades)
    assert {d.loss_limit for d in result.daily} == {60.0}
    reached = [d for d in result.daily if d.limit_reached]
    assert reached
    assert all(d.worst <= -60.0 for d in reached)
    assert result.alarms == {"max_daily_loss": len(reached)}
    assert [k for k in result.refusals if k.startswith("max_daily")] == []


@needs_shared
def test_every_trade_says_how_it_ended_and_what_was_planned() -> None:
    from leverpack.result import EXIT_REASONS

    for trade in real_run("ladder on SOL").trades:
        side = 1.0 if trade.side == "long" else -1.0
        assert trade.exit_reason in EXIT_REASONS
        assert side * (trade.entry_price - trade.stop_price) > 0.0
        assert side * (trade.target_price / trade.entry_price - 1.0) == pytest.approx(
            0.06, abs=0.002
        )
        if trade.exit_reason == "stop" and trade.exit_time is not None:
            assert trade.duration_ms == trade.exit_time - trade.entry_time


# -- edges ---------------------------------------------------------------------------------------


def hours(*equity: float) -> tuple[Any, Any]:
    return DAY0 + HOUR_MS * np.arange(len(equity), dtype=np.int64), np.array(equity, float)


def all_finite(got: dict[str, Any]) -> bool:
    return all(v is None or math.isfinite(v) for v in got.values())


def test_one_candle() -> None:
    got = return_figures(*hours(10_100.0), 10_000.0, HOUR_MS)
    assert got["return"] == pytest.approx(0.01)
    assert got["sharpe"] is got["cagr"] is got["volatility"] is None
    assert all_finite(got)


def test_no_candle() -> None:
    got = return_figures(*hours(), 10_000.0, HOUR_MS)
    assert {k: v for k, v in got.items() if v is not None} == {"max_drawdown": 0.0}
    assert trade_figures([])["win_rate"] is None
    assert daily_records({"ts": hours()[0], "equity": hours()[1]}, [], 1.0, 5.0) == []


def test_no_variance_is_no_ratio() -> None:
    got = return_figures(*hours(*[10_000.0] * 24 * 9), 10_000.0, HOUR_MS)
    assert got["volatility"] == 0.0
    assert got["sharpe"] is got["sortino"] is got["calmar"] is got["skew"] is None
    steady = return_figures(
        DAY0 + DAY_MS * np.arange(9), 10_000.0 * 1.01 ** np.arange(1, 10), 10_000.0, DAY_MS
    )
    assert steady["sharpe"] is steady["sortino"] is steady["calmar"] is None
    assert steady["cagr"] == pytest.approx(1.01**365 - 1.0)


def test_equity_to_zero() -> None:
    equity = [10_000.0] * 24 + [5_000.0] * 24 + [0.0] * 72
    got = return_figures(*hours(*equity), 10_000.0, HOUR_MS)
    assert (got["return"], got["max_drawdown"], got["cagr"]) == (-1.0, 1.0, -1.0)
    assert got["worst_day"] == -1.0
    assert all_finite(got)


def test_days_without_candles_return_nothing_and_count() -> None:
    ts = DAY0 + DAY_MS * np.array([0, 1, 4], dtype=np.int64)
    got = return_figures(ts, np.array([101.0, 102.01, 103.0301]), 100.0, DAY_MS)
    returns = np.array([0.01, 0.01, 0.0, 0.0, 0.01])
    assert got["sharpe"] == pytest.approx(
        returns.mean() / returns.std(ddof=1) * math.sqrt(365), rel=1e-9
    )


def test_weekly_candles_have_52_returns_a_year() -> None:
    ts = DAY0 + 7 * DAY_MS * np.arange(6, dtype=np.int64)
    equity = np.array([102.0, 101.0, 105.0, 104.0, 108.0, 110.0])
    returns = np.diff(equity, prepend=100.0) / np.concatenate([[100.0], equity[:-1]])
    got = return_figures(ts, equity, 100.0, 7 * DAY_MS)
    assert got["sharpe"] == pytest.approx(
        returns.mean() / returns.std(ddof=1) * math.sqrt(365 / 7), rel=1e-9
    )


def test_only_winners_and_only_losers() -> None:
    winners, losers = trade_figures([5.0, 7.0]), trade_figures([-5.0, -7.0, 0.0])
    assert (winners["win_rate"], winners["profit_factor"], winners["expectancy"]) == (1.0, None,
                                                                                     None)
    assert (losers["win_rate"], losers["profit_factor"], losers["losing_streak"]) == (0.0, 0.0, 3)


def test_under_water_counts_the_end() -> None:
    ts, equity = hours(11.0, 10.0, 10.5, 12.0, 11.0, 11.5, 11.9, 11.0)
    assert longest_under_water(ts, equity, 10.0) == 4 * HOUR_MS


def test_a_run_without_a_trade_is_valid_json() -> None:
    result = run_backtest(
        BacktestSettings(
            data=ROOT / "data" / "made_BTCUSDT_1h_2025.csv", end=date(2025, 1, 1),
            symbol="BTC/USDT:USDT",
        )
    )  # fmt: skip
    assert result.totals["trades"] == 0
    assert result.stress is None
    plain = json.loads(json.dumps(to_json_dict(result), allow_nan=False))
    assert {s["key"]: s["value"] for s in plain["statistics"]}["exposure_time"] == 0.0
    assert all(s["definition"].endswith(".") and s["name"] for s in plain["statistics"])


def test_they_are_worked_out_when_they_are_read_and_not_before() -> None:
    code = (
        "import sys; from leverpack.backtest.run import run_backtest\n"
        "from leverpack.backtest.settings import BacktestSettings\n"
        "ran = run_backtest(BacktestSettings(data='data/made_BTCUSDT_1h_2025.csv'))\n"
        "assert 'empyrical' not in sys.modules, 'a short run would wait for the import'\n"
        "assert ran.statistics is ran.statistics and ran.statistics[0].key == 'return'\n"
        "assert 'empyrical' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
