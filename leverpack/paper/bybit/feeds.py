"""What Bybit's topics publish: candles and tickers, and the account's orders, fills, positions."""

from __future__ import annotations

from typing import Any

from leverpack.paper.binance.shapes import plain
from leverpack.paper.binance.venue import Venue
from leverpack.paper.bybit.market import INTERVALS, ticker
from leverpack.paper.bybit.shapes import BybitShapes
from leverpack.paper.hub import Hub
from leverpack.paper.klines import bars, interval_ms
from leverpack.paper.orders import Algo, Event, Order
from leverpack.paper.tape import Tape


class BybitFeeds:
    """Publishes to those who listen, and nothing to nobody."""

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self.venue = venue
        self.hub = hub
        self._shapes = BybitShapes(venue.exchange)
        self._silent_fills = 0
        self._numbers = 0
        venue.exchange.market_listeners.append(self.moved)
        venue.exchange.listeners.append(self.tell)

    def silence_fills(self, count: int) -> None:
        """A fault: nothing is said of the next ``count`` fills."""
        self._silent_fills += count

    # -- public ----------------------------------------------------------------------------------

    def moved(self, tape: Tape, what: str) -> None:
        """A candle has opened, moved or closed."""
        symbol = tape.instrument.symbol
        for topic in list(self.hub.streams):
            kind, _, rest = topic.partition(".")
            if kind == "kline" and rest.endswith(f".{symbol}"):
                self._kline(topic, tape, rest.partition(".")[0], closed=what == "closed")
            elif topic == f"tickers.{symbol}":
                self._publish(topic, ticker(self.venue, symbol))

    def _kline(self, topic: str, tape: Tape, interval: str, *, closed: bool) -> None:
        length = interval_ms(INTERVALS[interval], tape)
        bar = bars(tape, length, limit=1)[-1]
        text, now = tape.instrument.price_text, self.venue.exchange.now
        self._publish(topic, [{
            "start": bar.start, "end": bar.end - 1, "interval": interval, "open": text(bar.open),
            "close": text(bar.close), "high": text(bar.high), "low": text(bar.low),
            "volume": plain(bar.volume), "turnover": plain(bar.volume * bar.close),
            "confirm": closed and tape.end_ts >= bar.end, "timestamp": now,
        }])  # fmt: skip

    def _publish(self, topic: str, data: Any) -> None:
        self.hub.publish(topic, {
            "topic": topic, "type": "snapshot", "ts": self.venue.exchange.now, "data": data,
        })  # fmt: skip

    # -- private ---------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """What has happened to the account."""
        fill = event.execution in ("TRADE", "CALCULATED")
        if fill and self._silent_fills:
            self._silent_fills -= 1
            return
        subject = event.subject
        if event.kind == "order" and isinstance(subject, Order):
            if event.trade is not None:
                self._tell("execution", self._shapes.trade(event.trade))
            self._tell("order", self._shapes.order(subject))
        elif event.kind == "algo" and isinstance(subject, Algo):
            self._tell("order", self._shapes.algo(subject))
        elif event.kind == "account":
            for key in event.keys:
                self._tell("position", self._shapes.position(key))
            if "wallet" in self.hub.streams:
                self._tell("wallet", self._shapes.wallet())

    def _tell(self, topic: str, row: dict[str, Any]) -> None:
        if topic not in self.hub.streams:
            return
        self._numbers += 1
        self.hub.publish(topic, {
            "id": f"paper-{self._numbers}", "topic": topic,
            "creationTime": self.venue.exchange.now, "data": [{"category": "linear", **row}],
        })  # fmt: skip
