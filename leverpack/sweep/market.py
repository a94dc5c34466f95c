"""One symbol as a sweep reads it: the candles once, each indicator once per distinct setting."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np

from leverpack.backtest.cerebro import Cerebro
from leverpack.backtest.fastloop import compute_indicators
from leverpack.backtest.run import broker_for, feed_again, feed_for, find_strategy
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.feed import CandleFeed
from leverpack.candles.series import Candles, FundingSchedule, MarkSeries
from leverpack.indicators.columns import PRICES, Bound
from leverpack.margin.profiles import VenueProfile
from leverpack.margin.tiers import TierTable
from leverpack.result import Floats, Ints
from leverpack.risk.limits import DAY_MS
from leverpack.sweep.records import MarketColumns

MOST_BYTES = 512 * 2**20  # of indicators that are kept; those not asked for lately go


@dataclass
class SweepMarket:
    """The columns of one symbol, its account settings, and the indicators computed so far."""

    settings: BacktestSettings
    feed: CandleFeed
    columns: MarketColumns
    profile: VenueProfile
    maker: float
    taker: float
    interest_hourly: float
    close_fee: float
    most_bytes: int = MOST_BYTES
    _kept: OrderedDict[Bound, tuple[Floats, int]] = field(default_factory=OrderedDict)

    @property
    def bars(self) -> int:
        """How many candles there are."""
        return len(self.feed.candles)

    @property
    def symbol(self) -> str:
        """The symbol, or an empty text."""
        return self.feed.symbol

    def prepare(self, wanted: Iterable[Bound]) -> dict[Bound, tuple[Floats, int]]:
        """The values of each column and the first bar (from 0) that has one.

        What is not there yet is computed, all of it in one go; not safe in threads.
        """
        asked = list(dict.fromkeys(wanted))
        missing = [b for b in asked if b not in self._kept]
        if missing:
            self._kept.update(_computed(self.feed, missing))
        for bound in asked:
            self._kept.move_to_end(bound)
        found = {b: self._kept[b] for b in asked}
        while len(self._kept) > len(found) and self._bytes() > self.most_bytes:
            self._kept.popitem(last=False)
        return found

    def __reduce__(self) -> Any:
        """Pickled as what was read; the columns are made anew, the indicators computed anew."""
        feed = self.feed
        return market_from, (self.settings, feed.candles, feed.symbol, feed.mark, feed.funding)

    def _bytes(self) -> int:
        return sum(values.nbytes for values, _ in self._kept.values())


def load_market(settings: BacktestSettings) -> SweepMarket:
    """Read candles, mark and funding and pick the tier tables, as a backtest does."""
    settings.validate()
    return market_of(settings, feed_for(settings))


def market_from(
    settings: BacktestSettings, candles: Candles, symbol: str, mark: MarkSeries | None,
    funding: FundingSchedule | None,
) -> SweepMarket:  # fmt: skip
    """A market of candles that are there already, with what is laid against them."""
    feed = CandleFeed(dataname=candles, symbol=symbol)
    feed.mark, feed.funding, feed.loaded = mark, funding, {}
    return market_of(settings, feed)


def market_of(settings: BacktestSettings, feed: CandleFeed) -> SweepMarket:
    """A market of a feed that is there already: a part of one, or made candles."""
    # At 1x no table objects: what a set asks for is judged set by set.
    broker = broker_for(settings, find_strategy(settings.strategy), {})
    broker.p.leverage = 1.0
    broker.init()
    market = broker.market(feed)
    tables = [market.state.tiers]
    if market.book is not None:
        tables = [market.fit(t) for t in market.book.tables(market.key)]
    return SweepMarket(
        settings=settings,
        feed=feed,
        columns=_columns(feed, tables),
        profile=broker.profile,
        maker=float(broker.p.maker),
        taker=float(broker.p.taker),
        interest_hourly=float(broker.p.interest_hourly),
        close_fee=float(broker.account.close_fee),
    )


def _columns(feed: CandleFeed, tables: list[TierTable]) -> MarketColumns:
    marks = feed.candles if feed.mark is None else feed.mark
    funding = np.empty((3, 0))
    if feed.funding is not None:
        f = feed.funding
        funding = np.array([f.bar, f.price, f.rate], float)
    ends = np.cumsum([len(t.caps) for t in tables])
    return MarketColumns(
        candles=np.array([getattr(x, n) for x in (feed.candles, marks) for n in PRICES[:4]]),
        funding=funding,
        days=_day_starts(np.asarray(feed.candles.ts)),
        tables=np.array(
            [
                (start, end - len(t.caps), end, t.liquidation_fee)
                for t, start, end in zip(
                    tables, _table_starts(feed.stamps, tables), ends, strict=True
                )
            ],
            float,
        ),
        tiers=np.concatenate([(t.caps, t.mmrs, t.cums, t.max_leverages) for t in tables], axis=1),
    )


def own_array(values: Any, kind: Any = np.float64) -> Any:
    """The array as compiled code knows it: contiguous and writable, so that one version serves."""
    found = np.ascontiguousarray(values, kind)
    return found if found.flags.writeable else found.copy()


def _day_starts(ts: Ints) -> Ints:
    """The first bar of each UTC day, and the number of bars."""
    days = ts // DAY_MS
    starts = np.flatnonzero(np.diff(days)) + 1
    return np.concatenate([[0], starts, [len(days)]]).astype(np.int64)


def _table_starts(stamps: Floats, tables: list[TierTable]) -> Ints:
    """The first bar at which each table holds; the first table holds before its date too."""
    dates = [float(t.valid_from.toordinal()) for t in tables]
    starts = np.searchsorted(stamps, dates, "left").astype(np.int64)
    starts[0] = 0
    return starts


# -- indicators ----------------------------------------------------------------------------------


class _Lines(bt.Strategy):
    """Builds the lines that are asked for, one a column."""

    params = (("wanted", ()),)

    def __init__(self) -> None:
        self.found = [bound.line(self.data) for bound in self.p.wanted]


class _OnlyIndicators(Cerebro):
    """A Cerebro that stops where the candles would begin."""

    def _runonce(self, runstrats: list[Any]) -> None:
        for strategy in runstrats:
            compute_indicators(strategy)


def _computed(feed: CandleFeed, wanted: list[Bound]) -> dict[Bound, tuple[Floats, int]]:
    """The columns as Backtrader's lines have them, each with its first bar."""
    cerebro = _OnlyIndicators(stdstats=False)
    cerebro.adddata(feed_again(feed))
    cerebro.addstrategy(_Lines, wanted=wanted)
    strategy = cerebro.run()[0]
    bars = len(feed.candles)
    found = {}
    for bound, line in zip(wanted, strategy.found, strict=True):
        values = np.array(line.array[:bars], float)
        first = int(line._minperiod) - 1
        values[: min(first, bars)] = np.nan
        found[bound] = values, first
    return found
