"""The venue-neutral refusals in Bybit's numbers and words."""

from __future__ import annotations

from typing import Any

from leverpack.paper.refusal import Refusal

# Source: bybit-exchange.github.io/docs/v5/error.
CODES: dict[int, tuple[int, str]] = {
    -1003: (10006, "Too many visits. Exceeded the API Rate Limit."),
    -1015: (10006, "Too many visits. Exceeded the API Rate Limit."),
    -1021: (10002, "invalid request, please check your server timestamp or recv_window param"),
    -1022: (10004, "Error sign, please check your signature generation algorithm."),
    -2014: (10003, "API key is invalid."),
    -2015: (10003, "API key is invalid."),
    -1000: (10016, "Server error."),
    -1001: (10016, "Server error."),
    -1007: (10000, "Server Timeout"),
    -1008: (10016, "Service is restarting"),
    -1016: (10016, "Service is restarting"),
    -2011: (110001, "order not exists or too late to cancel"),
    -2013: (110001, "order not exists or too late to replace"),
    -2019: (110007, "ab not enough for new order"),
    -2021: (110092, "expect Rising or Falling trigger price on the other side of the price"),
    -2022: (110017, "current position is zero, cannot fix reduce-only order qty"),
    -2025: (110020, "Not allowed to have more active orders"),
    -2027: (110090, "Order placement failed as your position may exceed the max limit"),
    -2028: (110012, "Insufficient available balance"),
    -4028: (110013, "cannot set leverage due to risk limit"),
    -4046: (110026, "Cross/isolated margin mode is not modified"),
    -4047: (110028, "open orders exist, so you cannot change the margin mode"),
    -4048: (110024, "position has been opened; margin mode cannot be changed"),
    -4059: (110025, "Position mode is not modified"),
    -4061: (10001, "position idx not match position mode"),
    -4067: (110028, "open orders exist, so you cannot switch position mode"),
    -4068: (110024, "open positions exist, so you cannot switch position mode"),
    -4116: (110072, "OrderLinkedID is duplicate"),
    -4164: (110094, "Order does not meet minimum order value"),
    -5027: (110079, "order not modified"),
}
_HTTP = {403, 404, 405, 413, 418, 429, 500, 502, 503, 504}


def shape(result: Any, now: int) -> dict[str, Any]:
    """An answer in Bybit's envelope."""
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}


def refused(refusal: Refusal, now: int) -> tuple[dict[str, Any], int]:
    """A refusal in Bybit's envelope, and its HTTP status: refusals of the venue come with 200."""
    code, words = CODES.get(refusal.code, (10001, f"params error: {refusal.msg}"))
    if refusal.code < -100_000 or refusal.code > 0:  # already one of Bybit's own
        code, words = refusal.code, refusal.msg
    status = refusal.status if refusal.status in _HTTP else 200
    body = {"retCode": code, "retMsg": words, "result": {}, "retExtInfo": {}, "time": now}
    return body, status
