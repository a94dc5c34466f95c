"""Random histories out of the candles that were: blocks of them, in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.feed import CandleFeed
from leverpack.candles.series import Bools, Candles, FundingSchedule, MarkSeries
from leverpack.errors import SettingError, nearest
from leverpack.result import Floats, Ints
from leverpack.sweep.market import SweepMarket, market_from

KINDS = ("stationary", "circular")
_PRICES = ("open", "high", "low", "close")


def block_picks(
    source: int, length: int, block: int, rng: np.random.Generator, kind: str = "stationary"
) -> Ints:
    """Positions 0 <= i < ``source`` that make a series of ``length`` out of blocks of one.

    "stationary": lengths of blocks are geometric with the mean ``block`` (Politis, Romano, "The
    Stationary Bootstrap", Journal of the American Statistical Association 89, 1994); "circular":
    all are ``block`` long (Politis, Romano, "A Circular Block-Resampling Procedure", 1992). Both
    begin anywhere and go on at the start where the series ends. Raises SettingError.
    """
    if kind not in KINDS:
        hint = nearest(kind, KINDS, f"there are {', '.join(KINDS)}")
        raise SettingError(f"--kind: no bootstrap is called {kind!r}; {hint}")
    if not 1 <= block <= source:
        raise SettingError(f"--block {block}: it must be 1 to {source:,}, what there is to draw")
    if kind == "circular":
        begins = np.arange(length) % block == 0
    else:
        begins = rng.random(length) < 1.0 / block
        begins[:1] = True
    firsts = np.flatnonzero(begins)
    starts = rng.integers(0, source, len(firsts))
    which = np.cumsum(begins) - 1
    picks: Ints = (starts[which] + np.arange(length) - firsts[which]) % source
    return picks


@dataclass(frozen=True)
class Shapes:
    """Each candle but the first as ratios to the close before it, with what goes along.

    ``trade`` and ``mark`` have the rows open, high, low, close; ``mark`` is relative to the trade
    close too, so that a candle keeps its distance to the mark. The settlements of candle i are
    those from ``funding_from[i]`` to ``funding_from[i + 1]``: rate (fraction), price as such a
    ratio, and ms after the candle's open time.
    """

    candles: Candles
    marks: MarkSeries | None
    has_funding: bool
    symbol: str
    trade: Floats
    mark: Floats | None
    funding_from: Ints
    rate: Floats
    price: Floats
    late: Ints
    unmarked: Bools

    def __len__(self) -> int:
        return int(self.trade.shape[1])


def shapes_of(feed: CandleFeed) -> Shapes:
    """Take a feed's candles, mark and funding apart; SettingError for too few of them."""
    candles = feed.candles
    if len(candles) < 3 or not candles.timeframe_ms:
        raise SettingError("--data: random histories are drawn from three candles at least")
    before = np.asarray(candles.close[:-1])
    marks, funding = feed.mark, feed.funding or _no_funding()
    kept = funding.slice(1, len(candles))  # the first candle has no close before it
    return Shapes(
        candles=candles, marks=marks, has_funding=feed.funding is not None, symbol=feed.symbol,
        trade=_ratios(candles, before), mark=None if marks is None else _ratios(marks, before),
        funding_from=np.searchsorted(kept.bar, np.arange(len(candles))),
        rate=kept.rate, price=kept.price / before[kept.bar],
        late=kept.ts - candles.ts[1:][kept.bar], unmarked=kept.fallback,
    )  # fmt: skip


def _no_funding() -> FundingSchedule:
    whole, number = np.empty(0, np.int64), np.empty(0)
    return FundingSchedule(whole, whole, number, number, np.empty(0, np.bool_))


def _ratios(prices: Candles | MarkSeries, before: Floats) -> Floats:
    return np.array([np.asarray(getattr(prices, n))[1:] / before for n in _PRICES])


def history(settings: BacktestSettings, shapes: Shapes, picks: Ints) -> SweepMarket:
    """The market in which the candles ``picks`` of ``shapes`` follow the last one there is.

    Prices go on from the last close, times from the last candle without a gap; volume, mark and
    settlements come with their candle.
    """
    source = shapes.candles
    step = source.timeframe_ms
    ts = source.ts[-1] + step * np.arange(1, len(picks) + 1)
    # The close before each candle, multiplied up in order: a candle's close is the very number
    # that the next one starts from.
    levels = np.multiply.accumulate(np.concatenate([[source.close[-1]], shapes.trade[3, picks]]))
    trade = _named(shapes.trade, picks, levels)
    candles = replace(
        source, ts=ts, volume=np.asarray(source.volume)[1:][picks], gaps=[], findings=[],
        duplicates=0, **trade,
    )  # fmt: skip
    mark = None
    if shapes.mark is not None and shapes.marks is not None:
        mark = replace(
            shapes.marks, fallback=shapes.marks.fallback[1:][picks], findings=[],
            **_named(shapes.mark, picks, levels),
        )  # fmt: skip
    funding = _settlements(shapes, picks, ts, levels) if shapes.has_funding else None
    return market_from(settings, candles, shapes.symbol, mark, funding)


def _named(ratios: Floats, picks: Ints, levels: Floats) -> dict[str, Any]:
    return {n: ratios[k, picks] * levels[:-1] for k, n in enumerate(_PRICES)}


def _settlements(shapes: Shapes, picks: Ints, ts: Ints, levels: Floats) -> FundingSchedule:
    first = shapes.funding_from[picks]
    counts = shapes.funding_from[picks + 1] - first
    bar = np.repeat(np.arange(len(picks)), counts)
    within = np.arange(len(bar)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = first[bar] + within
    return FundingSchedule(
        bar=bar, ts=ts[bar] + shapes.late[at], rate=shapes.rate[at],
        price=shapes.price[at] * levels[:-1][bar], fallback=shapes.unmarked[at],
    )  # fmt: skip
