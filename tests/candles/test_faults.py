"""Bad input: refused with file and line, or dropped or filled and said; never silently changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverpack.candles.check import check_file
from leverpack.candles.reader import read_candles, read_funding
from leverpack.errors import DataError
from tests.candles.helpers import HEADER, HOUR, START, rows, write

OFTEN = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# name -> (row 10 of the file, what the sentence must say); row 10 stands on line 12
BAD_ROWS = {
    "letters": ("{t},110,112,1O9,111,20", "low '1O9' is not a number"),
    "swapped": ("{t},110,109,112,111,20", "high 109.0 is below the low 112.0"),
    "close_outside": ("{t},110,112,109,113,20", "close 113.0 is above the high 112.0"),
    "zero": ("{t},110,112,0,111,20", "low 0 is not above zero"),
    "negative": ("{t},-110,112,-111,111,20", "not above zero"),
    "infinite": ("{t},110,inf,109,111,20", "high inf is not finite"),
    "empty": ("{t},110,112,,111,20", "low is missing"),
    "no_time": ("yesterday,110,112,109,111,20", "'yesterday' cannot be read as a time"),
    "short": ("{t},110,112", "3 fields where the file has 6"),
    "equal_twin": ("{u},109,111,108,110,19", "stands on line 11 already, with equal values"),
    "other_twin": ("{u},109,111,108,110.5,19", "stands on line 11 already, with different values"),
}


def _file(path: Path, fault: str) -> Path:
    lines = rows(30)
    lines[10] = BAD_ROWS[fault][0].format(t=START + 10 * HOUR, u=START + 9 * HOUR)
    return write(path, lines)


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_refused_with_file_and_line(tmp_path: Path, fault: str) -> None:
    path = _file(tmp_path / "x.csv", fault)
    with pytest.raises(DataError) as caught:
        read_candles(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:12: ")
    assert BAD_ROWS[fault][1] in message
    assert "\n" not in message


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_dropped_and_said(tmp_path: Path, fault: str) -> None:
    read = read_candles(_file(tmp_path / "x.csv", fault), on_fault="drop")
    assert read.ts.tolist() == [START + i * HOUR for i in range(30) if i != 10]
    assert read.close.tolist() == [101.0 + i for i in range(30) if i != 10]
    said = [f for f in read.findings if f.severity == "error"]
    assert [(f.line, f.count) for f in said] == [(12, 1)]
    assert read.summary()["faults"] == 1


@pytest.mark.parametrize(
    "fault", ["letters", "swapped", "close_outside", "zero", "infinite", "empty"]
)
def test_filled_with_the_previous_close(tmp_path: Path, fault: str) -> None:
    read = read_candles(_file(tmp_path / "x.csv", fault), on_fault="fill")
    assert len(read) == 30
    row = [read.open[10], read.high[10], read.low[10], read.close[10], read.volume[10]]
    assert row == [110.0, 110.0, 110.0, 110.0, 0.0]
    assert "filled" in read.summary()["treatment"]


def test_the_line_is_right_after_banner_blank_lines_and_descending_rows(tmp_path: Path) -> None:
    lines = rows(30)[::-1]
    lines[4] = lines[4].replace(",", ",x", 1)
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["Made by hand, 2025", HEADER, "", *lines[:2], "", *lines[2:]]))
    with pytest.raises(DataError, match=r"x\.csv:9: the open 'x125' is not a number"):
        read_candles(path)
    lines = rows(30)[::-1]
    time, opens, high, low, rest = lines[4].split(",", 4)
    lines[4] = ",".join((time, opens, low, high, rest))
    path.write_text("\n".join(["Made by hand, 2025", HEADER, "", *lines[:2], "", *lines[2:]]))
    with pytest.raises(DataError, match=r"x\.csv:9: the high 124.0 is below the low 127.0"):
        read_candles(path)


NO_TABLE = {
    "empty": (b"", "empty"),
    "blank": (b"\n\n\n", "empty"),
    "header_only": (HEADER.encode() + b"\n", "header but no rows"),
    "binary": (bytes(range(256)) * 20, "not a text"),
    "prose": (b"hello\nthis is no table\nat all\n", "column"),
    "no_prices": (b"time,bid,ask\n1735689600000,1,2\n", "no column named open"),
    "trades": (b"time,price,amount,side\n1735689600000,1,2,buy\n", "no column named open"),
    "row_numbers": (b"index,open,high,low,close\n0,1,2,1,1\n1,1,2,1,1\n", "cannot be read as"),
    "suffixed_price": (b"ts,open,high,low,close\n1735689600000,1K,2K,1K,1K\n", "not a number"),
    "empty_row": (HEADER.encode() + b"\n1735689600000,1,2,x,1,1\n,,,,,\n", "not a number"),
    "damaged_parquet": (b"PAR1 and then nothing of the kind", "damaged"),
    "damaged_gzip": (b"\x1f\x8b\x08 and then nothing of the kind", "unpacked"),
    "damaged_json": (b'[[1735689600000, 1, 2, 1', "damaged"),
}


@pytest.mark.parametrize("case", NO_TABLE)
def test_what_is_no_table_is_refused_in_one_sentence(tmp_path: Path, case: str) -> None:
    content, says = NO_TABLE[case]
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_candles(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert says in message
    assert "\n" not in message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_candles(tmp_path / "none.csv")
    with pytest.raises(DataError, match="folder"):
        read_candles(tmp_path)


def test_a_mark_file_with_volume_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mark.csv", rows(30))
    with pytest.raises(DataError, match=r"mark\.csv:2: a mark price has no volume"):
        read_candles(path, kind="mark")
    still = [r.rsplit(",", 1)[0] + ",0" for r in rows(30)]
    assert len(read_candles(write(path, still), kind="mark")) == 30


def test_marks_of_open_and_close_only(tmp_path: Path) -> None:
    lines = [f"{START + i * HOUR},{100 + i},{99 + 2 * i}" for i in range(5)]
    read = read_candles(write(tmp_path / "m.csv", lines, header="ts,open,close"), kind="mark")
    assert read.high.tolist() == [100, 101, 103, 105, 107]
    assert read.low.tolist() == [99, 101, 102, 103, 104]
    assert {"no_high", "no_low"} <= {f.code for f in read.findings}


def test_funding_letters(tmp_path: Path) -> None:
    lines = [f"{START},0.0001", f"{START + 8 * HOUR},none at all"]
    path = write(tmp_path / "f.csv", lines, header="ts,rate")
    with pytest.raises(DataError, match=r"f\.csv:3: the rate 'none at all' is not a number"):
        read_funding(path)
    assert len(read_funding(path, on_fault="drop")) == 1


def test_check_lists_every_kind_of_fault(tmp_path: Path) -> None:
    lines = rows(60)
    lines[5] = lines[5].replace("105", "1O5")
    lines[20] = f"{START + 20 * HOUR},120,119,122,121,30"
    lines[21] = f"{START + 21 * HOUR},121,120,123,122,30"
    lines[30] = lines[29]
    report = check_file(write(tmp_path / "x.csv", lines))
    assert report["ok"] is False
    kinds = {f["code"]: f for f in report["findings"] if f["severity"] == "error"}
    assert {c: (f["line"], f["count"]) for c, f in kinds.items()} == {
        "letters": (7, 1), "high_low": (22, 2), "duplicate": (32, 1),
    }  # fmt: skip
    assert report["faults"] == 4
    assert report["rows"] == 56
    assert check_file(tmp_path / "x.csv", on_fault="drop")["ok"] is True


def test_check_tells_kinds_apart(tmp_path: Path) -> None:
    plain = write(tmp_path / "x.csv", rows(30))
    assert check_file(plain)["kind"] == "trade"
    marks = [r.rsplit(",", 1)[0] for r in rows(30)]
    mark = write(tmp_path / "BTCUSDT_mark_1h.csv", marks, header="time,open,high,low,close")
    assert check_file(mark)["kind"] == "mark"
    fund = write(tmp_path / "f.csv", [f"{START},0.0001"], header="ts,rate")
    assert check_file(fund)["kind"] == "funding"


@OFTEN
@given(order=st.permutations(range(12)), twins=st.lists(st.integers(0, 11), max_size=4))
def test_shuffled_and_repeated_rows_never_change_silently(
    tmp_path: Path, order: list[int], twins: list[int]
) -> None:
    lines = rows(12)
    path = write(tmp_path / "x.csv", [lines[i] for i in (*order, *twins)])
    if twins:
        with pytest.raises(DataError, match="with equal values"):
            read_candles(path)
    read = read_candles(path, on_fault="drop")
    assert read.ts.tolist() == [START + i * HOUR for i in range(12)]
    assert read.close.tolist() == [101.0 + i for i in range(12)]
    assert read.duplicates == len(twins)
    sorted_already = list(order) == sorted(order) and not twins
    assert sorted_already or [f for f in read.findings if f.code in ("order", "duplicate")]


@OFTEN
@given(
    column=st.integers(1, 4),
    row=st.integers(0, 11),
    value=st.sampled_from(["0", "-1", "x", "", "inf", "-inf", "nan", "1e999", "1_0", "1.2.3"]),
)
def test_a_value_that_is_no_price_never_becomes_one(
    tmp_path: Path, column: int, row: int, value: str
) -> None:
    lines = rows(12)
    fields = lines[row].split(",")
    fields[column] = value
    lines[row] = ",".join(fields)
    path = write(tmp_path / "x.csv", lines)
    with pytest.raises(DataError) as caught:
        read_candles(path)
    assert caught.value.line == row + 2
    kept = read_candles(path, on_fault="drop")
    assert len(kept) == 11
    for prices in (kept.open, kept.high, kept.low, kept.close):
        assert np.isfinite(prices).all()
        assert (prices > 0).all()
