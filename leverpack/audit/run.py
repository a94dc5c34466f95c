"""One audit: read the account, judge each symbol, add up the exposure."""

from __future__ import annotations

import time
from typing import Any

from leverpack.audit.reading import Progress, Reader
from leverpack.audit.records import ANY, ISOLATED, Account, Audit, AuditRow
from leverpack.audit.rules import STATUSES, Decided, judged
from leverpack.config import DEFAULT, Loaded
from leverpack.errors import SettingError
from leverpack.live.guard import LeverageGuard
from leverpack.live.store import CCXTStore
from leverpack.margin.ratios import initial_margin
from leverpack.risk.exposure import breaches, exposure_of, staked_notional
from leverpack.risk.limits import Limits

_EXPOSURE_LIMITS = (
    "max_gross_exposure", "max_portfolio_leverage", "max_notional_per_symbol", "max_positions",
)  # fmt: skip


def limits_of(loaded: Loaded) -> Limits:
    """The limits on open positions that somebody has set; a default is nobody's decision."""
    given = {n: getattr(loaded.settings, n) for n in _EXPOSURE_LIMITS
             if loaded.origins.get(n, DEFAULT) != DEFAULT}  # fmt: skip
    return Limits(**given)


class Auditor:
    """Looks at one account through an open store; ``guard`` knows what the venue takes.

    ``symbols`` in any spelling that ccxt knows (None: all linear futures), or ``only_open``: those
    with a position. Raises SettingError for a symbol that is not there and for a target that
    cannot be set, VenueError when the account cannot be read.
    """

    def __init__(
        self, store: CCXTStore, *, target: float, maximum: float, margin_mode: str,
        limits: Limits | None = None, symbols: list[str] | None = None, only_open: bool = False,
    ) -> None:  # fmt: skip
        self.store = store
        self.decided = Decided(target, maximum, margin_mode, store.rules.settable)
        if store.rules.settable(target) != target:
            raise SettingError(
                f"--target {target:g}: {store.exchange} takes {store.rules.settable_words()}"
            )
        mode = ISOLATED if margin_mode == ANY else margin_mode
        self.guard = LeverageGuard(store, margin_mode=mode, max_leverage=maximum)
        self.limits = limits or Limits()
        self.reader = Reader(store, margin_mode)
        self.symbols = symbols and _named(store, symbols)
        self.only_open = only_open
        self.account = Account({}, None)
        self.seen: list[str] = []

    def look(self, progress: Progress = lambda done, total: None) -> Audit:
        """Read and judge; tells the store's bus ``audit`` with what it found."""
        self.account, self.seen = self.reader.read(
            self.symbols, only_open=self.only_open, progress=progress
        )
        return self.judge()

    def judge(self) -> Audit:
        """Judge what has been read; worst first, and among equals the largest position."""
        account = self.account
        cross = account.cross_equity
        rows = [judged(account.found[s], self.decided, cross) for s in self.seen]
        order = {status: i for i, status in enumerate(STATUSES)}
        rows.sort(key=lambda r: (order[r.status], -r.notional, r.symbol))
        exposure = exposure_of(
            {s: [leg.notional for leg in f.legs] for s, f in account.found.items()}, account.equity
        )
        found = Audit(
            self.store.exchange, time.time_ns() // 1_000_000, rows, exposure, _decided(rows),
            account.equity, breaches(exposure, self.limits),
        )  # fmt: skip
        self.store.bus.tell("audit", audit=found)
        return found


def _named(store: CCXTStore, symbols: list[str]) -> list[str]:
    """ccxt's names of futures, each once."""
    named = []
    for symbol in symbols:
        market = store.market(symbol)
        if not market.get("contract"):
            raise SettingError(f"--symbols {symbol}: no future, so that it has no leverage")
        named.append(str(market["symbol"]))
    return list(dict.fromkeys(named))


def _decided(rows: list[AuditRow]) -> float:
    """Notional that the margin locked now would carry at the decided leverage."""
    held = [r for r in rows if r.notional and r.leverage]
    return staked_notional(
        (initial_margin(r.notional, r.leverage or r.decided), r.decided) for r in held
    )


def summary(audit: Audit) -> dict[str, Any]:
    """How many symbols have which status, and the lowest, highest and mean leverage (x)."""
    known = [r.leverage for r in audit.rows if r.leverage is not None]
    return {
        "symbols": len(audit.rows),
        "statuses": {s: sum(r.status == s for r in audit.rows) for s in STATUSES},
        "lowest": min(known, default=None),
        "highest": max(known, default=None),
        "mean": sum(known) / len(known) if known else None,
    }
