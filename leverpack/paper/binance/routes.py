"""Which request goes where: method and path to endpoint, security, weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leverpack.paper.binance import account, conditional, market, signing, trading
from leverpack.paper.binance.params import Params
from leverpack.paper.binance.venue import Venue
from leverpack.paper.refusal import Refusal

Endpoint = Callable[[Venue, Params], Any]
OPEN, KEY, SIGNED = range(3)
_DEPTH_WEIGHT = ((50, 2), (100, 5), (500, 10), (1000, 20))
_KLINE_WEIGHT = ((99, 1), (499, 2), (1000, 5), (1500, 10))


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: who may call it, its weight, its weight without a symbol, its orders."""

    endpoint: Endpoint
    security: int = OPEN
    weight: int = 1
    weight_of_all: int = 0
    orders: int = 0
    by_limit: tuple[tuple[int, int], ...] = ()
    limit_default: int = 500

    def cost(self, params: Params) -> int:
        """The request's weight."""
        if self.by_limit:
            text = params.values.get("limit", "")
            limit = int(text) if text.isascii() and text.isdigit() else self.limit_default
            return next((w for most, w in self.by_limit if limit <= most), self.by_limit[-1][1])
        if self.weight_of_all and "symbol" not in params:
            return self.weight_of_all
        return self.weight


def _signed(endpoint: Endpoint, weight: int = 1, **more: Any) -> Route:
    return Route(endpoint, SIGNED, weight, **more)


_KLINES = Route(market.klines, by_limit=_KLINE_WEIGHT)
_MARK_KLINES = Route(market.mark_klines, by_limit=_KLINE_WEIGHT)

ROUTES: Mapping[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): Route(market.ping),
    ("GET", "/fapi/v1/time"): Route(market.server_time),
    ("GET", "/fapi/v1/exchangeInfo"): Route(market.exchange_info),
    ("GET", "/fapi/v1/klines"): _KLINES,
    ("GET", "/fapi/v1/continuousKlines"): _KLINES,
    ("GET", "/fapi/v1/markPriceKlines"): _MARK_KLINES,
    ("GET", "/fapi/v1/indexPriceKlines"): _MARK_KLINES,
    ("GET", "/fapi/v1/premiumIndex"): Route(market.premium_index, weight_of_all=10),
    ("GET", "/fapi/v1/fundingRate"): Route(market.funding_rate),
    ("GET", "/fapi/v1/fundingInfo"): Route(market.funding_info),
    ("GET", "/fapi/v1/ticker/24hr"): Route(market.ticker_day, weight_of_all=40),
    ("GET", "/fapi/v1/ticker/price"): Route(market.ticker_price, weight_of_all=2),
    ("GET", "/fapi/v2/ticker/price"): Route(market.ticker_price, weight_of_all=2),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(market.ticker_book, weight=2, weight_of_all=5),
    ("GET", "/fapi/v1/depth"): Route(market.depth, by_limit=_DEPTH_WEIGHT),
    ("GET", "/fapi/v1/trades"): Route(market.trades, weight=5),
    ("GET", "/fapi/v1/aggTrades"): Route(market.agg_trades, weight=20),
    ("GET", "/fapi/v1/openInterest"): Route(market.open_interest),
    ("POST", "/fapi/v1/order"): _signed(trading.new_order, 0, orders=1),
    ("POST", "/fapi/v1/order/test"): _signed(trading.test_order, 0),
    ("PUT", "/fapi/v1/order"): _signed(trading.amend_order, 1, orders=1),
    ("DELETE", "/fapi/v1/order"): _signed(trading.cancel_order),
    ("GET", "/fapi/v1/order"): _signed(trading.query_order),
    ("POST", "/fapi/v1/batchOrders"): _signed(trading.batch_new, 5, orders=trading.MAX_BATCH),
    ("PUT", "/fapi/v1/batchOrders"): _signed(trading.batch_amend, 5, orders=trading.MAX_BATCH),
    ("DELETE", "/fapi/v1/batchOrders"): _signed(trading.batch_cancel),
    ("DELETE", "/fapi/v1/allOpenOrders"): _signed(trading.cancel_all),
    ("POST", "/fapi/v1/countdownCancelAll"): _signed(trading.countdown, 10),
    ("GET", "/fapi/v1/openOrder"): _signed(trading.open_order),
    ("GET", "/fapi/v1/openOrders"): _signed(trading.open_orders, weight_of_all=40),
    ("GET", "/fapi/v1/allOrders"): _signed(trading.all_orders, 5),
    ("GET", "/fapi/v1/userTrades"): _signed(trading.user_trades, 5),
    ("GET", "/fapi/v1/forceOrders"): _signed(trading.force_orders, 20, weight_of_all=50),
    ("POST", "/fapi/v1/algoOrder"): _signed(conditional.new_algo, 0, orders=1),
    ("DELETE", "/fapi/v1/algoOrder"): _signed(conditional.cancel_algo),
    ("GET", "/fapi/v1/algoOrder"): _signed(conditional.query_algo),
    ("DELETE", "/fapi/v1/algoOpenOrders"): _signed(conditional.cancel_all_algos),
    ("GET", "/fapi/v1/openAlgoOrders"): _signed(conditional.open_algos, weight_of_all=40),
    ("GET", "/fapi/v1/allAlgoOrders"): _signed(conditional.all_algos, 5),
    ("GET", "/fapi/v2/balance"): _signed(account.balance, 5),
    ("GET", "/fapi/v3/balance"): _signed(account.balance, 5),
    ("GET", "/fapi/v1/account"): _signed(account.account_v2, 5),
    ("GET", "/fapi/v2/account"): _signed(account.account_v2, 5),
    ("GET", "/fapi/v3/account"): _signed(account.account_v3, 5),
    ("GET", "/fapi/v1/positionRisk"): _signed(account.position_risk_v2, 5),
    ("GET", "/fapi/v2/positionRisk"): _signed(account.position_risk_v2, 5),
    ("GET", "/fapi/v3/positionRisk"): _signed(account.position_risk_v3, 5),
    ("POST", "/fapi/v1/leverage"): _signed(account.set_leverage),
    ("POST", "/fapi/v1/marginType"): _signed(account.set_margin_type),
    ("GET", "/fapi/v1/positionSide/dual"): _signed(account.position_mode, 30),
    ("POST", "/fapi/v1/positionSide/dual"): _signed(account.set_position_mode),
    ("GET", "/fapi/v1/multiAssetsMargin"): _signed(account.multi_assets, 30),
    ("POST", "/fapi/v1/multiAssetsMargin"): _signed(account.set_multi_assets),
    ("POST", "/fapi/v1/positionMargin"): _signed(account.change_margin),
    ("GET", "/fapi/v1/positionMargin/history"): _signed(account.margin_history),
    ("GET", "/fapi/v1/symbolConfig"): _signed(account.symbol_config, 5),
    ("GET", "/fapi/v1/accountConfig"): _signed(account.account_config, 5),
    ("GET", "/fapi/v1/commissionRate"): _signed(account.commission_rate, 20),
    ("GET", "/fapi/v1/leverageBracket"): _signed(account.leverage_bracket),
    ("GET", "/fapi/v1/income"): _signed(account.income, 30),
    ("GET", "/fapi/v1/rateLimit/order"): _signed(account.order_limits),
    ("GET", "/fapi/v1/adlQuantile"): _signed(account.adl_quantile, 5),
    ("GET", "/fapi/v1/feeBurn"): _signed(account.fee_burn, 30),
    ("GET", "/fapi/v1/apiTradingStatus"): _signed(account.trading_status, 1),
    ("GET", "/sapi/v1/account/apiRestrictions"): _signed(account.api_restrictions),
    ("POST", "/fapi/v1/listenKey"): Route(account.new_listen_key, KEY),
    ("PUT", "/fapi/v1/listenKey"): Route(account.keep_listen_key, KEY),
    ("DELETE", "/fapi/v1/listenKey"): Route(account.drop_listen_key, KEY),
}
_PATHS = {path for _, path in ROUTES}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in: query and body are raw, for the signature."""

    method: str
    path: str
    query: str
    body: str
    api_key: str | None


def route_of(request: Request) -> Route:
    """The endpoint of a request; an unknown path is 404, another method than it has 405."""
    route = ROUTES.get((request.method, request.path))
    if route is None:
        if request.path in _PATHS:
            raise Refusal(-1020, "Request method is not supported.", status=405)
        raise Refusal(-5000, f"Path {request.path[:200]}, Method {request.method} is invalid",
                      status=404)  # fmt: skip
    return route


def answer(venue: Venue, request: Request, route: Route) -> Any:
    """What the endpoint answers, after limits, key, signature and time; else Refusal."""
    params = Params.parse(request.query, request.body)
    venue.limits.spend(route.cost(params), route.orders)
    if route.security != OPEN:
        settings = venue.exchange.settings
        signing.check_key(request.api_key, settings.api_key)
        if route.security == SIGNED:
            signing.check_signature(params, settings.secret, request.query, request.body)
            signing.check_time(params, venue.clocks())
    venue.run_countdowns()
    return route.endpoint(venue, params)
