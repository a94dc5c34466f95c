"""What is rehearsed: candles, strategy, account and the venue's rules, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

import backtrader as bt
import numpy as np

from leverpack.backtest.run import all_params, feed_for, find_strategy
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.candles.timeframes import timeframe_name
from leverpack.errors import DataError, SettingError
from leverpack.margin.profiles import venue_profile
from leverpack.margin.tiers import TierBook, read_tiers
from leverpack.paper.instrument import Instrument, instrument_for
from leverpack.rehearse.trades import Fill, Payment

VENUE = "binanceusdm"
MAX_LEVERAGE = 125.0  # where the settings say nothing


@dataclass(slots=True)
class Outcome:
    """What one of the two runs left: fills, funding, equity at each close (epoch ms -> quote).

    ``liquidations`` are counted, ``refused`` are the venue's refusals by reason.
    """

    fills: list[Fill] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    equity: dict[int, float] = field(default_factory=dict)
    liquidations: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """Candles from the first of the warm-up on; ``begin`` is the position of the first to trade."""

    strategy: type
    params: dict[str, Any]
    candles: Candles
    mark: Candles | None
    funding: Funding | None
    tiers: TierBook | None
    begin: int
    instrument: Instrument
    cash: float = 10_000.0
    leverage: float = 1.0
    max_leverage: float = MAX_LEVERAGE
    margin_mode: str = "isolated"
    maker: float = 0.0002
    taker: float = 0.0005
    intrabar: str = "worst"

    @property
    def symbol(self) -> str:
        """The name that ccxt has for the contract."""
        return f"{self.instrument.base}/{self.instrument.quote}:{self.instrument.quote}"

    @property
    def timeframe(self) -> str:
        """The candles' length by name."""
        return timeframe_name(self.candles.timeframe_ms)

    @property
    def start_ms(self) -> int:
        """The open time of the first candle that is traded."""
        return int(self.candles.ts[self.begin])


def plan_for(settings: BacktestSettings, *, history: int = 500) -> Plan:
    """Read and check what ``settings`` name; ``history`` candles before its start warm up.

    Raises DataError and SettingError, whose one sentence names the file or the setting.
    """
    settings.validate()
    _refuse_what_is_not_rehearsed(settings)
    if history < 1:
        raise SettingError(f"--history must be 1 or more, not {history}")
    strategy = find_strategy(settings.strategy)
    params = all_params(strategy, settings)
    start, settings.start = settings.start, None
    feed = feed_for(settings)
    begin = _first_at(feed.candles, start)
    first = max(0, begin - history)
    candles = feed.candles.slice(first, len(feed.candles))
    on_fault: Any = settings.on_fault
    mark = None if settings.mark is None else read_candles(
        settings.mark, symbol=feed.symbol, kind="mark", on_fault=on_fault
    )  # fmt: skip
    funding = None if settings.funding is None else read_funding(
        settings.funding, symbol=feed.symbol or None, on_fault=on_fault
    )  # fmt: skip
    profile = venue_profile(VENUE)
    return Plan(
        strategy, params, candles, mark, funding,
        None if settings.tiers is None else read_tiers(settings.tiers), begin - first,
        instrument_for(candles, symbol=feed.symbol), cash=settings.cash,
        leverage=_start_leverage(settings, strategy, params),
        max_leverage=float(settings.from_settings.get("max_leverage") or MAX_LEVERAGE),
        margin_mode=settings.margin_mode,
        maker=profile.maker, taker=profile.taker, intrabar=settings.intrabar,
    )  # fmt: skip


def _refuse_what_is_not_rehearsed(settings: BacktestSettings) -> None:
    if settings.venue != VENUE:
        raise SettingError(
            f"--venue {settings.venue}: a rehearsal knows {VENUE} only; leave it out"
        )
    if settings.fill == "previous":
        raise SettingError(
            "--fill previous: the venue has no made-up candles; leave it out to rehearse the gaps"
        )
    if settings.slippage:
        raise SettingError(
            f"--slippage {settings.slippage:g}: both runs fill at the candles' prices; leave it out"
        )


def _first_at(candles: Candles, start: date | datetime | None) -> int:
    """The position of the first candle to trade: one at least comes before it."""
    if start is None:
        return 1
    moment = start if isinstance(start, datetime) else datetime.combine(start, time.min)
    ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    begin = int(np.searchsorted(candles.ts, ms))
    if begin >= len(candles) - 1:
        raise DataError(f"no two candles lie after --from {start}", source=candles.source)
    return max(1, begin)


def _start_leverage(
    settings: BacktestSettings, strategy: type, params: dict[str, Any]
) -> float:
    """What both brokers start with, a whole number; a pack strategy sets its own."""
    own = dict(strategy.params._getitems()).get("leverage")  # type: ignore[attr-defined]
    return max(1.0, float(int(settings.leverage or params.get("leverage") or own or 1.0)))


class EquityLog(bt.Analyzer):
    """Equity at the venue's marks at every close, by the candle's open time (epoch ms UTC)."""

    params = (("read", None), ("into", None), ("from_ms", 0))

    def next(self) -> None:
        ms = round((self.data.datetime[0] - _EPOCH_DAYS) * _DAY_MS)
        if ms >= self.p.from_ms:
            self.p.into[ms] = float(self.p.read())

    prenext = next


_EPOCH_DAYS, _DAY_MS = 719_163.0, 86_400_000.0
