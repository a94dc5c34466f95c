"""The market streams: candles, mark price, book ticker, trades, depth, 24 hours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from leverpack.paper.binance.market import day_shape, funding_ahead, sides
from leverpack.paper.binance.shapes import Shape, money
from leverpack.paper.binance.venue import Venue
from leverpack.paper.hub import Hub
from leverpack.paper.klines import INTERVALS, bars
from leverpack.paper.tape import Tape

_STREAM = re.compile(r"(?P<symbol>[a-z0-9]+|!)@?(?P<channel>[A-Za-z]+)(?P<rest>[A-Za-z0-9_@]*)")
CHANNELS = frozenset(
    {"kline", "markPrice", "bookTicker", "aggTrade", "trade", "depth", "ticker", "miniTicker",
     "forceOrder"}
)  # fmt: skip
_LEVELS = {"5": 5, "10": 10, "20": 20}
_WHOLE_BOOK = 1000


def is_stream(name: str) -> bool:
    """Whether the venue has a stream of that name."""
    found = _STREAM.fullmatch(name)
    if found is None or found["channel"] not in CHANNELS:
        return False
    return found["channel"] != "kline" or found["rest"].removeprefix("_") in INTERVALS


class MarketFeed:
    """Publishes what candles bring to those who listen, and nothing to nobody."""

    def __init__(self, venue: Venue, hub: Hub) -> None:
        self.venue = venue
        self.hub = hub
        self._trade_ids: dict[str, int] = {}
        self._makers: dict[str, Callable[[Tape, str], Any]] = {
            "markPrice": self._mark_price,
            "bookTicker": self._book_ticker,
            "aggTrade": self._agg_trade,
            "trade": self._trade,
            "ticker": self._ticker,
            "miniTicker": self._mini_ticker,
        }
        venue.exchange.market_listeners.append(self.moved)

    def moved(self, tape: Tape, what: str) -> None:
        """A candle has opened, moved or closed."""
        symbol = tape.instrument.symbol
        self._trade_ids[symbol] = self._trade_ids.get(symbol, 0) + 1
        if not self.hub.streams:
            return
        depth_done: Shape | None = None
        for stream in list(self.hub.streams):
            found = _STREAM.fullmatch(stream)
            if found is None or found["symbol"] not in (symbol.lower(), "!"):
                continue
            channel, rest = found["channel"], found["rest"]
            if channel == "kline":
                self._kline(stream, tape, rest.removeprefix("_"), what)
            elif channel == "depth":
                levels = _LEVELS.get(rest.partition("@")[0])
                if levels is None and depth_done is None:
                    depth_done = self._depth(tape)
                self.hub.publish(stream, depth_done if levels is None else self._top(tape, levels))
            elif channel in self._makers:
                payload = self._makers[channel](tape, what)
                whole = "@arr" in rest or rest == "arr"
                self.hub.publish(stream, [payload] if whole else payload)

    def _head(self, tape: Tape, event: str) -> Shape:
        return {"e": event, "E": self.venue.exchange.now, "s": tape.instrument.symbol}

    def _kline(self, stream: str, tape: Tape, interval: str, what: str) -> None:
        length = INTERVALS[interval]
        if length % tape.step_ms:
            return
        bar = bars(tape, length, limit=1)[-1]
        text = tape.instrument.price_text
        volume = bar.volume
        trades = self._trade_ids[tape.instrument.symbol]
        self.hub.publish(stream, self._head(tape, "kline") | {
            "k": {
                "t": bar.start, "T": bar.end - 1, "s": tape.instrument.symbol, "i": interval,
                "f": trades, "L": trades, "o": text(bar.open), "c": text(bar.close),
                "h": text(bar.high), "l": text(bar.low), "v": f"{volume:.3f}",
                "n": max(1, round(volume)), "x": what == "closed" and tape.end_ts >= bar.end,
                "q": f"{volume * bar.close:.5f}", "V": f"{volume / 2:.3f}",
                "Q": f"{volume * bar.close / 2:.5f}", "B": "0",
            }
        })  # fmt: skip

    def _mark_price(self, tape: Tape, what: str) -> Shape:
        mark = money(self.venue.exchange.books.marks[tape.instrument.symbol])
        rate, due = funding_ahead(tape)
        return self._head(tape, "markPriceUpdate") | {
            "p": mark, "i": mark, "P": mark, "r": money(rate), "T": due,
        }  # fmt: skip

    def _book_ticker(self, tape: Tape, what: str) -> Shape:
        bids, asks = sides(self.venue, tape.instrument.symbol, 1)
        (bid, bid_qty), (ask, ask_qty) = (bids or [["0", "0"]])[0], (asks or [["0", "0"]])[0]
        now = self.venue.exchange.now
        return self._head(tape, "bookTicker") | {
            "u": self._trade_ids[tape.instrument.symbol], "T": now, "b": bid, "B": bid_qty,
            "a": ask, "A": ask_qty,
        }  # fmt: skip

    def _agg_trade(self, tape: Tape, what: str) -> Shape:
        number = self._trade_ids[tape.instrument.symbol]
        row, volume = tape.forming()
        return self._head(tape, "aggTrade") | {
            "a": number, "p": tape.instrument.price_text(tape.last), "q": f"{volume:.3f}",
            "f": number, "l": number, "T": self.venue.exchange.now, "m": row[3] < row[0],
        }  # fmt: skip

    def _trade(self, tape: Tape, what: str) -> Shape:
        row, volume = tape.forming()
        now = self.venue.exchange.now
        return self._head(tape, "trade") | {
            "T": now, "t": self._trade_ids[tape.instrument.symbol],
            "p": tape.instrument.price_text(tape.last), "q": f"{volume:.3f}", "X": "MARKET",
            "m": row[3] < row[0],
        }  # fmt: skip

    def _ticker(self, tape: Tape, what: str) -> Shape:
        day = day_shape(tape, self.venue.exchange.now)
        names = {
            "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice",
            "c": "lastPrice", "Q": "lastQty", "o": "openPrice", "h": "highPrice", "l": "lowPrice",
            "v": "volume", "q": "quoteVolume", "O": "openTime", "C": "closeTime", "F": "firstId",
            "L": "lastId", "n": "count",
        }  # fmt: skip
        return self._head(tape, "24hrTicker") | {k: day[v] for k, v in names.items()}

    def _mini_ticker(self, tape: Tape, what: str) -> Shape:
        whole = self._ticker(tape, what)
        return {k: whole[k] for k in ("E", "s", "c", "o", "h", "l", "v", "q")} | {
            "e": "24hrMiniTicker"
        }

    def _top(self, tape: Tape, levels: int) -> Shape:
        symbol = tape.instrument.symbol
        bids, asks = sides(self.venue, symbol, levels)
        number = self.venue.book_ids.get(symbol, 1)
        return self._head(tape, "depthUpdate") | {
            "T": self.venue.exchange.now, "U": number, "u": number, "pu": number - 1,
            "b": bids, "a": asks,
        }  # fmt: skip

    def _depth(self, tape: Tape) -> Shape:
        """What has changed in the book since the last update; a level that is gone has size 0."""
        symbol = tape.instrument.symbol
        before = self.venue.shown.get(symbol, ({}, {}))
        bids, asks = (_by_price(side) for side in sides(self.venue, symbol, _WHOLE_BOOK))
        self.venue.shown[symbol] = (bids, asks)
        last = self.venue.book_ids.get(symbol, 1)
        self.venue.book_ids[symbol] = last + 1
        return self._head(tape, "depthUpdate") | {
            "T": self.venue.exchange.now, "U": last + 1, "u": last + 1, "pu": last,
            "b": _changes(before[0], bids), "a": _changes(before[1], asks),
        }  # fmt: skip


def _by_price(side: list[list[str]]) -> dict[str, str]:
    return {row[0]: row[1] for row in side}


def _changes(before: dict[str, str], now: dict[str, str]) -> list[list[str]]:
    gone = [[price, "0"] for price in before if price not in now]
    return gone + [[p, q] for p, q in now.items() if before.get(p) != q]
