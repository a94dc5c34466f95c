"""Adaptive against fixed leverage on real candles: same entries and stops, equal average."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analyzers import MarginAnalyzer
from benchmarks.common import machine
from leverpack import CandleFeed, Cerebro, MarginBroker
from leverpack.files import put_text
from strategies import AdaptiveLeverageStrategy
from tests.strategies.realdata import RealSet, real_sets

DAY_MS = 86_400_000
MODELS = ("guide", "volatility", "drawdown")


@dataclass
class Outcome:
    """What one run came to; fractions of equity, leverage x."""

    leverage: float
    total: float
    drawdown: float
    worst_day: float
    liquidations: int
    called: float  # share of the candles under a margin call
    trades: int


def run(real: RealSet, **params: Any) -> Outcome:
    """One run at 10 % of equity as margin a trade."""
    cerebro = Cerebro(stdstats=False)
    broker = MarginBroker(cash=10_000.0)
    cerebro.setbroker(broker)
    cerebro.adddata(
        CandleFeed(
            dataname=real.trade, mark=real.mark, funding=real.funding, symbol=real.symbol,
            on_fault="drop",
        )
    )  # fmt: skip
    cerebro.addstrategy(
        AdaptiveLeverageStrategy, sizing="equity", equity_fraction=0.1, max_leverage=20.0, **params
    )
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    ran = cerebro.run()[0]
    margin = ran.analyzers.margin
    equity, times = margin.series()["equity"], margin.times()
    trades = broker.ledger.trades
    last = np.flatnonzero(np.append(np.diff(times // DAY_MS) > 0, True))
    closes = np.concatenate([[10_000.0], equity[last]])
    return Outcome(
        leverage=float(np.mean([t.leverage for t in trades])) if trades else 0.0,
        total=float(equity[-1] / 10_000.0 - 1.0),
        drawdown=float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
        worst_day=float(np.min(np.diff(closes) / closes[:-1])),
        liquidations=len(broker.liquidations),
        called=sum(c.bars for c in margin.margin_calls) / len(equity),
        trades=len(trades),
    )


def line(name: str, real: RealSet, o: Outcome) -> str:
    """One row of the table, in Markdown."""
    return (
        f"| {real.symbol} {real.timeframe} {str(real)[-17:]} | {name} | {o.leverage:.2f} | "
        f"{o.total:+.1%} | {o.drawdown:.1%} | {o.worst_day:.1%} | {o.liquidations} | "
        f"{o.called:.2%} | {o.trades} |"
    )


def main() -> None:
    """Print the table and write it to reports/adaptive_vs_fixed.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=float, default=5.0, help="base leverage of the models")
    parser.add_argument("--timeframe", default="", help="only sets of this timeframe")
    given = parser.parse_args()
    sets = [s for s in real_sets() if not given.timeframe or s.timeframe == given.timeframe]
    if not sets:
        print("adaptive against fixed leverage: skipped, no real candles (set LEVERPACK_SHARED)")
        return
    rows = [
        machine(), "",
        f"Base leverage {given.base:g}, 10 % of equity as margin a trade, taker fees, funding and "
        "mark where the set has them. Fixed: the same strategy at the adaptive run's average.", "",
        "| candles | leverage | average x | return | max drawdown | worst day | liquidations | "
        "under margin call | trades |", "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    better: dict[str, list[bool]] = {m: [] for m in MODELS}
    for real in sets:
        for model in MODELS:
            adaptive = run(real, base_leverage=given.base, models=model, volatility_target=0.15)
            same = max(1.0, adaptive.leverage)
            fixed = run(real, leverage_model=lambda data, side, x=same: x)
            rows += [line(model, real, adaptive), line(f"fixed for {model}", real, fixed)]
            better[model].append(adaptive.drawdown < fixed.drawdown)
    rows.append("")
    rows += [
        f"{model}: the smaller drawdown in {sum(wins)} of {len(wins)} sets."
        for model, wins in better.items()
    ]
    text = "\n".join(rows)
    print(text)
    target = Path("reports") / "adaptive_vs_fixed.md"
    target.parent.mkdir(exist_ok=True)
    put_text(target, text + "\n")


if __name__ == "__main__":
    main()
