"""What one backtest needs to know, checked before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from leverpack.errors import SettingError
from leverpack.margin.profiles import venue_profile

MARGIN_MODES = ("isolated", "cross")
INTRABAR = ("worst", "ohlc", "olhc")
ON_FAULT = ("error", "drop", "fill")
FILL = ("none", "previous", "error")


@dataclass(slots=True)
class BacktestSettings:
    """Files, strategy and account of one run; money in quote currency, rates as fractions.

    ``data``, ``mark`` and ``funding`` are files, folders, patterns or - for standard input, as
    in ``leverpack.candles.reader.read_candles``; ``on_fault`` and ``fill`` are its own.
    ``venue`` is a name of ``leverpack.margin.profiles.PROFILES``; ``maker``, ``taker`` and
    ``interest_hourly`` None are the venue's. ``tiers`` None is the built-in table. ``leverage``
    None is the strategy's own. ``params`` are the strategy's, as text; ``from_settings`` stand
    below them, for whichever strategy has a parameter of that name. ``start`` and ``end`` are
    inclusive, UTC. ``strict`` refuses files that the loader warns of. ``survival`` runs it
    again at other leverages: ``leverpack.backtest.stress.find_survival``.
    """

    data: Path
    mark: Path | None = None
    funding: Path | None = None
    tiers: Path | None = None
    symbol: str | None = None
    strategy: str = "conservative"
    params: dict[str, str] = field(default_factory=dict)
    from_settings: dict[str, Any] = field(default_factory=dict)
    leverage: float | None = None
    margin_mode: str = "isolated"
    cash: float = 10_000.0
    start: date | datetime | None = None
    end: date | datetime | None = None
    maker: float | None = None
    taker: float | None = None
    slippage: float = 0.0
    interest_hourly: float | None = None
    intrabar: str = "worst"
    on_fault: str = "error"
    fill: str = "none"
    strict: bool = False
    venue: str = "binanceusdm"
    survival: bool = False

    def validate(self) -> None:
        """Raise SettingError naming the option that makes no sense and what it should be."""
        _positive("--cash", self.cash)
        if self.leverage is not None:
            _positive("--leverage", self.leverage)
        _one_of("--margin-mode", self.margin_mode, MARGIN_MODES)
        _one_of("--intrabar", self.intrabar, INTRABAR)
        _one_of("--on-fault", self.on_fault, ON_FAULT)
        _one_of("--fill", self.fill, FILL)
        for name in ("maker", "taker", "slippage", "interest_hourly"):
            value = getattr(self, name)
            if value is None:
                continue
            lowest = -0.01 if name == "maker" else 0.0  # a maker rebate is a negative fee
            if not lowest <= value < 0.1:
                raise SettingError(
                    f"--{name.replace('_', '-')} is a fraction of notional (0.0005 is 0.05 %), "
                    f"not {value!r}"
                )
        self._validate_venue()
        if self.start is not None and self.end is not None and _day(self.start) > _day(self.end):
            raise SettingError(f"--from {self.start} lies after --to {self.end}; swap them")

    def _validate_venue(self) -> None:
        profile = venue_profile(self.venue)
        if self.funding is not None and not profile.funding:
            raise SettingError(
                f"--funding {self.funding}: {profile.title} is {profile.kind} without funding; "
                "leave it out or choose a perpetual --venue"
            )
        if self.leverage is not None and (self.tiers is None or not profile.pair_may_exceed):
            profile.check_leverage(self.leverage, "--leverage")


def _day(when: date | datetime) -> datetime:
    return when if isinstance(when, datetime) else datetime(when.year, when.month, when.day)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0.0):
        raise SettingError(f"{name} must be a number above 0, not {value!r}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError(f"{name} must be one of {', '.join(known)}, not {value!r}")
