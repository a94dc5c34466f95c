"""A file in five to ten lines, for a person: what it is, how far it reaches, how it moved."""

from __future__ import annotations

import math

import numpy as np

from leverpack.candles.measures import measure
from leverpack.candles.series import Candles, Funding, iso
from leverpack.candles.timeframes import DAY_MS, timeframe_name

Lines = list[tuple[str, str]]


@np.errstate(all="ignore")  # absurd prices overflow to inf, and are shown so
def brief(series: Candles | Funding) -> Lines:
    """Names and values: kind, symbol, span, rows, range, volatility, volume, biggest move, gaps."""
    return _funding(series) if isinstance(series, Funding) else _candles(series)


def _candles(c: Candles) -> Lines:
    step = c.timeframe_ms
    sort = "mark candles" if c.kind == "mark" else "candles"
    lines = [
        ("what", f"{c.symbol or 'unknown symbol'}, {sort} of "
                 f"{timeframe_name(step) if step else 'unknown length (one row)'}"),
        ("span", _span(int(c.ts[0]), int(c.ts[-1]) + step, len(c))),
        ("prices", _prices(c)),
    ]  # fmt: skip
    if 0 < step <= DAY_MS:
        m = measure(c)
        if math.isfinite(m.daily_volatility):
            lines.append(("volatility", f"{m.daily_volatility:.2%} a day, over {m.days} days"))
        if c.kind == "trade" and m.days:
            lines.append(("volume", _volume(c, m.quote_volume)))
    if len(c) > 1:
        lines.append(("biggest move", _move(c)))
    missing = sum(n for _, n in c.gaps)
    if missing:
        start, longest = max(c.gaps, key=lambda gap: gap[1])
        lines.append(
            ("gaps", f"{len(c.gaps)}, {missing} candles; the longest of {longest} from "
                     f"{_when(start)}")
        )  # fmt: skip
    else:
        lines.append(("gaps", "none"))
    lines.append(_findings(c))
    return lines


def _funding(f: Funding) -> Lines:
    hours = ", ".join(f"{h:g} h ({n} times)" for h, n in list(f.intervals_h().items())[:4])
    days = (int(f.ts[-1]) - int(f.ts[0])) / DAY_MS
    high, low = int(np.argmax(f.rate)), int(np.argmin(f.rate))
    total = float(f.rate.sum())
    return [
        ("what", f"{f.symbol or 'unknown symbol'}, funding settlements"),
        ("span", _span(int(f.ts[0]), int(f.ts[-1]), len(f))),
        ("intervals", hours or "one settlement"),
        (
            "sum",
            f"{total:+.2%} of notional from longs to shorts"
            + (f", {total * 365 / days:+.2%} a year" if days >= 1 else ""),
        ),
        ("highest", f"{f.rate[high]:+.4%} on {_when(int(f.ts[high]))}"),
        ("lowest", f"{f.rate[low]:+.4%} on {_when(int(f.ts[low]))}"),
        _findings(f),
    ]


def _span(first: int, end: int, rows: int) -> str:
    return f"{_when(first)} to {_when(end)}, {rows:,} rows, {(end - first) / DAY_MS:,.1f} days"


def _when(ms: int) -> str:
    return iso(ms)[:16].replace("T", " ")


def _prices(c: Candles) -> str:
    low, high = int(np.argmin(c.low)), int(np.argmax(c.high))
    return (
        f"{c.low[low]:g} ({_when(int(c.ts[low]))}) to {c.high[high]:g} "
        f"({_when(int(c.ts[high]))}), last {c.close[-1]:g}"
    )


def _volume(c: Candles, quote_volume: float) -> str:
    if c.volume_unit == "contracts":
        return "in contracts, whose size the file does not say"
    if any(f.code == "volume_unit" for f in c.findings):
        return "not in base units, it seems (see: leverpack data check)"
    return f"{quote_volume:,.0f} of quote currency a day (median)"


def _move(c: Candles) -> str:
    """The largest change from close to close, and the widest candle, which shows the wicks."""
    moves = np.diff(np.log(c.close))
    at = int(np.argmax(np.abs(moves)))
    ranges = c.high / c.low - 1.0
    wide = int(np.argmax(ranges))
    return (
        f"{math.expm1(float(moves[at])):+.1%} from close to close at "
        f"{_when(int(c.ts[at + 1]))}; widest candle {ranges[wide]:.1%} at {_when(int(c.ts[wide]))}"
    )


def _findings(series: Candles | Funding) -> tuple[str, str]:
    warnings = [f for f in series.findings if f.severity != "info"]
    if not warnings:
        return "warnings", "none"
    codes = ", ".join(dict.fromkeys(f.code for f in warnings))
    return "warnings", f"{codes} (see: leverpack data check)"
