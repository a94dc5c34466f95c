"""A stretch of a market's candles as a market of its own, with the whole market's indicators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from leverpack.errors import SettingError
from leverpack.indicators.columns import Bound
from leverpack.result import Floats
from leverpack.sweep.market import SweepMarket, market_from


@dataclass
class PeriodMarket(SweepMarket):
    """Candles ``start`` to ``start + bars`` of ``whole``, whose indicators it shares.

    An indicator looks back only, so the candles before the stretch warm it up and those after it
    are never seen. A set that only Cerebro can run begins cold: its indicators start with the
    stretch.
    """

    whole: SweepMarket | None = None
    start: int = 0

    def prepare(self, wanted: Iterable[Bound]) -> dict[Bound, tuple[Floats, int]]:
        """As of SweepMarket, cut out of the whole market's."""
        assert self.whole is not None
        cut = slice(self.start, self.start + self.bars)
        return {
            bound: (values[cut], max(0, first - self.start))
            for bound, (values, first) in self.whole.prepare(wanted).items()
        }

    def __reduce__(self) -> Any:
        return period_of, (self.whole, self.start, self.start + self.bars)


def period_of(whole: SweepMarket, start: int, stop: int) -> PeriodMarket:
    """The candles start <= i < stop of a market; SettingError where there are none."""
    if not 0 <= start < stop <= whole.bars:
        raise SettingError(f"there are no candles {start:,} to {stop:,} among {whole.bars:,}")
    feed = whole.feed
    part = market_from(
        whole.settings,
        feed.candles.slice(start, stop),
        feed.symbol,
        None if feed.mark is None else feed.mark.slice(start, stop),
        None if feed.funding is None else feed.funding.slice(start, stop),
    )
    own = {f.name: getattr(part, f.name) for f in fields(SweepMarket)}
    return PeriodMarket(**own, whole=whole, start=start)
