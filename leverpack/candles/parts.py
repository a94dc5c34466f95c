"""One file's raw columns turned into times, prices, volumes and rates, row by row of the file."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles.series import Bools, Finding
from leverpack.candles.table import Table
from leverpack.candles.timeframes import DAY_MS, MINUTE_MS, MONTH_MS, SECOND_MS, infer_timeframe
from leverpack.candles.times import Times, to_ms
from leverpack.candles.values import (
    Numbers,
    arrow_texts,
    is_text,
    mask_of,
    texts_of,
    to_floats,
)
from leverpack.errors import DataError
from leverpack.result import Floats, Ints

PRICES = ("open", "high", "low", "close")
EARLIEST_MS = 1_230_768_000_000  # 2009-01-01: there was no coin to trade before
_MOST = 0.5  # of the rows say what the column is; the others are at fault
_LATEST_AHEAD_MS = DAY_MS  # clocks and zones may be off by hours
_SYMBOL = re.compile(
    r"(?:^|[_\-. /])([A-Z0-9]{1,12}(?:USDT|USDC|BUSD|USD)|[A-Z0-9]{2,12}-PERP)(?=$|[_\-. ])", re.I
)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})-?(\d\d)-?(\d\d)(?!\d)")
_WRITTEN = {
    "thousands": ("numbers with thousands separators", "separators removed"),
    "suffix": ("volumes with K, M or B", "multiplied by a thousand, a million or a billion"),
    "percent": ("rates in percent", "divided by 100"),
    "currency": ("numbers with a currency sign", "sign removed"),
}


@dataclass(slots=True)
class Part:
    """The rows of one file in file order, before anything is sorted, dropped or refused."""

    table: Table
    ts: Ints
    unreadable: Bools  # no time at all
    bad_time: Bools  # that, or no time that candles can have
    unit: str
    findings: list[Finding]
    open: Floats | None = None
    high: Floats | None = None
    low: Floats | None = None
    close: Floats | None = None
    volume: Floats | None = None
    rate: Floats | None = None
    letters: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    raw_ts: Ints | None = None

    @property
    def symbol(self) -> str:
        """What the file calls its symbol: in a column, side by side, or in its name; or ""."""
        if len(self.table.symbols) == 1:
            return self.table.symbols[0]
        name = Path(self.table.source).name
        found = _SYMBOL.search(re.split(r"\.(?:csv|parquet|json|feather|zip|gz)", name)[0])
        return found[1].upper() if found else ""

    @property
    def is_funding(self) -> bool:
        """Whether these are settlements."""
        return self.rate is not None


def candle_part(table: Table, kind: str) -> Part:
    """The candles of one table. Raises DataError when a whole column cannot be what it should."""
    findings = _layout_findings(table)
    times, unreadable = _times(table, findings)
    _to_open_times(times, table, findings)
    written: Counter[str] = Counter()
    prices, letters = _prices(table, findings, written)
    volume = _volume(table, kind, findings, written)
    findings += _written_findings(written)
    return Part(
        table, times.ms, unreadable, times.bad, times.unit, findings, *prices, volume,
        letters=letters,
    )  # fmt: skip


def funding_part(table: Table, column: str) -> Part:
    """The settlements of one table, with stamps moved back to their minute."""
    findings = _layout_findings(table)
    times, unreadable = _times(table, findings)
    read = _numbers(table, column, percent=True)
    findings += _written_findings(read.written)
    return Part(
        table, times.ms - times.ms % MINUTE_MS, unreadable, times.bad, times.unit, findings,
        rate=read.values, letters=read.bad, raw_ts=times.ms,
    )  # fmt: skip


def _layout_findings(table: Table) -> list[Finding]:
    found: list[Finding] = []
    if table.layout is not None and table.layout.garbled is not None:
        found.append(
            Finding("warning", "encoding", "bytes that are no UTF-8", table.layout.garbled, 1,
                    "shown as \ufffd")
        )  # fmt: skip
    if table.roles.order:
        found.append(
            Finding("warning", "price_order", "only prices in the order of "
                    f"{table.roles.order} make candles of these rows", None, table.rows, "read so")
        )  # fmt: skip
    if table.roles.symbol or table.picked is not None:
        found.append(
            Finding("info", "symbols", f"the table holds several symbols or names them; "
                    f"{table.symbols[0]} is read", None, 1, "the others are left out")
        )  # fmt: skip
    return found


def _written_findings(written: Counter[str]) -> list[Finding]:
    return [
        Finding("info", f"written_{how}", _WRITTEN[how][0], None, count, _WRITTEN[how][1])
        for how, count in written.items()
    ]


# --- times ------------------------------------------------------------------------------------


def _times(table: Table, findings: list[Finding]) -> tuple[Times, Bools]:
    """The times of all rows, and which of them could not be read at all."""
    column = table.columns["time"]
    if "clock" in table.columns:
        dates, clocks = texts_of(column), texts_of(table.columns["clock"])
        column = np.array(
            [f"{d} {c}" if d and c else None for d, c in zip(dates, clocks, strict=True)],
            dtype=object,
        )
    try:
        times = to_ms(column)
    except ValueError as fault:
        raise DataError(f"the time: {fault}", source=table.source) from fault
    if len(times.ms) and times.bad.sum() > _MOST * len(times.ms):
        times = _times_of_day(table, times)
    if times.unit == "timestamp" and table.layout is not None:
        times.unit = "iso"
    findings += times.notes
    unreadable = times.bad
    latest = int(time.time() * 1000) + _LATEST_AHEAD_MS
    times.bad = unreadable | (times.ms < EARLIEST_MS) | (times.ms > latest)
    if not times.bad.any():
        table.let_go("time")
    return times, unreadable


def _times_of_day(table: Table, times: Times) -> Times:
    """Milliseconds since midnight, where the file name holds the date (20240131_...)."""
    import pyarrow.compute as pc

    named = _DATE_IN_NAME.search(Path(table.source).name)
    try:
        column = table.columns["time"]
        raw = to_floats(column).values
        if is_text(column):  # a sum of money is no time
            raw[~mask_of(pc.match_substring_regex(arrow_texts(column), r"^\d+(\.0*)?$"))] = np.nan
        day = datetime.strptime("".join(named.groups() if named else ()), "%Y%m%d")
    except ValueError:
        return times
    inside = (raw >= 0) & (raw < DAY_MS) & (raw == np.floor(raw))
    # Up to 86,400 it could be seconds as well.
    if inside.sum() <= _MOST * len(raw) or raw[inside].max() <= 86_400:
        return times
    note = Finding(
        "info", "date_from_name", f"times since midnight; the file name says {day.date()}", None,
        int(inside.sum()), "read as milliseconds of that day",
    )  # fmt: skip
    ms = np.where(inside, raw, 0.0).astype(np.int64)
    ms += int(day.replace(tzinfo=UTC).timestamp()) * 1000
    return Times(ms, ~inside, "ms of day", [note])


def _to_open_times(times: Times, table: Table, findings: list[Finding]) -> None:
    """Move closing times to the opening of their candle, and say so."""
    good = times.ms[~times.bad] if times.bad.any() else times.ms
    if len(good) < 1 + (not table.roles.closing):
        return
    end = _end_of_candle(good)
    if not table.roles.closing and not end:
        if len(good) > 2 and _is_month_end(good):
            findings.append(
                Finding("warning", "month_end", "monthly candles stamped with the month's last "
                        "day, probably when they closed", None, len(good), "kept as they are")
            )  # fmt: skip
        return
    step = infer_timeframe(np.unique(good))
    if not step:
        raise DataError(
            "the file has one closing time only; a candle needs its opening time",
            source=table.source,
        )
    closes = times.ms + end
    if step == MONTH_MS:
        months = closes.astype("datetime64[ms]").astype("datetime64[M]")
        times.ms = (months - 1).astype("datetime64[ms]").astype(np.int64)
    else:
        times.ms = closes - step
    findings.append(
        Finding("info", "close_times", "the times are those of closing", None, len(good),
                "moved back by one candle to the opening")
    )  # fmt: skip


def _end_of_candle(ms: Ints) -> int:
    """What is missing to the full minute, where all stamps are the last tick before one."""
    first = int(ms[0])
    for missing in (1, SECOND_MS):
        if (first + missing) % MINUTE_MS == 0 and ((ms + missing) % MINUTE_MS == 0).all():
            return missing
    return 0


def _is_month_end(ms: Ints) -> bool:
    day = (ms[:3] + DAY_MS).astype("datetime64[ms]").astype("datetime64[D]")
    if (day != day.astype("datetime64[M]")).any():
        return False
    days = (ms + DAY_MS).astype("datetime64[ms]").astype("datetime64[D]")
    return bool((days == days.astype("datetime64[M]")).all())


# --- values -----------------------------------------------------------------------------------


def _numbers(table: Table, what: str, **options: bool) -> Numbers:
    try:
        return to_floats(table.columns[what], table.decimal, **options)
    except ValueError as fault:
        raise DataError(f"the {what}: {fault}", source=table.source) from fault


def _prices(
    table: Table, findings: list[Finding], written: Counter[str]
) -> tuple[tuple[Floats, Floats, Floats, Floats], Bools]:
    letters = np.zeros(table.rows, np.bool_)
    found: dict[str, Floats] = {}
    done = []
    for what in PRICES:
        if what in table.columns:
            read = _numbers(table, what)
            found[what] = read.values
            written.update(read.written)
            if read.bad.any():
                letters |= read.bad
            else:
                done.append(what)
    for what in done:
        table.let_go(what)
    for what, choose in (("high", np.maximum), ("low", np.minimum)):
        if what not in found:
            found[what] = choose(found["open"], found["close"])
            findings.append(
                Finding("warning", f"no_{what}", f"no {what} column", None, table.rows,
                        "the outer one of open and close is used")
            )  # fmt: skip
    return (found["open"], found["high"], found["low"], found["close"]), letters


def _volume(
    table: Table, kind: str, findings: list[Finding], written: Counter[str]
) -> Floats:
    if "volume" not in table.columns:
        if kind == "trade":
            findings.append(
                Finding("info", "no_volume", "no volume column", None, table.rows, "taken as 0")
            )
        return np.zeros(table.rows)
    read = _numbers(table, "volume", suffixes=True)
    written.update(read.written)
    table.let_go("volume")
    volume = read.values
    odd = read.bad | ~np.isfinite(volume) | (volume < 0)
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


def volume_unit(table: Any) -> str:
    """What the header says the volume counts, "unknown" where it says nothing."""
    unit: str = table.roles.volume_unit
    return unit if "volume" in table.roles.at else "unknown"
