"""Files, folders and DataFrames read into checked candles and funding settlements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles import faults
from leverpack.candles.batch import Batch, read_batch
from leverpack.candles.cache import cached
from leverpack.candles.columns import Want, has_prices, plain
from leverpack.candles.faults import Arranged, Codes, OnFault
from leverpack.candles.filling import Fill, check_fill, fill_gaps
from leverpack.candles.look import candle_findings, find_gaps, layout_findings
from leverpack.candles.parts import PRICES, candle_part, funding_part, volume_unit
from leverpack.candles.series import Bools, Candles, Finding, Funding, iso
from leverpack.candles.settlements import rate_findings
from leverpack.candles.table import Table
from leverpack.candles.timeframes import infer_timeframe, other_timeframe, timeframe_name
from leverpack.candles.wording import Describer
from leverpack.errors import DataError, SettingError
from leverpack.result import Floats, Ints

_KINDS = ("trade", "mark")


def read_candles(
    source: Any,
    *,
    symbol: str | None = None,
    kind: str = "trade",
    on_fault: OnFault = "error",
    fill: Fill = "none",
) -> Candles:
    """Read candles from files or a DataFrame: unique open times (UTC), oldest first.

    ``source`` is a CSV, JSON, Parquet or Feather file, packed or not, a folder or a pattern of
    such files that make one series, "-" for standard input, or a DataFrame. ``symbol`` names
    the candles, and picks them where a table holds several symbols. ``kind`` "mark" reads
    mark-price candles, which may lack volume, high and low; in a table that has both it reads
    the mark's own columns.

    Rows that cannot be right raise DataError with file and line ("error"), are left out
    ("drop"), or take the previous close ("fill"). Missing candles are reported and left out
    ("none"), take the previous close and no volume ("previous"), or raise DataError ("error").
    Everything that was done stands in the findings.
    """
    return load_candles(source, symbol=symbol, kind=kind, on_fault=on_fault, fill=fill)


def load_candles(
    source: Any,
    *,
    symbol: str | None = None,
    kind: str = "trade",
    on_fault: OnFault = "error",
    collect: bool = False,
    fill: Fill = "none",
) -> Candles:
    """As read_candles; ``collect`` lists all faults as findings instead of raising at the first."""
    faults.check_on_fault(on_fault)
    check_fill(fill)
    if kind not in _KINDS:
        raise SettingError(f'kind={kind!r} is none of "trade" and "mark"')
    if isinstance(source, Candles):
        return fill_gaps(source, fill, lambda i: (source.source, i + 1))
    need = ("time", "open", "close") if kind == "mark" else ("time", *PRICES)
    want = Want(need, mark=kind == "mark", symbol=symbol)
    how = ("candles", symbol, kind, on_fault, collect, fill)
    return cached(
        source, want, how,
        lambda: _read_candles(source, want, symbol, kind, on_fault, collect, fill),
    )  # fmt: skip


def _read_candles(
    source: Any,
    want: Want,
    symbol: str | None,
    kind: str,
    on_fault: OnFault,
    collect: bool,
    fill: Fill,
) -> Candles:
    batch = read_batch(source, want, lambda table: candle_part(table, kind))
    ts = batch.take("ts")
    prices = _four([batch.take(what) for what in PRICES])
    volume = batch.take("volume")
    codes = faults.price_codes(prices, batch.take("letters"), batch.take("bad_time"))
    keep_bad = on_fault == "fill" and not collect
    plan = faults.arrange(ts, (*prices, volume), codes, keep_bad)
    findings = batch.findings() + _overlap(batch, codes, plan, ts) + _other_name(batch, symbol)
    describe = Describer(batch, ts, plan, prices)
    findings += faults.settle(codes, describe, batch.place, batch.broken(), on_fault, collect)
    rows = plan.rows
    whole = len(rows) == len(ts) and plan.order == "ascending"
    ts, volume = (ts, volume) if whole else (ts[rows], volume[rows])
    prices = prices if whole else _four([p[rows] for p in prices])
    if keep_bad and len(rows):
        rows, ts, prices, volume = _repeat_close(
            rows, ts, prices, volume, codes[rows] != faults.GOOD
        )
    if not len(ts):
        raise DataError("there is no usable candle in it", source=batch.source)
    timeframe = infer_timeframe(ts)
    _refuse_two_timeframes(ts, timeframe, rows, batch)
    table = batch.table()
    candles = Candles(
        ts, *prices, volume, timeframe, symbol or batch.symbol(), kind, batch.source,
        table.mapping, batch.unit(), batch.order, find_gaps(ts, timeframe),
        plan.duplicates, findings, batch.one(lambda p: volume_unit(p.table), "unknown"),
        len(batch.parts),
    )  # fmt: skip
    filled = fill_gaps(candles, fill, lambda i: batch.place(int(rows[i])))
    return replace(filled, findings=filled.findings + candle_findings(filled, table))


def read_funding(
    source: Any, *, symbol: str | None = None, on_fault: OnFault = "error"
) -> Funding:
    """Read funding settlements (time and rate as a fraction) from files or a DataFrame.

    ``source`` and ``symbol`` are those of :func:`read_candles`. Stamps up to a minute late are
    moved back to their minute; that and everything else that was done stands in the findings.
    Raises DataError with file and line.
    """
    return load_funding(source, symbol=symbol, on_fault=on_fault)


def load_funding(
    source: Any, *, symbol: str | None = None, on_fault: OnFault = "error", collect: bool = False
) -> Funding:
    """As read_funding; ``collect`` lists all faults as findings instead of raising at the first."""
    faults.check_on_fault(on_fault)
    if isinstance(source, Funding):
        return source
    return cached(
        source, Want(("time", "rate"), symbol=symbol), ("funding", symbol, on_fault, collect),
        lambda: _read_funding(source, symbol, on_fault, collect),
    )  # fmt: skip


def _read_funding(
    source: Any, symbol: str | None, on_fault: OnFault, collect: bool
) -> Funding:
    batch = _funding_batch(source, symbol)
    ts, rate, raw = batch.take("ts"), batch.take("rate"), batch.take("raw_ts")
    codes = np.zeros(len(ts), np.int8)
    codes[~np.isfinite(rate)] = faults.MISSING
    codes[batch.take("letters")] = faults.LETTERS
    codes[batch.take("bad_time")] = faults.BAD_TIME
    merged = any(has_prices(p.table.ignored) for p in batch.parts)
    idle = (codes == faults.GOOD) & (rate == 0.0) & merged
    good = codes.copy()
    good[idle] = faults.MISSING  # not arranged: a candle without a settlement
    plan = faults.arrange(ts, (rate,), good, keep_bad=False)
    codes = np.where(idle, faults.GOOD, good).astype(np.int8)
    # A settlement listed twice with one rate is one settlement: said, and never charged twice.
    same = int((codes == faults.SAME).sum())
    codes[codes == faults.SAME] = faults.GOOD
    findings = batch.findings()
    findings += faults.settle(
        codes, Describer(batch, ts, plan), batch.place, batch.broken(),
        "drop" if on_fault == "fill" else on_fault, collect,
    )  # fmt: skip
    late = int((raw[plan.rows] != ts[plan.rows]).sum())
    table = batch.table()
    funding = Funding(
        ts[plan.rows], rate[plan.rows], batch.source, symbol or batch.symbol(), table.mapping,
        batch.unit(), batch.order, plan.duplicates, findings, len(batch.parts),
    )  # fmt: skip
    if not len(funding):
        raise DataError("there is no usable settlement in it", source=batch.source)
    findings += _funding_findings(funding, table, late, same, int(idle.sum()), merged)
    return funding


def _four(columns: list[Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    return columns[0], columns[1], columns[2], columns[3]


def _other_name(batch: Batch, symbol: str | None) -> list[Finding]:
    """A warning where the files call their symbol otherwise than the user does."""
    named = batch.symbol()
    one, other = plain((symbol or "").split(":")[0]), plain(named.split(":")[0])
    if not one or not other or one.startswith(other) or other.startswith(one):
        return []
    return [
        Finding("warning", "symbol", f"the file is named after {named}, and read as {symbol}",
                None, 1, f"taken for {symbol}: its leverage tiers hold")
    ]  # fmt: skip


def _overlap(batch: Batch, codes: Codes, plan: Arranged, ts: Ints) -> list[Finding]:
    """Rows that two files share are no fault while they are equal; take them out of ``codes``."""
    if len(batch.parts) == 1 or not len(plan.again):
        return []
    shared = batch.owner(plan.again) != batch.owner(plan.firsts)
    rows = plan.again[shared & (codes[plan.again] == faults.SAME)]
    if not len(rows):
        return []
    codes[rows] = faults.GOOD
    first = int(rows.min())
    source, line = batch.place(first)
    other = batch.place(plan.twin(first))[0]
    return [
        Finding("info", "overlap", f"candles that stand in two files with equal values, the first "
                f"at {iso(int(ts[first]))}, in {other} too", line, len(rows), "taken once", source)
    ]  # fmt: skip


def _refuse_two_timeframes(ts: Ints, step: int, rows: Any, batch: Batch) -> None:
    found = other_timeframe(ts, step)
    if found is None:
        return
    at, other = found
    source, line = batch.place(int(rows[at]))
    raise DataError(
        f"from {iso(int(ts[at]))} on the candles step by {timeframe_name(other)}, elsewhere by "
        f"{timeframe_name(step)}: two timeframes in one series; split them",
        source=source, line=line,
    )  # fmt: skip


def _repeat_close(
    rows: Any, ts: Ints, prices: tuple[Floats, Floats, Floats, Floats], volume: Floats, bad: Bools
) -> tuple[Any, Ints, tuple[Floats, Floats, Floats, Floats], Floats]:
    """Give faulty rows the close before them and no volume; faulty rows at the start fall away."""
    source = np.maximum.accumulate(np.where(bad, -1, np.arange(len(ts))))
    keep = source >= 0
    before = prices[3][np.maximum(source, 0)]
    filled = [np.where(bad, before, p)[keep] for p in prices]
    return rows[keep], ts[keep], _four(filled), np.where(bad, 0.0, volume)[keep]


# --- funding ----------------------------------------------------------------------------------


def _funding_batch(source: Any, symbol: str | None) -> Batch:
    want = Want(("time", "rate"), symbol=symbol)
    try:
        return read_batch(source, want, lambda table: funding_part(table, "rate"))
    except DataError:
        # freqtrade keeps funding in candle files: the rate stands in the open column.
        if not isinstance(source, (str, Path)) or "funding" not in Path(source).name.lower():
            raise
        try:
            want = Want(("time", "open"), symbol=symbol)
            return read_batch(source, want, lambda table: funding_part(table, "open"))
        except DataError:
            pass
        raise


def _funding_findings(
    funding: Funding, table: Table, late: int, same: int, idle: int, merged: bool
) -> list[Finding]:
    found: list[Finding] = []
    if late:
        found.append(
            Finding("info", "late_stamps", "settlement stamps some milliseconds late", None, late,
                    "moved back to their minute")
        )  # fmt: skip
    if same:
        found.append(
            Finding("warning", "duplicate", "settlements listed more than once with one rate",
                    None, same, "charged once")
        )  # fmt: skip
    if idle:
        found.append(
            Finding("info", "no_settlement", "candles with a rate of 0 beside them", None, idle,
                    "taken for candles without a settlement")
        )  # fmt: skip
    repeated = int((np.diff(funding.rate) == 0).sum())
    if merged and not idle and len(funding) > 3 and 2 * repeated > len(funding):
        found.append(
            Finding("warning", "repeated_rate", "most rates equal the one before, as in a table "
                    "that shows the rate in force beside each candle", None, repeated,
                    "each is charged")
        )  # fmt: skip
    return [*found, *layout_findings(funding, table), *rate_findings(funding)]
