"""What a live venue says of liquidation price and margin ratio, beside our own computation."""

from __future__ import annotations

from typing import Any

import numpy as np

from leverpack.result import Floats

VENUE_COLUMNS = (
    "margin_ratio", "venue_margin_ratio", "liquidation_price", "venue_liquidation_price",
)  # fmt: skip


def differences(columns: dict[str, Floats]) -> dict[str, Any]:
    """How far the venue's readings of one symbol lie from ours; None where nothing was said.

    ``columns`` are VENUE_COLUMNS, one value a candle, NaN where there is none. ``readings``:
    candles at which the venue said a liquidation price; ``liquidation_price``: the largest
    difference over our price (signed fraction: venue less ours); ``margin_ratio``: the largest
    difference of the ratios (signed, venue less ours).
    """
    theirs = columns["venue_liquidation_price"]
    prices = relative(columns["liquidation_price"], theirs)
    ratios = columns["venue_margin_ratio"] - columns["margin_ratio"]
    return {
        "readings": int(np.isfinite(theirs).sum()),
        "liquidation_price": largest(prices),
        "margin_ratio": largest(ratios),
    }


def relative(ours: Floats, theirs: Floats) -> Floats:
    """Theirs over ours, less 1; NaN where either is missing or ours is no price."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(ours > 0.0, theirs / ours - 1.0, np.nan)
    return found


def largest(values: Floats) -> float | None:
    """The value furthest from 0, with its sign; None of none."""
    known = values[np.isfinite(values)]
    return float(known[np.argmax(np.abs(known))]) if len(known) else None
