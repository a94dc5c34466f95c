"""One series page by page: what is missing, asked for once; holes asked for once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leverpack.candles.download.client import Client, Rows, first_of_each
from leverpack.candles.download.parts import Label, SeriesFile
from leverpack.candles.download.spans import Span, holds_mark, holes, without
from leverpack.candles.timeframes import DAY_MS

# An exchange may publish a row late; a hole younger than this is asked for again by the next run.
_STILL_OPEN_MS = DAY_MS
_WORTH_A_LOOK = 3  # pages ahead for which one look at the daily candles pays
_NOT_KEPT = 8  # empty pages on days of trading, after which short candles are taken as not kept


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the rows of one series come from.

    ``fetch(start, end, limit)`` gives those in start..end (epoch ms, end excluded), ascending;
    ``spacing`` is the shortest time between two rows (ms) and ``limit`` the rows of one answer.
    ``next_day(start, end)`` is the first day of start..end with any candle, None: there is none.
    """

    label: Label
    fetch: Callable[[int, int, int], Rows]
    spacing: int
    limit: int
    next_day: Callable[[int, int], int | None]

    @property
    def window(self) -> int:
        """The time that one answer surely covers (ms)."""
        return self.limit * self.spacing


def candle_feed(
    client: Client, symbol: str, timeframe: str, label: Label, limit: int | None
) -> Feed:
    """Candles or mark candles of a symbol, ``limit`` in one answer (None: as many as it gives)."""
    most = client.candles_a_page(symbol)
    limit = most if limit is None else min(limit, most)
    mark = label.kind == "mark"

    def fetch(start: int, end: int, limit: int) -> Rows:
        return client.candles(symbol, timeframe, start, end, limit, mark=mark)

    return Feed(label, fetch, label.step, limit, _days(client, symbol, label.step))


def funding_feed(client: Client, symbol: str, label: Label) -> Feed:
    """Funding settlements of a symbol."""

    def fetch(start: int, end: int, limit: int) -> Rows:
        return client.settlements(symbol, start, end, limit)

    most = client.settlements_a_page()
    return Feed(label, fetch, label.step, most, _days(client, symbol, label.step))


def _days(client: Client, symbol: str, step: int) -> Callable[[int, int], int | None]:
    """Look for the next day with a candle, hundreds of days in one answer."""
    limit = client.candles_a_page(symbol)

    def next_day(start: int, end: int) -> int | None:
        if step >= DAY_MS or "1d" not in (client.exchange.timeframes or {}):
            return start
        at = start // DAY_MS * DAY_MS
        while at < end:
            stop = min(end, at + limit * DAY_MS)
            rows = client.candles(symbol, "1d", at, stop, limit)
            if len(rows):
                return max(start, int(rows[0, 0]))
            at = stop
        return None

    return next_day


def fetch_missing(
    feed: Feed, file: SeriesFile, wanted: Span, now: int, told: Callable[[int, int], None]
) -> None:
    """Put all that ``file`` lacks of ``wanted`` into its pages; ``now`` is the exchange's clock.

    ``told`` hears (milliseconds done, of how many). Raises what the client raises; the pages up
    to there are kept.
    """
    missing = [s for s in without(wanted, file.covered) if _may_hold(feed, file, s)]
    total, done = sum(end - start for start, end in missing), 0
    told(0, total)
    for start, stop in missing:
        at, empty = start, 0
        while at < stop:
            end = min(stop, at + feed.window)
            rows = _page(feed, (at, end))
            empty = 0 if len(rows) else empty + 1
            if empty and stop - end >= _WORTH_A_LOOK * feed.window:
                first = file.phase() is None
                end = _next_rows(feed, end, stop, look=first and empty >= _NOT_KEPT)
            known = _known_until(rows, (at, end), feed, now)
            if known > at:
                file.keep(rows, (at, known))
            done += end - at
            told(done, total)
            at = end


def _next_rows(feed: Feed, start: int, stop: int, *, look: bool) -> int:
    """Where to go on after an empty page: no row lies before that."""
    day = feed.next_day(start, stop)
    if day is None:
        return stop
    # Days of trading without one short candle: many exchanges keep the short ones for some weeks
    # only, and what they keep reaches up to now.
    return _kept_from(feed, start, stop) if look and day - start < feed.window else day


def _kept_from(feed: Feed, start: int, stop: int) -> int:
    """The page of start..stop from which on there are rows, by halving; ``start`` if unclear."""
    window = feed.window
    first, last = 0, -((start - stop) // window) - 1  # pages; the last one must hold rows

    def holds_rows(page: int) -> bool:
        at = start + page * window
        return len(feed.fetch(at, min(stop, at + window), feed.limit)) > 0

    if not holds_rows(last):
        return start
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if holds_rows(middle) else (middle + 1, last)
    return start + first * window


def _may_hold(feed: Feed, file: SeriesFile, span: Span) -> bool:
    """Whether a row may lie in the span: not between two candles, nor between two full hours."""
    phase = 0 if feed.label.kind == "funding" else file.phase()
    return phase is None or holds_mark(span, phase, feed.spacing)


def _page(feed: Feed, span: Span) -> Rows:
    """All rows of a span that fits into one answer; holes are asked for until nothing more comes.

    An exchange that gives less in one answer than it says, or an answer that lost rows on the
    way, is so told from a hole of the exchange itself.
    """
    rows = feed.fetch(*span, _limit(feed, span))
    if feed.label.kind == "funding" and not len(rows) and span[1] - span[0] < feed.label.reach:
        return rows  # none need have come in so short a time
    while missing := holes(rows[:, 0].astype(np.int64), span, feed.label.reach):
        lacking = missing[0][0], missing[-1][1]
        more = feed.fetch(*lacking, _limit(feed, lacking))
        both = first_of_each(np.concatenate([rows, more]))
        if len(both) == len(rows):
            break
        rows = both
    return rows


def _limit(feed: Feed, span: Span) -> int:
    return min(feed.limit, -((span[0] - span[1]) // feed.spacing))


def _known_until(rows: Rows, span: Span, feed: Feed, now: int) -> int:
    """Up to where a page holds all that there will ever be: not a fresh hole at its end."""
    row = 1 if feed.label.kind == "funding" else feed.label.step
    last = int(rows[-1, 0]) + row if len(rows) else span[0]
    return min(span[1], max(last, now - max(_STILL_OPEN_MS, feed.label.step)))
