"""A leveraged backtest as a Cerebro script: run it with ``python examples/run_backtest.py``."""

from __future__ import annotations

from pathlib import Path

import leverpack as lp
from analyzers import MarginAnalyzer
from strategies import ConservativeLeverageStrategy

DATA = Path(__file__).resolve().parent.parent / "data"


def main() -> None:
    """Run the conservative strategy at 3x on the made candles and print what came out."""
    cerebro = lp.Cerebro()
    cerebro.setbroker(lp.MarginBroker(cash=10_000.0, leverage=3.0, margin_mode="isolated"))
    cerebro.adddata(
        lp.CandleFeed(
            dataname=DATA / "made_BTCUSDT_1h_2025.csv",
            mark=DATA / "made_BTCUSDT_mark_1h_2025.csv",
            funding=DATA / "made_BTCUSDT_funding_2025.csv",
            symbol="BTC/USDT:USDT",
        )
    )
    cerebro.addstrategy(ConservativeLeverageStrategy, leverage=3.0)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    results = cerebro.run()
    found = results[0].analyzers.margin.get_analysis()
    print(f"equity             {cerebro.broker.getvalue():12,.2f}")
    print(f"lowest margin level{found['min_margin_level'] or 0.0:12.2f}")
    print(f"margin calls       {found['margin_calls']:12d}")
    print(f"liquidations       {len(found['liquidations']):12d}")
    print(f"nearest liquidation{found['nearest_liquidation'] or 1.0:12.2%} of the price away")
    print(f"funding            {found['funding']:12,.2f}")
    print(f"fees               {found['fees']:12,.2f}")


if __name__ == "__main__":
    main()
