"""Bybit's paths, its header signature, and its envelope around every answer."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from leverpack.paper.binance.params import Params
from leverpack.paper.binance.signing import check_key, check_time
from leverpack.paper.binance.venue import Venue
from leverpack.paper.bybit import market, trading
from leverpack.paper.bybit.refusals import refused, shape
from leverpack.paper.refusal import Refusal

PREFIX = "/v5/"
Endpoint = Callable[[Venue, Params], Any]

PUBLIC: Mapping[str, Endpoint] = {
    "market/time": market.server_time,
    "market/instruments-info": market.instruments,
    "market/kline": market.kline,
    "market/mark-price-kline": market.mark_kline,
    "market/index-price-kline": market.mark_kline,
    "market/tickers": market.tickers,
    "market/orderbook": market.orderbook,
    "market/recent-trade": market.recent_trades,
    "market/funding/history": market.funding_history,
    "market/risk-limit": market.risk_limit,
}
SIGNED: Mapping[tuple[str, str], Endpoint] = {
    ("POST", "order/create"): trading.create,
    ("POST", "order/amend"): trading.amend,
    ("POST", "order/cancel"): trading.cancel,
    ("POST", "order/cancel-all"): trading.cancel_all,
    ("GET", "order/realtime"): trading.realtime,
    ("GET", "order/history"): trading.history,
    ("GET", "execution/list"): trading.executions,
    ("GET", "position/list"): trading.positions,
    ("POST", "position/set-leverage"): trading.set_leverage,
    ("POST", "position/switch-mode"): trading.switch_mode,
    ("POST", "position/add-margin"): trading.add_margin,
    ("POST", "account/set-margin-mode"): trading.set_margin_mode,
    ("GET", "account/wallet-balance"): trading.wallet_balance,
    ("GET", "account/fee-rate"): trading.fee_rate,
    ("GET", "account/info"): trading.account_info,
    ("GET", "user/query-api"): trading.api_key,
}


def answer(
    venue: Venue, method: str, path: str, query: str, body: str, headers: Mapping[str, str]
) -> tuple[dict[str, Any], int]:
    """JSON body and HTTP status of a request under ``/v5/``."""
    now = venue.exchange.now
    try:
        return shape(_answer(venue, method, path, query, body, headers), now), 200
    except Refusal as refusal:
        return refused(refusal, now)


def _answer(venue: Venue, method: str, path: str, query: str, body: str,
            headers: Mapping[str, str]) -> Any:  # fmt: skip
    name = path.removeprefix(PREFIX)
    endpoint = PUBLIC.get(name) if method == "GET" else None
    if endpoint is None:
        endpoint = SIGNED.get((method, name))
        if endpoint is None:
            raise Refusal(-1020, f"no {method} {path[:200]}", status=404)
        _check(venue, query + body, headers)
    params = Params.parse(query) if method == "GET" else _posted(body)
    if "symbol" in params:
        params.values["symbol"] = params.text("symbol").upper()
    venue.run_countdowns()
    return endpoint(venue, params)


def _check(venue: Venue, sent: str, headers: Mapping[str, str]) -> None:
    """Key, signature and time, which Bybit has in headers."""
    settings = venue.exchange.settings
    key, stamp = headers.get("X-BAPI-API-KEY"), headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "5000")
    check_key(key, settings.api_key)
    signed = hmac.new(
        settings.secret.encode(), f"{stamp}{key}{window}{sent}".encode(), hashlib.sha256
    )
    signature = headers.get("X-BAPI-SIGN", "")
    if not hmac.compare_digest(signature.encode(), signed.hexdigest().encode()):
        raise Refusal(-1022)
    check_time(Params({"timestamp": stamp, "recvWindow": window}), venue.clocks())


def _posted(body: str) -> Params:
    try:
        sent = json.loads(body or "{}")
    except (ValueError, RecursionError):
        raise Refusal(-1130, name="body") from None
    if not isinstance(sent, dict):
        raise Refusal(-1130, name="body")
    return Params({str(k): _word(v) for k, v in sent.items() if v is not None})


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
