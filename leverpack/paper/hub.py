"""Who listens to which stream, and the queue of every listener, with the faults of a bad line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

QUEUE = 10_000  # messages that a listener may be behind before it is cut off
MAX_STREAMS = 1024


class Listener:
    """One WebSocket's subscriptions and its outgoing messages.

    ``None`` in the queue asks for the connection to be closed. The faults: ``muted`` swallows
    everything while the connection stays (half-open), ``doubled`` sends that many messages
    twice, ``swapped`` changes the order of that many pairs.
    """

    def __init__(self, *, combined: bool = False, listen_key: str | None = None) -> None:
        self.combined = combined
        self.listen_key = listen_key
        self.private = self.signed_in = False  # Bybit signs in on the connection
        self.streams: set[str] = set()
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.muted = False
        self.doubled = 0
        self.swapped = 0
        self._held: str | None = None

    def send(self, text: str) -> None:
        """Queue a message; a listener too far behind is cut off."""
        if self.muted:
            return
        if self.queue.qsize() >= QUEUE:
            self.close()
            self.muted = True
            return
        if self.swapped and self._held is None:
            self.swapped -= 1
            self._held = text
            return
        self.queue.put_nowait(text)
        if self.doubled:
            self.doubled -= 1
            self.queue.put_nowait(text)
        if self._held is not None:
            late, self._held = self._held, None
            self.queue.put_nowait(late)

    def send_event(self, stream: str, text: str) -> None:
        """Queue an event of a stream, wrapped where the connection asked for it."""
        self.send(f'{{"stream":"{stream}","data":{text}}}' if self.combined else text)

    def close(self) -> None:
        """Ask for the connection to be closed after what is queued."""
        self.queue.put_nowait(None)


class Hub:
    """All listeners, by stream."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.streams: dict[str, set[Listener]] = {}

    def join(self, listener: Listener) -> None:
        """A connection has been opened."""
        self.listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """A connection is gone."""
        self.listeners.discard(listener)
        for stream in list(listener.streams):
            self.unsubscribe(listener, stream)

    def subscribe(self, listener: Listener, stream: str) -> None:
        """Send a stream to a listener from now on."""
        listener.streams.add(stream)
        self.streams.setdefault(stream, set()).add(listener)

    def unsubscribe(self, listener: Listener, stream: str) -> None:
        """Send a stream to a listener no more."""
        listener.streams.discard(stream)
        there = self.streams.get(stream)
        if there is not None:
            there.discard(listener)
            if not there:
                del self.streams[stream]

    def publish(self, stream: str, payload: Any) -> None:
        """Send an event to everybody who listens to its stream."""
        text = _json(payload)
        for listener in list(self.streams.get(stream, ())):
            listener.send_event(stream, text)

    def users(self) -> list[Listener]:
        """The connections of user streams."""
        return [x for x in self.listeners if x.listen_key is not None]

    def publish_user(self, payload: Any) -> None:
        """Send an event of the account to its user streams."""
        users = self.users()
        if users:
            text = _json(payload)
            for listener in users:
                listener.send_event(str(listener.listen_key), text)


def _json(payload: Any) -> str:
    return json.dumps(payload, separators=(",", ":"))
