"""Shapes of files that must read, and the numbers that must come out."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from leverpack.candles.reader import read_candles, read_funding
from leverpack.errors import DataError, SettingError
from tests.candles.helpers import HEADER, HOUR, START, rows, write


def _same(read: Any, count: int = 30) -> None:
    assert read.ts.tolist() == [START + i * HOUR for i in range(count)]
    assert read.open.tolist() == [100.0 + i for i in range(count)]
    assert read.high.tolist() == [102.0 + i for i in range(count)]
    assert read.low.tolist() == [99.0 + i for i in range(count)]
    assert read.close.tolist() == [101.0 + i for i in range(count)]
    assert read.timeframe_ms == HOUR


def _restamped(stamp: Any, count: int = 30) -> list[str]:
    out = []
    for i, row in enumerate(rows(count)):
        out.append(f"{stamp(START + i * HOUR)},{row.split(',', 1)[1]}")
    return out


def _when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


STAMPS = {
    "seconds": (lambda ms: ms // 1000, "s"),
    "float_seconds": (lambda ms: f"{ms / 1000:.1f}", "s"),
    "milliseconds": (lambda ms: ms, "ms"),
    "microseconds": (lambda ms: ms * 1000, "us"),
    "nanoseconds": (lambda ms: ms * 1_000_000, "ns"),
    "iso": (lambda ms: f"{_when(ms):%Y-%m-%d %H:%M:%S}", "iso"),
    "iso_z": (lambda ms: f"{_when(ms):%Y-%m-%dT%H:%M:%S.000Z}", "iso"),
    "iso_offset": (lambda ms: f"{_when(ms + 2 * HOUR):%Y-%m-%d %H:%M:%S}+02:00", "iso"),
    "minutes_only": (lambda ms: f"{_when(ms):%Y-%m-%d %H:%M}", "iso"),
    "half_days": (lambda ms: f"{_when(ms):%Y-%m-%d %I-%p}", "iso"),
    "dots": (lambda ms: f"{_when(ms):%d.%m.%Y %H:%M}", "iso"),
    "compact": (lambda ms: f"{_when(ms):%Y%m%d %H:%M}", "iso"),
    "compact_number": (lambda ms: f"{_when(ms):%Y%m%d%H%M%S}", "iso"),
}


@pytest.mark.parametrize("shape", STAMPS)
@pytest.mark.parametrize("descending", [False, True])
def test_every_unit_and_order(tmp_path: Path, shape: str, descending: bool) -> None:
    stamp, unit = STAMPS[shape]
    lines = _restamped(stamp)
    read = read_candles(write(tmp_path / "x.csv", lines[::-1] if descending else lines))
    _same(read)
    assert read.unit == unit
    assert read.order == ("descending" if descending else "ascending")


def test_milliseconds_that_turn_into_microseconds(tmp_path: Path) -> None:
    lines = _restamped(lambda ms: ms if ms < START + 10 * HOUR else ms * 1000)
    read = read_candles(write(tmp_path / "x.csv", lines, header=None))
    _same(read)
    assert read.unit == "ms+us"
    assert "mixed_units" in {f.code for f in read.findings}


def test_a_unit_that_changes_from_number_to_fraction(tmp_path: Path) -> None:
    late = START + 25 * HOUR  # beyond what the first look at the file sees as a type
    lines = _restamped(lambda ms: ms if ms < late else f"{ms / 1000:.1f}")
    _same(read_candles(write(tmp_path / "x.csv", lines)))


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,open,high,low,close,volume",
        "Open Time,Open,High,Low,Close,Volume",
        ",Open,High,Low,Close,Volume",
        "unix,o,h,l,c,v",
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>",
        '"Date","Open","High","Low","Close","Volume BTC"',
        None,
    ],
)
def test_headers(tmp_path: Path, header: str | None) -> None:
    read = read_candles(write(tmp_path / "x.csv", rows(30), header=header))
    _same(read)
    assert read.volume.tolist() == [10.0 + i for i in range(30)]


def test_columns_in_another_order_with_others_between(tmp_path: Path) -> None:
    lines = [
        f"x,{c},{v},{h},{low},{o},{t}" for t, o, h, low, c, v in (r.split(",") for r in rows(30))
    ]
    read = read_candles(
        write(tmp_path / "x.csv", lines, header="note,Close,Volume,High,Low,Open,open_time")
    )
    _same(read)
    assert read.columns["Close"] == "close"
    ignored = next(f for f in read.findings if f.code == "ignored_columns")
    assert "note" in ignored.message


def test_banner_bom_blank_lines_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    text = ["﻿Times are UTC,https://example.org", HEADER, "", *rows(15), "", *rows(30)[15:], ""]
    path.write_bytes("\r\n".join(text).encode())
    _same(read_candles(path))


def test_base_volume_is_taken_before_quote_volume(tmp_path: Path) -> None:
    lines = [f"{r},999999" for r in rows(30)]
    head = "time,open,high,low,close,volume_btc,volume"
    assert read_candles(write(tmp_path / "x.csv", lines, header=head)).volume[0] == 10


def test_thousands_suffixes_and_decimal_commas(tmp_path: Path) -> None:
    people = [
        '"Apr 02, 2025","29,068.9","29,475.9","28,927.8","29,000.5","95.35K"',
        '"Apr 01, 2025","29,000.0","29,100.0","28,900.0","29,068.9","1.2M"',
    ]
    read = read_candles(write(tmp_path / "a.csv", people, header="Date,Open,High,Low,Close,Vol."))
    assert read.open.tolist() == [29000.0, 29068.9]
    assert read.volume.tolist() == [1.2e6, 95350.0]
    german = [
        f"{START + i * HOUR};{100 + i},5;{102 + i},5;{99 + i},5;{101 + i},5;1,0" for i in range(5)
    ]
    read = read_candles(write(tmp_path / "b.csv", german, header=HEADER.replace(",", ";")))
    assert read.close.tolist() == [101.5, 102.5, 103.5, 104.5, 105.5]


def test_day_and_month_are_never_guessed(tmp_path: Path) -> None:
    head = "date,open,high,low,close"
    clear = [f"{d:02d}/03/2025,1,2,0.5,1.5" for d in range(10, 20)]
    read = read_candles(write(tmp_path / "a.csv", clear, header=head))
    assert read.summary()["first"].startswith("2025-03-10")
    vague = [f"{d:02d}/03/2025,1,2,0.5,1.5" for d in range(1, 10)]
    with pytest.raises(DataError, match="day/month or month/day"):
        read_candles(write(tmp_path / "b.csv", vague, header=head))


def test_packed_files(tmp_path: Path) -> None:
    text = "\n".join([HEADER, *rows(30)]) + "\n"
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    _same(read_candles(packed))
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.csv", text)
    _same(read_candles(archive))


def test_parquet_feather_and_frames(tmp_path: Path) -> None:
    frame = pd.read_csv(write(tmp_path / "x.csv", rows(30)))
    stamped = frame.assign(time=pd.to_datetime(frame.time, unit="ms", utc=True))
    frame.to_parquet(tmp_path / "a.parquet")
    stamped.to_parquet(tmp_path / "b.parquet")
    stamped.set_index("time").to_parquet(tmp_path / "c.parquet")
    stamped.to_feather(tmp_path / "d.feather")
    for name in ("a.parquet", "b.parquet", "c.parquet", "d.feather"):
        _same(read_candles(tmp_path / name))
    naive = stamped.assign(time=stamped.time.dt.tz_localize(None))
    elsewhere = stamped.assign(time=stamped.time.dt.tz_convert("Asia/Tokyo"))
    texts = frame.astype(str)
    for table in (frame, stamped, stamped.set_index("time"), naive, elsewhere, texts):
        _same(read_candles(table))
    _same(read_candles(pa.Table.from_pandas(frame)))


def test_candles_pass_through_and_can_be_cut(tmp_path: Path) -> None:
    read = read_candles(write(tmp_path / "x.csv", rows(30)), symbol="ETHUSDT")
    assert read_candles(read) is read
    assert read.symbol == "ETHUSDT"
    part = read.between(START + 5 * HOUR, START + 9 * HOUR)
    assert part.open.tolist() == [105, 106, 107, 108, 109]
    assert len(read.between(START + 100 * HOUR, None)) == 0


def test_the_symbol_is_read_off_the_file(tmp_path: Path) -> None:
    assert read_candles(write(tmp_path / "BTCUSDT-1h.csv", rows(3))).symbol == "BTCUSDT"
    lines = [f"{r},SOL/USDT" for r in rows(3)]
    read = read_candles(write(tmp_path / "x.csv", lines, header=HEADER + ",symbol"))
    assert read.symbol == "SOL/USDT"


def test_summary_says_what_was_seen(tmp_path: Path) -> None:
    lines = rows(30)
    del lines[10:13]
    summary = read_candles(write(tmp_path / "x.csv", lines)).summary()
    assert summary["rows"] == 27
    assert summary["timeframe"] == "1h"
    assert (summary["gaps"], summary["missing_bars"]) == (1, 3)
    assert summary["first"] == "2025-01-01T00:00:00+00:00"
    assert summary["sum_close"] == sum(101 + i for i in range(30)) - 111 - 112 - 113
    assert summary["columns"]["time"] == "time"
    assert summary["faults"] == 0


def test_a_gap_is_said_and_left_open(tmp_path: Path) -> None:
    lines = rows(30)
    del lines[10:13]
    read = read_candles(write(tmp_path / "x.csv", lines), on_fault="fill")
    assert read.gaps == [(START + 10 * HOUR, 3)]
    assert len(read) == 27


def test_unknown_treatment_is_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="on_fault"):
        read_candles(write(tmp_path / "x.csv", rows(3)), on_fault="ignore")  # type: ignore[arg-type]


def test_funding_shapes(tmp_path: Path) -> None:
    late = [f"{START + i * 8 * HOUR + 13},8,0.0001" for i in range(6)]
    read = read_funding(
        write(tmp_path / "a.csv", late, header="calc_time,funding_interval_hours,last_funding_rate")
    )
    assert read.ts.tolist() == [START + i * 8 * HOUR for i in range(6)]
    assert read.intervals_h() == {8.0: 5}
    assert next(f for f in read.findings if f.code == "late_stamps").count == 6
    bare = [f"{START + i * 8 * HOUR},0.0001" for i in range(6)]
    assert read_funding(write(tmp_path / "b.csv", bare, header=None)).rate.tolist() == [0.0001] * 6
    frame = pd.DataFrame({"ts": START + 8 * HOUR * np.arange(6), "rate": 0.0001})
    assert read_funding(frame).rate.sum() == pytest.approx(0.0006)


def test_a_settlement_listed_twice_counts_once(tmp_path: Path) -> None:
    lines = [f"{START},0.0001", f"{START + 5},0.0001", f"{START + 8 * HOUR},0.0002"]
    read = read_funding(write(tmp_path / "a.csv", lines, header="ts,rate"))
    assert read.rate.tolist() == [0.0001, 0.0002]
    assert next(f for f in read.findings if f.code == "duplicate").treatment == "charged once"
    lines[1] = f"{START + 5},0.0003"
    with pytest.raises(DataError, match=r"b\.csv:3: .*another rate"):
        read_funding(write(tmp_path / "b.csv", lines, header="ts,rate"))
