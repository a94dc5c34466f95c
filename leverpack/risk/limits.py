"""Limits on what may be opened, and when trading has to stop; the state survives a restart."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from leverpack.errors import SettingError
from leverpack.risk import caps
from leverpack.risk.caps import allowed_size
from leverpack.risk.halts import day_is_lost, drawdown_is_full, drawdown_of
from leverpack.risk.state import MemoryStore, StateStore

DAY_MS = 86_400_000
_NAMES = {
    caps.RISK: "max_risk_per_trade", caps.STAKE: "max_stake",
    caps.TRADE: "max_notional_per_trade", caps.SYMBOL: "max_notional_per_symbol",
    caps.GROSS: "max_gross_exposure", caps.PORTFOLIO: "max_portfolio_leverage",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one account; 0 is no limit. Money in quote currency, days are UTC days.

    A size over one of the first six is cut to it; ``min_notional`` refuses what is left below
    it. ``max_daily_loss`` (from the day's first equity), ``max_drawdown`` (fraction of the
    highest equity) close everything. ``max_daily_trades`` and ``max_positions`` refuse entries.
    """

    max_risk_per_trade: float = 0.0
    max_stake: float = 0.0
    max_notional_per_trade: float = 0.0
    max_notional_per_symbol: float = 0.0
    max_gross_exposure: float = 0.0
    max_portfolio_leverage: float = 0.0
    min_notional: float = 0.0
    max_daily_loss: float = 0.0
    max_daily_trades: int = 0
    max_drawdown: float = 0.0
    max_positions: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise SettingError(f"{field.name} must not be negative (0: no limit), not {value}")
        for name in ("max_risk_per_trade", "max_drawdown"):
            if getattr(self, name) >= 1:
                raise SettingError(
                    f"{name} is a fraction below 1 (0.2 is 20 %), not {getattr(self, name)}"
                )

    def cut(
        self, size: float, price: float, stop_distance: float, leverage: float, equity: float,
        symbol_notional: float, gross_notional: float,
    ) -> tuple[float, str]:  # fmt: skip
        """``size`` within the limits, and the name of the one that cut it ("": none)."""
        allowed, code = allowed_size(
            size, price, stop_distance, leverage, equity, symbol_notional, gross_notional,
            self.max_risk_per_trade, self.max_stake, self.max_notional_per_trade,
            self.max_notional_per_symbol, self.max_gross_exposure, self.max_portfolio_leverage,
        )  # fmt: skip
        return allowed, _NAMES.get(code, "")


@dataclass(slots=True)
class LimitState:
    """What the limits remember: the UTC day, its first equity, its entries, the highest equity.

    ``stopped`` is why trading has stopped ("": it has not), ``until_reset`` whether only a
    person lifts it; a stop for the day ends with the day.
    """

    day: int = -1
    day_equity: float = 0.0
    trades: int = 0
    peak: float = 0.0
    stopped: str = ""
    until_reset: bool = False


class LimitBook:
    """Applies the limits over time; one a wallet, in backtest and live alike."""

    def __init__(self, limits: Limits, store: StateStore | None = None) -> None:
        self.limits = limits
        self._store = store or MemoryStore()
        saved = self._store.load()
        self.state = _restored(saved) if saved else LimitState()

    @property
    def drawdown(self) -> float:
        """How far the last equity lies under the highest one, a fraction of that."""
        return self._drawdown

    _drawdown = 0.0

    def observe(self, time_ms: int, equity: float) -> str:
        """Take in the time (epoch ms UTC) and the equity; returns why to close everything, or "".

        The reason comes once, at the moment when a limit is passed; afterwards
        :meth:`objection` keeps entries away.
        """
        state = self.state
        day = time_ms // DAY_MS
        if day != state.day:
            self._new_day(day, equity)
        if equity > state.peak:
            state.peak = equity
        self._drawdown = drawdown_of(equity, state.peak)
        if state.stopped:
            return ""
        limits = self.limits
        lost = state.day_equity - equity
        if day_is_lost(state.day_equity, equity, limits.max_daily_loss):
            return self.stop(
                f"max_daily_loss: {lost:,.2f} lost today, {limits.max_daily_loss:,.2f} allowed",
                until_reset=False,
            )
        if drawdown_is_full(state.peak, equity, limits.max_drawdown):
            return self.stop(
                f"max_drawdown: {self._drawdown:.2%} below the peak, "
                f"{limits.max_drawdown:.2%} allowed",
                until_reset=True,
            )
        return ""

    def _new_day(self, day: int, equity: float) -> None:
        state = self.state
        state.day, state.day_equity, state.trades = day, equity, 0
        if state.stopped and not state.until_reset:
            state.stopped = ""
        self._save()

    def stop(self, reason: str, *, until_reset: bool) -> str:
        """Stop trading, for the day or until :meth:`reset`; returns the reason."""
        self.state.stopped, self.state.until_reset = reason, until_reset
        self._save()
        return reason

    def reset(self) -> None:
        """Trade again: what a person does after an emergency. The peak starts anew."""
        self.state.stopped, self.state.until_reset, self.state.peak = "", False, 0.0
        self._save()

    def objection(self, open_positions: int) -> str:
        """Why nothing may be opened now, or ""."""
        state, limits = self.state, self.limits
        if state.stopped:
            return f"stopped: {state.stopped}"
        if limits.max_positions and open_positions >= limits.max_positions:
            return f"max_positions: {open_positions} open, {limits.max_positions} allowed"
        if limits.max_daily_trades and state.trades >= limits.max_daily_trades:
            return (
                f"max_daily_trades: {state.trades} today, {limits.max_daily_trades} allowed"
            )
        return ""

    def count_trade(self) -> None:
        """An entry has filled; entries that were refused do not count."""
        self.state.trades += 1
        self._save()

    def _save(self) -> None:
        self._store.save(asdict(self.state))


def _restored(saved: dict[str, Any]) -> LimitState:
    known = {f.name for f in fields(LimitState)}
    return LimitState(**{k: v for k, v in saved.items() if k in known})
