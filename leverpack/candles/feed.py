"""The bulk feed: checked candles, mark and funding, put into Backtrader's buffers at once."""

from __future__ import annotations

from array import array
from dataclasses import replace
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np

from leverpack.candles.align import align_mark, schedule_funding
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, FundingSchedule, MarkSeries
from leverpack.candles.spikes import with_marks
from leverpack.candles.timeframes import DAY_MS, bt_numbers, bt_timeframe
from leverpack.errors import DataError, SettingError
from leverpack.result import Floats

_SESSION_END = time(23, 59, 59, 999990)


class CandleFeed(bt.feed.DataBase):
    """Candles of one symbol for any Cerebro, read, checked and aligned once.

    ``dataname`` is what ``read_candles`` takes (a file, a folder or pattern of files that make
    one series, "-", a DataFrame) or Candles; ``mark`` the same for mark-price candles of any
    length; ``funding`` a file, folder, pattern, DataFrame or Funding. ``on_fault`` is "error",
    "drop" or "fill"; ``fill`` treats missing candles: "none", "previous" or "error" (a gap of
    the mark is refused by "error" too, and never filled: the trade prices stand in there).
    Timeframe and compression come from the candles unless given;
    fromdate and todate are inclusive, as Backtrader's are. All times are UTC.

    ``candles``, ``mark`` (or None) and ``funding`` (or None) hold what was read, cut to the
    dates: position i is the bar delivered when ``len(feed) == i + 1``; ``loaded`` has the
    summary of each whole file ("data", "mark", "funding"). Raises DataError with
    file and line, SettingError with the setting.
    """

    params = (
        ("mark", None),
        ("funding", None),
        ("symbol", ""),
        ("on_fault", "error"),
        ("fill", "none"),
        ("timeframe", None),
        ("compression", None),
    )

    candles: Candles
    mark: MarkSeries | None
    funding: FundingSchedule | None
    symbol: str
    loaded: dict[str, dict[str, Any]]

    def __init__(self, **unknown: Any) -> None:
        super().__init__()
        for name in unknown:  # Backtrader has taken the known ones out
            near = get_close_matches(name, self.p._getkeys(), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingError(f"CandleFeed has no setting {name}{hint}")
        if self.p.dataname is None:
            raise SettingError("CandleFeed needs dataname: a path, a DataFrame or Candles")
        on_fault = self.p.on_fault
        fill = self.p.fill
        candles = read_candles(
            self.p.dataname, symbol=self.p.symbol or None, on_fault=on_fault, fill=fill
        )
        if self.p.symbol and candles.symbol != self.p.symbol:  # Candles handed in ready-made
            candles = replace(candles, symbol=self.p.symbol)
        self.symbol = candles.symbol
        self._derive_timeframe(candles)
        if not self.p.name and isinstance(self.p.dataname, (Candles, Path)):
            self._name = self.symbol or str(candles.source)
        mark, funding = None, None
        if self.p.mark is not None:
            mark = read_candles(
                self.p.mark, symbol=self.symbol, kind="mark", on_fault=on_fault,
                fill="error" if fill == "error" else "none",
            )  # fmt: skip
        marks = align_mark(candles, mark) if mark is not None else None
        if mark is not None and marks is not None:
            candles = with_marks(candles, mark, marks)
            marks.findings = [*mark.findings, *marks.findings]
        self.loaded = {"data": candles.summary()}
        if mark is not None:
            self.loaded["mark"] = mark.summary()
        if self.p.funding is not None:
            settlements = read_funding(
                self.p.funding, symbol=self.symbol or None, on_fault=on_fault
            )
            funding = schedule_funding(candles, mark, settlements, marks)
            funding.findings = [*settlements.findings, *funding.findings]
            self.loaded["funding"] = settlements.summary()
        self._cut(candles, marks, funding)
        self._at = 0

    def _derive_timeframe(self, candles: Candles) -> None:
        timeframe, compression = bt_timeframe(candles.timeframe_ms or DAY_MS)
        if self.p.timeframe is None:
            self.p.timeframe = timeframe
            if self.p.compression is None:
                self.p.compression = compression
        elif self.p.compression is None:
            self.p.compression = compression if self.p.timeframe == timeframe else 1

    def _numbers(self, candles: Candles) -> Floats:
        """Backtrader's date numbers; candles of a day and longer carry the session's end.

        Backtrader's own CSV feeds do the same, so that a day's candle is not seen together
        with that day's first hour.
        """
        if self.p.timeframe < bt.TimeFrame.Days:
            return bt_numbers(candles.ts)
        end = self.p.sessionend or _SESSION_END
        if isinstance(end, datetime):
            end = end.time()
        days = candles.ts // DAY_MS
        ends = {int(d): bt.date2num(_day_at(int(d), end)) for d in np.unique(days)}
        stamps: Floats = np.array([ends[int(d)] for d in days])
        numbers: Floats = np.maximum(stamps, bt_numbers(candles.ts))
        return numbers

    def _cut(
        self, candles: Candles, mark: MarkSeries | None, funding: FundingSchedule | None
    ) -> None:
        """Keep what lies within fromdate..todate, by Backtrader's own rule for them."""
        numbers = self._numbers(candles)
        start, stop = 0, len(candles)
        if self.p.tzinput is not None:
            # Backtrader moves every bar from that zone to UTC as it loads it, and cuts then.
            if mark is not None or funding is not None:
                raise SettingError("tzinput cannot go with mark or funding, whose times are UTC")
        else:
            zone = bt.utils.date.tzparse(self.p.tz)
            first = _bound(self.p.fromdate, self.p.sessionstart or time.min, zone)
            last = _bound(self.p.todate, self.p.sessionend or _SESSION_END, zone)
            if first is not None:
                start = int(np.searchsorted(numbers, first, "left"))
            if last is not None:
                stop = max(start, int(np.searchsorted(numbers, last, "right")))
        if start >= stop:
            raise DataError(
                "no candle lies between fromdate and todate; the file goes from "
                f"{candles.summary()['first']} to {candles.summary()['last']}",
                source=candles.source,
            )
        self.candles = candles.slice(start, stop)
        self._stamps = numbers[start:stop]
        self.mark = mark.slice(start, stop) if mark is not None else None
        self.funding = funding.slice(start, stop) if funding is not None else None

    @property
    def stamps(self) -> Floats:
        """Backtrader's date numbers, one a candle."""
        return self._stamps

    def start(self) -> None:
        """Begin a run: Backtrader calls it before each one."""
        super().start()
        self._at = 0

    def _columns(self) -> dict[str, Floats]:
        candles = self.candles
        return {
            "datetime": self._stamps,
            "open": candles.open,
            "high": candles.high,
            "low": candles.low,
            "close": candles.close,
            "volume": candles.volume,
        }

    def preload(self) -> None:
        """Fill the line buffers: all at once, or bar by bar where a filter must see each bar."""
        lines = [getattr(self.lines, name) for name in self.getlinealiases()]
        plain = all(ln.mode == ln.UnBounded and not ln.bindings for ln in lines)
        if self._filters or self._tzinput or not plain or self._at or lines[0].lencount:
            super().preload()
            return
        columns = self._columns()
        count = len(self.candles)
        for name in self.getlinealiases():
            line = getattr(self.lines, name)
            ahead = line.array  # what data.extend() put there for looking ahead
            values = columns.get(name)
            if values is None:  # open interest: unknown, as in Backtrader's own CSV feeds
                line.array = array("d", [np.nan]) * count
            else:
                line.array = array("d")
                line.array.frombytes(np.ascontiguousarray(values).data.cast("B"))
            line.array.extend(ahead)
        self._at = count
        self.home()

    def share_buffers(self) -> None:
        """Make the candles views of the preloaded line buffers, which then must not grow.

        For a loop that only moves through them: it halves what the feed holds.
        """
        count = len(self.candles)
        moved = self._filters or self._tzinput
        if self._at != count or moved or len(self.lines.datetime.array) < count:
            return
        views: dict[str, Any] = {
            name: np.frombuffer(getattr(self.lines, name).array, np.float64)[:count]
            for name in self._columns()
        }
        self._stamps = views.pop("datetime")
        self.candles = replace(self.candles, **views)

    def _load(self) -> bool:
        at = self._at
        if at >= len(self.candles):
            return False
        lines, candles = self.lines, self.candles
        lines.datetime[0] = self._stamps[at]
        lines.open[0] = candles.open[at]
        lines.high[0] = candles.high[at]
        lines.low[0] = candles.low[at]
        lines.close[0] = candles.close[at]
        lines.volume[0] = candles.volume[at]
        self._at = at + 1
        return True


def _day_at(day: int, clock: time) -> datetime:
    return datetime.combine(date.fromordinal(day + date(1970, 1, 1).toordinal()), clock)


def _bound(when: Any, clock: Any, zone: Any) -> float | None:
    """The date number of fromdate or todate; a date without clock takes the session's."""
    if when is None:
        return None
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if not isinstance(when, datetime):
        when = datetime.combine(when, clock.time() if isinstance(clock, datetime) else clock)
    if zone is not None and when.tzinfo is None:
        when = zone.localize(when)
    return float(bt.date2num(when))
