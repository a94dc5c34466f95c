"""Hurt files are refused in a sentence or read truly: a slice of ``make fuzz``, and its judge."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles
from leverpack.errors import DataError
from tests.candles.helpers import HEADER, HOUR, START, rows, write
from tests.fuzz import judge
from tests.fuzz.corpus import Base, base, originals
from tests.fuzz.judge import WrongReadingError
from tests.fuzz.mutations import Case, mutate

CASES = 400
TRADE = Base("made.csv", "\n".join([HEADER, *rows(30), ""]).encode(), "text", "trade", None, 1)


def test_a_slice_of_the_cases(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(CASES):
        seen[judge.run(seed, tmp_path).result] += 1
    assert seen["read"] > CASES // 4
    assert seen["refused"] > CASES // 4


def test_a_case_is_made_again_from_its_seed() -> None:
    for seed in range(20):
        assert judge.make(seed) == judge.make(seed)
    assert len(originals()) >= 6


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    row=st.integers(0, 29), column=st.integers(0, 5),
    text=st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    | st.floats().map(repr) | st.integers().map(str) | st.datetimes().map(str),
    on_fault=st.sampled_from(("error", "drop", "fill")),
)  # fmt: skip
def test_any_text_in_any_field(
    tmp_path: Path, row: int, column: int, text: str, on_fault: str
) -> None:
    lines = [HEADER, *rows(30)]
    fields = lines[row + 1].split(",")
    fields[column] = text
    lines[row + 1] = ",".join(fields)
    content = ("\n".join(lines) + "\n").encode()
    judge.judge(Case(TRADE, content, False, ["field"]), on_fault, tmp_path)


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.binary(max_size=300), st.integers(0, 1000), st.integers(0, 40))
def test_any_bytes_anywhere(tmp_path: Path, put: bytes, at: int, gone: int) -> None:
    content = TRADE.content[:at] + put + TRADE.content[at + gone :]
    judge.judge(Case(TRADE, content, True, ["bytes"]), "drop", tmp_path)


# --- the judge judges ---------------------------------------------------------------------------


def repaired(series: Candles, how: str) -> Candles:
    """What a reader with a defect would make of a file."""
    if how == "value":
        series.close[7] += 0.5
    elif how == "time":
        series.ts[7] += 1
    elif how == "filled":
        for values in (series.open, series.high, series.low, series.close):
            values[7] = series.close[6]
    elif how == "lost":
        return series.slice(0, len(series) - 1)
    elif how == "swapped":
        series.volume[[3, 4]] = series.volume[[4, 3]]
    elif how == "order":
        series.ts[7] = series.ts[6]
    elif how == "nan":
        series.high[7] = np.nan
    return series


@pytest.mark.parametrize("how", ["value", "time", "filled", "lost", "swapped", "order", "nan"])
def test_a_silent_repair_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    case = Case(TRADE, TRADE.content, False, [])
    assert judge.judge(case, "error", tmp_path).result == "read"
    read = judge.read
    monkeypatch.setattr(judge, "read", lambda *a: repaired(read(*a), how))  # type: ignore[arg-type]
    with pytest.raises(WrongReadingError):
        judge.judge(case, "error", tmp_path)


@pytest.mark.parametrize(
    ("message", "line"),
    [("a\nb", 3), ("correct the line", None), ("x", 99), ("correct the line", 5)],
)
def test_a_poor_sentence_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, line: int | None
) -> None:
    def refuse(path: Path, *_: object) -> None:
        if not path.parent.samefile(tmp_path):  # the base itself reads well
            return
        fault = DataError(message, source=str(path), line=line)
        fault.args = (f"{path}:{line}: {message}" if line else f"{path}: {message}",)
        raise fault

    monkeypatch.setattr(judge, "read", refuse)
    judge._reading.clear()
    with pytest.raises(WrongReadingError):
        judge.judge(Case(TRADE, TRADE.content, False, []), "error", tmp_path)
    judge._reading.clear()


def test_every_sort_of_file_is_hurt_in_many_ways() -> None:
    sorts: Counter[str] = Counter()
    did: set[str] = set()
    for seed in range(600):
        rng = random.Random(seed)
        case = mutate(base(rng), rng)
        sorts[case.base.sort] += 1
        did |= set(case.did)
    assert len(did) > 15
    assert sorts["text"] > 100


# --- what it found ------------------------------------------------------------------------------


def made(**changed: object) -> pa.Table:
    columns = {
        "time": [START + i * HOUR for i in range(30)], "open": [2.5] * 30, "high": [2.5] * 30,
        "low": [2.5] * 30, "close": [2.5] * 30,
    }  # fmt: skip
    return pa.table(columns | changed)


def test_a_key_that_stands_twice_is_not_settled_by_the_last(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    row = f'{{"time": {START}, "open": 1, "high": 2, "low": 1, "close": 1, "close": 1.5}}'
    path.write_text(f"[{row}, {row}]")
    with pytest.raises(DataError, match="'close' stands twice in one object"):
        read_candles(path)


def test_decimals_are_rounded_right(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    prices = pa.array(["85.71"] * 30).cast(pa.decimal128(30, 8))
    pq.write_table(made(**dict.fromkeys(("open", "high", "low", "close"), prices)), path)
    assert set(read_candles(path).low.tolist()) == {85.71}


def test_truths_are_no_prices(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(made(low=[True] * 30), path)
    with pytest.raises(DataError, match="the low: it holds bool, not numbers"):
        read_candles(path)
    with pytest.raises(DataError, match="the low 'True' is not a number"):
        read_candles(pq.read_table(path).to_pandas())


def test_digits_of_another_script_are_no_number(tmp_path: Path) -> None:
    lines = rows(30)
    lines[3] = lines[3].replace(",105,", ",\u0661\u0660\u0665,")
    with pytest.raises(DataError, match=r":5: the high .* is not a number"):
        read_candles(write(tmp_path / "x.csv", lines))


@pytest.mark.parametrize("stamp", ["202012 9 16:00:00", "2020129 16:00:00", "20201229 16: 0:00"])
def test_a_lost_digit_makes_no_other_day(tmp_path: Path, stamp: str) -> None:
    lines = [f"202012{d} 16:00:00,0.0001" for d in range(20, 32)]
    lines[9] = f"{stamp},0.0001"
    path = write(tmp_path / "f.csv", lines, None)
    with pytest.raises(DataError, match=rf":10: the time '{stamp}' cannot be read"):
        read_funding(path)


def test_the_sixty_first_second_is_not_the_next_minute(tmp_path: Path) -> None:
    lines = [f"{d:02}.01.2025 04:00:{'60' if d == 14 else '00'},1,2,1,1,5" for d in range(1, 29)]
    with pytest.raises(DataError, match=r":15: the time '14.01.2025 04:00:60' cannot be read"):
        read_candles(write(tmp_path / "x.csv", lines))


def test_a_cut_first_row_is_no_banner(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [rows(1)[0][:20], *rows(30)[1:]], None)
    with pytest.raises(DataError, match=r"x\.csv:1: 3 fields where the file has 6"):
        read_candles(path)


def test_what_stands_before_settlements_is_said(tmp_path: Path) -> None:
    lines = ["made by a tool", "funding_interval_hours", f"{START},8,0.0001", f"{START + HOUR},8,0"]
    read = read_funding(write(tmp_path / "f.csv", lines, None))
    assert {"banner", "no_header"} <= {f.code for f in read.findings}


def test_time_of_day_is_a_whole_number(tmp_path: Path) -> None:
    lines = [f"{i * 60_000},1,2,1,1,5" for i in range(30)]
    for odd in ("$60000", "60000.5", "86400000"):
        lines[1] = f"{odd},1,2,1,1,5"
        path = write(tmp_path / "20221213_minute.csv", lines, None)
        with pytest.raises(DataError, match=r"csv:2: the time .* cannot be read"):
            read_candles(path)


def test_a_quote_in_a_field_swallows_no_line(tmp_path: Path) -> None:
    lines = [",".join(f'"{f}"' for f in row.split(",")) for row in rows(30)]
    lines[4] = f'"{START + 4 * HOUR}","104","106","103","1."05","14'
    assert lines[4].count('"') % 2 == 0  # counting them does not tell
    with pytest.raises(DataError, match=r"x\.csv:6: a quote"):
        read_candles(write(tmp_path / "x.csv", lines), on_fault="drop")


def test_a_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    lines = [f"{row},\x1b[31mBTC" for row in rows(30)] + [f"{row},ETH" for row in rows(30)]
    with pytest.raises(DataError) as caught:
        read_candles(write(tmp_path / "x.csv", lines, HEADER + ",symbol"))
    assert str(caught.value).isprintable()
    header = HEADER + ",\x1b[31m" + "x" * 3000
    read = read_candles(write(tmp_path / "y.csv", [f"{row},1" for row in rows(30)], header))
    assert all(f.message.isprintable() and len(f.message) <= 1000 for f in read.findings)


def test_texts_that_reach_beyond_their_bytes_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "x.feather"
    out = io.BytesIO()
    texts = [f"2.5{i % 10}" for i in range(30)]
    feather.write_feather(made(low=texts), out, compression="uncompressed")
    content = bytearray(out.getvalue())
    offsets = np.arange(0, 31 * 4, 4, dtype=np.int32).tobytes()
    at = content.index(offsets)
    content[at + 4 * 30 : at + 4 * 31] = np.int32(2_000_000_000).tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match="cut off or damaged"):
        read_candles(path)
