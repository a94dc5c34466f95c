"""Real crashes: who survives on the mark, who is liquidated where, and what funding took."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import backtrader as bt
import pytest
from backtrader import Cerebro

from leverpack.backtest.broker import MarginBroker
from leverpack.candles.feed import CandleFeed
from leverpack.errors import DataError
from leverpack.margin.tiers import builtin_tiers
from tests.conftest import needs_shared, real, shared_dir

pytestmark = needs_shared

CANDLES = {  # the file that holds the trade candles (and mark) of a window, by symbol and year
    ("BTCUSDT", "1h"): "binanceusdm_BTCUSDT_perp_1h_20190908_20260219.parquet",
    ("ETHUSDT", "1h"): "binanceusdm_ETHUSDT_perp_1h_20200101_20221231.parquet",
    ("SOLUSDT", "15m"): "binanceusdm_SOLUSDT_perp_15m_20221001_20230102.parquet",
    ("HYPEUSDT", "1h"): "binanceusdm_HYPEUSDT_perp_1h_20250530_20260219.parquet",
}
MARKS_8H = {
    "BTCUSDT": "binanceusdm_BTCUSDT_mark_8h_20200101_20230107.parquet",
    "ETHUSDT": "binanceusdm_ETHUSDT_mark_8h_20200101_20230107.parquet",
    "SOLUSDT": "binanceusdm_SOLUSDT_mark_8h_20221001_20230107.parquet",
}


def files(event: dict[str, Any]) -> tuple[str, str | None]:
    symbol, frame = event["symbol"], event["trade_timeframe"]
    trades = CANDLES.get((symbol, frame), f"binanceusdm_{symbol}_perp_5m_20241231_20260219.parquet")
    if event.get("mark_timeframe") is None:
        return trades, None
    if event["mark_timeframe"] == "8h":
        return trades, MARKS_8H[symbol]
    since = "20250530" if symbol == "HYPEUSDT" else "20241231"
    return trades, f"binanceusdm_{symbol}_mark_1h_{since}_20260219.parquet"


class Hold(bt.Strategy):
    """Goes in once at the first chance with a fixed margin, and again after a liquidation."""

    params = (("side", 1), ("margin", 100.0), ("again", False), ("lowest", None))

    def __init__(self) -> None:
        self.tries = 0

    def next(self) -> None:
        self.p.lowest.append(self.broker.account.wallet)
        if not self.position and (self.tries == 0 or self.p.again):
            self.tries += 1
            leverage = self.broker.get_leverage(self.data)
            size = self.p.margin * leverage / self.data.close[0]
            (self.buy if self.p.side > 0 else self.sell)(size=size)


def hold(
    trades: str, mark: str | None, start: datetime, end: datetime, **settings: Any
) -> tuple[MarginBroker, list[float]]:
    strategy = {k: settings.pop(k) for k in ("side", "again", "margin") if k in settings}
    broker = MarginBroker(cash=1_000.0, **settings)
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    symbol = trades.split("_")[1]
    cerebro.adddata(
        CandleFeed(
            dataname=real(trades), mark=real(mark) if mark else None, symbol=symbol,
            fromdate=start, todate=end,
        )
    )  # fmt: skip
    wallets: list[float] = []
    cerebro.addstrategy(Hold, lowest=wallets, **strategy)
    cerebro.run()
    return broker, wallets


ETH_DAY = (datetime(2021, 5, 18, 23), datetime(2021, 5, 19, 23))
ETH = (CANDLES["ETHUSDT", "1h"], MARKS_8H["ETHUSDT"])


def test_eth_2x_long_of_19_may_2021_survives_on_the_mark():
    broker, _ = hold(*ETH, *ETH_DAY, leverage=2.0)
    assert not broker.liquidations
    position = broker.account.positions["ETHUSDT"]
    assert position.entry == 3377.03
    table = position.tiers
    assert broker.account.liquidation_price("ETHUSDT", {}) == pytest.approx(
        3377.03 * 0.5 / (1.0 - table.mmrs[0])
    )


def test_the_same_long_is_liquidated_on_the_trade_candles():
    broker, _ = hold(ETH[0], None, *ETH_DAY, leverage=2.0)
    (record,) = broker.liquidations
    assert record.price == pytest.approx(3377.03 * 0.5 / (1.0 - 0.004), rel=2e-3)
    assert 1690.0 < record.price < 1700.0


def events() -> list[dict[str, Any]]:
    path = shared_dir() / "data" / "perp" / "events.json"
    return json.loads(path.read_text()) if path.is_file() else []


@pytest.mark.parametrize("event", events(), ids=lambda e: f"{e['event']} {e['symbol']}")
@pytest.mark.parametrize("with_mark", [True, False])
def test_every_crash_liquidates_a_50x_long_where_the_formula_says(event: Any, with_mark: bool):
    trades, mark = files(event)
    start, end = (datetime.fromisoformat(t).replace(tzinfo=None) for t in event["window"])
    listed = event["symbol"] in builtin_tiers()
    tiers: Any = "builtin" if listed else builtin_tiers().at("BTCUSDT")
    broker, wallets = hold(
        trades, mark if with_mark else None, start, end, leverage=50.0, again=True, margin=10.0,
        tiers=tiers,
    )  # fmt: skip
    assert broker.liquidations, "a 50x long does not outlive a crash"
    assert min(wallets) >= 0.0
    candles = len(wallets)
    assert candles > 20, "the run goes on to its end"
    closed = [t for t in broker.ledger.trades if t.reason == "liquidation"]
    for record, trade in zip(broker.liquidations, closed, strict=True):
        table = broker.account.positions[record.symbol].tiers
        mmr, cum = table.mmrs[0], table.cums[0]
        margin = record.size * trade.entry_price / 50.0
        formula = (margin + cum - record.size * trade.entry_price) / (record.size * (mmr - 1.0))
        if record.gap == "open":
            assert record.price <= formula
        else:
            assert record.price == pytest.approx(formula, rel=1e-12)
        # It costs the margin and the opening fee, never more.
        assert trade.net == pytest.approx(-(trade.margin + trade.fees), rel=1e-9)


def test_sol_funding_of_the_ftx_collapse_is_charged_settlement_by_settlement():
    feed = CandleFeed(
        dataname=real(CANDLES["SOLUSDT", "15m"]),
        mark=real(MARKS_8H["SOLUSDT"]),
        funding=real("binanceusdm_SOLUSDT_funding_20200913_20260630.parquet"),
        symbol="SOLUSDT", fromdate=datetime(2022, 11, 7, 23, 45), todate=datetime(2022, 11, 20),
    )  # fmt: skip
    broker = MarginBroker(cash=1e6, leverage=1.0, tiers=None, maker=0.0, taker=0.0)
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    paid: list[tuple[datetime, float]] = []

    class Short(bt.Strategy):
        """Sells one coin and notes each funding payment."""

        def next(self) -> None:
            if len(self) == 1:
                self.sell(size=1.0)
            cash = self.broker.costs().funding
            if not paid or cash != paid[-1][1]:
                paid.append((self.data.datetime.datetime(), cash))

    cerebro.addstrategy(Short)
    cerebro.run()
    schedule = feed.funding
    inside = [
        i for i, t in enumerate(schedule.ts)
        if 1_667_865_600_000 <= t < 1_668_902_400_000  # 8 to 19 November 2022
    ]  # fmt: skip
    assert sum(schedule.rate[i] for i in inside) == pytest.approx(-0.327, abs=5e-4)
    assert sum(abs(schedule.rate[i] + 0.02) < 1e-12 for i in inside) == 7
    expected = 0.0
    # The settlement of 8 November 00:00 meets the position only if it was there before the open.
    for i in inside[1:]:
        expected += schedule.price[i] * schedule.rate[i]
    at_end = [c for t, c in paid if t < datetime(2022, 11, 20)][-1]
    assert at_end == pytest.approx(expected, rel=1e-12)
    assert expected < 0.0, "shorts paid"


def test_a_mark_file_that_is_really_trade_candles_is_refused():
    trades = real(CANDLES["ETHUSDT", "1h"])
    with pytest.raises(DataError, match="mark"):
        CandleFeed(dataname=trades, mark=trades, symbol="ETHUSDT")
