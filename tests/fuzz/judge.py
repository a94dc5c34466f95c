"""Whether what the reader made of a hurt file is right: refused in a sentence, or true to it."""

from __future__ import annotations

import io
import random
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Finding, Funding
from leverpack.errors import DataError, SettingError
from tests.fuzz import plain
from tests.fuzz.corpus import Base, base
from tests.fuzz.mutations import Case, mutate
from tests.fuzz.plain import Row

LONGEST_S = 20.0  # for a file of some hundred rows, on a busy machine
_PRICES = ("open", "high", "low", "close")
_SAID = {"duplicate", "no_settlement"}  # of funding: rows taken out by a finding, not by a fault
Series = Candles | Funding


class WrongReadingError(AssertionError):
    """The reader did what it must never do."""


@dataclass
class Outcome:
    """What came of one case: "read" or "refused", by how, and what was done to the file."""

    seed: int
    result: str
    case: Case
    on_fault: str


def make(seed: int) -> tuple[Case, str]:
    """The case of a seed, and the treatment of faults that it is read with."""
    rng = random.Random(seed)
    case = mutate(base(rng), rng)
    return case, rng.choice(("error", "error", "error", "drop", "drop", "fill"))


def read(path: Path, of: Base, on_fault: str) -> Series:
    """Read a file as what its base holds."""
    if of.kind == "funding":
        return read_funding(path, on_fault=on_fault)  # type: ignore[arg-type]
    return read_candles(path, symbol=of.symbol, kind=of.kind, on_fault=on_fault)  # type: ignore[arg-type]


def run(seed: int, folder: Path) -> Outcome:
    """Make the case of a seed, read it and judge; WrongReadingError says what is wrong."""
    case, on_fault = make(seed)
    return judge(case, on_fault, folder, seed)


def judge(case: Case, on_fault: str, folder: Path, seed: int = 0) -> Outcome:
    """Read a hurt file and raise WrongReadingError unless it is refused or read truly."""
    path = folder / case.base.name
    path.write_bytes(case.content)
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            series = read(path, case.base, on_fault)
    except (DataError, SettingError) as fault:
        _judge_refusal(fault, path, case, on_fault)
        return Outcome(seed, "refused", case, on_fault)
    finally:
        took = time.monotonic() - started
    if took > LONGEST_S:
        raise WrongReadingError(f"took {took:.1f} s")
    _hold(series)
    _true_to_file(series, path, case, on_fault)
    return Outcome(seed, "read", case, on_fault)


# --- refused ----------------------------------------------------------------------------------


def _judge_refusal(fault: Exception, path: Path, case: Case, on_fault: str) -> None:
    said = str(fault)
    if not said.startswith((f"{path}: ", f"{path}:")) or len(said) > 1500:
        raise WrongReadingError(f"no sentence about the file: {said[:300]!r}")
    if not said.isprintable():
        raise WrongReadingError(f"not printable: {said[:300]!r}")
    assert isinstance(fault, DataError)
    if fault.line is None:
        if "correct the line" in said:
            raise WrongReadingError(f"names no line: {said}")
        return
    if case.base.sort != "text":
        return
    try:
        lines = plain.text_lines(plain.unpacked(case.content))
    except Exception:
        return
    if not 1 <= fault.line <= len(lines):
        raise WrongReadingError(f"line {fault.line} of {len(lines)}: {said}")
    if "correct the line" in said and not case.layout and case.base.kind == "trade":
        _line_is_at_fault(lines, fault.line, case, said)


def _line_is_at_fault(lines: list[str], at: int, case: Case, said: str) -> None:
    """The line that is named must differ from all lines of the base, or repeat a time."""
    before = plain.text_lines(case.base.content)
    whole, head = set(before[case.base.head :]), before[: case.base.head]
    if lines[: len(head)] != head:
        return  # without its header another line may well look wrong
    if lines[at - 1] in whole and "already" not in said and _reads(case.base):
        raise WrongReadingError(f"line {at} was not touched ({lines[at - 1]!r}): {said}")


_reading: dict[Base, bool] = {}


def _reads(of: Base) -> bool:
    """Whether the base is taken as it is, without a fault."""
    if of not in _reading:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / of.name
            path.write_bytes(of.content)
            try:
                read(path, of, "error")
                _reading[of] = True
            except DataError:
                _reading[of] = False
    return _reading[of]


# --- read -------------------------------------------------------------------------------------


def _hold(series: Series) -> None:
    """What is true of all series, whatever they were read from."""

    def must(true: Any, what: str) -> None:
        if not true:
            raise WrongReadingError(what)

    must(len(series) > 0, "nothing in it")
    must((np.diff(series.ts) > 0).all(), "times do not ascend")
    must(series.ts.dtype == np.int64, f"times are {series.ts.dtype}")
    for finding in series.findings:
        must(finding.message.isprintable(), f"not printable: {finding.message!r}")
    if isinstance(series, Funding):
        must(np.isfinite(series.rate).all() and len(series.rate) == len(series), "rates")
        return
    prices = [getattr(series, what) for what in _PRICES]
    for values in (*prices, series.volume):
        must(values.dtype == np.float64 and len(values) == len(series), "shape or type")
        must(np.isfinite(values).all(), "a value is not finite")
    opens, highs, lows, closes = prices
    must((lows > 0).all(), "a price is not positive")
    must((lows <= np.minimum(opens, closes)).all(), "a low is not the lowest")
    must((highs >= np.maximum(opens, closes)).all(), "a high is not the highest")
    must((series.volume >= 0).all(), "a volume is negative")


def _true_to_file(series: Series, path: Path, case: Case, on_fault: str) -> None:
    tables = list(_tables(series, path, case))
    if not tables:
        raise WrongReadingError("read, though a plain reading finds no table")
    told = []
    for names, rows in tables:
        wrong = _differs(series, names, rows, case, on_fault)
        if not wrong:
            break
        told.append(wrong)
    else:
        raise WrongReadingError(told[0])
    if case.base.sort == "text" and not case.layout:
        _untouched_stay(series, rows, case)


def _tables(
    series: Series, path: Path, case: Case
) -> list[tuple[list[str] | None, list[Row]]]:
    """The tables that a plain reading of the file finds: names of columns (None: none), rows."""
    content = case.content
    if content[:4] == b"PAR1" or content[:6] == b"ARROW1" or content[:4] == b"FEA1":
        return [_arrow(content, list(series.columns))]
    content = plain.unpacked(content)
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        return list(plain.json_tables(content))
    lines = plain.text_lines(content)
    counts = {f.code: f.count for f in series.findings}
    headed = "no_header" not in counts
    skip = counts.get("banner", 0) + headed
    rows = [plain.text_row(i, text) for i, text in enumerate(lines, 1) if text.strip()]
    data = [row for row in rows if row.line > skip]
    if not headed:
        return [(None, data)]
    head = rows[: len(rows) - len(data)]
    if not head:
        raise WrongReadingError("no header line")
    found = []
    for split in head[-1].splits:
        names = [n.lstrip("# ") if i == 0 else n for i, n in enumerate(split)]
        if all(n in names for n in series.columns if not n.startswith("column ")):
            found.append((names, data))
    return found  # type: ignore[return-value]


def _arrow(content: bytes, names: list[str]) -> tuple[list[str] | None, list[Row]]:
    import pyarrow as pa

    # Columns that nobody wants may be damaged; those without a name are found by position.
    wanted = None if any(name.startswith("column ") for name in names) else names
    if content[:4] == b"PAR1":
        import pyarrow.parquet as pq

        table = pq.ParquetFile(io.BytesIO(content)).read(columns=wanted)
    else:
        from pyarrow import feather

        table = feather.read_table(io.BytesIO(content), columns=wanted)
    columns = []
    for name in names:
        there = name in table.column_names
        column = table.column(name if there else int(name.removeprefix("column ")) - 1)
        if pa.types.is_timestamp(column.type):
            unit = {"s": 1000, "ms": 1, "us": 1000, "ns": 1_000_000}[column.type.unit]
            whole = column.cast(pa.int64()).to_pylist()
            small = column.type.unit == "s"
            values = [
                None if v is None else v * unit if small else v // unit for v in whole
            ]  # fmt: skip
        elif pa.types.is_date32(column.type):
            values = [None if v is None else v * 86_400_000 for v in
                      column.cast(pa.int32()).to_pylist()]  # fmt: skip
        else:
            values = [
                float(v) if pa.types.is_decimal(column.type) and v is not None else v
                for v in column.to_pylist()
            ]
        columns.append(values)
    rows = zip(*columns, strict=True)
    return names, [Row(i, "", (row,)) for i, row in enumerate(rows, 1)]


def _places(series: Series, names: list[str] | None) -> dict[str, int]:
    """Position of each meaning, as the reader says it read the columns."""
    places = {}
    for name, what in series.columns.items():
        if names is not None and name in names:
            places[what] = names.index(name)
        else:
            places[what] = int(name.removeprefix("column ")) - 1
    return places


def _differs(
    series: Series, names: list[str] | None, rows: list[Row], case: Case, on_fault: str
) -> str:
    """What a plain reading of the rows contradicts, or ""."""
    try:
        at = _places(series, names)
    except ValueError:
        return f"the columns {series.columns} are not in the table {names}"
    if case.base.symbol is None and "symbol" in at:
        rows = [r for r in rows if not _other_symbol(r, at["symbol"], series)]
    by_time: dict[int, list[tuple[Row, tuple[Any, ...]]]] = {}
    day = _day(series, case)
    shifts = _shifts(series)
    for row in rows:
        for fields in row.splits:
            for ms in _times_in(fields, at, day, isinstance(series, Funding)):
                for shift in shifts:
                    by_time.setdefault(ms - shift, []).append((row, fields))
    filled = on_fault == "fill" and any(f.severity == "error" for f in series.findings)
    for i, ms in enumerate(series.ts.tolist()):
        there = by_time.get(ms, [])
        if not any(_same(series, i, fields, at) for _, fields in there):
            if filled and there and isinstance(series, Candles) and _is_filled(series, i):
                continue
            return f"row {i} ({ms}) is not in the file so; there: {[r.text for r, _ in there][:3]}"
    return _all_there(series, rows, on_fault)


def _day(series: Series, case: Case) -> str:
    """The date in the file's name, where the times are times of day."""
    found = re.search(r"(?<!\d)20\d{6}(?!\d)", case.base.name)
    return found[0] if found and series.unit == "ms of day" else ""


def _other_symbol(row: Row, at: int, series: Series) -> bool:
    picked = any(f.code == "symbols" for f in series.findings)
    return picked and not any(
        len(f) > at and str(f[at]) in (series.symbol, f"{series.symbol}") for f in row.splits
    )


def _times_in(
    fields: tuple[Any, ...], at: dict[str, int], day: str, funding: bool
) -> frozenset[int]:
    if max(at["time"], at.get("clock", 0)) >= len(fields):
        return frozenset()
    clock = fields[at["clock"]] if "clock" in at else None
    found = plain.times(_hashable(fields[at["time"]]), clock, day)
    return frozenset(ms - ms % 60_000 for ms in found) if funding else found


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, (list, dict)) else value


def _shifts(series: Series) -> list[int]:
    """What may lie between a stamp and the open time: nothing, or a candle for closing times."""
    if isinstance(series, Funding) or "close_times" not in {f.code for f in series.findings}:
        return [0]
    step = series.timeframe_ms
    months = [d * 86_400_000 for d in (28, 29, 30, 31)] if step == 30 * 86_400_000 else []
    return [s - tick for s in (step, *months) for tick in (0, 1, 1000)]


def _same(series: Series, i: int, fields: tuple[Any, ...], at: dict[str, int]) -> bool:
    codes = {f.code for f in series.findings}
    fields = tuple(_hashable(f) for f in fields)
    if isinstance(series, Funding):
        place = at.get("rate", at.get("open", 0))
        return place < len(fields) and series.rate[i] in plain.numbers(fields[place], rate=True)
    for what in _PRICES:
        if what in at:
            if at[what] >= len(fields):
                return False
            if getattr(series, what)[i] not in plain.numbers(fields[at[what]]):
                return False
    if "volume" not in at:
        return bool(series.volume[i] == 0)
    if at["volume"] >= len(fields):
        return False
    said = series.volume[i] == 0 and "bad_volume" in codes
    return said or series.volume[i] in plain.numbers(fields[at["volume"]], volume=True)


def _is_filled(series: Candles, i: int) -> bool:
    before = series.close[i - 1] if i else None
    return series.volume[i] == 0 and all(getattr(series, w)[i] == before for w in _PRICES)


def _all_there(series: Series, rows: list[Row], on_fault: str) -> str:
    """Every row of the file is in the series, or counted in a finding that says where it went."""
    if on_fault == "fill" and isinstance(series, Candles):
        return ""
    gone = sum(f.count for f in series.findings if _took_out(f, series))
    if len(series) + gone == len(rows):
        return ""
    return f"{len(rows)} rows in the file, {len(series)} read, {gone} said to be left out"


def _took_out(finding: Finding, series: Series) -> bool:
    said = isinstance(series, Funding) and finding.code in _SAID
    return finding.severity == "error" or said


def _untouched_stay(series: Series, rows: list[Row], case: Case) -> None:
    """Rows as they were in the base must be read as they were read there."""
    truth = _truth(case.base)
    now = _by_time(series)
    kept = {row.text for row in rows}
    day = _day(series, case)
    grid = 60_000 if isinstance(series, Funding) else 1
    for text, (ms, *values) in truth.items():
        if text in kept and now.get(ms) != values:
            if ms in now and _claimed(rows, text, ms, day, grid):
                continue  # another row has that time now, and came first
            raise WrongReadingError(f"{text!r} was {values}, is now {now.get(ms)}")


def _claimed(rows: list[Row], text: str, ms: int, day: str, grid: int) -> bool:
    return any(
        row.text != text
        and any(ms == t - t % grid for s in row.splits for f in s
                for t in plain.times(_hashable(f), None, day))
        for row in rows
    )  # fmt: skip


def _by_time(series: Series) -> dict[int, list[float]]:
    names = ("rate",) if isinstance(series, Funding) else (*_PRICES, "volume")
    columns = [getattr(series, name).tolist() for name in names]
    return {ms: list(v) for ms, *v in zip(series.ts.tolist(), *columns, strict=True)}


_truths: dict[Base, dict[str, list[Any]]] = {}


def _truth(of: Base) -> dict[str, list[Any]]:
    """Line of the base -> time and values, where the base is read without a fault."""
    if of in _truths:
        return _truths[of]
    import tempfile

    made: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / of.name
        path.write_bytes(of.content)
        try:
            series = read(path, of, "error")
        except DataError:
            series = None
    if series is not None:
        lines = [t for t in plain.text_lines(of.content)[of.head :] if t.strip()]
        values = [[ms, *v] for ms, v in _by_time(series).items()]
        if series.order == "descending":
            values.reverse()
        if len(values) == len(lines) and series.order != "mixed":
            made = dict(zip(lines, values, strict=True))
    if len(_truths) > 200:
        _truths.clear()
    _truths[of] = made
    return made
