"""Alerts to people: once an episode, rate-limited, from threads of their own, secrets removed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tenacity import (
    Retrying,
    retry_if_result,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential,
)

from leverpack.errors import printable
from leverpack.live.bus import Bus
from leverpack.monitor.channels import Channel
from leverpack.monitor.episodes import SILENCE_S, Episodes, Gathered

logger = logging.getLogger("leverpack.alerts")

BURST, EVERY_S = 5, 30.0  # messages a channel at once, and one more in so many seconds
GATHER_S = 0.5  # what comes together is told together
ATTEMPTS = 4
REST_S = 60.0  # after that many failures, before the next try
CLOSE_S = 2.0
_LONGEST = 500  # characters of one sentence


class TokenBucket:
    """Allows ``burst`` at once and one more every ``every_s`` seconds."""

    def __init__(
        self, burst: int, every_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst, self._every_s, self._clock = float(burst), every_s, clock
        self._tokens, self._counted = float(burst), clock()

    def wait_s(self) -> float:
        """Seconds until one may be taken; 0.0: now."""
        now = self._clock()
        gained = (now - self._counted) / self._every_s
        self._tokens, self._counted = min(self._burst, self._tokens + gained), now
        return max(0.0, (1.0 - self._tokens) * self._every_s)

    def take(self) -> None:
        """Take one; ``wait_s`` must have been 0.0."""
        self._tokens -= 1.0


class Alerts:
    """Sends what ``bus`` tells for people to ``channels``; the run never waits for it.

    ``title`` begins each message; ``hide`` removes the account's secrets from a text. What comes
    faster than a channel may send is gathered into one message that names every kind with its
    count; what a channel does not take is kept and tried again. ``close()`` sends what waits,
    for at most two seconds.
    """

    def __init__(
        self, bus: Bus, channels: Sequence[Channel], *, title: str = "leverpack",
        hide: Callable[[str], str] = lambda text: text, silence_s: float = SILENCE_S,
        burst: int = BURST, every_s: float = EVERY_S, rest_s: float = REST_S,
    ) -> None:  # fmt: skip
        self._bus, self._hide = bus, hide
        self._channels = channels
        self._episodes = Episodes(silence_s)
        self._senders = [
            _Sender(c, title, TokenBucket(burst, every_s), rest_s, self._note) for c in channels
        ]
        self._end = bus.subscribe(self._listen)

    def _listen(self, event: str, facts: dict[str, Any]) -> None:
        if event == "cleared":
            self._episodes.clear(facts["kind"], facts["symbol"])
        if event != "alert" or not self._senders:
            return
        text = self.hidden(facts["text"])
        if self._episodes.is_news(facts["kind"], text):
            for sender in self._senders:
                sender.put(facts["kind"], text)

    def hidden(self, text: str) -> str:
        """``text`` as it may leave: one line, not long, and without any secret."""
        text = self._hide(text)
        for channel in self._channels:
            text = channel.hidden(text)
        return printable(text, _LONGEST)

    def _note(self, outcome: str) -> None:
        self._bus.tell("message", outcome=outcome)

    def close(self) -> None:
        """Listen no more, and send what still waits, for at most two seconds."""
        self._end()
        until = time.monotonic() + CLOSE_S
        for sender in self._senders:
            sender.end()
        for sender in self._senders:
            sender.join(until - time.monotonic())


class _Sender:
    """One channel's thread: gathers, waits for a token, sends, tries again."""

    def __init__(
        self, channel: Channel, title: str, bucket: TokenBucket, rest_s: float,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._channel, self._title, self._bucket = channel, title, bucket
        self._rest_s, self._note = rest_s, note
        self._waiting = Gathered()
        self._lock = threading.Lock()
        self._something, self._ended = threading.Event(), threading.Event()
        # A daemon: a channel that hangs must not keep the process alive.
        self._thread = threading.Thread(
            target=self._run, name=f"leverpack-alerts-{channel.name}", daemon=True
        )
        self._thread.start()

    def put(self, kind: str, text: str) -> None:
        """Take one alert; returns at once."""
        with self._lock:
            self._waiting.add(kind, text)
        self._something.set()

    def end(self) -> None:
        """Send what waits, once, and stop."""
        self._ended.set()
        self._something.set()

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(max(0.0, timeout))

    def _run(self) -> None:
        while not self._ended.is_set():
            self._something.wait()
            self._ended.wait(GATHER_S)
            while (wait := self._bucket.wait_s()) and not self._ended.wait(wait):
                pass
            self._send_all()
        self._send_all()  # what came in while the last message was under way

    def _send_all(self) -> None:
        with self._lock:
            gathered, self._waiting = self._waiting, Gathered()
            self._something.clear()
        if not gathered:
            return
        self._bucket.take()
        if self._delivered(*gathered.message()):
            self._note("sent")
            return
        self._note("failed")
        logger.error("%s takes no message; it is tried again", self._channel.name)
        with self._lock:
            gathered.merge(self._waiting)
            self._waiting = gathered
        if not self._ended.wait(self._rest_s):
            self._something.set()

    def _delivered(self, title: str, body: str) -> bool:
        attempts = Retrying(
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(self._ended),
            wait=wait_exponential(multiplier=0.5, max=10.0), sleep=sleep_using_event(self._ended),
            retry=retry_if_result(lambda taken: not taken),
            retry_error_callback=lambda state: False,
        )  # fmt: skip
        return bool(attempts(self._channel.send, f"{self._title}: {title}", body))
