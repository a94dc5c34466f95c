"""Random candles, orders, leverage changes, modes and funding: the money always adds up."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverpack.backtest.broker import MarginBroker
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError
from leverpack.margin.tiers import TierTable
from tests.backtest.desk import frame, funding, marks

TABLE = TierTable(
    "T", TierTable.flat("T", 0.1, 5.0, 0.0).valid_from, (0.0, 2_000.0, 10_000.0),
    (2_000.0, 10_000.0, 1e9), (0.004, 0.01, 0.05), (0.0, 12.0, 412.0), (125.0, 50.0, 10.0), 0.0125,
)  # fmt: skip
FEE = 0.0007


class Restless(bt.Strategy):
    """Does one random thing a candle and keeps its own cash book from the executions it is told."""

    params = (("plan", ()), ("book", None))

    def __init__(self) -> None:
        self.cash_flow = 0.0
        self.held = 0.0
        self.seen_executions: dict[int, float] = {}

    def notify_order(self, order: Any) -> None:
        if not order.executed.size:
            return
        before = self.seen_executions.get(order.ref, 0.0)
        size = order.executed.size - before
        if size:
            self.seen_executions[order.ref] = order.executed.size
            self.held += size
            self.cash_flow -= size * order.executed.price + order.executed.comm

    def next(self) -> None:
        broker = self.broker
        account = broker.account
        own = account.deposits + self.cash_flow + self.held * self.data.close[0]
        own += account.costs.funding - account.costs.interest
        tolerance = 1e-9 * (account._moved + abs(self.cash_flow) + 1.0)
        assert broker.getvalue() == pytest.approx(own, abs=tolerance)
        assert self.position.size == pytest.approx(account.positions["T"].size)
        assert self.position.size == pytest.approx(self.held, abs=1e-9)
        if not self.position.size:
            assert account.wallet >= -tolerance, "a flat account is never below zero"
            assert account.positions["T"].margin == 0.0
        self.p.book.append(own)
        plan = self.p.plan
        if len(self) <= len(plan):
            self._act(*plan[len(self) - 1])

    def _act(self, kind: str, number: int, shift: float) -> None:
        price = self.data.close[0] * (1.0 + shift)
        size = 1.0 + abs(number) * 3.0
        side = self.buy if number >= 0 else self.sell
        types = bt.Order
        try:
            if kind == "market":
                side(size=size)
            elif kind == "limit":
                side(size=size, exectype=types.Limit, price=price)
            elif kind == "stop":
                side(size=size, exectype=types.Stop, price=price)
            elif kind == "stoplimit":
                side(size=size, exectype=types.StopLimit, price=price, plimit=price * 1.001)
            elif kind == "trail":
                side(size=size, exectype=types.StopTrail, trailpercent=abs(shift) + 0.001)
            elif kind == "bracket":
                low, high = price * 0.97, price * 1.04
                if number >= 0:
                    self.buy_bracket(size=size, price=price, stopprice=low, limitprice=high)
                else:
                    self.sell_bracket(size=size, price=price, stopprice=high, limitprice=low)
            elif kind == "close":
                self.close()
            elif kind == "reduce":
                side(size=size, reduce_only=True)
            elif kind == "leverage":
                self.broker.set_leverage(self.data, float(1 + abs(number) * 5))
            elif kind == "mode":
                self.broker.set_margin_mode(self.data, "cross" if number > 0 else "isolated")
            elif kind == "margin":
                self.broker.add_margin(self.data, float(number))
            elif kind == "deposit":
                self.broker.add_cash(abs(number))
        except SettingError:
            pass


KINDS = [
    "market", "limit", "stop", "stoplimit", "trail", "bracket", "close", "reduce", "leverage",
    "mode", "margin", "deposit", "nothing",
]  # fmt: skip
STEPS = st.tuples(
    st.integers(-12, 12).map(lambda x: x / 100.0), st.integers(0, 20).map(lambda x: x / 100.0),
    st.integers(0, 20).map(lambda x: x / 100.0), st.integers(-3, 3).map(lambda x: x / 100.0),
)  # fmt: skip


def candles(steps: list[tuple[float, float, float, float]]) -> list[tuple[float, ...]]:
    """Random candles with gaps between them."""
    rows, close = [], 100.0
    for change, up, down, gap in steps:
        start = close * (1.0 + gap)
        close = start * (1.0 + change)
        top, bottom = max(start, close) * (1.0 + up), min(start, close) * (1.0 - down)
        rows.append((start, top, bottom, close))
    return rows


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEPS, min_size=5, max_size=40),
    plan=st.lists(
        st.tuples(
            st.sampled_from(KINDS), st.integers(-9, 9),
            st.integers(-8, 8).map(lambda x: x / 100.0),
        ),
        min_size=5, max_size=40,
    ),
    mark_steps=st.none() | st.lists(STEPS, min_size=40, max_size=40),
    rates=st.lists(st.integers(-30, 30), max_size=12),
    mode=st.sampled_from(["isolated", "cross"]),
    leverage=st.sampled_from([1.0, 3.0, 20.0, 100.0]),
    slippage=st.sampled_from([0.0, 0.002]),
    interest=st.sampled_from([0.0, 0.0005]),
    intrabar=st.sampled_from(["worst", "ohlc", "olhc"]),
)  # fmt: skip
def test_the_money_adds_up_at_every_candle(
    steps, plan, mark_steps, rates, mode, leverage, slippage, interest, intrabar
):
    rows = candles(steps)
    mark = None if mark_steps is None else marks(candles(mark_steps[: len(rows)]))
    times = pd.date_range("2025-01-01", periods=len(rates), freq="3h", tz="UTC")
    paid = {t.isoformat(): r / 1000.0 for t, r in zip(times, rates, strict=True)}
    feed = CandleFeed(
        dataname=frame(rows), mark=mark, funding=funding(paid) if paid else None, symbol="T"
    )
    broker = MarginBroker(
        cash=1_000.0, leverage=leverage, margin_mode=mode, tiers=TABLE, maker=FEE, taker=FEE,
        slippage=slippage, interest_hourly=interest, intrabar=intrabar,
    )  # fmt: skip
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    book: list[float] = []
    cerebro.addstrategy(Restless, plan=plan, book=book)
    cerebro.run()
    assert len(book) == len(rows)
    trades = [*broker.ledger.trades, *broker.ledger.still_open(list(broker.markets.values()))]
    gained = broker.getvalue() - broker.account.deposits
    assert sum(t.net for t in trades) == pytest.approx(
        gained, abs=1e-9 * (broker.account._moved + 1.0)
    )
