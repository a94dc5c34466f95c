"""Strategy parameters checked before a run, each fault with the parameter's name."""

from __future__ import annotations

from typing import Any

from leverpack.errors import SettingError
from leverpack.risk.sizing import SIZINGS

SIDES = ("both", "long", "short")
_POSITIVE = ("leverage", "max_leverage", "stake")
_FRACTIONS = ("risk_per_trade", "stop_loss_pct")
_NOT_NEGATIVE = ("take_profit_pct", "max_bars", "liquidation_stops")


def check_params(p: Any) -> None:
    """Raise SettingError for the first parameter that cannot be meant."""
    _one_of("sizing", p.sizing, SIZINGS)
    _one_of("sides", p.sides, SIDES)
    for name in _POSITIVE:
        if not getattr(p, name) > 0:
            raise SettingError(f"{name} must be positive, not {getattr(p, name)!r}")
    for name in _FRACTIONS:
        if not 0 < getattr(p, name) < 1:
            raise SettingError(f"{name} is a fraction between 0 and 1, not {getattr(p, name)!r}")
    if not 0 < p.equity_fraction <= 1:
        raise SettingError(f"equity_fraction is a fraction up to 1, not {p.equity_fraction!r}")
    if not 0 <= p.min_confidence <= 1:
        raise SettingError(f"min_confidence lies between 0 and 1, not {p.min_confidence!r}")
    for name in _NOT_NEGATIVE:
        if not getattr(p, name) >= 0:
            raise SettingError(f"{name} must not be negative, not {getattr(p, name)!r}")
    for name in ("trail_pct", "margin_reserve"):
        if not 0 <= getattr(p, name) < 1:
            raise SettingError(f"{name} is a fraction below 1, not {getattr(p, name)!r}")
    if 0 < p.liquidation_stops < 1:
        raise SettingError(
            "liquidation_stops counts stop distances and is at least 1 (0: off), "
            f"not {p.liquidation_stops!r}"
        )
    if p.max_positions < 1:
        raise SettingError(f"max_positions must be at least 1, not {p.max_positions!r}")
    _check_targets(p.targets)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(
            f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}"
        )


def _check_targets(targets: Any) -> None:
    try:
        pairs = [(float(distance), float(share)) for distance, share in targets]
    except (TypeError, ValueError):
        raise SettingError(
            f"targets is a list of (fraction of the price, share of the position), not {targets!r}"
        ) from None
    before = 0.0
    for distance, share in pairs:
        if not distance > before or not share > 0:
            raise SettingError(
                f"targets must lie ever further away and close positive shares, not {targets!r}"
            )
        before = distance
    if sum(share for _, share in pairs) > 1.0 + 1e-9:
        raise SettingError(f"the shares of targets sum to more than the position: {targets!r}")
