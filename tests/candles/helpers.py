"""Small made candles for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from leverpack.candles.series import Candles

HOUR = 3_600_000
START = 1_735_689_600_000  # 2025-01-01T00:00Z

HEADER = "time,open,high,low,close,volume"


def rows(count: int, step: int = HOUR, start: int = START) -> list[str]:
    """CSV rows (epoch ms) of a price that climbs by 1 a candle."""
    return [
        f"{start + i * step},{100 + i},{102 + i},{99 + i},{101 + i},{10 + i}" for i in range(count)
    ]


def write(path: Path, lines: list[str], header: str | None = HEADER, end: str = "\n") -> Path:
    """A CSV file of these lines."""
    path.write_text(end.join(([header] if header else []) + lines) + end, newline="")
    return path


def candles(
    opens: list[float],
    highs: list[float],
    lows: list[float],
    closes: list[float],
    step: int = HOUR,
    start: int = START,
    kind: str = "trade",
) -> Candles:
    """Candles from lists."""
    ts = start + step * np.arange(len(opens), dtype=np.int64)
    return Candles(
        ts, np.array(opens, float), np.array(highs, float), np.array(lows, float),
        np.array(closes, float), np.zeros(len(ts)), step, "BTCUSDT", kind, "made",
    )  # fmt: skip
