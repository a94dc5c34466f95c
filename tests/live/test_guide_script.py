"""Cracktrader's script as a user has it, its import changed: it trades on ``leverpack paper``.

The calls, names and parameters are those of the guide "Using Leverage"; the store's address comes
from the environment, as a script of that kind has no place for it.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from leverpack.live.journal import Journal
from tests.cli.test_paper import ended, get, started
from tests.live.test_processes import running, trades, wait_for
from tests.paper.stand import START, walk

SCRIPT = '''
import leverpack as ct

futures = {
    "apiKey": "your_api_key",
    "secret": "your_secret",
    "options": {"defaultType": "future", "leverage": 3},
}
spot_margin = {
    "apiKey": "your_api_key",
    "secret": "your_secret",
    "options": {"leverage": 2, "margin": True},
}
binance_store = ct.CCXTStore(exchange="binance", config=futures)
kraken_store = ct.CCXTStore(exchange="kraken", config=spot_margin)


class ConservativeLeverageStrategy(ct.bt.Strategy):
    params = (
        ("leverage", 2.0),
        ("risk_per_trade", 0.01),
        ("max_positions", 3),
        ("stop_loss_pct", 0.03),
        ("take_profit_pct", 0.06),
    )

    def __init__(self):
        self.sma_fast = ct.indicators.SMA(self.data.close, period=10)
        self.sma_slow = ct.indicators.SMA(self.data.close, period=30)
        self.rsi = ct.indicators.RSI(self.data.close, period=14)
        self.atr = ct.indicators.ATR(self.data, period=20)
        self.open_positions = 0
        self.entry_price = None
        self.margin_level = 1.0
        self.liquidation_price = None

    def next(self):
        price = self.data.close[0]
        if self.open_positions >= self.params.max_positions:
            return
        if not self.position:
            up = self.sma_fast[0] > self.sma_slow[0]
            risk = self.broker.get_value() * self.params.risk_per_trade
            size = risk / (price * self.params.stop_loss_pct) / self.params.leverage
            if up and self.rsi[0] < 35:
                self.buy(size=size)
                self.entry_price = price
                self.open_positions += 1
                self.log(f"Long entry at {price:.2f}, size: {size:.4f}")
            elif not up and self.rsi[0] > 65:
                self.sell(size=size)
                self.entry_price = price
                self.open_positions += 1
                self.log(f"Short entry at {price:.2f}, size: {size:.4f}")
        else:
            side = 1 if self.position.size > 0 else -1
            moved = side * (price / self.entry_price - 1)
            if moved <= -self.params.stop_loss_pct or moved >= self.params.take_profit_pct:
                self.close()
                self.log(f"Out at {price:.2f}")
                self.open_positions -= 1


class MarginAnalyzer(ct.bt.Analyzer):
    def __init__(self):
        self.margin_history = []

    def next(self):
        self.margin_history.append({
            "datetime": self.strategy.data.datetime.datetime(),
            "margin_level": self.strategy.margin_level,
            "current_price": self.strategy.data.close[0],
        })


cerebro = ct.Cerebro()
data = ct.CCXTDataFeed(store=binance_store, symbol="BTC/USDT", timeframe="15m")
cerebro.adddata(data)
cerebro.addstrategy(ConservativeLeverageStrategy)
cerebro.setbroker(ct.CCXTLiveBroker(store=binance_store))
cerebro.addanalyzer(MarginAnalyzer, _name="margin")
cerebro.run()
'''


def quarters(path: Path) -> Path:
    """Candles of 15 minutes with a pullback that the guide's rule buys soon after the 540th."""
    rows = [
        f"{START + i * 900_000},{','.join(map(str, row))},1000.0"
        for i, row in enumerate(walk(1_100, seed=10, swing=0.006))
    ]
    path.write_text("\n".join(("timestamp,open,high,low,close,volume", *rows)) + "\n")
    return path


def test_the_guides_script_trades(tmp_path: Path):
    (tmp_path / "guide.py").write_text(SCRIPT)
    exchange, url, _ = started(
        "--symbol", "BTC/USDT:USDT", "--from", "2025-01-06T12:00", "--speed", "18000",
        "--key", "your_api_key", "--secret", "your_secret", data=quarters(tmp_path / "btc.csv"),
    )  # fmt: skip
    try:
        with running("guide.py", cwd=tmp_path, LEVERPACK_URL=url) as process:
            wait_for(lambda: trades(url) > 0.0, process)
            wait_for(lambda: not get(f"{url}/paper/v1/state")["positions"], process)
            time.sleep(0.5)  # for what follows from a fill
            process.terminate()
            said = process.communicate(timeout=20)[0]
        state = get(f"{url}/paper/v1/state")
    finally:
        ended(exchange)
    assert "Traceback" not in said, said
    with Journal(tmp_path / "leverpack-live.db") as journal:
        fills = journal.fills()
        read = {row["leverage"] for row in journal.rows("leverage")}
    assert len(fills) >= 2 and all(fill["client_id"] for fill in fills)
    assert 3.0 in read  # what options.leverage names is what the guard has set and read back
    assert sum(fill["fee"] for fill in fills) == pytest.approx(float(state["costs"]["fees"]))
