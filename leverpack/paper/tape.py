"""One contract's candles as the replay plays them: the open, the inside, the close, funding."""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from leverpack.candles.align import align_mark, schedule_funding
from leverpack.candles.series import Candles, Funding
from leverpack.candles.timeframes import HOUR_MS
from leverpack.errors import DataError
from leverpack.paper.instrument import Instrument

Four = tuple[float, float, float, float]
DEFAULT_FUNDING_HOURS = 8


@dataclass(frozen=True, slots=True)
class Settlement:
    """One funding settlement: epoch ms UTC, rate (fraction), mark price it is charged on."""

    ts: int
    rate: float
    price: float


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of one candle: open, high, low, close of trades and of the mark, base volume."""

    trade: Four
    mark: Four
    volume: float


class Tape:
    """The candles of one contract with the place that the replay has reached.

    ``at`` is the candle that has opened (position, -1 before the first) and ``progress`` the
    part (0..1) of it that has been played. With ``start_ms`` the replay begins at the first
    candle that opens then or later; the ones before are history that clients can ask for.
    """

    def __init__(
        self, instrument: Instrument, candles: Candles, mark: Candles | None = None,
        funding: Funding | None = None, start_ms: int | None = None,
    ) -> None:  # fmt: skip
        if not candles.timeframe_ms:
            raise DataError("one candle alone cannot be replayed", source=candles.source)
        self.instrument = instrument
        self.candles = candles = replace(candles, volume=np.nan_to_num(candles.volume))
        self.step_ms = candles.timeframe_ms
        aligned = align_mark(candles, mark) if mark is not None else None
        marks = candles if aligned is None else aligned
        self._ts = candles.ts.tolist()
        self._trade = [c.tolist() for c in (candles.open, candles.high, candles.low, candles.close)]
        self.mark_columns = (marks.open, marks.high, marks.low, marks.close)
        self._mark = [c.tolist() for c in self.mark_columns]
        self._volume = candles.volume.tolist()
        self.settlements: list[Settlement] = []
        self.settle_bars: list[int] = []
        self.has_funding = funding is not None
        if funding is not None:
            plan = schedule_funding(candles, mark, funding, aligned)
            self.settle_bars = plan.bar.tolist()
            columns = (plan.ts.tolist(), plan.rate.tolist(), plan.price.tolist())
            self.settlements = [Settlement(*row) for row in zip(*columns, strict=True)]
        self.at = -1 if start_ms is None else int(np.searchsorted(candles.ts, start_ms)) - 1
        if self.at == len(candles) - 1:
            raise DataError("the replay would start after the last candle", source=candles.source)
        self.settled = bisect_right(self.settle_bars, self.at)
        self.funding_hours = self._interval_hours()
        self.progress = 1.0

    def twin(self, instrument: Instrument) -> Tape:
        """Another contract on the very same candles, which are not copied."""
        found = copy(self)
        found.instrument = instrument
        found.candles = replace(self.candles, symbol=instrument.symbol)
        return found

    def __len__(self) -> int:
        return len(self._ts)

    # -- the way forward -------------------------------------------------------------------------

    @property
    def next_ts(self) -> int | None:
        """When the next candle opens; None after the last."""
        return self._ts[self.at + 1] if self.at + 1 < len(self._ts) else None

    @property
    def open_ts(self) -> int:
        """When the candle that is playing opened (epoch ms UTC)."""
        return int(self._ts[max(self.at, 0)])

    @property
    def end_ts(self) -> int:
        """When the candle that is playing closes."""
        return self.open_ts + self.step_ms

    def open_next(self) -> list[Settlement]:
        """Open the next candle; the settlements that are due at its open."""
        self.at += 1
        self.progress = 0.0
        first = self.settled
        self.settled = bisect_right(self.settle_bars, self.at)
        return self.settlements[first : self.settled]

    def play(self, to: float) -> Slice:
        """Play the candle on to ``to`` (0..1) and give the stretch; 1.0 in one go is the candle."""
        start, self.progress = self.progress, to
        trade, mark = self._row(self._trade), self._row(self._mark)
        share = to - start
        return Slice(
            _stretch(trade, start, to, trade), _stretch(mark, start, to, trade),
            self._volume[self.at] * share,
        )  # fmt: skip

    def _row(self, columns: list[list[float]]) -> Four:
        at = max(self.at, 0)
        return columns[0][at], columns[1][at], columns[2][at], columns[3][at]

    # -- what is known now -----------------------------------------------------------------------

    @property
    def last(self) -> float:
        """The last trade's price: the open before the inside has been played."""
        row = self._row(self._trade)
        return _price_at(row, self.progress, row)

    @property
    def mark(self) -> float:
        """The mark price now."""
        return _price_at(self._row(self._mark), self.progress, self._row(self._trade))

    @property
    def volume(self) -> float:
        """Base volume of the whole candle that is playing: what the depth is made from."""
        return float(self._volume[max(self.at, 0)])

    def forming(self) -> tuple[Four, float]:
        """The candle as far as it has been played, and its volume so far."""
        row = self._row(self._trade)
        return _stretch(row, 0.0, self.progress, row), self.volume * self.progress

    def forming_mark(self) -> Four:
        """The mark candle as far as it has been played."""
        return _stretch(self._row(self._mark), 0.0, self.progress, self._row(self._trade))

    def next_settlement(self) -> Settlement | None:
        """The settlement that comes next, or None."""
        return self.settlements[self.settled] if self.settled < len(self.settlements) else None

    def last_settlement(self) -> Settlement | None:
        """The settlement that was charged last, or None."""
        return self.settlements[self.settled - 1] if self.settled else None

    def settle_every(self, hours: int) -> None:
        """Change the funding interval from now on; the rate a settlement charges goes with it."""
        last = self.last_settlement() or self.next_settlement()
        hourly = 0.0 if last is None else last.rate / self.funding_hours
        kept = self.settlements[: self.settled]
        bars = self.settle_bars[: self.settled]
        for bar in range(self.at + 1, len(self)):
            if self._ts[bar] % (hours * HOUR_MS) == 0:
                kept.append(Settlement(self._ts[bar], hourly * hours, self._mark[0][bar]))
                bars.append(bar)
        self.settlements, self.settle_bars = kept, bars
        self.funding_hours = hours

    def resume(
        self, at: int, progress: float, settlements: list[Settlement], settle_bars: list[int],
        settled: int, funding_hours: int,
    ) -> None:  # fmt: skip
        """Go to where a saved replay was."""
        if not -1 <= at < len(self):
            raise ValueError(f"candle {at}")
        self.at, self.progress = at, progress
        self.settlements, self.settle_bars = settlements, list(settle_bars)
        self.settled, self.funding_hours = settled, funding_hours

    def _interval_hours(self) -> int:
        if len(self.settlements) < 2:
            return DEFAULT_FUNDING_HOURS
        steps = np.diff([s.ts for s in self.settlements])
        return max(1, round(float(np.median(steps)) / HOUR_MS))


def _turns(row: Four, guide: Four) -> tuple[float, float]:
    """The candle's two extremes in the order they are played: a rising candle dips first."""
    return (row[2], row[1]) if guide[3] >= guide[0] else (row[1], row[2])


def _price_at(row: Four, progress: float, guide: Four) -> float:
    """Where a price is after a part (0..1) of its candle: open, two extremes, close in thirds."""
    if progress >= 1.0:
        return row[3]
    first, second = _turns(row, guide)
    points = (row[0], first, second, row[3])
    leg = min(2, int(progress * 3.0))
    share = progress * 3.0 - leg
    return points[leg] if share == 0.0 else points[leg] + share * (points[leg + 1] - points[leg])


def _stretch(row: Four, start: float, end: float, guide: Four) -> Four:
    """Open, high, low and close between two parts of a candle."""
    if start == 0.0 and end == 1.0:
        return row
    first, last = _price_at(row, start, guide), _price_at(row, end, guide)
    met = [first, last]
    met += [p for p, at in zip(_turns(row, guide), (1 / 3, 2 / 3), strict=True) if start < at < end]
    return first, max(met), min(met), last
