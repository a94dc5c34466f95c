"""The public market endpoints: contracts, prices, candles, depth, funding."""

from __future__ import annotations

from typing import Any

from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import Shape, kline, money
from leverpack.paper.binance.venue import Venue
from leverpack.paper.desk import PRICE_BAND
from leverpack.paper.klines import Bar, bars, interval_ms, last_day
from leverpack.paper.orders import CONDITIONAL_KINDS
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape

PERPETUAL_END = 4_133_404_800_000  # the delivery date that perpetual contracts have
MAX_KLINES = 1500
DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
_INTEREST = "0.00010000"


def ping(venue: Venue, params: Params) -> Shape:
    """GET ping."""
    return {}


def server_time(venue: Venue, params: Params) -> Shape:
    """GET time: the replay's clock, by which candles are closed or not."""
    return {"serverTime": venue.exchange.now + venue.skew_ms}


def exchange_info(venue: Venue, params: Params) -> Shape:
    """GET exchangeInfo."""
    settings, shapes = venue.exchange.settings, venue.shapes
    limits = [
        ("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_limit),
        ("ORDERS", "MINUTE", 1, settings.order_limit_minute),
        ("ORDERS", "SECOND", 10, settings.order_limit_10s),
    ]
    return {
        "timezone": "UTC",
        "serverTime": venue.exchange.now,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": kind, "interval": unit, "intervalNum": count, "limit": limit}
            for kind, unit, count, limit in limits
        ],
        "exchangeFilters": [],
        "assets": [
            {"asset": shapes.asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
        ],
        "symbols": [_contract(venue, tape) for tape in venue.exchange.tapes.values()],
    }


def _contract(venue: Venue, tape: Tape) -> Shape:
    instrument = tape.instrument
    tiers = venue.exchange.books.position(instrument.symbol).tiers
    tick, step = f"{instrument.tick:f}", f"{instrument.step:f}"
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_END,
        "onboardDate": int(tape.candles.ts[0]),
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": instrument.price_digits,
        "quantityPrecision": instrument.qty_digits,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": f"{tiers.liquidation_fee:.6f}",
        "marketTakeBound": f"{PRICE_BAND:.2f}",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "100000000",
             "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": f"{instrument.max_qty:f}",
             "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step,
             "maxQty": f"{instrument.market_max_qty:f}", "stepSize": step},
            {"filterType": "MAX_NUM_ORDERS", "limit": instrument.max_orders},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": instrument.max_algo_orders},
            {"filterType": "MIN_NOTIONAL", "notional": f"{instrument.min_notional:f}"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": f"{1 + PRICE_BAND:.4f}",
             "multiplierDown": f"{1 - PRICE_BAND:.4f}", "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET", *CONDITIONAL_KINDS],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def klines(venue: Venue, params: Params) -> list[Any]:
    """GET klines, and continuousKlines."""
    return _klines(venue, params, mark=False)


def mark_klines(venue: Venue, params: Params) -> list[Any]:
    """GET markPriceKlines; indexPriceKlines too, as the index is not known apart from the mark."""
    rows = _klines(venue, params, mark=True)
    return [[*row[:5], "0", row[6], "0", row[8], "0", "0", "0"] for row in rows]


def _klines(venue: Venue, params: Params, *, mark: bool) -> list[Any]:
    if "symbol" not in params and "pair" in params:
        params.values["symbol"] = params.text("pair")
    tape = venue.tape(params)
    length = interval_ms(params.text("interval"), tape)
    limit = params.whole("limit", 500, least=1, most=MAX_KLINES)
    found = bars(
        tape, length, start=params.maybe_whole("startTime"), end=params.maybe_whole("endTime"),
        limit=limit, mark=mark,
    )  # fmt: skip
    digits = 8 if mark else tape.instrument.price_digits
    return [kline(bar, digits) for bar in found]


def premium_index(venue: Venue, params: Params) -> Any:
    """GET premiumIndex: mark price, funding rate of the settlement to come."""
    rows = [_premium(venue, symbol) for symbol in venue.symbols(params)]
    return rows[0] if "symbol" in params else rows


def _premium(venue: Venue, symbol: str) -> Shape:
    tape = venue.exchange.tapes[symbol]
    mark = money(venue.exchange.books.marks[symbol])
    rate, due = funding_ahead(tape)
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": money(rate),
        "interestRate": _INTEREST,
        "nextFundingTime": due,
        "time": venue.exchange.now,
    }


def funding_ahead(tape: Tape) -> tuple[float, int]:
    """Rate (fraction) and time (epoch ms) of the settlement that comes next; zeros for none."""
    ahead = tape.next_settlement()
    return (ahead.rate, ahead.ts) if ahead is not None else (0.0, 0)


def funding_rate(venue: Venue, params: Params) -> list[Shape]:
    """GET fundingRate: settlements that have been charged, oldest first."""
    limit = params.whole("limit", 100, least=1, most=1000)
    start, end = params.maybe_whole("startTime"), params.maybe_whole("endTime")
    found = []
    for symbol in venue.symbols(params):
        tape = venue.exchange.tapes[symbol]
        for s in tape.settlements[: tape.settled]:
            if (start is None or s.ts >= start) and (end is None or s.ts <= end):
                found.append(
                    {"symbol": symbol, "fundingTime": s.ts, "fundingRate": money(s.rate),
                     "markPrice": money(s.price)}
                )  # fmt: skip
    return found[:limit] if start is not None else found[-limit:]


def funding_info(venue: Venue, params: Params) -> list[Shape]:
    """GET fundingInfo."""
    return [
        {"symbol": symbol, "adjustedFundingRateCap": "0.02000000",
         "adjustedFundingRateFloor": "-0.02000000", "fundingIntervalHours": tape.funding_hours,
         "disclaimer": False}
        for symbol, tape in venue.exchange.tapes.items()
    ]  # fmt: skip


def ticker_day(venue: Venue, params: Params) -> Any:
    """GET ticker/24hr."""
    rows = [day_shape(venue.exchange.tapes[s], venue.exchange.now) for s in venue.symbols(params)]
    return rows[0] if "symbol" in params else rows


def day_shape(tape: Tape, now: int) -> Shape:
    """The last 24 hours of a contract."""
    bar, instrument = last_day(tape), tape.instrument
    text = instrument.price_text
    return {
        "symbol": instrument.symbol,
        "priceChange": text(bar.close - bar.open),
        "priceChangePercent": f"{(bar.close / bar.open - 1.0) * 100.0:.3f}",
        "weightedAvgPrice": text((bar.high + bar.low + bar.close) / 3.0),
        "lastPrice": text(bar.close),
        "lastQty": instrument.qty_text(1),
        "openPrice": text(bar.open),
        "highPrice": text(bar.high),
        "lowPrice": text(bar.low),
        "volume": f"{bar.volume:.3f}",
        "quoteVolume": f"{_quote_volume(bar):.2f}",
        "openTime": bar.start,
        "closeTime": now,
        "firstId": 1,
        "lastId": max(1, now // 1000),
        "count": max(1, round(bar.volume)),
    }


def _quote_volume(bar: Bar) -> float:
    return bar.volume * (bar.open + bar.close) / 2.0


def ticker_price(venue: Venue, params: Params) -> Any:
    """GET ticker/price."""
    exchange = venue.exchange
    rows = [
        {"symbol": s, "price": exchange.tapes[s].instrument.price_text(exchange.last(s)),
         "time": exchange.now}
        for s in venue.symbols(params)
    ]  # fmt: skip
    return rows[0] if "symbol" in params else rows


def ticker_book(venue: Venue, params: Params) -> Any:
    """GET ticker/bookTicker."""
    rows = [_book(venue, symbol) for symbol in venue.symbols(params)]
    return rows[0] if "symbol" in params else rows


def _book(venue: Venue, symbol: str) -> Shape:
    bids, asks = sides(venue, symbol, 1)
    bid, ask = (bids or [["0", "0"]])[0], (asks or [["0", "0"]])[0]
    return {
        "symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0],
        "askQty": ask[1], "time": venue.exchange.now, "lastUpdateId": venue.exchange.now,
    }  # fmt: skip


def sides(venue: Venue, symbol: str, limit: int) -> tuple[list[list[str]], list[list[str]]]:
    """Bids and asks as pairs of texts, best first."""
    exchange = venue.exchange
    instrument, depth = exchange.tapes[symbol].instrument, exchange.depths[symbol]
    last = exchange.last(symbol)
    both = (depth.levels(-1, last), depth.levels(1, last))
    bids, asks = (
        [[instrument.price_text(p), instrument.qty_text(u)] for p, u in levels[:limit]]
        for levels in both
    )
    return bids, asks


def depth(venue: Venue, params: Params) -> Shape:
    """GET depth."""
    symbol = venue.tape(params).instrument.symbol
    limit = params.whole("limit", 500, least=1)
    if limit not in DEPTH_LIMITS:
        raise Refusal(-4021, f"{limit} is not valid depth limit.")
    bids, asks = sides(venue, symbol, limit)
    venue.show(symbol, bids, asks)
    return {
        "lastUpdateId": venue.book_ids.get(symbol, 1), "E": venue.exchange.now,
        "T": venue.exchange.now, "bids": bids, "asks": asks,
    }  # fmt: skip


def trades(venue: Venue, params: Params) -> list[Shape]:
    """GET trades: a trade at each close of the last candles; candles hold no others."""
    tape = venue.tape(params)
    found = _closes(tape, params.whole("limit", 500, least=1, most=1000))
    return [
        {"id": bar.end // 1000, "price": tape.instrument.price_text(bar.close),
         "qty": f"{bar.volume:.3f}", "quoteQty": f"{bar.volume * bar.close:.2f}",
         "time": bar.end - 1, "isBuyerMaker": bar.close < bar.open}
        for bar in found
    ]  # fmt: skip


def agg_trades(venue: Venue, params: Params) -> list[Shape]:
    """GET aggTrades, made as :func:`trades` is."""
    tape = venue.tape(params)
    found = _closes(tape, params.whole("limit", 500, least=1, most=1000))
    return [
        {"a": bar.end // 1000, "p": tape.instrument.price_text(bar.close),
         "q": f"{bar.volume:.3f}", "f": bar.end // 1000, "l": bar.end // 1000, "T": bar.end - 1,
         "m": bar.close < bar.open}
        for bar in found
    ]  # fmt: skip


def _closes(tape: Tape, limit: int) -> list[Bar]:
    found = bars(tape, tape.step_ms, limit=limit + 1)
    return [bar for bar in found if tape.progress >= 1.0 or bar.start != tape.open_ts][-limit:]


def open_interest(venue: Venue, params: Params) -> Shape:
    """GET openInterest: the candles do not tell, so it is 0."""
    symbol = venue.tape(params).instrument.symbol
    return {"symbol": symbol, "openInterest": "0", "time": venue.exchange.now}
