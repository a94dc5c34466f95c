"""Mark prices and funding settlements laid against the trade candles."""

from __future__ import annotations

from typing import Any

import numpy as np

from leverpack.candles.series import (
    Bools,
    Candles,
    Finding,
    Funding,
    FundingSchedule,
    MarkSeries,
    iso,
)
from leverpack.candles.timeframes import timeframe_name
from leverpack.errors import DataError
from leverpack.result import Floats, Ints

_ENOUGH = 10  # common bars below which equal prices prove nothing
_TOO_EQUAL = 0.9  # true marks equal the trade candle on about a fifth of the bars at most

Prices = tuple[Floats, Floats, Floats, Floats]


def align_mark(candles: Candles, mark: Candles) -> MarkSeries:
    """The mark price over each trade candle.

    Marks of the same length are matched by time, finer ones are summed up within each trade
    candle. A coarser mark candle bounds what the mark did in its window: the trade candles
    inside are clamped into its range, its open and close stand at the window's ends, and an
    extreme that no trade reached is given to the trade candle that came nearest. So the
    window's extremes always equal the mark candle's (no extreme is missed), and no bar has an
    extreme that the mark never had; nor is an earlier bar's low repeated over the later bars
    of the window, which would liquidate a position that was opened after it. Where there is
    no mark, the trade prices stand in and are flagged. Raises DataError when the "mark"
    candles are trade candles.
    """
    refuse_trades(candles, mark)
    step, mark_step = candles.timeframe_ms, mark.timeframe_ms
    prices: Prices = (
        candles.open.copy(), candles.high.copy(), candles.low.copy(), candles.close.copy(),
    )  # fmt: skip
    if mark_step == step or step == 0 or mark_step == 0:
        known, how = _same(candles, mark, prices), "of the same length, matched by time"
    elif mark_step < step:
        known, how = _finer(candles, mark, prices), "finer, summed up within each candle"
    else:
        known, how = _coarser(candles, mark, prices), "longer, bounds the candles inside it"
    fallback = ~known
    note = f"mark candles of {timeframe_name(mark_step)}: {how}"
    series = MarkSeries(*prices, fallback, mark_step, note)
    missing = int(fallback.sum())
    if missing:
        at = iso(int(candles.ts[int(np.argmax(fallback))]))
        series.note += f"; no mark for {missing} of {len(candles)} candles, trade prices used there"
        series.findings.append(
            Finding("warning", "no_mark", f"no mark price for {missing} of {len(candles)} candles, "
                    f"the first at {at}", None, missing, "trade prices used")
        )  # fmt: skip
    return series


def refuse_trades(candles: Candles, mark: Candles) -> None:
    """Raise DataError when the mark candles repeat the trade candles on nearly all common bars."""
    if mark.timeframe_ms < candles.timeframe_ms:
        ts, prices = _summed(mark, candles.timeframe_ms)
        other: Prices = (candles.open, candles.high, candles.low, candles.close)
        at_mark, at_trade = _common(ts, candles.ts)
    else:
        prices = (mark.open, mark.high, mark.low, mark.close)
        ts = mark.ts
        if mark.timeframe_ms > candles.timeframe_ms > 0:
            trade_ts, other = _summed(candles, mark.timeframe_ms)
        else:
            trade_ts = candles.ts
            other = (candles.open, candles.high, candles.low, candles.close)
        at_mark, at_trade = _common(ts, trade_ts)
    if len(at_mark) < _ENOUGH:
        return
    full = "no_high" not in {f.code for f in mark.findings}
    compare = range(4) if full else (0, 3)
    equal = np.ones(len(at_mark), np.bool_)
    for i in compare:
        equal &= np.abs(prices[i][at_mark] - other[i][at_trade]) <= 1e-9 * other[i][at_trade]
    flat = other[1][at_trade] == other[2][at_trade]
    judged = int((~flat).sum())
    same = int((equal & ~flat).sum())
    if judged >= _ENOUGH and same > _TOO_EQUAL * judged:
        raise DataError(
            f"these are trade candles, not mark prices ({same} of {judged} bars equal the trade "
            "candles); name the exchange's mark-price candles, or leave the mark out",
            source=mark.source,
        )


def _common(a: Ints, b: Ints) -> tuple[Any, Any]:
    """Positions in a and in b of the times that both have."""
    at = np.searchsorted(b, a)
    inside = at < len(b)
    inside[inside] = b[at[inside]] == a[inside]
    return np.flatnonzero(inside), at[inside]


def _summed(candles: Candles, step: int) -> tuple[Ints, Prices]:
    """Complete candles of a longer length made from finer ones, on the grid of multiples of it."""
    if not len(candles):
        return candles.ts, (candles.open, candles.high, candles.low, candles.close)
    group = candles.ts - candles.ts % step
    starts = np.concatenate(([0], np.flatnonzero(np.diff(group)) + 1))
    return _grouped(candles, starts, group[starts], max(1, step // max(candles.timeframe_ms, 1)))


def _grouped(candles: Candles, starts: Any, ts: Ints, full: int) -> tuple[Ints, Prices]:
    ends = np.append(starts[1:], len(candles))
    whole = (ends - starts >= full) & (candles.ts[starts] == ts)
    prices = (
        candles.open[starts],
        np.maximum.reduceat(candles.high, starts),
        np.minimum.reduceat(candles.low, starts),
        candles.close[ends - 1],
    )
    return ts[whole], (prices[0][whole], prices[1][whole], prices[2][whole], prices[3][whole])


def _same(candles: Candles, mark: Candles, prices: Prices) -> Bools:
    at_mark, at_trade = _common(mark.ts, candles.ts)
    for out, values in zip(prices, (mark.open, mark.high, mark.low, mark.close), strict=True):
        out[at_trade] = values[at_mark]
    known = np.zeros(len(candles), np.bool_)
    known[at_trade] = True
    return known


def _finer(candles: Candles, mark: Candles, prices: Prices) -> Bools:
    """A candle counts as known only when finer marks cover all of it: a hole could hide its low."""
    known = np.zeros(len(candles), np.bool_)
    owner = np.searchsorted(candles.ts, mark.ts, "right") - 1
    inside = owner >= 0
    inside[inside] = mark.ts[inside] < candles.ts[owner[inside]] + candles.timeframe_ms
    rows = np.flatnonzero(inside)
    if not len(rows):
        return known
    part = mark.slice(int(rows[0]), int(rows[-1]) + 1)
    if len(part) != len(rows):  # marks in a gap of the trades
        part = _take(mark, rows)
    owner = owner[rows]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(owner)) + 1))
    full = candles.timeframe_ms // mark.timeframe_ms
    ts, summed = _grouped(part, starts, candles.ts[owner[starts]], full)
    at = np.searchsorted(candles.ts, ts)
    for out, values in zip(prices, summed, strict=True):
        out[at] = values
    known[at] = True
    return known


def _take(candles: Candles, rows: Any) -> Candles:
    return Candles(
        candles.ts[rows], candles.open[rows], candles.high[rows], candles.low[rows],
        candles.close[rows], candles.volume[rows], candles.timeframe_ms,
    )  # fmt: skip


def _coarser(candles: Candles, mark: Candles, prices: Prices) -> Bools:
    opens, highs, lows, closes = prices
    window = np.searchsorted(mark.ts, candles.ts, "right") - 1
    known = window >= 0
    known[known] = candles.ts[known] < mark.ts[window[known]] + mark.timeframe_ms
    rows = np.flatnonzero(known)
    if not len(rows):
        return known
    window = window[rows]
    top, floor = mark.high[window], mark.low[window]
    for out in prices:
        out[rows] = np.clip(out[rows], floor, top)
    at_open = candles.ts[rows] == mark.ts[window]
    opens[rows[at_open]] = mark.open[window[at_open]]
    ends = candles.ts[rows] + candles.timeframe_ms == mark.ts[window] + mark.timeframe_ms
    closes[rows[ends]] = mark.close[window[ends]]
    for out, choose in ((highs, np.maximum), (lows, np.minimum)):
        out[rows] = choose(out[rows], choose(opens[rows], closes[rows]))
    _place_extremes(lows, candles.low, rows, window, mark.low, lowest=True)
    _place_extremes(highs, candles.high, rows, window, mark.high, lowest=False)
    return known


def _place_extremes(
    out: Floats, trades: Floats, rows: Any, window: Any, extreme: Floats, *, lowest: bool
) -> None:
    """Give an extreme that no bar of its window has to the bar whose trades came nearest to it."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(window)) + 1))
    reduce = np.minimum if lowest else np.maximum
    seen = reduce.reduceat(out[rows], starts)
    ends = np.append(starts[1:], len(rows))
    want = extreme[window[starts]]
    # The first of each window's bars whose trades came as near as any of its bars' did.
    touching = np.flatnonzero(np.repeat(reduce.reduceat(trades[rows], starts), ends - starts)
                            == trades[rows])  # fmt: skip
    nearest = rows[touching[np.searchsorted(touching, starts)]]
    short = seen > want if lowest else seen < want
    out[nearest[short]] = want[short]


def schedule_funding(
    candles: Candles, mark: Candles | None, funding: Funding, aligned: MarkSeries | None = None
) -> FundingSchedule:
    """Which candle's open each settlement is charged at, and on which mark price.

    A settlement is charged at the first candle that opens at or after it; settlements before
    the first or after the last candle fall away. The price is the open of the mark candle
    that starts with the settlement. Inside a longer mark candle it is the mark ``aligned`` to
    the trade candle that opens then (see :func:`align_mark`), else the open of the mark candle
    that holds it; with no mark at all the trade candle's open, flagged.
    """
    bar = np.searchsorted(candles.ts, funding.ts, "left")
    inside = (bar < len(candles)) & (funding.ts >= (candles.ts[0] if len(candles) else 0))
    bar, ts, rate = bar[inside], funding.ts[inside], funding.rate[inside]
    price = candles.open[bar].copy()
    fallback = np.ones(len(ts), np.bool_)
    stale = 0
    if mark is not None and len(mark) and len(ts):
        at = np.searchsorted(mark.ts, ts, "right") - 1
        held = at >= 0
        held[held] = ts[held] < mark.ts[at[held]] + max(mark.timeframe_ms, 1)
        price[held] = mark.open[at[held]]
        fallback = ~held
        inner = held.copy()
        inner[held] = mark.ts[at[held]] != ts[held]
        stale = int(inner.sum())
        if aligned is not None:
            near = inner & (candles.ts[bar] == ts) & ~aligned.fallback[bar]
            price[near] = aligned.open[bar[near]]
    findings = _schedule_findings(candles, funding, inside, fallback, stale, bar, ts)
    return FundingSchedule(bar.astype(np.int64), ts, rate, price, fallback, findings)


def _schedule_findings(
    candles: Candles,
    funding: Funding,
    inside: Bools,
    fallback: Bools,
    stale: int,
    bar: Any,
    ts: Ints,
) -> list[Finding]:
    found: list[Finding] = []
    outside = int((~inside).sum())
    if outside:
        found.append(
            Finding("info", "funding_outside", f"{outside} settlements lie before the first or "
                    "after the last candle", None, outside, "not charged")
        )  # fmt: skip
    if fallback.any():
        found.append(
            Finding("warning", "funding_no_mark", "no mark price at a settlement", None,
                    int(fallback.sum()), "charged on the trade candle's open")
        )  # fmt: skip
    if stale:
        found.append(
            Finding("info", "funding_earlier_mark", "settlements inside a longer mark candle",
                    None, stale, "charged on the mark estimated for that time")
        )  # fmt: skip
    late = int((candles.ts[bar] != ts).sum())
    if late:
        found.append(
            Finding("info", "funding_late", "settlements between two candle opens", None, late,
                    "charged at the next candle's open")
        )  # fmt: skip
    if len(funding) and len(candles) and not inside.any():
        found.append(
            Finding("warning", "no_funding", "no settlement lies within the candles", None, 1,
                    "no funding is charged")
        )  # fmt: skip
    return found
