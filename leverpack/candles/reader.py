"""Files and DataFrames read into checked candles and funding settlements."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles import faults
from leverpack.candles.faults import OnFault
from leverpack.candles.look import candle_findings, find_gaps
from leverpack.candles.series import Bools, Candles, Finding, Funding, iso
from leverpack.candles.table import Table, read_table
from leverpack.candles.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, infer_timeframe
from leverpack.candles.values import texts_of, to_floats, to_ms
from leverpack.errors import DataError
from leverpack.result import Floats, Ints

_PRICES = ("open", "high", "low", "close")
_SYMBOL = re.compile(
    r"(?:^|[_\-. /])([A-Z0-9]{1,12}(?:USDT|USDC|BUSD|USD)|[A-Z0-9]{2,12}-PERP)(?=$|[_\-. ])"
)


def read_candles(
    source: Any,
    *,
    symbol: str | None = None,
    kind: str = "trade",
    on_fault: OnFault = "error",
) -> Candles:
    """Read candles from a CSV, Parquet or Feather file or a DataFrame.

    ``kind`` "mark" reads mark-price candles, which may lack volume, high and low. Rows that
    cannot be right raise DataError with file and line ("error"), are left out ("drop"), or
    take the previous close ("fill"); gaps are reported and never filled.
    """
    return load_candles(source, symbol=symbol, kind=kind, on_fault=on_fault)


def load_candles(
    source: Any,
    *,
    symbol: str | None = None,
    kind: str = "trade",
    on_fault: OnFault = "error",
    collect: bool = False,
) -> Candles:
    """As read_candles; ``collect`` lists all faults as findings instead of raising at the first."""
    faults.check_on_fault(on_fault)
    if isinstance(source, Candles):
        return source
    need = ("time", "open", "close") if kind == "mark" else ("time", *_PRICES)
    table = read_table(source, need)
    ts, bad_time, unit = _times(table)
    prices, letters, findings = _prices(table)
    volume = _volume(table, kind, findings)
    table.give_back()
    codes = faults.price_codes(prices, letters, bad_time)
    keep_bad = on_fault == "fill" and not collect
    plan = faults.arrange(ts, (*prices, volume), codes, keep_bad)
    findings += faults.settle(
        codes, _describer(table, ts, prices, plan.twin), table.line, table.broken,
        table.source, on_fault, collect,
    )  # fmt: skip
    rows = plan.rows
    whole = len(rows) == len(ts) and plan.order == "ascending"
    ts, volume = (ts, volume) if whole else (ts[rows], volume[rows])
    prices = prices if whole else _four([p[rows] for p in prices])
    if keep_bad and len(rows):
        ts, prices, volume = _fill(ts, prices, volume, codes[rows] != faults.GOOD)
    if not len(ts):
        raise DataError("the file holds no usable candle", source=table.source)
    timeframe = infer_timeframe(ts)
    gaps = find_gaps(ts, timeframe)
    candles = Candles(
        ts, *prices, volume, timeframe, symbol or guess_symbol(table), kind, table.source,
        table.mapping, unit, plan.order, gaps, plan.duplicates,
    )  # fmt: skip
    candles.findings = findings + candle_findings(candles, table)
    return candles


def read_funding(source: Any, *, on_fault: OnFault = "error") -> Funding:
    """Read funding settlements (time and rate as a fraction) from a file or DataFrame.

    Stamps up to a minute late are moved back to their minute; that and everything else that
    was done stands in the findings. Raises DataError with file and line.
    """
    return load_funding(source, on_fault=on_fault)


def load_funding(
    source: Any, *, on_fault: OnFault = "error", collect: bool = False
) -> Funding:
    """As read_funding; ``collect`` lists all faults as findings instead of raising at the first."""
    faults.check_on_fault(on_fault)
    if isinstance(source, Funding):
        return source
    table, rate_column = _funding_table(source)
    raw, bad_time, unit = _times(table)
    rate, letters = to_floats(table.columns[rate_column], _decimal(table))
    ts = raw - raw % MINUTE_MS
    codes = np.zeros(len(ts), np.int8)
    codes[~np.isfinite(rate)] = faults.MISSING
    codes[letters] = faults.LETTERS
    codes[bad_time] = faults.BAD_TIME
    plan = faults.arrange(ts, (rate,), codes, keep_bad=False)
    # A settlement listed twice with one rate is one settlement: said, and never charged twice.
    same = int((codes == faults.SAME).sum())
    codes[codes == faults.SAME] = faults.GOOD
    findings = faults.settle(
        codes, _rate_describer(table, ts, rate_column, plan.twin), table.line, table.broken,
        table.source, "drop" if on_fault == "fill" else on_fault, collect,
    )  # fmt: skip
    late = int((raw[plan.rows] != ts[plan.rows]).sum())
    funding = Funding(
        ts[plan.rows], rate[plan.rows], table.source, guess_symbol(table), table.mapping, unit,
        plan.order, plan.duplicates, findings,
    )  # fmt: skip
    if not len(funding):
        raise DataError("the file holds no usable settlement", source=table.source)
    findings += _funding_findings(funding, table, late, same)
    return funding


def guess_symbol(table: Table) -> str:
    """The symbol from a symbol column with one value, else from the file name, else ""."""
    if "symbol" in table.columns:
        seen = [t for t in texts_of(table.columns["symbol"]) if t]
        if len(set(seen)) == 1:
            return seen[0]
    found = _SYMBOL.search(Path(table.source).name.split(".csv")[0].split(".parquet")[0])
    return found[1] if found else ""


def _decimal(table: Table) -> str:
    return table.layout.decimal if table.layout is not None else "."


def _times(table: Table) -> tuple[Ints, Bools, str]:
    column = table.columns["time"]
    if "clock" in table.columns:
        dates, clocks = texts_of(column), texts_of(table.columns["clock"])
        column = np.array(
            [f"{d} {c}" if d and c else None for d, c in zip(dates, clocks, strict=True)],
            dtype=object,
        )
    try:
        ts, bad, unit = to_ms(column)
    except ValueError as fault:
        raise DataError(str(fault), source=table.source) from fault
    if len(ts) and bad.all():
        ts, bad, unit = _times_of_day(table, ts, bad, unit)
    if not bad.any():
        table.let_go("time")
    if unit == "timestamp" and table.layout is not None:
        unit = "iso"
    return ts, bad, unit


def _times_of_day(
    table: Table, ts: Ints, bad: Bools, unit: str
) -> tuple[Ints, Bools, str]:
    """Milliseconds since midnight, where the file name starts with the date (20240131_...)."""
    named = re.match(r"(\d{8})[_\-.]", Path(table.source).name)
    try:
        raw = np.asarray(table.columns["time"]).astype(np.int64)
        day = datetime.strptime(named[1] if named else "", "%Y%m%d").replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return ts, bad, unit
    if raw.min() < 0 or raw.max() >= DAY_MS:
        return ts, bad, unit
    return raw + int(day.timestamp()) * 1000, np.zeros(len(raw), np.bool_), "ms of day"


def _four(columns: list[Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    return columns[0], columns[1], columns[2], columns[3]


def _prices(
    table: Table,
) -> tuple[tuple[Floats, Floats, Floats, Floats], Bools, list[Finding]]:
    letters = np.zeros(table.rows, np.bool_)
    found: dict[str, Floats] = {}
    for what in _PRICES:
        if what in table.columns:
            found[what], bad = to_floats(table.columns[what], _decimal(table))
            if bad.any():
                letters |= bad
            else:
                table.let_go(what)
    findings: list[Finding] = []
    for what, choose in (("high", np.maximum), ("low", np.minimum)):
        if what not in found:
            found[what] = choose(found["open"], found["close"])
            findings.append(
                Finding("warning", f"no_{what}", f"no {what} column", None, table.rows,
                        "the outer one of open and close is used")
            )  # fmt: skip
    return _four([found[what] for what in _PRICES]), letters, findings


def _volume(table: Table, kind: str, findings: list[Finding]) -> Floats:
    if "volume" not in table.columns:
        if kind == "trade":
            findings.append(
                Finding("info", "no_volume", "no volume column", None, table.rows, "taken as 0")
            )
        return np.zeros(table.rows)
    volume, letters = to_floats(table.columns["volume"], _decimal(table), suffixes=True)
    table.let_go("volume")
    odd = letters | ~np.isfinite(volume) | (volume < 0)
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        findings.append(
            Finding("warning", "bad_volume", "volume is empty, negative or no number",
                    table.line(first), int(odd.sum()), "taken as 0")
        )  # fmt: skip
        volume = np.where(odd, 0.0, volume)
    if kind == "mark" and volume.any():
        row = int(np.flatnonzero(volume)[0])
        raise DataError(
            f"a mark price has no volume, and this file has {volume[row]:g}: these are trade "
            "candles; name the exchange's mark-price candles instead",
            source=table.source, line=table.line(row),
        )  # fmt: skip
    return volume


def _shown(table: Table, what: str, row: int) -> str:
    value = table.columns[what][row]
    return str(value.as_py() if hasattr(value, "as_py") else value)


def _describer(
    table: Table, ts: Ints, prices: tuple[Floats, ...], twin: dict[int, int]
) -> Any:
    """Word the fault of a row for a person."""

    def describe(row: int, code: int) -> str:
        values = dict(zip(_PRICES, (float(p[row]) for p in prices), strict=True))
        if code == faults.BAD_TIME:
            return f"the time {_shown(table, 'time', row)!r} cannot be read as a time"
        if code == faults.LETTERS:
            for what in _PRICES:
                if table.columns.get(what) is not None and np.isnan(values[what]):
                    text = _shown(table, what, row)
                    if text != "None":
                        return f"the {what} {text!r} is not a number"
        if code == faults.MISSING:
            names = " and ".join(w for w, v in values.items() if np.isnan(v))
            return f"the {names} is missing"
        if code in (faults.NOT_FINITE, faults.NOT_POSITIVE):
            what, value = next(
                (w, v) for w, v in values.items() if not (v > 0 and np.isfinite(v))
            )
            sort = "finite" if code == faults.NOT_FINITE else "above zero"
            return f"the {what} {value:g} is not {sort}"
        if code in (faults.SAME, faults.CONTRADICTS):
            first = twin.get(row, row)
            sort = "equal" if code == faults.SAME else "different"
            line, when = table.line(first), iso(int(ts[row]))
            return f"the time {when} stands on line {line} already, with {sort} values"
        return _high_low_text(values)

    return describe


def _high_low_text(v: dict[str, float]) -> str:
    if v["high"] < v["low"]:
        return f"the high {v['high']!r} is below the low {v['low']!r}"
    for what in ("open", "close"):
        if v[what] > v["high"]:
            return f"the {what} {v[what]!r} is above the high {v['high']!r}"
        if v[what] < v["low"]:
            return f"the {what} {v[what]!r} is below the low {v['low']!r}"
    return "high and low do not hold the candle"


def _fill(
    ts: Ints, prices: tuple[Floats, Floats, Floats, Floats], volume: Floats, bad: Bools
) -> tuple[Ints, tuple[Floats, Floats, Floats, Floats], Floats]:
    """Give faulty rows the close before them and no volume; faulty rows at the start fall away."""
    source = np.maximum.accumulate(np.where(bad, -1, np.arange(len(ts))))
    keep = source >= 0
    before = prices[3][np.maximum(source, 0)]
    filled = [np.where(bad, before, p)[keep] for p in prices]
    return ts[keep], _four(filled), np.where(bad, 0.0, volume)[keep]


def _funding_table(source: Any) -> tuple[Table, str]:
    try:
        return read_table(source, ("time", "rate")), "rate"
    except DataError:
        # freqtrade keeps funding in candle files: the rate stands in the open column.
        if not isinstance(source, (str, Path)) or "funding" not in Path(source).name.lower():
            raise
        try:
            table = read_table(source, ("time", "open"))
        except DataError:
            table = None
        if table is None:
            raise
        return table, "open"


def _rate_describer(table: Table, ts: Ints, column: str, twin: dict[int, int]) -> Any:
    def describe(row: int, code: int) -> str:
        if code == faults.BAD_TIME:
            return f"the time {_shown(table, 'time', row)!r} cannot be read as a time"
        if code == faults.CONTRADICTS:
            line, when = table.line(twin.get(row, row)), iso(int(ts[row]))
            return f"the settlement of {when} stands on line {line} already, with another rate"
        return f"the rate {_shown(table, column, row)!r} is not a number"

    return describe


def _funding_findings(
    funding: Funding, table: Table, late: int, same: int
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
    if funding.order != "ascending":
        found.append(
            Finding("info", "order", f"rows are in {funding.order} order", None, len(funding),
                    "sorted by time")
        )  # fmt: skip
    steps = np.diff(funding.ts)
    if len(steps) and (steps > 24 * HOUR_MS).any():
        first = int(np.flatnonzero(steps > 24 * HOUR_MS)[0])
        found.append(
            Finding("warning", "gaps", f"more than a day without settlement after "
                    f"{iso(int(funding.ts[first]))}", None, int((steps > 24 * HOUR_MS).sum()),
                    "nothing is charged there")
        )  # fmt: skip
    if (np.abs(funding.rate) > 0.1).any():
        found.append(
            Finding("warning", "large_rate", "rates above 10 %: they must be fractions, not "
                    "percent", None, int((np.abs(funding.rate) > 0.1).sum()), "kept")
        )  # fmt: skip
    if table.ignored:
        found.append(
            Finding("info", "ignored_columns", "not used: " + ", ".join(table.ignored), None,
                    len(table.ignored), "ignored")
        )  # fmt: skip
    return found
