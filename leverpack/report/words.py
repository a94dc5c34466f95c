"""Numbers and times in the words of the report; one place, so that page and table agree."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def money(value: float, *, sign: bool = False) -> str:
    """Quote currency with two decimals: 1,234.50."""
    return f"{value:+,.2f}" if sign else f"{value:,.2f}"


def percent(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    """A fraction as percent: 12.34 %; none for None and NaN."""
    if value is None or math.isnan(value):
        return "none"
    if math.isinf(value):
        return "beyond all bounds"
    return f"{value * 100:{'+' if sign else ''},.{digits}f} %"


def price(value: float | None) -> str:
    """A price with as many digits as its size needs."""
    if value is None or math.isnan(value):
        return "none"
    digits = 2 if abs(value) >= 100 else 4 if abs(value) >= 1 else 8
    return f"{value:,.{digits}f}"


def size(value: float) -> str:
    """Base units without trailing zeros."""
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def moment(ms: int | None) -> str:
    """Epoch milliseconds as 2025-03-04 13:00 UTC."""
    if ms is None:
        return "still open"
    return datetime.fromtimestamp(ms / 1000.0, UTC).strftime("%Y-%m-%d %H:%M UTC")


def from_iso(text: str | None) -> str:
    """2025-03-04T13:00:00+00:00 as 2025-03-04 13:00 UTC."""
    if not text:
        return "no candle"
    return moment(round(datetime.fromisoformat(text).timestamp() * 1000.0))


def duration(first: int, last: int | None) -> str:
    """Time between two moments: 3 d 4 h, 4 h 5 min."""
    if last is None:
        return ""
    minutes = round((last - first) / 60_000)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def count(number: int, one: str, many: str | None = None) -> str:
    """1 liquidation, 2 liquidations."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


GAPS = {
    "open": "gap: the candle opened beyond the price",
    "mark": "gap: the mark went there, the last price did not",
    "": "inside the candle",
}
"""Where a liquidation happened, by LiquidationRecord.gap."""


def statistic(value: float | int | None, unit: str) -> str:
    """The value of a Statistic with its unit."""
    if value is None:
        return "none"
    if unit.startswith("fraction"):
        return percent(value) + unit.removeprefix("fraction")
    if unit == "quote":
        return money(value)
    if unit == "count":
        return f"{value:,.0f}"
    return f"{value:,.2f}" + {"x": "x", "days": " days"}.get(unit, "")
