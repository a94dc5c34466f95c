"""Bybit's signed endpoints: orders, positions, executions, wallet, modes."""

from __future__ import annotations

from typing import Any

from leverpack.errors import SettingError
from leverpack.paper.binance import account as binance_account
from leverpack.paper.binance.params import Params
from leverpack.paper.binance.venue import Venue
from leverpack.paper.bybit.market import linear
from leverpack.paper.bybit.shapes import BybitShapes
from leverpack.paper.orders import BOTH, LONG, SHORT, Algo, Order
from leverpack.paper.refusal import Refusal

Result = dict[str, Any]
_FORCES = {"GTC": "GTC", "IOC": "IOC", "FOK": "FOK", "POSTONLY": "GTX"}
_SIDES = (BOTH, LONG, SHORT)
_NOT_MODIFIED = 110_043
_LONGEST_MS = 7 * 86_400_000  # that one request for executions may span


def create(venue: Venue, params: Params) -> Result:
    """POST order/create: market, limit, and with a trigger price conditional."""
    linear(params)
    instrument = venue.instrument(params)
    sign = 1 if params.one_of("side", ("BUY", "SELL"), -1117) == "BUY" else -1
    limit = params.one_of("orderType", ("LIMIT", "MARKET"), -1116) == "LIMIT"
    conditional = "triggerPrice" in params
    for name in ("takeProfit", "stopLoss"):
        if name in params:
            raise Refusal(-1106, name=name)
    side = _SIDES[params.whole("positionIdx", 0, least=0, most=2)]
    reduce_only = params.flag("reduceOnly") and side == BOTH
    units = params.quantity("qty", instrument, market=not limit)
    price = params.price("price", instrument) if limit else 0.0
    tif = _FORCES[params.one_of("timeInForce", _FORCES, -1115, "GTC")] if limit else "GTC"
    desk = venue.exchange.desk
    number = (desk.algos if conditional else desk.orders).new_id()
    name = params.client_id("orderLinkId", f"paper{number}")
    if conditional:
        rises = params.whole("triggerDirection", least=1, most=2) == 1
        kind = ("STOP" if rises == (sign > 0) else "TAKE_PROFIT") + ("" if limit else "_MARKET")
        by_mark = params.text("triggerBy", "LastPrice") != "LastPrice"
        desk.place_algo(
            Algo(
                number, name, instrument.symbol, sign, kind, units,
                params.price("triggerPrice", instrument), price, tif, side, reduce_only,
                working="MARK_PRICE" if by_mark else "CONTRACT_PRICE",
            )
        )  # fmt: skip
    else:
        order = Order(
            number, name, instrument.symbol, sign, "LIMIT" if limit else "MARKET", units, price,
            tif, side, reduce_only,
        )  # fmt: skip
        _place(venue, order)
    return {"orderId": str(number), "orderLinkId": name}


def _place(venue: Venue, order: Order) -> None:
    """Post-only and fill-or-kill orders that do not fit are taken here, and cancelled at once."""
    try:
        venue.exchange.desk.place(order)
    except Refusal as refusal:
        if refusal.code not in (-5021, -5022):
            raise
        order.status, order.reason = "CANCELED", refusal.msg
        order.created = order.updated = venue.exchange.now
        venue.exchange.desk.orders.add(order)


def _find(venue: Venue, params: Params) -> Order | Algo:
    desk, symbol = venue.exchange.desk, venue.instrument(params).symbol
    number, name = params.maybe_whole("orderId"), params.values.get("orderLinkId")
    if number is None and not name:
        raise Refusal(-1102, name="orderId")
    algo = desk.algos.find(symbol, number, name)
    if algo is not None and algo.order_id:
        return desk.orders.all.get(algo.order_id, algo)
    found = algo or desk.orders.find(symbol, number, name)
    if found is None:
        raise Refusal(-2011)
    return found


def amend(venue: Venue, params: Params) -> Result:
    """POST order/amend."""
    linear(params)
    found, instrument = _find(venue, params), venue.instrument(params)
    units = params.quantity("qty", instrument) if "qty" in params else found.units
    price = params.price("price", instrument) if "price" in params else found.price
    if isinstance(found, Order):
        venue.exchange.desk.amend(found, units, price)
    else:
        if not found.live:
            raise Refusal(-2013)
        found.units, found.price, found.updated = units, price, venue.exchange.now
        if "triggerPrice" in params:
            found.trigger = params.price("triggerPrice", instrument)
    return _named(found)


def cancel(venue: Venue, params: Params) -> Result:
    """POST order/cancel."""
    linear(params)
    found = _find(venue, params)
    _cancel(venue, found)
    return _named(found)


def _cancel(venue: Venue, found: Order | Algo) -> None:
    desk = venue.exchange.desk
    if isinstance(found, Order):
        desk.cancel(found)
    else:
        desk.cancel_algo(found)


def _named(found: Order | Algo) -> Result:
    number = (found.algo_id or found.id) if isinstance(found, Order) else found.id
    return {"orderId": str(number), "orderLinkId": found.client_id}


def cancel_all(venue: Venue, params: Params) -> Result:
    """POST order/cancel-all: orders, conditional orders (orderFilter StopOrder), or both."""
    linear(params)
    gone = _open(venue, params, params.text("orderFilter", ""))
    for found in gone:
        _cancel(venue, found)
    return {"list": [_named(found) for found in gone], "success": "1"}


def _open(venue: Venue, params: Params, wanted: str) -> list[Order | Algo]:
    desk = venue.exchange.desk
    found: list[Order | Algo] = []
    for symbol in venue.symbols(params):
        if wanted != "StopOrder":
            found += desk.orders.of(symbol)
        if wanted != "Order":
            found += desk.algos.of(symbol)
    return found


# -- queries -------------------------------------------------------------------------------------


def realtime(venue: Venue, params: Params) -> Result:
    """GET order/realtime: open orders; a named one also after it has ended."""
    linear(params)
    shapes = BybitShapes(venue.exchange)
    if "orderId" in params or "orderLinkId" in params:
        try:
            found = [_find(venue, params)]
        except Refusal:
            found = []
    else:
        found = _open(venue, params, params.text("orderFilter", ""))
    return _orders(shapes, found)


def history(venue: Venue, params: Params) -> Result:
    """GET order/history: ended orders, newest first."""
    linear(params)
    desk, symbols = venue.exchange.desk, venue.symbols(params)
    ended: list[Order | Algo] = [
        o for o in desk.orders.all.values() if not o.live and o.symbol in symbols
    ]
    ended += [
        a for a in desk.algos.all.values() if not a.live and a.symbol in symbols and not a.order_id
    ]
    ended.sort(key=lambda o: (o.updated, o.id), reverse=True)
    limit = params.whole("limit", 20, least=1, most=50)
    return _orders(BybitShapes(venue.exchange), ended[:limit])


def _orders(shapes: BybitShapes, found: list[Order | Algo]) -> Result:
    rows = [shapes.order(o) if isinstance(o, Order) else shapes.algo(o) for o in found]
    return {"category": "linear", "list": rows, "nextPageCursor": ""}


def executions(venue: Venue, params: Params) -> Result:
    """GET execution/list: fills and funding, newest first."""
    linear(params)
    shapes, symbols = BybitShapes(venue.exchange), venue.symbols(params)
    start, end = params.maybe_whole("startTime"), params.maybe_whole("endTime")
    if start is not None and end is None:
        end = start + _LONGEST_MS
    wanted = params.text("execType", "")
    books = venue.exchange.books
    rows = [shapes.trade(t) for t in books.trades if t.symbol in symbols]
    rows += [
        shapes.funding(i) for i in books.incomes
        if i.kind == "FUNDING_FEE" and i.symbol in symbols
    ]  # fmt: skip
    rows = [
        r for r in rows
        if (not wanted or r["execType"] == wanted)
        and (start is None or int(r["execTime"]) >= start)
        and (end is None or int(r["execTime"]) <= end)
    ]  # fmt: skip
    rows.sort(key=lambda r: int(r["execTime"]), reverse=True)
    first = params.whole("cursor", 0, least=0)
    last = first + params.whole("limit", 50, least=1, most=100)
    cursor = str(last) if last < len(rows) else ""
    return {"category": "linear", "list": rows[first:last], "nextPageCursor": cursor}


def positions(venue: Venue, params: Params) -> Result:
    """GET position/list."""
    linear(params)
    shapes = BybitShapes(venue.exchange)
    rows = [shapes.position(k) for s in venue.symbols(params) for k in shapes.legs(s)]
    if "symbol" not in params:
        rows = [row for row in rows if row["side"]]
    return {"category": "linear", "list": rows, "nextPageCursor": ""}


def wallet_balance(venue: Venue, params: Params) -> Result:
    """GET account/wallet-balance."""
    return {"list": [BybitShapes(venue.exchange).wallet()]}


def fee_rate(venue: Venue, params: Params) -> Result:
    """GET account/fee-rate."""
    settings = venue.exchange.settings
    rates = {"takerFeeRate": f"{settings.taker:f}", "makerFeeRate": f"{settings.maker:f}"}
    return {"list": [{"symbol": s, **rates} for s in venue.symbols(params)]}


# -- settings ------------------------------------------------------------------------------------


def set_leverage(venue: Venue, params: Params) -> Result:
    """POST position/set-leverage; the same leverage again is refused as not modified."""
    linear(params)
    exchange, symbol = venue.exchange, venue.instrument(params).symbol
    sent = params.decimal("buyLeverage")
    if sent != params.decimal("sellLeverage"):
        raise Refusal(-1130, name="sellLeverage")
    position = exchange.books.position(symbol)
    if not 1 <= sent <= position.tiers.max_leverages[0]:
        raise Refusal(-4028, leverage=sent)
    if float(sent) == position.leverage:
        raise Refusal(_NOT_MODIFIED, "leverage not modified")
    if venue.keeps_leverage(symbol):
        return {}
    try:
        exchange.set_leverage(symbol, float(sent))
    except SettingError:
        raise Refusal(-2028) from None
    return {}


def set_margin_mode(venue: Venue, params: Params) -> Result:
    """POST account/set-margin-mode: of the whole account, as unified accounts have it."""
    mode = params.one_of("setMarginMode", ("ISOLATED_MARGIN", "REGULAR_MARGIN"), -1130)
    wanted = {"marginType": "ISOLATED" if mode == "ISOLATED_MARGIN" else "CROSSED"}
    for symbol in venue.exchange.tapes:
        try:
            binance_account.set_margin_type(venue, Params({**wanted, "symbol": symbol}))
        except Refusal as refusal:
            if refusal.code != -4046:
                raise
    return {"reasons": []}


def switch_mode(venue: Venue, params: Params) -> Result:
    """POST position/switch-mode: 0 one-way, 3 hedge."""
    linear(params)
    mode = params.whole("mode")
    if mode not in (0, 3):
        raise Refusal(-1130, name="mode")
    dual = Params({"dualSidePosition": "true" if mode == 3 else "false"})
    binance_account.set_position_mode(venue, dual)
    return {}


def add_margin(venue: Venue, params: Params) -> Result:
    """POST position/add-margin: a negative amount takes out."""
    linear(params)
    amount = params.decimal("margin")
    side = _SIDES[params.whole("positionIdx", 0, least=0, most=2)]
    binance_account.change_margin(
        venue,
        Params({"symbol": venue.instrument(params).symbol, "positionSide": side,
                "amount": f"{abs(amount):f}", "type": "1" if amount > 0 else "2"}),
    )  # fmt: skip
    return {}


def api_key(venue: Venue, params: Params) -> Result:
    """GET user/query-api: what the key may do."""
    settings = venue.exchange.settings
    may = {"ContractTrade": ["Order", "Position"] if settings.key_trades else [],
           "Wallet": ["Withdraw"] if settings.key_withdraws else []}  # fmt: skip
    return {
        "id": "1", "note": "paper", "apiKey": settings.api_key, "readOnly": 0,
        "permissions": may, "ips": ["*"],
        "type": 1, "unified": 0, "uta": 1, "userID": 1, "vipLevel": "No VIP",
    }  # fmt: skip


def account_info(venue: Venue, params: Params) -> Result:
    """GET account/info."""
    symbol = next(iter(venue.exchange.tapes))
    isolated = venue.exchange.books.position(symbol).isolated
    return {
        "marginMode": "ISOLATED_MARGIN" if isolated else "REGULAR_MARGIN", "updatedTime": "0",
        "unifiedMarginStatus": 6, "dcpStatus": "OFF", "timeWindow": 0, "smpGroup": 0,
        "isMasterTrader": False, "spotHedgingStatus": "OFF",
    }  # fmt: skip
