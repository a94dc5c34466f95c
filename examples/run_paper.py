"""A strategy on an exchange's candles as they close, with orders filled here: no key, no order.

    python examples/run_paper.py                       # Binance's real candles
    python examples/run_paper.py --url http://127.0.0.1:8686    # those of `leverpack paper`

Every run starts flat with its cash, and ends with Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys

import leverpack as ct
from analyzers import MarginAnalyzer
from leverpack.errors import LeverpackError
from strategies import ConservativeLeverageStrategy


def main() -> None:
    """Run the conservative strategy at 3x on paper until Ctrl-C, and print what came of it."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--url", help="a server of the venue's protocol, such as leverpack paper")
    options.add_argument("--timeframe", default="1h")
    asked = options.parse_args()

    store = ct.CCXTStore(exchange="binanceusdm", url=asked.url, public=True)
    broker = ct.CCXTPaperBroker(store=store, cash=10_000.0, leverage=3.0)
    cerebro = ct.Cerebro(stdstats=False, quicknotify=True)
    cerebro.setbroker(broker)
    cerebro.adddata(
        ct.CCXTDataFeed(store=store, symbol="BTC/USDT:USDT", timeframe=asked.timeframe, history=200)
    )
    cerebro.addstrategy(ConservativeLeverageStrategy, leverage=3.0)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: broker.end_run())

    with store:
        found = cerebro.run()[0].analyzers.margin.get_analysis()
        print(f"equity        {broker.getvalue():12,.2f}")
        print(f"trades        {len(broker.trade_records()):12d}")
        print(f"fees          {found['fees']:12,.2f}")
        print(f"margin calls  {found['margin_calls']:12d}")


if __name__ == "__main__":
    try:
        main()
    except LeverpackError as fault:  # says in one sentence what to do
        sys.exit(f"run_paper.py: {fault}")
