"""A strategy trading live as a Cerebro script, here on a local paper exchange.

Start the exchange in one terminal and this script in another:

    leverpack paper --data data/made_BTCUSDT_1h_2025.csv --symbol BTC/USDT:USDT \
        --from 2025-03-01 --speed 3600
    python examples/run_live.py --url http://127.0.0.1:8686

Without ``--url`` it trades in the sandbox of the venue, with the keys from BINANCEUSDM_API_KEY
and BINANCEUSDM_API_SECRET (environment or .env).
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
    """Run the conservative strategy at 3x until Ctrl-C; stops and targets stay at the venue."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--url", help="a server of the venue's protocol, such as leverpack paper")
    options.add_argument("--journal", default="leverpack-live.db")
    options.add_argument("--timeframe", default="1h")
    asked = options.parse_args()

    store = ct.CCXTStore(
        exchange="binanceusdm",
        config={"options": {"leverage": 3, "margin": "isolated"}},
        sandbox=True,
        url=asked.url,
    )
    cerebro = ct.bt.Cerebro(stdstats=False, quicknotify=True)
    broker = ct.CCXTLiveBroker(store=store, journal=asked.journal)
    cerebro.setbroker(broker)
    cerebro.adddata(
        ct.CCXTDataFeed(store=store, symbol="BTC/USDT:USDT", timeframe=asked.timeframe, history=200)
    )
    cerebro.addstrategy(ConservativeLeverageStrategy, leverage=3.0)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: broker.end_run())

    with store:
        result = cerebro.run()[0]
        found = result.analyzers.margin.get_analysis()
        print(f"equity        {broker.getvalue():12,.2f}")
        print(f"position      {result.position.size:12g}")
        print(f"fees          {found['fees']:12,.2f}")
        print(f"margin calls  {found['margin_calls']:12d}")
        print(f"alerts        {len(broker.alerts):12d}")


if __name__ == "__main__":
    try:
        main()
    except LeverpackError as fault:  # says in one sentence what to do
        sys.exit(f"run_live.py: {fault}")
