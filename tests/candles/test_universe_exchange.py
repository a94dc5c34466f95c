"""The universe of an exchange: an unmodified ccxt client against a small server in its format."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest

from leverpack.candles.universe import UniverseRules, universe_from_exchange
from leverpack.errors import DataError, SettingError

DAY = 86_400_000
NOW = 1_760_054_400_000 + 10 * 3_600_000  # 2025-10-10T10:00Z: a daily candle is half done
USDT = UniverseRules(quote="USDT", min_volume=1e6)


class Venue:
    """The public part of a futures exchange: instruments, 24-hour tickers and daily klines."""

    def __init__(self) -> None:
        self.instruments: dict[str, dict[str, Any]] = {}
        self.klines: dict[str, list[list[Any]]] = {}
        self.tickers: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []  # symbols whose klines were asked for
        self.down: set[str] = set()  # paths that answer 503
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def list(
        self, base: str, quote: str = "USDT", *, days: int = 60, daily: float = 0.05,
        volume: float = 1e5, price: float = 100.0, status: str = "TRADING",
        contract: str = "PERPETUAL", ended: int = 0, still: int = 0,
    ) -> None:  # fmt: skip
        """List an instrument that ended, or stands still, since so many days."""
        name = base + quote + ("" if contract == "PERPETUAL" else "_251226")
        self.instruments[name] = instrument(name, base, quote, status, contract)
        rng = np.random.default_rng(sum(map(ord, name)))
        moves = rng.normal(0.0, daily, days + 1)
        today = NOW // DAY * DAY
        rows, last = [], price
        for back, move in zip(range(days, -1, -1), moves, strict=True):
            moving = back >= still
            close = round(last * math.exp(move), 6) if moving else last
            wick = 1.001 if moving else 1.0
            high, low = max(last, close) * wick, min(last, close) / wick
            at = today - back * DAY
            rows.append(
                [at, f"{last:.6f}", f"{high:.8f}", f"{low:.8f}", f"{close:.6f}", f"{volume:.3f}",
                 at + DAY - 1, f"{volume * close:.4f}", 9, "1.0", "1.0", "0"]
            )  # fmt: skip
            last = close
        self.klines[name] = rows[: len(rows) - ended]
        seen = NOW if not ended else self.klines[name][-1][6]
        self.tickers[name] = ticker(name, self.klines[name][-1], seen)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        venue = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = venue.answer(self.path)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, target: str) -> tuple[int, Any]:
        path = urlsplit(target).path
        asked = {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
        if path in self.down:
            return 503, {"code": 0, "msg": "Service unavailable"}
        if path == "/fapi/v1/exchangeInfo":
            return 200, {"timezone": "UTC", "symbols": list(self.instruments.values())}
        if path == "/fapi/v1/ticker/24hr":
            return 200, list(self.tickers.values())
        if path == "/fapi/v1/klines" and asked["interval"] == "1d":
            self.asked.append(asked["symbol"])
            if asked["symbol"] not in self.klines:
                return 400, {"code": -1121, "msg": "Invalid symbol."}
            return 200, self.klines[asked["symbol"]][-int(asked["limit"]) :]
        return 404, {"code": -1, "msg": f"nothing at {path}"}


def instrument(name: str, base: str, quote: str, status: str, contract: str) -> dict[str, Any]:
    return {
        "symbol": name, "pair": base + quote, "contractType": contract, "status": status,
        "deliveryDate": 4_133_404_800_000 if contract == "PERPETUAL" else 1_766_736_000_000,
        "onboardDate": 1_569_398_400_000, "baseAsset": base, "quoteAsset": quote,
        "marginAsset": quote, "pricePrecision": 6, "quantityPrecision": 3,
        "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN",
        "maintMarginPercent": "2.5", "requiredMarginPercent": "5.0", "liquidationFee": "0.0125",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.000001", "maxPrice": "9999999",
             "tickSize": "0.000001"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "99999", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC"],
    }  # fmt: skip


def ticker(name: str, kline: list[Any], seen: int) -> dict[str, Any]:
    return {
        "symbol": name, "priceChange": "0", "priceChangePercent": "0", "weightedAvgPrice": "0",
        "lastPrice": kline[4], "lastQty": "1", "openPrice": kline[1], "highPrice": kline[2],
        "lowPrice": kline[3], "volume": kline[5], "quoteVolume": kline[7],
        "openTime": seen - DAY, "closeTime": seen, "firstId": 1, "lastId": 2, "count": 2,
    }  # fmt: skip


@pytest.fixture
def venue() -> Iterator[Venue]:
    venue = Venue()
    thread = threading.Thread(target=venue.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield venue
    venue.server.shutdown()
    venue.server.server_close()
    thread.join()


@pytest.fixture
def exchange(venue: Venue) -> Any:
    """The client as a user makes it, but for the address it talks to."""
    import ccxt

    client = ccxt.binanceusdm({"timeout": 5_000, "enableRateLimit": False})
    client.urls["api"] = {
        name: venue.url + urlsplit(url).path for name, url in client.urls["api"].items()
    }
    return client


def closed(venue: Venue, name: str, days: int) -> pd.DataFrame:
    """The last ``days`` finished daily candles that the server holds."""
    rows = [row for row in venue.klines[name] if row[6] < NOW][-days:]
    frame = pd.DataFrame([row[1:6] for row in rows], columns=["open", "high", "low", "close", "v"])
    return frame.astype(float)


def test_markets_are_measured_ranked_and_left_out(venue: Venue, exchange: Any):
    venue.list("AAA")
    venue.list("BBB", daily=0.08)
    venue.list("CALM", daily=0.01)
    venue.list("USDC", daily=0.0003, price=1.0)
    venue.list("NEW", days=12)
    venue.list("HALT", status="SETTLING")
    venue.list("DEAD", ended=4)
    venue.list("STILL", still=3)
    venue.list("QUIET")
    venue.tickers["QUIETUSDT"]["closeTime"] = NOW - 3 * DAY
    venue.list("THIN", volume=10.0)  # 1,000 USDT a day
    venue.list("LOW", volume=5e3)  # half of what is wanted: looked at, then left out
    venue.list("AAA", "USDC")
    venue.list("BBB", contract="CURRENT_QUARTER")
    venue.list("GONE")
    del venue.klines["GONEUSDT"]
    steps: list[tuple[int, int]] = []
    got = universe_from_exchange(
        exchange, USDT, days=45, now=NOW, progress=lambda *step: steps.append(step)
    )
    assert got.symbols == ["BBB/USDT:USDT", "AAA/USDT:USDT"]
    for m in got.chosen:
        frame = closed(venue, m.base + m.quote, 45)
        assert m.days == 45
        assert m.daily_volatility == pytest.approx(np.log(frame.close).diff().std(), rel=1e-9)
        assert m.quote_volume == pytest.approx((frame.v * frame.close).median(), rel=1e-9)
        assert m.range_spread == pytest.approx(
            ((frame.high - frame.low) / frame.close).mean(), rel=1e-9
        )
        assert m.last_price == frame.close.iloc[-1]
    expected = {
        "CALM": "daily volatility",
        "USDC": "USDC and USDT are both currencies or pegged",
        "NEW": "12 whole days",
        "HALT": "not active",
        "DEAD": "82.0 hours before now",
        "QUIET": "72.0 hours before now",
        "STILL": "no price changed for 48.0 hours",
        "THIN": "in the last 24 hours, less than a tenth of the 1,000,000",
        "LOW": "a day, at least 1,000,000 USDT is wanted",
    }
    assert got.left_out.keys() == {f"{base}/USDT:USDT" for base in expected}
    for base, words in expected.items():
        assert words in got.left_out[f"{base}/USDT:USDT"]
    assert list(got.refused) == ["GONE/USDT:USDT"]
    assert "BadSymbol" in got.refused["GONE/USDT:USDT"]
    bases = ["AAA", "BBB", "CALM", "DEAD", "GONE", "LOW", "NEW", "QUIET", "STILL", "USDC"]
    assert venue.asked == [f"{base}USDT" for base in bases]
    assert steps == [(done, 10) for done in range(1, 11)]


def test_only_the_largest_are_looked_at(venue: Venue, exchange: Any):
    for base, volume in (("AAA", 1e5), ("BBB", 3e5), ("CCC", 2e5), ("DDD", 2e4)):
        venue.list(base, volume=volume, price=50.0, daily=0.04)
    venue.list("EEE", "USDC", daily=0.04)
    got = universe_from_exchange(exchange, UniverseRules(rank_by="volume"), most=3, now=NOW)
    by_volume = sorted(venue.tickers, key=lambda s: -float(venue.tickers[s]["quoteVolume"]))
    assert sorted(venue.asked) == sorted(by_volume[:3])
    assert len(got.chosen) == 3
    assert [m.quote_volume for m in got.chosen] == sorted(
        (m.quote_volume for m in got.chosen), reverse=True
    )
    reasons = list(got.left_out.values())
    assert reasons[0].startswith("place 4 of 5")
    assert reasons[1].startswith("place 5 of 5")


def test_the_clock_is_the_default(venue: Venue, exchange: Any):
    venue.list("AAA")
    assert "before now" in universe_from_exchange(exchange, USDT).left_out["AAA/USDT:USDT"]


def test_no_lookahead_into_the_forming_candle(venue: Venue, exchange: Any):
    venue.list("AAA")
    before = universe_from_exchange(exchange, USDT, now=NOW).chosen
    forming = venue.klines["AAAUSDT"][-1]
    forming[2], forming[4], forming[5] = "900.0", "800.0", "999999999.0"
    after = universe_from_exchange(exchange, USDT, now=NOW).chosen
    assert before == after


def test_a_failing_exchange(venue: Venue, exchange: Any):
    for base in "ABCDEF":
        venue.list(base * 3)
    venue.down = {"/fapi/v1/klines"}
    with pytest.raises(DataError, match=r"^binanceusdm: 5 requests for candles failed in a row"):
        universe_from_exchange(exchange, USDT, now=NOW)
    venue.down = {"/fapi/v1/ticker/24hr"}
    with pytest.raises(DataError, match=r"^binanceusdm: fetch_tickers failed with \w+: .*503"):
        universe_from_exchange(exchange, USDT, now=NOW)
    venue.down = {"/fapi/v1/exchangeInfo"}
    exchange.markets = None
    with pytest.raises(DataError, match=r"^binanceusdm: load_markets failed with \w+: .*503"):
        universe_from_exchange(exchange, USDT, now=NOW)


def test_failures_in_between_do_not_stop_it(venue: Venue, exchange: Any):
    for base in "ABCDEFGHIJK":
        venue.list(base * 3)
    for base in "ACEGIK":
        del venue.klines[base * 3 + "USDT"]
    venue.klines["BBBUSDT"] = []
    got = universe_from_exchange(exchange, USDT, now=NOW)
    assert len(got.refused) == 7
    assert got.refused["BBB/USDT:USDT"] == "the exchange has no daily candles of it"
    assert sorted(got.symbols) == [f"{c * 3}/USDT:USDT" for c in "DFHJ"]


def test_settings_that_make_no_sense(venue: Venue, exchange: Any):
    venue.list("AAA")
    for wrong, words in (
        ({"market_type": "option"}, "swap or spot"),
        ({"days": 20}, "days 20 is under min_days 30"),
        ({"most": 0}, "most must be 1 or more"),
    ):
        with pytest.raises(SettingError, match=words):
            universe_from_exchange(exchange, USDT, now=NOW, **wrong)
    assert venue.asked == []
    with pytest.raises(DataError, match="no swap market quoted in EUR"):
        universe_from_exchange(exchange, UniverseRules(quote="EUR"), now=NOW)
    with pytest.raises(DataError, match="no spot market quoted in USDT"):
        universe_from_exchange(exchange, USDT, market_type="spot", now=NOW)
