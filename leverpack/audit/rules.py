"""What the audit calls OK, HIGH, LOW, MISMATCH and ERROR, in one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from leverpack.audit.records import ANY, CROSS, ISOLATED, AuditRow, Found
from leverpack.errors import SettingError

OK, HIGH, MISMATCH, LOW, ERROR = "OK", "HIGH", "MISMATCH", "LOW", "ERROR"
# The first that holds is the status, in this order; `leverpack audit --help` says the same.
DEFINITIONS = {
    HIGH: "leverage above --max",
    MISMATCH: "above the target, another margin mode than decided, or hedge mode",
    LOW: "leverage below the target, modes as decided",
    ERROR: "the venue does not say, or ccxt cannot ask",
    OK: "as decided; where tiers do not allow the target, the most they allow",
}
STATUSES = tuple(DEFINITIONS)


@dataclass(frozen=True, slots=True)
class Decided:
    """What every symbol should have: ``target`` leverage, at most ``maximum``, and a margin mode.

    ``margin_mode`` "isolated", "cross", or "any" for no opinion; one-way mode is always meant,
    as nothing here trades in hedge mode. Where the tiers do not allow the target, the highest
    leverage that they allow is meant. ``settable`` rounds to what the venue takes.
    """

    target: float
    maximum: float
    margin_mode: str = ISOLATED
    settable: Callable[[float], float] = float

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 1.0 <= self.target < math.inf:
            raise SettingError(f"--target must be 1 or more, not {self.target:g}")
        if not self.target <= self.maximum:
            raise SettingError(
                f"--target {self.target:g} is above --max {self.maximum:g} (MAX_LEVERAGE); "
                "lower the one or raise the other"
            )
        if self.margin_mode not in (ISOLATED, CROSS, ANY):
            raise SettingError(
                f"--margin-mode must be isolated, cross or any, not {self.margin_mode!r}"
            )

    def leverage(self, found: Found) -> float:
        """The leverage (x) that this symbol should have: at least 1."""
        allowed = found.tier_max or self.target  # 0.0: over every tier, where nothing is decided
        return max(1.0, self.settable(min(self.target, allowed)))


def judged(found: Found, decided: Decided, cross_equity: float | None) -> AuditRow:
    """The row of one symbol: its status by :data:`DEFINITIONS`, and the reason in words."""
    wanted = decided.leverage(found)
    status, reasons = _status(found, decided, wanted)
    nearest = min(
        (leg for leg in found.legs if leg.distance is not None),
        key=lambda leg: leg.distance or 0.0, default=None,
    )  # fmt: skip
    effective = [x for leg in found.legs if (x := leg.effective(cross_equity)) is not None]
    hedged = {None: None, True: "hedge", False: "one-way"}[found.hedged]
    return AuditRow(
        found.symbol, status, found.leverage, wanted, found.tier_max, found.margin_mode, hedged,
        found.notional, found.net, max(effective, default=None),
        None if nearest is None else nearest.liquidation,
        None if nearest is None else nearest.distance, ", ".join(reasons),
    )  # fmt: skip


def _status(found: Found, decided: Decided, wanted: float) -> tuple[str, list[str]]:
    reasons = []
    has, unknown = found.leverage, found.problem or found.tiers_problem
    if has is None:
        return ERROR, [found.problem or "the venue names no leverage"]
    if has > decided.maximum:
        reasons.append(f"leverage {has:g}x above {decided.maximum:g}x")
    elif has != wanted:
        reasons.append(f"leverage {has:g}x instead of {wanted:g}x")
    modes = []
    if found.hedged:
        modes.append("hedge mode instead of one-way")
    if decided.margin_mode != ANY and found.margin_mode is None:
        unknown = unknown or "the venue names no margin mode (--margin-mode any leaves it out)"
    elif decided.margin_mode not in (ANY, found.margin_mode):
        modes.append(f"{found.margin_mode} margin instead of {decided.margin_mode}")
    reasons += modes
    if unknown:
        reasons.append(unknown)
    if has > decided.maximum:
        return HIGH, reasons
    if modes or has > wanted:
        return MISMATCH, reasons
    if has < wanted:
        return LOW, reasons
    return (ERROR if unknown else OK), reasons
