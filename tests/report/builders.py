"""Made-up results of any length for the report: a random walk with positions and trades."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from leverpack.result import (
    BacktestResult,
    DayRecord,
    Shock,
    Statistic,
    Stress,
    Survival,
    SurvivalRun,
    SymbolSeries,
    TradeRecord,
)

MINUTE, DAY = 60_000, 86_400_000
START = 1_700_006_400_000  # 2023-11-15 00:00 UTC


def made_result(
    candles: int, *, symbols: tuple[str, ...] = ("BTC/USDT:USDT",), seed: int = 5
) -> BacktestResult:
    """A run of one-minute candles; a position in every other stretch of a hundredth of them."""
    rng = np.random.default_rng(seed)
    ts = START + MINUTE * np.arange(candles, dtype=np.int64)
    stretch = max(2, candles // 100)
    held = (np.arange(candles) // stretch) % 2 == 1
    made = {s: _symbol(ts, held, rng) for s in symbols}
    equity = 10_000.0 + np.cumsum(np.where(held, rng.normal(0.0, 1.0, candles), 0.0))
    equity = np.maximum(equity, 100.0)
    ratio = np.where(held, np.clip(rng.normal(0.25, 0.04, candles), 0.01, 0.79), np.nan)
    series = {
        "ts": ts, "equity": equity, "margin_ratio": ratio, "worst_margin_ratio": ratio * 1.1,
        "margin_level": 1.0 / ratio, "free_margin": equity * 0.8, "used_margin": equity * 0.2,
        "effective_leverage": np.where(held, 2.0 + 0.1 * rng.random(candles), 0.0),
        "decided_leverage": np.where(held, 3.0, np.nan),
        "call_ratio": np.where(held, 0.8, np.nan),
        "liquidating_move": np.where(held, -0.3 + 0.01 * rng.random(candles), np.nan),
        "unrealised": np.zeros(candles), "fees": np.cumsum(held * 1e-3),
        "funding": -np.cumsum(held * 1e-4), "interest": np.zeros(candles),
    }  # fmt: skip
    trades = [t for s in symbols for t in _trades(s, made[s], held, ts, stretch)]
    return BacktestResult(
        run=_run(symbols, ts), assumptions=["Made up."], findings=[],
        totals=_totals(series, trades), series=series, symbols=made, trades=trades,
        statistics=[Statistic("sharpe", "Sharpe ratio", 0.5, "ratio", "Mean over deviation.")],
        daily=_daily(ts, equity), stress=_stress(symbols, ts),
        survival=Survival(
            4.0, 125.0, True,
            [SurvivalRun(4.0, 0, 0.1, True), SurvivalRun(5.0, 1, -0.2, True),
             SurvivalRun(200.0, 0, None, False)],
            "leverage was scaled",
        ),
        refusals={"minimum notional": 3},
    )  # fmt: skip


def renamed(result: BacktestResult, old: str, new: str) -> BacktestResult:
    """The same run with another symbol name everywhere."""
    return dataclasses.replace(
        result,
        run={**result.run, "symbols": [new if s == old else s for s in result.run["symbols"]]},
        symbols={new if s == old else s: v for s, v in result.symbols.items()},
        trades=[
            dataclasses.replace(t, symbol=new) if t.symbol == old else t for t in result.trades
        ],
    )


def _symbol(ts: Any, held: Any, rng: np.random.Generator) -> SymbolSeries:
    n = len(ts)
    close = np.round(50_000.0 * np.exp(np.cumsum(rng.normal(0.0, 3e-4, n))), 1)
    opened = np.concatenate([[50_000.0], close])[:n]
    high = np.round(np.maximum(opened, close) + rng.random(n) * 9.0, 1)
    low = np.round(np.minimum(opened, close) - rng.random(n) * 9.0, 1)
    entry = close[np.maximum.accumulate(np.where(np.diff(held, prepend=False), np.arange(n), 0))]
    liquidation = np.where(held, entry * 0.7, np.nan)
    return SymbolSeries(
        ts=ts, open=opened, high=high, low=low, close=close, mark=close,
        position=np.where(held, 0.4, 0.0), liquidation_price=liquidation,
        liquidation_distance=np.abs(close - liquidation) / close,
        leverage=np.where(held, 3.0, np.nan),
    )  # fmt: skip


def _trades(symbol: str, s: SymbolSeries, held: Any, ts: Any, stretch: int) -> list[TradeRecord]:
    trades = []
    for i in np.flatnonzero(np.diff(held.astype(np.int8), prepend=np.int8(0)) == 1).tolist():
        end = min(i + stretch, len(ts) - 1)
        entry, left = float(s.close[i]), float(s.close[end])
        pnl = 0.4 * (left - entry)
        trades.append(TradeRecord(
            symbol=symbol, side="long", size=0.4, leverage=3.0, entry_time=int(ts[i]),
            entry_price=entry, exit_time=int(ts[end]), exit_price=left, pnl=pnl, fees=1.0,
            funding=-0.5, interest=0.0, liquidation_fee=0.0, insurance=0.0, net=pnl - 1.5,
            margin=0.4 * entry / 3.0, bars=end - i, reason="stop" if pnl < 0.0 else "target",
            worst_margin_ratio=0.3, nearest_liquidation=0.2, exit_reason="stop",
            profit_on_margin=(pnl - 1.5) / (0.4 * entry / 3.0),
            duration_ms=int(ts[end] - ts[i]), stop_price=entry * 0.97, target_price=entry * 1.06,
        ))  # fmt: skip
    return trades


def _run(symbols: tuple[str, ...], ts: Any) -> dict[str, Any]:
    iso = [str(np.datetime64(int(t), "ms")) + "+00:00" for t in (ts[0], ts[-1])]
    return {
        "strategy": "Made", "params": {"leverage": 3.0}, "symbols": list(symbols),
        "timeframe": "1m", "first": iso[0], "last": iso[1], "bars": len(ts), "cash": 10_000.0,
        "leverage": 3.0, "margin_mode": "isolated", "venue": "binanceusdm", "loop": "fast",
        "elapsed_s": 1.0, "bars_per_s": float(len(ts)),
    }  # fmt: skip


def _totals(series: dict[str, Any], trades: list[TradeRecord]) -> dict[str, Any]:
    equity = np.concatenate([[10_000.0], series["equity"]])
    worst = series["worst_margin_ratio"]
    held = bool(np.isfinite(worst).any())
    return {
        "start_equity": 10_000.0, "end_equity": float(equity[-1]),
        "return": float(equity[-1] / 10_000.0 - 1.0),
        "max_drawdown": float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
        "fees": float(series["fees"][-1]), "funding": float(series["funding"][-1]),
        "interest": 0.0, "liquidation_fees": 0.0, "insurance": 0.0,
        "cost_of_leverage": float(series["fees"][-1] - series["funding"][-1]),
        "trades": len(trades), "wins": sum(t.net > 0.0 for t in trades), "liquidations": 0,
        "margin_calls": 0, "rejected_orders": 0,
        "worst_margin_ratio": float(np.nanmax(worst)) if held else None,
        "nearest_liquidation": 0.2 if held else None,
        "nearest_liquidation_time": int(series["ts"][-1]) if held else None,
        "max_effective_leverage": float(series["effective_leverage"].max()),
    }  # fmt: skip


def _daily(ts: Any, equity: Any) -> list[DayRecord]:
    days = ts // DAY
    last = np.append(np.flatnonzero(np.diff(days)), len(ts) - 1)
    before = np.append(10_000.0, equity[last][:-1])
    return [
        DayRecord(int(d) * DAY, float(e - b), float(e / b - 1.0), min(0.0, float(e - b)), 100.0,
                  bool(e - b <= -100.0), 1)
        for d, b, e in zip(days[last], before, equity[last], strict=True)
    ]  # fmt: skip


def _stress(symbols: tuple[str, ...], ts: Any) -> Stress:
    shocks = [Shock(m, 10_000.0 * (1 + 2 * m), 2 * m, [], 0.0, 0.0) for m in (-0.05, 0.05)]
    return Stress(int(ts[-1]), 10_000.0, 2.0, dict.fromkeys(symbols, 20_000.0), shocks)
