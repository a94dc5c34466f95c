"""The records of the candles room: candles, mark prices, funding, and what was found in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leverpack.candles.timeframes import HOUR_MS, timeframe_name
from leverpack.errors import printable
from leverpack.result import Floats, Ints

Severity = Literal["info", "warning", "error"]
Bools = NDArray[np.bool_]


def iso(ms: int) -> str:
    """Epoch milliseconds as ISO time in UTC, as short as it can be without loss."""
    when = datetime.fromtimestamp(ms / 1000, UTC)
    return when.isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


@dataclass(slots=True)
class Finding:
    """One kind of thing seen in a file: how often, on which line first, and what was done about it.

    ``error`` is a fault that by default stops the read, ``warning`` deserves a look,
    ``info`` is only said.
    """

    severity: Severity
    code: str
    message: str
    line: int | None = None  # 1 is the file's first line; for tables, the first row
    count: int = 1
    treatment: str = ""
    source: str = ""  # the file it was seen in; "" where it is about the whole

    def __post_init__(self) -> None:
        self.message = printable(self.message)  # it may quote the file

    def to_dict(self) -> dict[str, Any]:
        """The finding as plain values for JSON."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "count": self.count,
            "treatment": self.treatment,
            "source": self.source,
        }


def merge_findings(findings: list[Finding]) -> list[Finding]:
    """The same remark on several columns or files as one, with the counts added up."""
    merged: dict[tuple[str, ...], Finding] = {}
    files: dict[tuple[str, ...], set[str]] = {}
    for finding in findings:
        key: tuple[str, ...] = (finding.severity, finding.code, finding.message, finding.treatment)
        files.setdefault(key, set()).add(finding.source)
        if key in merged:
            merged[key] = replace(merged[key], count=merged[key].count + finding.count)
        else:
            merged[key] = finding
    for of, seen in files.items():
        if len(seen) > 1:
            one = merged[of]
            merged[of] = replace(one, message=f"{one.message} (in {len(seen)} files)")
    return list(merged.values())


def fault_count(findings: list[Finding]) -> int:
    """How many rows had a hard fault."""
    return sum(f.count for f in findings if f.severity == "error")


def treatments(findings: list[Finding]) -> str:
    """What was done about the faults, in a few words."""
    done = dict.fromkeys(f.treatment for f in findings if f.severity == "error")
    return "; ".join(done) if done else "none needed"


@dataclass(slots=True)
class Candles:
    """Candles of one symbol, oldest first; every array has one entry per candle.

    ``ts`` is the open time in epoch ms UTC, strictly ascending; prices are in quote currency,
    volume as in the file, in ``volume_unit`` where its header says which. ``timeframe_ms`` is 0
    for one candle.
    """

    ts: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timeframe_ms: int
    symbol: str = ""
    kind: str = "trade"  # "trade" or "mark"
    source: str = ""
    columns: dict[str, str] = field(default_factory=dict)  # file column -> meaning
    unit: str = "ms"  # "s", "ms", "us", "ns", "iso", "timestamp"; "ms+us" where rows differ
    order: str = "ascending"
    gaps: list[tuple[int, int]] = field(default_factory=list)  # (first missing ms, missing bars)
    duplicates: int = 0
    findings: list[Finding] = field(default_factory=list)
    volume_unit: str = "unknown"  # "base", "quote", "contracts"
    files: int = 1  # how many were joined

    def __len__(self) -> int:
        return len(self.ts)

    def slice(self, start: int, stop: int) -> Candles:
        """The candles with positions start <= i < stop; arrays are views."""
        if start <= 0 and stop >= len(self.ts):
            return self
        ts = self.ts[start:stop]
        first, last = (int(ts[0]), int(ts[-1])) if len(ts) else (1, 0)
        return replace(
            self,
            ts=ts,
            open=self.open[start:stop],
            high=self.high[start:stop],
            low=self.low[start:stop],
            close=self.close[start:stop],
            volume=self.volume[start:stop],
            gaps=[g for g in self.gaps if first < g[0] <= last],
        )

    def between(self, from_ms: int | None, to_ms: int | None) -> Candles:
        """The candles whose open time lies in from_ms..to_ms, both included; None is no bound."""
        start = 0 if from_ms is None else int(np.searchsorted(self.ts, from_ms, "left"))
        stop = len(self.ts) if to_ms is None else int(np.searchsorted(self.ts, to_ms, "right"))
        return self.slice(start, max(start, stop))

    def summary(self) -> dict[str, Any]:
        """What the loader saw and did, as plain values for JSON."""
        return {
            "kind": self.kind,
            "symbol": self.symbol,
            "source": self.source,
            "files": self.files,
            "rows": len(self.ts),
            "first": iso(int(self.ts[0])) if len(self.ts) else None,
            "last": iso(int(self.ts[-1])) if len(self.ts) else None,
            "timeframe": timeframe_name(self.timeframe_ms) if self.timeframe_ms else None,
            "gaps": len(self.gaps),
            "missing_bars": sum(n for _, n in self.gaps),
            "duplicates": self.duplicates,
            "faults": fault_count(self.findings),
            "treatment": treatments(self.findings),
            "columns": dict(self.columns),
            "unit": self.unit,
            "volume_unit": self.volume_unit,
            "tz": "UTC",
            "order": self.order,
            "sum_close": float(self.close.sum()),
            "findings": [f.to_dict() for f in self.findings],
        }


@dataclass(slots=True)
class Funding:
    """Funding settlements, oldest first: epoch ms UTC, and a fraction (> 0: longs pay)."""

    ts: Ints
    rate: Floats
    source: str = ""
    symbol: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    unit: str = "ms"
    order: str = "ascending"
    duplicates: int = 0
    findings: list[Finding] = field(default_factory=list)
    files: int = 1  # how many were joined

    def __len__(self) -> int:
        return len(self.ts)

    def intervals_h(self) -> dict[float, int]:
        """How many settlements came after how many hours, commonest first."""
        if len(self.ts) < 2:
            return {}
        steps, counts = np.unique(np.diff(self.ts), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {int(steps[i]) / HOUR_MS: int(counts[i]) for i in order}

    def between(self, from_ms: int | None, to_ms: int | None) -> Funding:
        """The settlements with from_ms <= ts <= to_ms; None is no bound."""
        start = 0 if from_ms is None else int(np.searchsorted(self.ts, from_ms, "left"))
        stop = len(self.ts) if to_ms is None else int(np.searchsorted(self.ts, to_ms, "right"))
        return replace(self, ts=self.ts[start:stop], rate=self.rate[start:stop])

    def summary(self) -> dict[str, Any]:
        """What the loader saw and did, as plain values for JSON."""
        return {
            "kind": "funding",
            "symbol": self.symbol,
            "source": self.source,
            "files": self.files,
            "rows": len(self.ts),
            "first": iso(int(self.ts[0])) if len(self.ts) else None,
            "last": iso(int(self.ts[-1])) if len(self.ts) else None,
            "intervals_h": {f"{h:g}": n for h, n in self.intervals_h().items()},
            "sum_rate": float(self.rate.sum()),
            "rate_min": float(self.rate.min()) if len(self.rate) else None,
            "rate_max": float(self.rate.max()) if len(self.rate) else None,
            "duplicates": self.duplicates,
            "faults": fault_count(self.findings),
            "treatment": treatments(self.findings),
            "columns": dict(self.columns),
            "unit": self.unit,
            "tz": "UTC",
            "order": self.order,
            "findings": [f.to_dict() for f in self.findings],
        }


@dataclass(slots=True)
class MarkSeries:
    """The mark price over each trade candle; arrays as long as the trade candles.

    ``fallback`` is True where no mark is known and the trade prices stand in.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    fallback: Bools
    timeframe_ms: int
    note: str
    findings: list[Finding] = field(default_factory=list)

    def slice(self, start: int, stop: int) -> MarkSeries:
        """The marks of the trade candles with positions start <= i < stop."""
        cut = slice(start, stop)
        return replace(
            self,
            open=self.open[cut],
            high=self.high[cut],
            low=self.low[cut],
            close=self.close[cut],
            fallback=self.fallback[cut],
        )


@dataclass(slots=True)
class FundingSchedule:
    """Which settlement is charged at the open of which trade candle; one entry per settlement.

    ``bar`` is the position of the trade candle, ``ts`` the settlement time (epoch ms UTC),
    ``rate`` a fraction, ``price`` the mark price charged on (quote currency), ``fallback``
    True where no mark is known and the trade candle's open stands in.
    """

    bar: Ints
    ts: Ints
    rate: Floats
    price: Floats
    fallback: Bools
    findings: list[Finding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.bar)

    def slice(self, start: int, stop: int) -> FundingSchedule:
        """The settlements charged on candles start <= i < stop, with ``bar`` counted from start."""
        keep = (self.bar >= start) & (self.bar < stop)
        return replace(
            self,
            bar=self.bar[keep] - start,
            ts=self.ts[keep],
            rate=self.rate[keep],
            price=self.price[keep],
            fallback=self.fallback[keep],
        )
