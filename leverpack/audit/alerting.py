"""Tells a store's bus, look by look, what has gone out of bounds and what has come back."""

from __future__ import annotations

from leverpack.audit.records import Audit
from leverpack.audit.rules import HIGH, MISMATCH
from leverpack.live.bus import LEVERAGE_MISMATCH, LIMIT_TRIPPED, Bus


class Alerting:
    """An alert for every symbol that is HIGH or MISMATCH and every limit passed.

    It is told at each look, as long as it lasts; whoever sends alerts tells a person once, and
    anew after it had cleared.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._symbols: set[str] = set()
        self._limited = False

    def take(self, audit: Audit) -> None:
        """Tell of one look."""
        wrong = {r.symbol: r for r in audit.rows if r.status in (HIGH, MISMATCH)}
        for symbol in self._symbols - set(wrong):
            self._bus.tell("cleared", kind=LEVERAGE_MISMATCH, symbol=symbol)
        if self._limited and not audit.breaches:
            self._bus.tell("cleared", kind=LIMIT_TRIPPED, symbol="")
        for symbol, row in wrong.items():
            self._bus.tell("alert", kind=LEVERAGE_MISMATCH, text=f"{symbol}: {row.reason}")
        for sentence in audit.breaches:
            self._bus.tell("alert", kind=LIMIT_TRIPPED, text=sentence)
        self._symbols, self._limited = set(wrong), bool(audit.breaches)
