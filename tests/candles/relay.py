"""A plain HTTP relay before a paper exchange: writes down what is asked, may spoil an answer."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Spoil = Callable[[Any], Any]
_KEPT = ("X-MBX-APIKEY", "Content-Type")


@dataclass
class Asked:
    """One request: the last part of its path, and its parameters."""

    name: str
    params: dict[str, str]

    @property
    def span(self) -> tuple[int, int]:
        """The time that was asked for (epoch ms, the end excluded)."""
        start, end = ("startTime", "endTime") if "startTime" in self.params else ("start", "end")
        return int(self.params[start]), int(self.params[end]) + 1


@dataclass
class Relay:
    """Where it listens, what was asked, and by name what becomes of the answers to come.

    ``refuse`` answers a name with a status and a page of HTML, as the guards before exchanges do.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)
    spoil: dict[str, list[Spoil]] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)

    def spans(self, name: str = "klines", **params: str) -> list[tuple[int, int]]:
        """The spans of the requests of this name with these parameters."""
        return [
            a.span for a in self.asked if a.name == name and params.items() <= a.params.items()
        ]


@contextmanager
def relaying(upstream: str) -> Iterator[Relay]:
    """A relay for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            name = parts.path.rpartition("/")[2]
            relay.asked.append(Asked(name, dict(parse_qsl(parts.query))))
            headers = {k: v for k in _KEPT if (v := self.headers.get(k))}
            request = urllib.request.Request(upstream + self.path, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status, told, body = answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as answer:
                status, told, body = answer.code, answer.headers, answer.read()
            except OSError:  # the exchange has cut the line, and so does the relay
                self.close_connection = True
                return
            if status == 200 and relay.spoil.get(name):
                body = json.dumps(relay.spoil[name].pop(0)(json.loads(body))).encode()
            if name in relay.refuse:
                status, body = relay.refuse[name], b"<html>no</html>"
            self.send_response(status)
            for key in ("Content-Type", "Retry-After"):
                if told.get(key):
                    self.send_header(key, told[key])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *what: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *what: object) -> None:
            pass  # a client that was killed

    server = Server(("127.0.0.1", 0), Handler)
    relay = Relay(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
