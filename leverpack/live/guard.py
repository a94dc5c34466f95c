"""The leverage guard: what was decided is what the venue has, set, read back and compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leverpack.errors import OutcomeUnknown, SettingError, VenueError, VenueRefused
from leverpack.live.store import CCXTStore
from leverpack.live.venues import Call
from leverpack.margin.tiers import TierBook, TierTable

TIERS_AGE_S = 60.0
# What ccxt calls the answer "it is so already", beside the venue's own codes for it.
_UNCHANGED_KINDS = frozenset({"MarginModeAlreadySet", "NoChange"})


class GuardRefusal(VenueRefused):
    """No order may leave: the venue does not have what was decided; the message says what."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the venue has for one symbol: leverage (x), margin mode, hedge mode or one-way."""

    leverage: float
    margin_mode: str
    hedged: bool


class LeverageGuard:
    """Settles leverage, margin mode and one-way mode of symbols, and checks them before orders.

    ``margin_mode`` "isolated" or "cross"; ``max_leverage`` is MAX_LEVERAGE; ``may_set`` False
    only checks. ``note(symbol, reading)`` hears of everything that is read back.

    The venue's own rules are those of :mod:`leverpack.live.venues`; "no need to change" is
    success; a change whose answer was lost is settled by reading back.
    """

    def __init__(
        self, store: CCXTStore, *, margin_mode: str = "isolated", max_leverage: float = 125.0,
        may_set: bool = True, note: Callable[[str, Reading], None] = lambda symbol, reading: None,
    ) -> None:  # fmt: skip
        if margin_mode not in ("isolated", "cross"):
            raise SettingError(f"margin_mode must be isolated or cross, not {margin_mode!r}")
        self.store = store
        self.margin_mode = margin_mode
        self.max_leverage = max_leverage
        self.may_set = may_set
        self._note = note
        self._tiers: dict[str, tuple[float, TierTable]] = {}
        self.settled: dict[str, Reading] = {}  # what was read back last and found right

    # -- what may be set -------------------------------------------------------------------------

    def require_venue(self) -> None:
        """SettingError for an exchange whose leverage cannot be set and read back through ccxt."""
        if self.store.rules.per_order:
            return
        for feature in ("setLeverage", "fetchLeverage"):
            if not self.store.has(feature):
                raise SettingError(
                    f"{self.store.exchange}: ccxt has no {feature} there, so that the leverage "
                    "cannot be checked and no order may leave; choose another exchange"
                )

    def tiers(self, symbol: str) -> TierTable:
        """The maintenance tiers of ``symbol``, no older than a minute."""
        known = self._tiers.get(symbol)
        if known is not None and time.monotonic() - known[0] < TIERS_AGE_S:
            return known[1]
        if self.store.rules.one_tier_table or not self.store.has("fetchLeverageTiers"):
            found = self.store.read("fetch_market_leverage_tiers", symbol)
        else:
            found = self.store.read("fetch_leverage_tiers", [symbol]).get(symbol)
        table = TierBook.from_ccxt({symbol: found}).at(symbol)
        self._tiers[symbol] = time.monotonic(), table
        return table

    def forget_tiers(self, symbol: str) -> None:
        """Ask for the tiers anew next time."""
        self._tiers.pop(symbol, None)

    def cap(self, symbol: str, notional: float = 0.0) -> float:
        """The largest leverage for a position of ``notional`` (quote), by MAX_LEVERAGE and tier."""
        return min(self.max_leverage, self.tiers(symbol).max_leverage(notional))

    def settable(self, leverage: float) -> float:
        """``leverage`` as this venue can take it, rounded down to its step."""
        return self.store.rules.settable(leverage)

    def objection(self, symbol: str, leverage: float, notional: float) -> str:
        """Why ``leverage`` may not be used for a position of ``notional``, or ""."""
        if not leverage >= 1.0 or leverage != self.settable(leverage):
            kind = self.store.rules.settable_words()
            return (
                f"{symbol}: leverage {leverage:g} cannot be set; {self.store.exchange} takes {kind}"
            )
        if leverage > self.max_leverage:
            return (
                f"{symbol}: leverage {leverage:g}x is above MAX_LEVERAGE ({self.max_leverage:g}x)"
            )
        allowed = self.tiers(symbol).max_leverage(notional)
        if leverage > allowed:
            return (
                f"{symbol}: leverage {leverage:g}x is above the {allowed:g}x that the venue's "
                f"tiers allow at a notional of {notional:,.2f}"
            )
        return ""

    # -- reading and setting ---------------------------------------------------------------------

    def read(self, symbol: str) -> Reading:
        """What the venue has now; GuardRefusal when it does not say."""
        rules = self.store.rules
        sides, mode, hedged = rules.reading(self.store.reads(*rules.leverage_calls(symbol)))
        if len(sides) != 1 or mode not in ("isolated", "cross"):
            raise GuardRefusal(
                f"{symbol}: {self.store.exchange} gives no leverage and margin mode that could be "
                f"compared (leverage {sorted(sides)}, margin mode {mode!r})"
            )
        reading = Reading(sides.pop(), mode, hedged)
        self._note(symbol, reading)
        return reading

    def settle(self, symbol: str, leverage: float, notional: float = 0.0) -> Reading:
        """Make the venue have ``leverage`` for ``symbol``, read it back and compare.

        ``notional`` (quote) is what the position is to become. Raises GuardRefusal, with the
        reason, when the venue has anything else afterwards; what it has stays as it is then.
        """
        self.settled.pop(symbol, None)
        self._refuse(self.objection(symbol, leverage, notional))
        reading = self.read(symbol)
        wrong = self._difference(symbol, reading, leverage)
        if wrong and self.may_set:
            refused = self._change(symbol, reading, leverage)
            reading = self.read(symbol)
            wrong = self._difference(symbol, reading, leverage)
            wrong = f"{wrong}; the venue said: {refused}" if wrong and refused else wrong
        self._refuse(wrong)
        self.settled[symbol] = reading
        return reading

    def check(self, symbol: str, leverage: float, notional: float) -> Reading:
        """Before an order that opens or grows: the venue still has what was settled.

        What somebody else has changed in between is refused, once: the next order settles anew.
        """
        if symbol not in self.settled:
            return self.settle(symbol, leverage, notional)
        self._refuse(self.objection(symbol, leverage, notional))
        reading = self.read(symbol)
        wrong = self._difference(symbol, reading, leverage)
        if wrong:
            del self.settled[symbol]
        self._refuse(wrong)
        return reading

    def _refuse(self, reason: str) -> None:
        if reason:
            raise GuardRefusal(reason, kind="leverage")

    def _difference(self, symbol: str, reading: Reading, leverage: float) -> str:
        if reading.hedged:
            return f"{symbol}: the account is in hedge mode, and one-way mode is needed"
        if reading.margin_mode != self.margin_mode:
            return (
                f"{symbol}: the venue has {reading.margin_mode} margin where {self.margin_mode} "
                "was decided"
            )
        if reading.leverage != leverage:
            return (
                f"{symbol}: the venue has leverage {reading.leverage:g}x where {leverage:g}x was "
                "decided"
            )
        return ""

    def _change(self, symbol: str, reading: Reading, leverage: float) -> str:
        """Ask the venue for what differs; what it said against it, or ""."""
        refused = [self.ask(*call[:2]) for call in self.changes(symbol, reading, leverage)]
        return "; ".join(r for r in refused if r)

    def changes(self, symbol: str, reading: Reading, leverage: float) -> list[Call]:
        """The requests that would make the venue have what was decided, in their order."""
        calls: list[Call] = []
        if reading.hedged:
            calls.append(("set_position_mode", (False, symbol), {}))
        if reading.margin_mode != self.margin_mode:
            calls.append(("set_margin_mode", (self.margin_mode, symbol), {}))
        if reading.leverage != leverage:
            amount = int(leverage) if leverage == int(leverage) else leverage
            calls.append(("set_leverage", (amount, symbol), {}))
        return calls

    def ask(self, method: str, args: tuple[Any, ...]) -> str:
        """Send one of the changes; what the venue said against it, or ""."""
        try:
            self.store.write(method, *args)
        except OutcomeUnknown:
            return ""  # reading back will tell
        except VenueRefused as fault:
            codes = self.store.rules.unchanged
            unchanged = fault.kind in _UNCHANGED_KINDS or fault.code in codes
            return "" if unchanged else str(fault)
        except VenueError as fault:
            return str(fault)
        return ""
