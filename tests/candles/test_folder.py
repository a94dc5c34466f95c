"""Several files as one series: folders, patterns, standard input, overlaps and mixtures."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from leverpack.candles.feed import CandleFeed
from leverpack.candles.reader import load_candles, read_candles, read_funding
from leverpack.errors import DataError
from tests.candles.helpers import HEADER, HOUR, START, rows, write
from tests.cli.test_bad_input import YEAR, Call, leverpack  # noqa: F401 - a fixture
from tests.conftest import needs_shared, shared_dir

MARK = YEAR.with_name("made_BTCUSDT_mark_1h_2025.csv")
FUNDING = YEAR.with_name("made_BTCUSDT_funding_2025.csv")


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """Three files of ten hours each, packed in three ways, and things that are no candles."""
    folder = tmp_path / "btc"
    folder.mkdir()
    lines = rows(30)
    write(folder / "BTCUSDT-1h-2025-01.csv", lines[:10])
    packed = "\n".join(lines[10:20])  # archives of spot candles have no header
    (folder / "BTCUSDT-1h-2025-02.csv.gz").write_bytes(gzip.compress(packed.encode()))
    with zipfile.ZipFile(folder / "BTCUSDT-1h-2025-03.zip", "w") as archive:
        archive.writestr("BTCUSDT-1h-2025-03.csv", "\n".join([HEADER, *lines[20:]]))
    (folder / "README.md").write_text("about these files")
    (folder / ".DS_Store").write_bytes(b"\0\0")
    (folder / "BTCUSDT-1h-2025-01.csv.CHECKSUM").write_text("abc")
    return folder


def is_whole(read: Any) -> None:
    assert read.ts.tolist() == [START + i * HOUR for i in range(30)]
    assert read.close.tolist() == [101.0 + i for i in range(30)]
    assert read.volume.tolist() == [10.0 + i for i in range(30)]


def test_a_folder_and_a_pattern(months: Path) -> None:
    read = read_candles(months)
    is_whole(read)
    assert (read.symbol, read.files, read.source) == ("BTCUSDT", 3, str(months))
    assert (read.duplicates, read.gaps, read.order) == (0, [], "ascending")
    assert read.summary()["files"] == 3
    is_whole(read_candles(str(months / "*1h-2025-0*")))
    assert len(read_candles(months / "*.csv")) == 10
    assert len(read_candles(str(months / "**" / "*.[zg][iz]*"))) == 20
    feed = CandleFeed(dataname=months)
    is_whole(feed.candles)


def test_the_order_of_names_does_not_matter_for_rows(months: Path) -> None:
    (months / "BTCUSDT-1h-2025-01.csv").rename(months / "BTCUSDT-1h-z.csv")
    read = read_candles(months)
    is_whole(read)
    assert read.order == "ascending"
    write(months / "BTCUSDT-1h-z.csv", rows(30)[:10][::-1])
    assert read_candles(months).order == "mixed"


def test_an_overlap_of_equal_candles_is_said(months: Path) -> None:
    write(months / "BTCUSDT-1h-2025-04.csv", rows(30)[18:])
    read = read_candles(months)
    is_whole(read)
    assert read.duplicates == 12
    said = next(f for f in read.findings if f.code == "overlap")
    assert (said.count, said.line, said.severity) == (12, 2, "info")
    assert said.source.endswith("2025-04.csv")
    assert "2025-02.csv.gz too" in said.message
    assert read.summary()["faults"] == 0


def test_an_overlap_that_contradicts_is_a_fault_of_both_files(months: Path) -> None:
    lines = rows(30)[18:]
    lines[3] = lines[3].replace(",122,", ",121.5,")
    write(months / "BTCUSDT-1h-2025-04.csv", lines)
    with pytest.raises(DataError) as caught:
        read_candles(months)
    assert str(caught.value).startswith(f"{months}/BTCUSDT-1h-2025-04.csv:5: ")
    assert "stands on line 3 of " in str(caught.value)
    assert "2025-03.zip already, with different values" in str(caught.value)
    read = read_candles(months, on_fault="drop")
    is_whole(read)  # the first in name order stays
    fault = next(f for f in read.findings if f.code == "contradictory_duplicate")
    assert (fault.count, fault.line) == (1, 5)


def test_a_fault_is_named_with_its_file_and_line(months: Path) -> None:
    lines = rows(30)[20:]
    lines[4] = lines[4].replace(",", ",x", 1)
    path = write(months / "BTCUSDT-1h-2025-03.csv", lines)
    (months / "BTCUSDT-1h-2025-03.zip").unlink()
    with pytest.raises(DataError) as caught:
        read_candles(months)
    assert str(caught.value).startswith(f"{path}:6: the open 'x124'")
    found = load_candles(months, collect=True).findings
    assert [(f.source, f.line) for f in found if f.severity == "error"] == [(str(path), 6)]


def test_a_gap_between_files_is_one_of_the_series(months: Path) -> None:
    (months / "BTCUSDT-1h-2025-02.csv.gz").unlink()
    read = read_candles(months)
    assert read.gaps == [(START + 10 * HOUR, 10)]
    with pytest.raises(DataError, match=r"2025-01\.csv:11: after this line 10 1h candles"):
        read_candles(months, fill="error")


def test_several_symbols_or_timeframes_are_refused(months: Path) -> None:
    other = write(months / "ETHUSDT-1h-2025-01.csv", rows(30))
    with pytest.raises(DataError, match=r"ETHUSDT.*of BTCUSDT.*\*BTCUSDT\*"):
        read_candles(months)
    other.unlink()
    write(months / "BTCUSDT-5m-2025-01.csv", rows(30, 300_000))
    write(months / "BTCUSDT-1h-2025-01.csv", rows(30))
    with pytest.raises(DataError, match=r"candles of 5m, those of .*2025-01\.csv are of 1h"):
        read_candles(months)


def test_another_name_than_that_of_the_file_is_warned_of(months: Path) -> None:
    for name in ("BTC/USDT:USDT", "BTCUSDT", "BTC", None):
        assert "symbol" not in {f.code for f in read_candles(months, symbol=name).findings}
    said = next(f for f in read_candles(months, symbol="ETH/USDT").findings if f.code == "symbol")
    assert "named after BTCUSDT, and read as ETH/USDT" in said.message


def test_a_file_of_another_kind_is_named(months: Path) -> None:
    funding = [f"{START},8,0.0001"]
    write(months / "BTCUSDT-fundingRate.csv", funding, "calc_time,h,last_funding_rate")
    with pytest.raises(DataError, match=r"BTCUSDT-fundingRate\.csv:1: no column named open"):
        read_candles(months)


def test_marks_and_settlements_of_folders(tmp_path: Path) -> None:
    for i in range(3):
        part = range(10 * i, 10 * i + 10)
        write(
            tmp_path / f"mark-{i}.csv", [f"{START + h * HOUR},1,2,1,1,0" for h in part],
        )  # fmt: skip
        write(
            tmp_path / f"funding-{i}.csv",
            [f"{START + h * 8 * HOUR + 7},0.000{i + 1}" for h in [*part, 30]], "ts,rate",
        )
    mark = read_candles(tmp_path / "mark*", kind="mark")
    assert (len(mark), mark.files, mark.kind) == (30, 3, "mark")
    with pytest.raises(DataError, match=r"funding-1\.csv:12: .*line 12 of .*another rate"):
        read_funding(tmp_path / "funding*")
    funding = read_funding(tmp_path / "funding*", on_fault="drop")
    assert (len(funding), funding.files) == (31, 3)
    assert funding.rate[-1] == 0.0001
    late = next(f for f in funding.findings if f.code == "late_stamps")
    assert late.count == 31


@needs_shared
def test_real_months_that_change_their_unit(tmp_path: Path) -> None:
    formats = shared_dir() / "data" / "formats"
    for unit in ("ms", "us"):
        shutil.copy(formats / f"binance_vision_spot_1h_{unit}_noheader.csv", tmp_path)
    read = read_candles(tmp_path)
    one = read_candles(formats / "binance_vision_spot_1h_ms_us_concat.csv")
    assert read.ts.tolist() == one.ts.tolist()
    assert read.close.tolist() == one.close.tolist()
    assert read.unit == "ms+us"
    assert "mixed_units" in {f.code for f in read.findings}
    no_header = next(f for f in read.findings if f.code == "no_header")
    assert "header" in no_header.message


# --- the command line -------------------------------------------------------------------------


def run_of(leverpack: Call, *arguments: Any) -> Any:  # noqa: F811
    code, out, err = leverpack("backtest", *map(str, arguments), "--json")
    assert code == 0, err
    return json.loads(out)["totals"]


def test_a_backtest_takes_folders_patterns_and_standard_input(
    leverpack: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    lines = YEAR.read_text().splitlines()
    for i, at in enumerate(range(1, len(lines), 3000)):
        write(tmp_path / f"BTCUSDT-1h-{i}.csv", lines[at : at + 3000], lines[0])
    rest = ("--mark", MARK, "--funding", FUNDING)
    whole = run_of(leverpack, "--data", YEAR, *rest)
    assert run_of(leverpack, "--data", tmp_path, *rest) == whole
    assert run_of(leverpack, "--data", f"{tmp_path}/BTCUSDT-1h-*.csv", *rest) == whole
    stream = io.TextIOWrapper(io.BytesIO(YEAR.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    piped = run_of(leverpack, "--data", "-", "--symbol", "BTCUSDT", *rest)
    assert piped == whole


def test_standard_input_of_a_process() -> None:
    call = [sys.executable, "-m", "leverpack", "data", "check", "-", "--json"]
    done = subprocess.run(
        call, input=YEAR.read_bytes(), capture_output=True, cwd=YEAR.parents[1], timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert b'"rows": 8760' in done.stdout
    done = subprocess.run(call, input=b"", capture_output=True, cwd=YEAR.parents[1], timeout=60)
    assert done.returncode == 2
    assert b"standard input: the input is empty" in done.stderr


def test_standard_input_only_once(leverpack: Call) -> None:  # noqa: F811
    code, _, err = leverpack("backtest", "--data", "-", "--mark", "-")
    assert (code, err.count("\n")) == (2, 1)
    assert "standard input (-) can be only one of them" in err


def test_a_folder_of_nothing_is_named_with_its_option(
    leverpack: Call, tmp_path: Path  # noqa: F811
) -> None:
    code, _, err = leverpack("backtest", "--data", str(YEAR), "--mark", str(tmp_path))
    assert code == 2
    assert f"--mark {tmp_path}: the folder holds no candle files" in err
