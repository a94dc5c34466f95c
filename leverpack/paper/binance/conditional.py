"""The conditional ("algo") order endpoints, where stops live since December 2025."""

from __future__ import annotations

from decimal import Decimal

from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import Shape
from leverpack.paper.binance.trading import asked_for, read_time_in_force
from leverpack.paper.binance.venue import Venue
from leverpack.paper.instrument import Instrument
from leverpack.paper.orders import BOTH, CONDITIONAL_KINDS, MARKET_KINDS, TRAILING, Algo
from leverpack.paper.refusal import Refusal

LEAST_CALLBACK, MOST_CALLBACK = Decimal("0.1"), Decimal(10)  # percent
WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")


def new_algo(venue: Venue, params: Params) -> Shape:
    """POST algoOrder."""
    return venue.shapes.algo(venue.exchange.desk.place_algo(read_algo(venue, params)))


def read_algo(venue: Venue, params: Params) -> Algo:
    """The conditional order that a request describes, with a fresh id."""
    instrument = venue.instrument(params)
    params.one_of("algoType", ("CONDITIONAL",), -1130)
    sign = 1 if params.one_of("side", ("BUY", "SELL"), -1117) == "BUY" else -1
    kind = params.one_of("type", CONDITIONAL_KINDS, -1116)
    limit = kind not in MARKET_KINDS
    tif, good_till = "GTC", 0
    if limit and "timeInForce" in params:
        tif, good_till = read_time_in_force(venue, params, required=True)
    closes = params.flag("closePosition")
    algo_id = venue.exchange.desk.algos.new_id()
    algo = Algo(
        algo_id, params.client_id("clientAlgoId", f"paper{algo_id}"), instrument.symbol, sign,
        kind, _units(params, instrument, kind, closes=closes), tif=tif,
        position_side=venue.side(params), reduce_only=params.flag("reduceOnly"),
        close_position=closes,
        working=params.one_of("workingType", WORKING_TYPES, -1130, "CONTRACT_PRICE"),
        price_protect=params.flag("priceProtect"), good_till=good_till,
    )  # fmt: skip
    if closes and "reduceOnly" in params and algo.position_side == BOTH:
        raise Refusal(-1106, name="reduceOnly")
    if limit:
        algo.price = params.price("price", instrument)
    if kind == TRAILING:
        algo.callback = _callback(params)
        for name in ("activatePrice", "activationPrice"):
            if name in params:
                algo.activation = params.price(name, instrument)
    else:
        algo.trigger = params.price("triggerPrice", instrument)
    return algo


def _units(params: Params, instrument: Instrument, kind: str, *, closes: bool) -> int:
    if not closes:
        return params.quantity("quantity", instrument, market=kind in MARKET_KINDS)
    if kind not in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
        raise Refusal(-4136, kind=kind)
    if "quantity" in params:
        raise Refusal(-4137)
    return 0


def _callback(params: Params) -> float:
    percent = params.decimal("callbackRate")
    if not LEAST_CALLBACK <= percent <= MOST_CALLBACK:
        raise Refusal(-1130, name="callbackRate")
    return float(percent / 100)


def _find(venue: Venue, params: Params, unknown: int) -> Algo:
    algo_id, client_id = params.maybe_whole("algoId"), params.values.get("clientAlgoId")
    if algo_id is None and not client_id:
        raise Refusal(-1102, name="algoId")
    algo = venue.exchange.desk.algos.find_any(algo_id, client_id)
    if algo is None:
        raise Refusal(unknown)
    return algo


def cancel_algo(venue: Venue, params: Params) -> Shape:
    """DELETE algoOrder."""
    algo = venue.exchange.desk.cancel_algo(_find(venue, params, -2011))
    return {
        "algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success",
    }  # fmt: skip


def cancel_all_algos(venue: Venue, params: Params) -> Shape:
    """DELETE algoOpenOrders."""
    desk = venue.exchange.desk
    for algo in desk.algos.of(venue.instrument(params).symbol):
        desk.cancel_algo(algo)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def query_algo(venue: Venue, params: Params) -> Shape:
    """GET algoOrder."""
    return venue.shapes.algo(_find(venue, params, -2013))


def open_algos(venue: Venue, params: Params) -> list[Shape]:
    """GET openAlgoOrders."""
    algos = venue.exchange.desk.algos
    return [venue.shapes.algo(a) for s in venue.symbols(params) for a in algos.of(s)]


def all_algos(venue: Venue, params: Params) -> list[Shape]:
    """GET allAlgoOrders: as allOrders."""
    algos = venue.exchange.desk.algos.all.values()
    return [venue.shapes.algo(a) for a in asked_for(venue, params, "algoId", "created", algos)]
