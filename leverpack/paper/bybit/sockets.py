"""Bybit's WebSockets: public topics of linear contracts, private ones after signing in."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from leverpack.paper.binance.venue import Venue
from leverpack.paper.bybit.market import INTERVALS
from leverpack.paper.hub import MAX_STREAMS, Hub, Listener
from leverpack.paper.refusal import Refusal

PUBLIC_PATH, PRIVATE_PATH = "/v5/public/linear", "/v5/private"
PRIVATE = ("order", "execution", "position", "wallet")


def is_topic(name: str, venue: Venue) -> bool:
    """Whether there is a public topic of that name: ``kline.60.BTCUSDT``, ``tickers.BTCUSDT``."""
    kind, *rest = name.split(".")
    if not rest or rest[-1] not in venue.exchange.tapes:
        return False
    if kind == "kline":
        return len(rest) == 2 and rest[0] in INTERVALS
    return kind == "tickers" and len(rest) == 1


def open_listener(venue: Venue, hub: Hub, path: str, query: str) -> Listener:
    """The listener of a new connection; Refusal for a path that is none."""
    if path not in (PUBLIC_PATH, PRIVATE_PATH):
        raise Refusal(-1020, f"no stream {path[:200]}", status=404)
    listener = Listener()
    listener.private = path == PRIVATE_PATH
    hub.join(listener)
    return listener


def take_message(venue: Venue, hub: Hub, listener: Listener, text: str) -> None:
    """Answer a message of the client: auth, subscribe, unsubscribe, ping."""
    reply: dict[str, Any] = {"success": False, "conn_id": "paper"}
    try:
        message = json.loads(text)
        reply["op"] = op = message.get("op")
        if message.get("req_id") is not None:
            reply["req_id"] = message["req_id"]
        reply["ret_msg"] = _done(venue, hub, listener, op, message.get("args", []))
        reply["success"] = True
        if op == "ping" and listener.private:
            reply["op"] = "pong"
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
        reply["ret_msg"] = "error:params error"
    except Refusal as refusal:
        reply["ret_msg"] = refusal.msg
    listener.send(json.dumps(reply, separators=(",", ":")))


def _done(venue: Venue, hub: Hub, listener: Listener, op: Any, args: Any) -> str:
    if op == "ping":
        return "pong"
    if op == "auth":
        _sign_in(venue, listener, *(str(part) for part in args))
        return ""
    if op not in ("subscribe", "unsubscribe"):
        raise Refusal(10001, "error:unknown op")
    if len(listener.streams) + len(args) > MAX_STREAMS:
        raise Refusal(10001, f"error:more than {MAX_STREAMS} topics")
    for name in args:
        if op == "unsubscribe":
            hub.unsubscribe(listener, str(name))
            continue
        known = name in PRIVATE if listener.private else is_topic(str(name), venue)
        if not known:
            raise Refusal(10001, f"error:handler not found,topic:{str(name)[:100]}")
        if listener.private and not listener.signed_in:
            raise Refusal(10004, "error:Request not authorized")
        hub.subscribe(listener, str(name))
    return ""


def _sign_in(venue: Venue, listener: Listener, key: str, expires: str, signature: str) -> None:
    settings = venue.exchange.settings
    wanted = hmac.new(
        settings.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256
    ).hexdigest()
    late = int(expires) <= min(venue.clocks())
    if key != settings.api_key or late or not hmac.compare_digest(signature, wanted):
        raise Refusal(10004, "error:Params Error or sign not match")
    listener.signed_in = True
