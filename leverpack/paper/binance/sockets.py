"""One WebSocket: what its path subscribes to, and the SUBSCRIBE messages it may send."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, unquote

from leverpack.paper.binance.marketfeed import is_stream
from leverpack.paper.binance.venue import Venue
from leverpack.paper.hub import MAX_STREAMS, Hub, Listener
from leverpack.paper.refusal import Refusal

# Futures streams are split by kind; each kind has its own path, and the old ones still work.
_PREFIXES = ("/public", "/market", "/private")


def is_socket_path(path: str) -> bool:
    """Whether a path is one of the stream endpoints."""
    path = _without_kind(path)
    return path in ("/ws", "/stream") or path.startswith(("/ws/", "/stream/"))


def _without_kind(path: str) -> str:
    for prefix in _PREFIXES:
        if path.startswith(prefix + "/"):
            return path[len(prefix) :]
    return path


def open_listener(venue: Venue, hub: Hub, path: str, query: str) -> Listener:
    """The listener of a new connection; Refusal for a listen key that does not exist."""
    if not is_socket_path(path):
        raise Refusal(-1020, status=404)
    path = _without_kind(path)
    sent = parse_qs(query, max_num_fields=MAX_STREAMS)
    combined = path.startswith("/stream")
    names = [n for part in sent.get("streams", []) for n in part.split("/") if n]
    names += [n for n in unquote(path.removeprefix("/ws").removeprefix("/stream")).split("/") if n]
    names += sent.get("listenKey", [])
    listener = Listener(combined=combined)
    for name in names:
        if name == venue.listen_key:
            listener.listen_key = name
        elif is_stream(name):
            hub.subscribe(listener, name)
        elif len(name) == 64:
            raise Refusal(-1125)
        # Other parts of the path only tell connections apart, as ccxt numbers them.
    hub.join(listener)
    return listener


def take_message(venue: Venue, hub: Hub, listener: Listener, text: str) -> None:
    """Answer a message of the client: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, properties."""
    number: Any = None
    try:
        message = json.loads(text)
        number = message.get("id")
        result = _done(venue, hub, listener, message.get("method"), message.get("params", []))
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
        _say(listener, {"error": {"code": 3, "msg": "Invalid JSON: expected an object"}})
        return
    except Refusal as refusal:
        _say(listener, {"error": {"code": refusal.code, "msg": refusal.msg}, "id": number})
        return
    _say(listener, {"result": result, "id": number})


def _done(venue: Venue, hub: Hub, listener: Listener, method: Any, params: Any) -> Any:
    if method == "LIST_SUBSCRIPTIONS":
        return sorted(listener.streams)
    if method in ("SET_PROPERTY", "GET_PROPERTY"):
        if method == "GET_PROPERTY":
            return listener.combined
        listener.combined = bool(params[1])
        return None
    if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
        raise Refusal(2, "Invalid request: unknown method")
    if not isinstance(params, list) or not all(isinstance(p, str) for p in params):
        raise Refusal(2, "Invalid request: params must be a list of stream names")
    if len(listener.streams) + len(params) > MAX_STREAMS:
        raise Refusal(2, f"Invalid request: more than {MAX_STREAMS} streams")
    for name in params:
        if method == "UNSUBSCRIBE":
            hub.unsubscribe(listener, name)
        elif name == venue.listen_key:
            listener.listen_key = name
        elif is_stream(name):
            hub.subscribe(listener, name)
        else:
            raise Refusal(2, f"Invalid request: invalid stream {name[:100]}")
    return None


def _say(listener: Listener, message: Any) -> None:
    listener.send(json.dumps(message, separators=(",", ":")))
