"""Every refusal has the venue's code, and leaves the books as they were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leverpack.paper.orders import PaperSettings
from leverpack.paper.state import to_state
from tests.paper.stand import SYMBOL, Stand, serving, session

FLAT = [(100_000.0, 100_000.0, 100_000.0, 100_000.0)] * 8
MARKET = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = {
    "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "99000",
    "timeInForce": "GTC",
}  # fmt: skip
STOP = {
    "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL",
    "quantity": "0.01", "triggerPrice": "95000",
}  # fmt: skip


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with serving(session(FLAT)) as running:
        yield running


CASES: list[tuple[str, str, dict[str, Any], int]] = [
    ("POST", "order", {**MARKET, "symbol": "NOPE"}, -1121),
    ("POST", "order", {**MARKET, "side": "HOLD"}, -1117),
    ("POST", "order", {**MARKET, "type": "ICEBERG"}, -1116),
    ("POST", "order", {**MARKET, "quantity": None}, -1102),
    ("POST", "order", {**MARKET, "quantity": "1e5"}, -1100),
    ("POST", "order", {**MARKET, "quantity": "0"}, -4003),
    ("POST", "order", {**MARKET, "quantity": "-1"}, -4003),
    ("POST", "order", {**MARKET, "quantity": "0.0101234"}, -1111),
    ("POST", "order", {**MARKET, "quantity": "999999"}, -4005),
    ("POST", "order", {**MARKET, "quantity": "0.001", "price": "5"}, -1106),
    ("POST", "order", {**MARKET, "quantity": "5"}, -2019),
    ("POST", "order", {**MARKET, "reduceOnly": "true"}, -2022),
    ("POST", "order", {**MARKET, "positionSide": "LONG"}, -4061),
    ("POST", "order", {**MARKET, "newClientOrderId": "x" * 37}, -4015),
    ("POST", "order", {**MARKET, "newClientOrderId": "a b"}, -1100),
    ("POST", "order", {**MARKET, "type": "STOP_MARKET", "stopPrice": "95000"}, -4120),
    ("POST", "order", {**LIMIT, "price": "99000.05"}, -4014),
    ("POST", "order", {**LIMIT, "price": "99000.001"}, -1111),
    ("POST", "order", {**LIMIT, "price": "0"}, -4013),
    ("POST", "order", {**LIMIT, "price": "106000"}, -4016),
    ("POST", "order", {**LIMIT, "side": "SELL", "price": "94000"}, -4024),
    ("POST", "order", {**LIMIT, "timeInForce": "DAY"}, -1115),
    ("POST", "order", {**LIMIT, "timeInForce": "GTD", "goodTillDate": 5}, -5040),
    ("POST", "order", {**LIMIT, "quantity": "0.001", "price": "99000"}, -4164),
    ("POST", "order", {**LIMIT, "timeInForce": "GTX", "price": "100000"}, -5022),
    ("POST", "order", {**LIMIT, "timeInForce": "FOK"}, -5021),
    ("POST", "algoOrder", {**STOP, "triggerPrice": "100000"}, -2021),
    ("POST", "algoOrder", {**STOP, "side": "BUY"}, -2021),
    ("POST", "algoOrder", {**STOP, "type": "TAKE_PROFIT_MARKET"}, -2021),
    ("POST", "algoOrder", {**STOP, "algoType": "VP"}, -1130),
    ("POST", "algoOrder", {**STOP, "closePosition": "true"}, -4137),
    ("POST", "algoOrder", {**STOP, "type": "STOP", "price": "9", "closePosition": "true"}, -4136),
    ("POST", "algoOrder", {**STOP, "type": "TRAILING_STOP_MARKET", "callbackRate": "11"}, -1130),
    ("DELETE", "order", {"symbol": SYMBOL, "orderId": 77}, -2011),
    ("GET", "order", {"symbol": SYMBOL, "orderId": 77}, -2013),
    ("GET", "order", {"symbol": SYMBOL}, -1102),
    ("GET", "openOrder", {"symbol": SYMBOL, "origClientOrderId": "nobody"}, -2013),
    ("DELETE", "algoOrder", {"algoId": 77}, -2011),
    ("GET", "algoOrder", {"algoId": 77}, -2013),
    ("POST", "leverage", {"symbol": SYMBOL, "leverage": 126}, -4028),
    ("POST", "leverage", {"symbol": SYMBOL, "leverage": 0}, -4028),
    ("POST", "leverage", {"symbol": SYMBOL, "leverage": "ten"}, -1100),
    ("POST", "marginType", {"symbol": SYMBOL, "marginType": "CROSSED"}, -4046),
    ("POST", "positionSide/dual", {"dualSidePosition": "false"}, -4059),
    ("POST", "multiAssetsMargin", {"multiAssetsMargin": "false"}, -4171),
    ("POST", "positionMargin", {"symbol": SYMBOL, "amount": "5", "type": 1}, -4054),
    ("GET", "klines", {"symbol": SYMBOL, "interval": "7m"}, -1120),
    ("GET", "klines", {"symbol": SYMBOL, "interval": "1m"}, -1120),
    ("GET", "klines", {"symbol": SYMBOL, "interval": "1h", "limit": 1501}, -1130),
    ("GET", "depth", {"symbol": SYMBOL, "limit": 7}, -4021),
    ("POST", "countdownCancelAll", {"symbol": SYMBOL, "countdownTime": -5}, -1130),
    ("PUT", "listenKey", {}, -1125),
    ("POST", "batchOrders", {"batchOrders": "[[["}, -1130),
]


@pytest.mark.parametrize(("method", "path", "params", "code"), CASES)
def test_a_wrong_request_is_refused(
    stand: Stand, method: str, path: str, params: dict[str, Any], code: int
):
    sent = {k: v for k, v in params.items() if v is not None}
    before = to_state(stand.session.exchange)
    reply = stand.signed(method, path, **sent)
    assert (reply.body["code"], reply.status) == (code, 400)
    after = to_state(stand.session.exchange)
    for state in (before, after):  # ids are drawn before the checks, as at the venue
        state["orders"]["next"] = state["algos"]["next"] = 0
    assert after == before


@pytest.fixture
def fresh() -> Iterator[Stand]:
    with serving(session(FLAT, leverage=10)) as running:
        yield running


def code_of(stand: Stand, method: str, path: str, **params: Any) -> int:
    return int(stand.signed(method, path, **params).body.get("code", 0))


def test_what_an_open_position_forbids(fresh: Stand):
    assert code_of(fresh, "POST", "marginType", symbol=SYMBOL, marginType="ISOLATED") == 200
    assert code_of(fresh, "POST", "order", **{**MARKET, "quantity": "0.5"}) == 0
    assert code_of(fresh, "POST", "leverage", symbol=SYMBOL, leverage=5) == -4161
    assert code_of(fresh, "POST", "leverage", symbol=SYMBOL, leverage=125) == 0
    assert code_of(fresh, "POST", "marginType", symbol=SYMBOL, marginType="CROSSED") == -4048
    assert code_of(fresh, "POST", "positionSide/dual", dualSidePosition="true") == -4068
    assert code_of(fresh, "POST", "order", **{**MARKET, "quantity": "0.02"}) == -2027
    margin = {"symbol": SYMBOL, "type": 1}
    assert code_of(fresh, "POST", "positionMargin", **margin, amount="1000000") == -4050
    assert code_of(fresh, "POST", "positionMargin", **margin, amount="10") == 200
    assert code_of(fresh, "POST", "algoOrder", **STOP) == 0
    fresh.signed("POST", "order", **{**MARKET, "side": "SELL", "quantity": "0.5"})
    assert code_of(fresh, "POST", "marginType", symbol=SYMBOL, marginType="CROSSED") == -4047
    assert code_of(fresh, "POST", "positionSide/dual", dualSidePosition="true") == -4067


def test_a_leverage_that_the_margin_does_not_carry(fresh: Stand):
    assert code_of(fresh, "POST", "order", **{**MARKET, "quantity": "0.9"}) == 0
    assert code_of(fresh, "POST", "leverage", symbol=SYMBOL, leverage=2) == -2028
    assert fresh.session.exchange.books.position(SYMBOL).leverage == 10.0


def test_ids_and_stops_are_not_doubled(fresh: Stand):
    first = {**LIMIT, "newClientOrderId": "once"}
    assert code_of(fresh, "POST", "order", **first) == 0
    assert code_of(fresh, "POST", "order", **first) == -4116
    closing = {k: v for k, v in STOP.items() if k != "quantity"} | {"closePosition": "true"}
    assert code_of(fresh, "POST", "algoOrder", **closing) == 0
    assert code_of(fresh, "POST", "algoOrder", **closing) == -4130
    order = fresh.signed("GET", "openOrders", symbol=SYMBOL).body[0]
    same = {"symbol": SYMBOL, "side": "BUY", "orderId": order["orderId"]}
    amended = {**same, "quantity": "0.01", "price": "99000"}
    assert code_of(fresh, "PUT", "order", **amended) == -5027
    assert code_of(fresh, "PUT", "order", **{**amended, "price": "0"}) == -4013
    assert len(fresh.signed("GET", "openOrders", symbol=SYMBOL).body) == 1


def test_a_hundred_conditional_orders_are_enough(fresh: Stand):
    codes = [code_of(fresh, "POST", "algoOrder", **STOP) for _ in range(101)]
    assert codes == [0] * 100 + [-2025]


def test_keys_signatures_and_times(stand: Stand):
    signed = stand.signed("GET", "balance")
    assert signed.status == 404  # there is no v1 of it
    plain = stand.raw("GET", "/fapi/v2/balance")
    assert (plain.status, plain.body["code"]) == (401, -2014)
    wrong = stand.raw("GET", "/fapi/v2/balance", headers={"X-MBX-APIKEY": "other"})
    assert (wrong.status, wrong.body["code"]) == (401, -2015)
    key = {"X-MBX-APIKEY": "paper"}
    assert stand.raw("GET", "/fapi/v2/balance", headers=key).body["code"] == -1102
    forged = stand.raw("GET", "/fapi/v2/balance?timestamp=1&signature=00", headers=key)
    assert forged.body["code"] == -1022
    assert stand.signed("GET", "openOrders", timestamp=1).body["code"] == -1021
    now = stand.session.exchange.now
    assert stand.signed("GET", "openOrders", timestamp=now).body == []
    assert stand.signed("GET", "openOrders", timestamp=now - 5_001).body["code"] == -1021
    wide = stand.signed("GET", "openOrders", timestamp=now - 5_001, recvWindow=6_000)
    assert wide.body == []
    assert stand.signed("GET", "openOrders", timestamp=now + 1_001).body["code"] == -1021
    assert stand.signed("GET", "openOrders", recvWindow=60_001).body["code"] == -1130


def test_weights_429_then_418():
    held = session(FLAT, weight_limit=100, order_limit_10s=3, order_limit_minute=100)
    with serving(held) as stand:
        used = stand.raw("GET", "/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=1000")
        assert used.headers["X-MBX-USED-WEIGHT-1M"] == "5"
        orders = [stand.signed("POST", "order", **LIMIT) for _ in range(5)]
        assert [o.body.get("code", 0) for o in orders] == [0, 0, 0, -1015, -1015]
        assert (orders[3].status, orders[2].headers["X-MBX-ORDER-COUNT-10S"]) == (429, "3")
        replies = [stand.raw("GET", "/fapi/v1/ticker/24hr") for _ in range(16)]
        assert [r.status for r in replies[:2]] == [200, 200]
        assert replies[3].status == 429
        assert int(replies[3].headers["Retry-After"]) >= 1
        assert replies[-1].status == 418
        assert replies[-1].body["code"] == -1003


def test_the_limits_are_those_of_exchange_info(stand: Stand):
    info = stand.raw("GET", "/fapi/v1/exchangeInfo").body
    assert [x["limit"] for x in info["rateLimits"]] == [0, 0, 0]
    defaults = PaperSettings()
    assert (defaults.weight_limit, defaults.order_limit_minute, defaults.order_limit_10s) == (
        2400, 1200, 300,
    )  # fmt: skip
