"""Bybit's public endpoints: contracts, candles, tickers, depth, funding, risk limits."""

from __future__ import annotations

from typing import Any

from leverpack.paper.binance.market import funding_ahead, sides
from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import plain
from leverpack.paper.binance.venue import Venue
from leverpack.paper.klines import bars, interval_ms, last_day
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape

INTERVALS = {
    "1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h",
    "240": "4h", "360": "6h", "720": "12h", "D": "1d", "W": "1w", "M": "1M",
}  # fmt: skip
Result = dict[str, Any]


def linear(params: Params) -> None:
    """Refuse every category but linear."""
    params.one_of("category", ("LINEAR",), -1130)


def server_time(venue: Venue, params: Params) -> Result:
    """GET market/time."""
    now = venue.exchange.now
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def instruments(venue: Venue, params: Params) -> Result:
    """GET market/instruments-info."""
    category = params.text("category")
    listed = category == "linear" and params.text("status", "Trading") == "Trading"
    symbols = venue.symbols(params) if listed else []
    rows = [_instrument(venue, venue.exchange.tapes[s]) for s in symbols]
    return {"category": category, "list": rows, "nextPageCursor": ""}


def _instrument(venue: Venue, tape: Tape) -> Result:
    instrument = tape.instrument
    largest = venue.exchange.books.position(instrument.symbol).tiers.max_leverages[0]
    step = f"{instrument.step:f}"
    return {
        "symbol": instrument.symbol, "contractType": "LinearPerpetual", "status": "Trading",
        "baseCoin": instrument.base, "quoteCoin": instrument.quote, "settleCoin": instrument.quote,
        "launchTime": str(int(tape.candles.ts[0])), "deliveryTime": "0", "deliveryFeeRate": "",
        "priceScale": str(instrument.price_digits),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{largest:g}",
                           "leverageStep": "0.01"},
        "priceFilter": {"minPrice": f"{instrument.tick:f}", "maxPrice": "100000000",
                        "tickSize": f"{instrument.tick:f}"},
        "lotSizeFilter": {"maxOrderQty": f"{instrument.max_qty:f}", "minOrderQty": step,
                          "qtyStep": step, "maxMktOrderQty": f"{instrument.market_max_qty:f}",
                          "minNotionalValue": f"{instrument.min_notional:f}"},
        "unifiedMarginTrade": True, "fundingInterval": tape.funding_hours * 60,
        "isPreListing": False, "copyTrading": "none", "upperFundingRate": "0.02",
        "lowerFundingRate": "-0.02",
    }  # fmt: skip


def kline(venue: Venue, params: Params) -> Result:
    """GET market/kline: newest first."""
    return _kline(venue, params, mark=False)


def mark_kline(venue: Venue, params: Params) -> Result:
    """GET market/mark-price-kline; index-price-kline too."""
    found = _kline(venue, params, mark=True)
    return found | {"list": [row[:5] for row in found["list"]]}


def _kline(venue: Venue, params: Params, *, mark: bool) -> Result:
    linear(params)
    tape = venue.tape(params)
    length = interval_ms(INTERVALS.get(params.text("interval"), ""), tape)
    found = bars(
        tape, length, start=params.maybe_whole("start"), end=params.maybe_whole("end"),
        limit=params.whole("limit", 200, least=1, most=1000), mark=mark,
    )  # fmt: skip
    rows = [
        [str(b.start), *(plain(p) for p in (b.open, b.high, b.low, b.close)),
         plain(b.volume), plain(b.volume * b.close)]
        for b in reversed(found)
    ]  # fmt: skip
    return {"category": "linear", "symbol": tape.instrument.symbol, "list": rows}


def tickers(venue: Venue, params: Params) -> Result:
    """GET market/tickers."""
    linear(params)
    rows = [ticker(venue, symbol) for symbol in venue.symbols(params)]
    return {"category": "linear", "list": rows}


def ticker(venue: Venue, symbol: str) -> Result:
    """One contract's ticker, of REST and of the stream."""
    tape = venue.exchange.tapes[symbol]
    day, mark = last_day(tape), plain(venue.exchange.books.marks[symbol])
    rate, due = funding_ahead(tape)
    bids, asks = sides(venue, symbol, 1)
    (bid, bid_size), (ask, ask_size) = (bids or [["", ""]])[0], (asks or [["", ""]])[0]
    return {
        "symbol": symbol, "lastPrice": plain(day.close), "indexPrice": mark, "markPrice": mark,
        "prevPrice24h": plain(day.open), "price24hPcnt": plain(day.close / day.open - 1.0),
        "highPrice24h": plain(day.high), "lowPrice24h": plain(day.low), "openInterest": "0",
        "turnover24h": plain(day.volume * day.close), "volume24h": plain(day.volume),
        "fundingRate": plain(rate), "nextFundingTime": str(due),
        "fundingIntervalHour": str(tape.funding_hours), "bid1Price": bid, "bid1Size": bid_size,
        "ask1Price": ask, "ask1Size": ask_size,
    }  # fmt: skip


def orderbook(venue: Venue, params: Params) -> Result:
    """GET market/orderbook."""
    linear(params)
    symbol = venue.tape(params).instrument.symbol
    bids, asks = sides(venue, symbol, params.whole("limit", 25, least=1, most=500))
    now = venue.exchange.now
    return {"s": symbol, "b": bids, "a": asks, "ts": now, "u": now // 1000, "seq": now, "cts": now}


def recent_trades(venue: Venue, params: Params) -> Result:
    """GET market/recent-trade: one at each close of the last candles."""
    linear(params)
    tape = venue.tape(params)
    limit = params.whole("limit", 500, least=1, most=1000)
    rows = [
        {"execId": str(b.end), "symbol": tape.instrument.symbol, "price": plain(b.close),
         "size": plain(b.volume), "side": "Buy" if b.close >= b.open else "Sell",
         "time": str(b.end - 1), "isBlockTrade": False}
        for b in reversed(bars(tape, tape.step_ms, limit=limit))
        if b.start != tape.open_ts or tape.progress >= 1.0
    ]  # fmt: skip
    return {"category": "linear", "list": rows}


def funding_history(venue: Venue, params: Params) -> Result:
    """GET market/funding/history: newest first."""
    linear(params)
    tape = venue.tape(params)
    start, end = params.maybe_whole("startTime"), params.maybe_whole("endTime")
    if start is not None and end is None:
        raise Refusal(-1102, name="endTime")
    rows = [
        {"symbol": tape.instrument.symbol, "fundingRate": plain(s.rate),
         "fundingRateTimestamp": str(s.ts)}
        for s in reversed(tape.settlements[: tape.settled])
        if (start is None or s.ts >= start) and (end is None or s.ts <= end)
    ]  # fmt: skip
    return {"category": "linear", "list": rows[: params.whole("limit", 200, least=1, most=200)]}


def risk_limit(venue: Venue, params: Params) -> Result:
    """GET market/risk-limit: the tiers."""
    linear(params)
    rows = []
    for symbol in venue.symbols(params):
        table = venue.exchange.books.position(symbol).tiers
        columns = zip(table.caps, table.mmrs, table.cums, table.max_leverages, strict=True)
        for i, (cap, rate, cum, most) in enumerate(columns, 1):
            rows.append(
                {"id": i, "symbol": symbol, "riskLimitValue": plain(min(cap, 1e15)),
                 "maintenanceMargin": plain(rate), "initialMargin": plain(1.0 / most),
                 "isLowestRisk": int(i == 1), "maxLeverage": f"{most:g}",
                 "mmDeduction": plain(cum)}
            )  # fmt: skip
    return {"category": "linear", "list": rows, "nextPageCursor": ""}
