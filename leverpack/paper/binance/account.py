"""The account endpoints: balance, positions, leverage, margin, modes, tiers, payments, streams."""

from __future__ import annotations

from typing import Any

from leverpack.errors import SettingError
from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import Shape, money, plain
from leverpack.paper.binance.venue import Venue
from leverpack.paper.orders import Event, position_key
from leverpack.paper.refusal import Refusal

MAX_INCOME = 1000
_DONE = {"code": 200, "msg": "success"}


def balance(venue: Venue, params: Params) -> list[Shape]:
    """GET balance."""
    return venue.shapes.balance()


def account_v2(venue: Venue, params: Params) -> Shape:
    """GET account, v1 and v2."""
    return venue.shapes.account(v3=False)


def account_v3(venue: Venue, params: Params) -> Shape:
    """GET account, v3."""
    return venue.shapes.account(v3=True)


def position_risk_v2(venue: Venue, params: Params) -> list[Shape]:
    """GET positionRisk, v2: every position, also the flat ones."""
    shapes = venue.shapes
    return [shapes.risk_v2(k) for s in venue.symbols(params) for k in shapes.legs(s)]


def position_risk_v3(venue: Venue, params: Params) -> list[Shape]:
    """GET positionRisk, v3: only contracts with a position or an open order."""
    shapes, exchange = venue.shapes, venue.exchange
    return [
        shapes.risk_v3(k)
        for s in venue.symbols(params)
        for k in shapes.legs(s)
        if exchange.books.position(k).size or exchange.desk.orders.count(s)
    ]


# -- settings ------------------------------------------------------------------------------------


def set_leverage(venue: Venue, params: Params) -> Shape:
    """POST leverage."""
    exchange = venue.exchange
    symbol = venue.instrument(params).symbol
    leverage = params.whole("leverage")
    position = exchange.books.position(symbol)
    if not 1 <= leverage <= position.tiers.max_leverages[0]:
        raise Refusal(-4028, leverage=leverage)
    if venue.keeps_leverage(symbol):
        return _leverage_shape(venue, symbol, leverage)
    held = exchange.books.held(symbol)
    if held and position.isolated and leverage < position.leverage:
        raise Refusal(-4161)
    for key in held:
        leg = exchange.books.position(key)
        if leverage > leg.tiers.max_leverage(abs(leg.size) * exchange.books.marks[key]):
            raise Refusal(-2027)
    try:
        exchange.set_leverage(symbol, float(leverage))
    except SettingError:
        raise Refusal(-2028) from None
    return _leverage_shape(venue, symbol, leverage)


def _leverage_shape(venue: Venue, symbol: str, leverage: int) -> Shape:
    largest = plain(venue.shapes.largest_notional(symbol))
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": largest}


def set_margin_type(venue: Venue, params: Params) -> Shape:
    """POST marginType: ISOLATED or CROSSED, for a flat contract without orders."""
    exchange = venue.exchange
    symbol = venue.instrument(params).symbol
    isolated = params.one_of("marginType", ("ISOLATED", "CROSSED"), -1130) == "ISOLATED"
    if exchange.books.position(symbol).isolated == isolated:
        raise Refusal(-4046)
    if exchange.has_orders(symbol):
        raise Refusal(-4047)
    if exchange.books.held(symbol):
        raise Refusal(-4048)
    for key in exchange.books.keys(symbol):
        exchange.books.account.set_isolated(key, isolated)
    return dict(_DONE)


def position_mode(venue: Venue, params: Params) -> Shape:
    """GET positionSide/dual."""
    return {"dualSidePosition": venue.exchange.hedged}


def set_position_mode(venue: Venue, params: Params) -> Shape:
    """POST positionSide/dual: one-way or hedge mode, for a flat account without orders."""
    exchange = venue.exchange
    hedged = params.one_of("dualSidePosition", ("TRUE", "FALSE"), -1130) == "TRUE"
    if exchange.hedged == hedged:
        raise Refusal(-4059)
    if any(exchange.has_orders(s) for s in exchange.tapes):
        raise Refusal(-4067)
    if any(exchange.books.held(s) for s in exchange.tapes):
        raise Refusal(-4068)
    exchange.hedged = hedged
    return dict(_DONE)


def multi_assets(venue: Venue, params: Params) -> Shape:
    """GET multiAssetsMargin: always single-asset mode here."""
    return {"multiAssetsMargin": False}


def set_multi_assets(venue: Venue, params: Params) -> Shape:
    """POST multiAssetsMargin: only single-asset mode, which needs no change."""
    if params.one_of("multiAssetsMargin", ("TRUE", "FALSE"), -1130) == "FALSE":
        raise Refusal(-4171)
    raise Refusal(-1020)


def change_margin(venue: Venue, params: Params) -> Shape:
    """POST positionMargin: type 1 adds to an isolated position's margin, 2 takes out of it."""
    exchange = venue.exchange
    symbol = venue.instrument(params).symbol
    side, kind = venue.side(params), params.whole("type", least=1, most=2)
    amount = params.decimal("amount")
    if amount <= 0:
        raise Refusal(-1130, name="amount")
    key = position_key(symbol, side)
    position = exchange.books.position(key)
    if not position.size:
        raise Refusal(-4054)
    if not position.isolated:
        raise Refusal(-1130, name="symbol")
    moved = float(amount) if kind == 1 else -float(amount)
    if kind == 1 and moved > exchange.available():
        raise Refusal(-4050)
    try:
        exchange.books.account.add_margin(key, moved, exchange.books.marks)
    except SettingError:
        raise Refusal(-4050 if kind == 1 else -4051) from None
    venue.margin_changes.append(
        {"symbol": symbol, "type": kind, "deltaType": "USER_ADJUST", "amount": money(moved),
         "asset": venue.shapes.asset, "time": exchange.now, "positionSide": side}
    )  # fmt: skip
    exchange.tell(Event("account", reason="MARGIN_TRANSFER", keys=(key,)))
    return {
        "amount": float(amount), "code": 200, "msg": "Successfully modify position margin.",
        "type": kind,
    }  # fmt: skip


def margin_history(venue: Venue, params: Params) -> list[dict[str, object]]:
    """GET positionMargin/history."""
    symbol = venue.instrument(params).symbol
    limit = params.whole("limit", 100, least=1, most=500)
    return [row for row in venue.margin_changes if row["symbol"] == symbol][-limit:]


# -- what the account is like --------------------------------------------------------------------


def symbol_config(venue: Venue, params: Params) -> list[Shape]:
    """GET symbolConfig: leverage and margin mode by contract."""
    found = []
    for symbol in venue.symbols(params):
        position = venue.exchange.books.position(symbol)
        found.append(
            {"symbol": symbol, "marginType": "ISOLATED" if position.isolated else "CROSSED",
             "isAutoAddMargin": False, "leverage": int(position.leverage),
             "maxNotionalValue": plain(venue.shapes.largest_notional(symbol))}
        )  # fmt: skip
    return found


def account_config(venue: Venue, params: Params) -> Shape:
    """GET accountConfig."""
    return {
        "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": False,
        "dualSidePosition": venue.exchange.hedged, "updateTime": 0, "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }  # fmt: skip


def commission_rate(venue: Venue, params: Params) -> Shape:
    """GET commissionRate."""
    settings = venue.exchange.settings
    return {
        "symbol": venue.instrument(params).symbol,
        "makerCommissionRate": plain(settings.maker),
        "takerCommissionRate": plain(settings.taker),
        "rpiCommissionRate": plain(settings.maker),
    }


def leverage_bracket(venue: Venue, params: Params) -> list[Shape]:
    """GET leverageBracket."""
    found = []
    for symbol in venue.symbols(params):
        table = venue.exchange.books.position(symbol).tiers
        rows = zip(
            table.floors, table.caps, table.mmrs, table.cums, table.max_leverages, strict=True
        )
        brackets = [
            {"bracket": i, "initialLeverage": int(most), "notionalCap": min(cap, 1e15),
             "notionalFloor": floor, "maintMarginRatio": rate, "cum": cum}
            for i, (floor, cap, rate, cum, most) in enumerate(rows, 1)
        ]  # fmt: skip
        found.append({"symbol": symbol, "notionalCoef": 1.0, "brackets": brackets})
    return found


def income(venue: Venue, params: Params) -> list[Shape]:
    """GET income: payments, oldest first."""
    start, end = params.maybe_whole("startTime"), params.maybe_whole("endTime")
    kind, symbols = params.values.get("incomeType"), venue.symbols(params)
    limit = params.whole("limit", 100, least=1, most=MAX_INCOME)
    found = [
        i for i in venue.exchange.books.incomes
        if ("symbol" not in params or i.symbol in symbols)
        and (not kind or i.kind == kind)
        and (start is None or i.time >= start)
        and (end is None or i.time <= end)
    ]  # fmt: skip
    page = params.whole("page", 1, least=1, most=1000)
    chosen = found[(page - 1) * limit : page * limit] if start is not None else found[-limit:]
    return [venue.shapes.income(i) for i in chosen]


def order_limits(venue: Venue, params: Params) -> list[Shape]:
    """GET rateLimit/order."""
    settings = venue.exchange.settings
    return [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10,
         "limit": settings.order_limit_10s},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1,
         "limit": settings.order_limit_minute},
    ]  # fmt: skip


def adl_quantile(venue: Venue, params: Params) -> list[Shape]:
    """GET adlQuantile."""
    quantile = {"LONG": 0, "SHORT": 0, "BOTH": 0}
    return [{"symbol": s, "adlQuantile": dict(quantile)} for s in venue.symbols(params)]


def fee_burn(venue: Venue, params: Params) -> Shape:
    """GET feeBurn."""
    return {"feeBurn": False}


def api_restrictions(venue: Venue, params: Params) -> Shape:
    """GET sapi apiRestrictions: what the key may do."""
    settings = venue.exchange.settings
    return {
        "ipRestrict": False, "createTime": 0, "enableReading": True,
        "enableWithdrawals": settings.key_withdraws, "enableInternalTransfer": False,
        "enableMargin": False, "enableFutures": settings.key_trades,
        "permitsUniversalTransfer": False, "enableVanillaOptions": False,
        "enableSpotAndMarginTrading": False,
    }  # fmt: skip


def trading_status(venue: Venue, params: Params) -> Shape:
    """GET apiTradingStatus: nothing is held against this account."""
    return {"indicators": {}, "updateTime": venue.exchange.now}


# -- the user stream -----------------------------------------------------------------------------


def new_listen_key(venue: Venue, params: Params) -> Shape:
    """POST listenKey."""
    return {"listenKey": venue.new_listen_key()}


def keep_listen_key(venue: Venue, params: Params) -> Any:
    """PUT listenKey."""
    venue.keep_listen_key()
    return {"listenKey": venue.listen_key}


def drop_listen_key(venue: Venue, params: Params) -> Shape:
    """DELETE listenKey."""
    venue.drop_listen_key()
    return {}
