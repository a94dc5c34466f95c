"""Stretches in which nothing moves: exchange halts, idle markets and files of one price."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from leverpack.candles.blocks import Rows, rows_where
from leverpack.candles.series import Candles, Finding, iso
from leverpack.candles.timeframes import HOUR_MS, MINUTE_MS, timeframe_name

# Two idle candles in a row, ten minutes at least: what Binance's own short halts of 2025 show.
_HALT_MS = 10 * MINUTE_MS
# From four hours on a stop would have waited half a funding interval for its fill.
_LONG_MS = 4 * HOUR_MS
_FEW = 0.01  # where more candles are idle, silence is usual and no halt
_OFTEN = 0.10  # one candle in ten without a trade: fills there are assumed where nobody traded
_FLAT_MS = 6 * HOUR_MS
_FLAT_CANDLES = 6  # below that even a lively daily file may repeat a price

Span = tuple[int, int]  # from (epoch ms, included) to (excluded)


def still_runs(candles: Candles, *, traded_too: bool = True) -> tuple[Rows, Rows]:
    """First and last positions of the runs of candles in which no price changed at all.

    Without ``traded_too`` only candles without volume count.
    """
    rows = rows_where(0, len(candles), lambda at: candles.high[at] == candles.low[at])
    rows = rows[(rows == 0) | (candles.close[rows] == candles.close[rows - 1])]
    if not traded_too:
        rows = rows[candles.volume[rows] == 0]
    fresh = np.diff(rows, prepend=-2) > 1
    starts = np.flatnonzero(fresh)
    stops = np.append(starts[1:], len(rows)) - 1
    return rows[starts], rows[stops] if len(rows) else rows


def still_findings(candles: Candles) -> list[Finding]:
    """What deserves saying about candles in which nothing moved or nobody traded."""
    if len(candles) > 2 and candles.high.max() == candles.low.min():
        return [
            Finding("warning", "flat", f"every price is {candles.open[0]:g}", None, len(candles),
                    "kept; this is hardly a market")
        ]  # fmt: skip
    found: list[Finding] = []
    starts, stops = still_runs(candles)
    traded = candles.kind == "trade" and bool(candles.volume.any())
    idle = len(candles) - int(np.count_nonzero(candles.volume)) if traded else 0
    if idle:
        found.append(_zero_volume(candles, idle))
    halts = _silent_spans(candles) if 0 < idle <= _FEW * len(candles) else []
    if halts:
        found.append(_halts(candles, halts))
    lengths = candles.ts[stops] - candles.ts[starts] + candles.timeframe_ms
    long = (lengths >= _FLAT_MS) & (stops - starts + 1 >= _FLAT_CANDLES)
    known = {start for start, _ in halts}
    spans = [
        (int(candles.ts[a]), int(candles.ts[b]) + candles.timeframe_ms)
        for a, b in zip(starts[long], stops[long], strict=True)
        if int(candles.ts[a]) not in known
    ]
    if spans:
        start, end = max(spans, key=lambda s: s[1] - s[0])
        found.append(
            Finding("warning", "flat_stretch", f"no price changes from {iso(start)} to {iso(end)} "
                    f"({_hours(end - start)})" + _of(spans), None, len(spans), "kept")
        )  # fmt: skip
    return found


def idle_spans(candles: Candles) -> list[Span]:
    """When nobody traded at one price, or candles are missing, for long enough to be a halt."""
    step = candles.timeframe_ms
    gaps = [(at, at + n * step) for at, n in candles.gaps]
    return sorted([*_long_enough(gaps, step), *_silent_spans(candles)])


def _silent_spans(candles: Candles) -> list[Span]:
    step = candles.timeframe_ms
    starts, stops = still_runs(candles, traded_too=False)
    spans = [
        (int(candles.ts[a]), int(candles.ts[b]) + step) for a, b in zip(starts, stops, strict=True)
    ]
    return _long_enough(spans, step)


def _long_enough(spans: list[Span], step: int) -> list[Span]:
    return [s for s in spans if s[1] - s[0] >= max(_HALT_MS, 2 * step)]


def common_halts(markets: list[tuple[Span, list[Span]]]) -> list[Span]:
    """When all of at least two markets that cover the time were idle together.

    Each market is (the time it covers, its idle spans). Halts of an exchange stop every symbol;
    what stops one alone is a thin market or a hole in its file.
    """
    edges = sorted({t for cover, spans in markets for span in (cover, *spans) for t in span})
    halts: list[Span] = []
    for start, end in pairwise(edges):
        there = [spans for cover, spans in markets if cover[0] <= start and end <= cover[1]]
        if len(there) < 2:
            continue
        if all(any(a <= start and end <= b for a, b in spans) for spans in there):
            if halts and halts[-1][1] == start:
                halts[-1] = (halts[-1][0], end)
            else:
                halts.append((start, end))
    return halts


def _zero_volume(candles: Candles, idle: int) -> Finding:
    often = idle >= _OFTEN * len(candles)
    return Finding(
        "warning" if often else "info", "zero_volume",
        f"{idle:,} of {len(candles):,} candles are without volume" + (
            ": fills there are assumed where nobody traded" if often else " (a halt, or no trade)"
        ), None, idle, "kept",
    )  # fmt: skip


def _halts(candles: Candles, halts: list[Span]) -> Finding:
    start, end = max(halts, key=lambda s: s[1] - s[0])
    return Finding(
        "warning" if end - start >= _LONG_MS else "info", "halt",
        f"no trade from {iso(start)} to {iso(end)} ({_hours(end - start)}), as in a halt of the "
        f"exchange{_of(halts)}", None, len(halts), "kept; orders fill after it",
    )  # fmt: skip


def _of(spans: list[Span]) -> str:
    return "" if len(spans) == 1 else f", the longest of {len(spans)}"


def _hours(ms: int) -> str:
    return f"{ms / HOUR_MS:g} hours" if ms % HOUR_MS == 0 or ms > HOUR_MS else timeframe_name(ms)
