"""The bus of a live run: tells what happens to whoever listens; no listener can hurt the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("leverpack.live")

# What a person is to hear of; the kind of an alert in the journal, on the bus and in a message.
MARGIN_CALL = "margin_call"
NEAR_LIQUIDATION = "liquidation_near"
LIQUIDATION = "liquidation"
LEVERAGE_MISMATCH = "leverage_mismatch"
LIMIT_TRIPPED = "limit_tripped"
HALTED = "halted"
STREAM_LOST = "stream_lost"
VENUE_AWAY = "venue_away"
RESTARTED = "restarted"
ORDER_REJECTED = "order_rejected"
UNPROTECTED = "unprotected"
UNKNOWN_AT_VENUE = "unknown_at_venue"
JOURNAL_FAILED = "journal_failed"
KEY_RIGHTS = "key_rights"
DAILY_SUMMARY = "daily_summary"
ALERT_KINDS = (
    MARGIN_CALL, NEAR_LIQUIDATION, LIQUIDATION, LEVERAGE_MISMATCH, LIMIT_TRIPPED, HALTED,
    STREAM_LOST, VENUE_AWAY, RESTARTED, ORDER_REJECTED, UNPROTECTED, UNKNOWN_AT_VENUE,
    JOURNAL_FAILED, KEY_RIGHTS, DAILY_SUMMARY,
)  # fmt: skip

Listener = Callable[[str, dict[str, Any]], None]


class Bus:
    """Tells what happens in a live run, in the thread in which it happens.

    The event ``alert`` is for people: it comes with ``kind`` (one of ALERT_KINDS) and ``text``.
    All others are for counters and gauges. A listener must return at once; one that raises is
    logged and goes on being told.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, facts)`` from now on; what is returned ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, event: str, /, **facts: Any) -> None:
        """Tell everybody; never raises."""
        for listener in list(self._listeners):
            try:
                listener(event, facts)
            except Exception:
                logger.exception("a listener has failed at %s", event)
