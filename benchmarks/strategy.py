"""The strategy of the benchmark: plain Backtrader, runs the same under either engine."""

from __future__ import annotations

from typing import Any

import backtrader as bt


class Pullback(bt.Strategy):
    """SMA(10)/SMA(30) trend with an RSI(14) pullback, both sides, bracket orders 1 % / 2 %."""

    def __init__(self) -> None:
        close = self.data.close
        self.fast = bt.indicators.SMA(close, period=10)
        self.slow = bt.indicators.SMA(close, period=30)
        self.rsi = bt.indicators.RSI(close, period=14, safediv=True)
        self.sent: list[Any] = []
        self.log: list[tuple[float, ...]] = []

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.log.append((trade.barlen, trade.price, trade.pnlcomm))

    def next(self) -> None:
        if self.position:
            return
        up = self.fast[0] > self.slow[0]
        rsi = self.rsi[0]
        if up and rsi < 35.0:
            side = 1
        elif not up and rsi > 65.0:
            side = -1
        else:
            return
        if any(order.alive() for order in self.sent):
            return
        price = self.data.close[0]
        size = 0.3 * self.broker.getvalue() / price
        send = self.buy_bracket if side > 0 else self.sell_bracket
        self.sent = send(
            size=size, exectype=bt.Order.Market, stopprice=price * (1.0 - side * 0.01),
            limitprice=price * (1.0 + side * 0.02),
        )  # fmt: skip
