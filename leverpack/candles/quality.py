"""Prices and volumes that can be read but are hard to believe: jumps, odd units, odd ends."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from leverpack.candles.blocks import moved, rows_where
from leverpack.candles.series import Bools, Candles, Finding, iso
from leverpack.candles.timeframes import DAY_MS, HOUR_MS, MINUTE_MS

# From one candle's close to the next one's open: a crash moves inside candles, not between them.
_JUMP = 3.0
# Ten times over is no trading at all: the largest real step between hourly candles is under two.
_OTHER_COIN = 10.0
# Ten times what all exchanges together trade in BTC on their busiest days.
_MOST_TURNOVER = 1e12
# Lots of one whole coin exist up to some hundreds (SOL perpetuals in 2021); dearer coins trade in
# hundredths and less.
_DEAR = 1_000.0
_SAMPLE = 1_000
_SKEW_MS = MINUTE_MS  # clocks differ
_WORLD_MS = 14 * HOUR_MS  # local time is ahead of UTC by that much at most


def jump_findings(candles: Candles) -> list[Finding]:
    """Steps between one candle's close and the next one's open that no market makes."""
    if len(candles) < 2:
        return []

    def jumps(at: slice) -> Bools:
        opens, closes = candles.open[moved(at, 1)], candles.close[at]
        far: Bools = (opens > _JUMP * closes) | (opens * _JUMP < closes)
        return far

    rows = rows_where(0, len(candles) - 1, jumps)
    if not len(rows):
        return []
    step = np.abs(np.log(candles.open[rows + 1] / candles.close[rows]))
    at = int(rows[np.argmax(step)])
    before, after = int(candles.ts[at]), int(candles.ts[at + 1])
    gap = after - before > 1.5 * candles.timeframe_ms
    away = f" after a gap of {(after - before) / DAY_MS:.1f} days" if gap else ""
    seen = f"the price steps from {candles.close[at]:g} to {candles.open[at + 1]:g} at {iso(after)}"
    times = "" if len(rows) == 1 else f", the largest of {len(rows)}"
    if step.max() >= np.log(_OTHER_COIN):
        return [
            Finding("warning", "coin_changed", f"{seen}{away}{times}: another coin under the same "
                    "name, or a redenomination", None, len(rows),
                    f"kept; end the run before it (--to {iso(before)[:10]})")
        ]  # fmt: skip
    return [
        Finding("warning", "jump", f"{seen}{away}{times}: a hole in the file, a split, or another "
                "coin under the same name?", None, len(rows), "kept")
    ]  # fmt: skip


def volume_findings(candles: Candles) -> list[Finding]:
    """Whether the volume can be in base units, as a day's turnover and its smallest step show."""
    if candles.kind != "trade" or candles.volume_unit != "unknown":
        return []
    span = len(candles) * candles.timeframe_ms
    if not span:
        return []
    turnover = float(np.dot(candles.volume, candles.close)) / (span / DAY_MS)
    price = float(np.median(candles.close[:: max(1, len(candles) // _SAMPLE)]))
    whole = price >= _DEAR and _whole(candles)
    if turnover > _MOST_TURNOVER:
        seen = f"read as base units the volume is worth {turnover:.2g} a day, more than any market"
        unit = "quote currency or contracts"
    elif whole:
        seen = f"the volume is in whole numbers only at a price of about {price:g}"
        unit = "contracts, lots or ticks"
    else:
        return []
    return [
        Finding("warning", "volume_unit", f"{seen}: {unit} rather than base units?", None,
                len(candles), "kept; figures made from volume are off by that factor")
    ]  # fmt: skip


def _whole(candles: Candles) -> bool:
    some = candles.volume[:: max(1, len(candles) // _SAMPLE)]
    if not some.any() or (some != np.floor(some)).any():
        return False
    return bool((candles.volume == np.floor(candles.volume)).all() and candles.volume.any())


def end_findings(candles: Candles, now: int | None = None) -> list[Finding]:
    """Candles of the future, and a last candle that had not ended when the file was written.

    ``now`` in epoch ms; None is the clock.
    """
    if not len(candles):
        return []
    now = round(time.time() * 1000) if now is None else now
    last = int(candles.ts[-1])
    if last > now + _SKEW_MS:
        ahead = int(len(candles) - np.searchsorted(candles.ts, now + _SKEW_MS, "right"))
        local = last - now <= _WORLD_MS
        why = "the times are probably local ones, not UTC" if local else "the times are wrong"
        return [
            Finding("error", "future", f"the last candle opens at {iso(last)}, which is to come: "
                    f"{why}", None, ahead, "refused")
        ]  # fmt: skip
    written = _written(candles.source)
    # A time before the last candle opened says nothing about it: copies and archives keep odd ones.
    seen_at = written if written is not None and last <= written <= now else now
    end = last + candles.timeframe_ms
    if candles.timeframe_ms and seen_at < end:
        return [
            Finding("warning", "unfinished", f"the last candle ({iso(last)}) ends at {iso(end)}, "
                    f"after the file was written ({iso(seen_at - seen_at % 1000)}): it is probably "
                    "unfinished", None, 1,
                    f"kept; leave it out with --to {iso(last - 1000)[:19]}")
        ]  # fmt: skip
    return []


def _written(source: str) -> int | None:
    """When a file was last written, epoch ms; None for what is no file."""
    try:
        path = Path(source)
        return round(path.stat().st_mtime * 1000) if path.is_file() else None
    except (OSError, ValueError):
        return None
