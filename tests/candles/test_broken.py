"""Broken input of every kind: one sentence with file and line, exit code 2, bounded memory."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import resource
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from leverpack.candles import packing, sources
from leverpack.candles.reader import read_candles, read_funding
from leverpack.errors import DataError
from tests.candles.helpers import HEADER, HOUR, START, rows, write
from tests.cli.test_bad_input import Call, leverpack  # noqa: F401 - a fixture

GOOD = rows(30)
Make = Callable[[Path], Any]


def text(lines: list[str], header: str | None = HEADER) -> Make:
    return lambda path: write(path, lines, header)


def raw(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def with_row(row: str, at: int = 10) -> Make:
    """Row ``at`` of 30 replaced; row 10 stands on line 12."""
    return text([*GOOD[:at], row, *GOOD[at + 1 :]])


def zipped(files: dict[str, bytes]) -> Make:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    return make


def encrypted(path: Path) -> None:
    zipped({"a.csv": whole()})(path)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the file's own header ...
    content[content.index(b"PK\x01\x02") + 8] |= 1  # ... and in the directory
    path.write_bytes(content)


def whole() -> bytes:
    return "\n".join([HEADER, *GOOD, ""]).encode()


def arrow_table(**changed: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "time": [START + i * HOUR for i in range(30)],
        **{what: [1.0] * 30 for what in ("open", "high", "low", "close", "volume")},
    }
    return pa.table(columns | changed)


def parquet(**changed: Any) -> Make:
    return lambda path: pq.write_table(arrow_table(**changed), path)


def cut(make: Make, keep: float) -> Make:
    def cutting(path: Path) -> None:
        make(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return cutting


def days_ahead(path: Path) -> None:
    write(path, [*GOOD, f"{START + 40_000 * 24 * HOUR},1,2,1,1,1"])


LONG = ",".join(GOOD[0].split(",")[:-1]) + "," + "1" * 100_000
HALF = START + 10 * HOUR
MOST = {"open": 1, "high": 1, "low": 1, "close": 1}

# name: (how the file is made, its line where there is one, what the sentence must say)
BROKEN: dict[str, tuple[Make, int | None, str]] = {
    # nothing, or no table
    "empty": (raw(b""), None, "is empty"),
    "blank lines": (raw(b"\n\r\n\n"), None, "is empty"),
    "header only": (text([]), None, "a header but no rows"),
    "prose": (raw(b"dear reader\nthis is a letter\n"), 1, "no columns can be told apart"),
    "binary": (raw(bytes(range(256)) * 40), None, "not a text, Parquet or Feather file"),
    "UTF-16": (raw(whole().decode().encode("utf-16")), None, "UTF-16"),
    "UTF-16 without mark": (raw(whole().decode().encode("utf-16-le")), None, "not a text"),
    "NUL bytes far in": (
        raw(b"\n".join([HEADER.encode(), *(r.encode() for r in rows(3000)), b"\0\0\0"])),
        3002, "1 fields where the file has 6",
    ),
    "letters of another alphabet": (with_row(f"{HALF},\u0967\u0966,112,109,111,20"), 12, "open"),
    "Latin-1": (raw(whole().replace(b",102,99", b",1\xe92,99", 1)), 2, "is not a number"),
    "web page": (raw(b"<!doctype html>\n<html><body>404</body></html>\n"), 1, "no columns"),
    "missing column": (
        text([r.rsplit(",", 2)[0] for r in GOOD], "time,open,high,low"), 1, "no column named close"
    ),
    "no time": (text([r.split(",", 1)[1] for r in GOOD], HEADER[5:]), 1, "no column named time"),
    "twice the same column": (
        text([f"1,{r}" for r in GOOD], "open," + HEADER), 1, "stands more than once in the header"
    ),
    "four columns, no header": (text(["1,2,3,4"] * 9, None), 1, "4 columns without header"),
    # lines
    "truncated line": (with_row(f"{HALF},110,112"), 12, "3 fields where the file has 6"),
    "cut at the end": (cut(text(GOOD), 0.985), 31, "fields where the file has 6"),
    "a field too many": (with_row(GOOD[10] + ",1"), 12, "7 fields where the file has 6"),
    "mixed delimiters": (with_row(GOOD[10].replace(",", ";")), 12, "1 fields where the file has"),
    "unclosed quote": (with_row('"' + GOOD[10]), 12, "a quote is opened and not closed"),
    "unclosed quote far in": (
        text([*rows(3000), '"' + f"{START + 3000 * HOUR},1,2,1,1,1", f"{START},1,2,1,1,1"]),
        3002, "a quote is opened",
    ),
    "a long line": (with_row(LONG), 12, "longer than 65,536 characters"),
    "the first line long": (raw(b"a" * 200_000), 1, "longer than 65,536 characters"),
    # values
    "letters in a price": (with_row(f"{HALF},110,112,1O9,111,20"), 12, "'1O9' is not a number"),
    "infinite": (with_row(f"{HALF},110,inf,109,111,20"), 12, "high inf is not finite"),
    "too large a number": (with_row(f"{HALF},110,1e999,109,111,20"), 12, "is not finite"),
    "not a number": (with_row(f"{HALF},110,nan,109,111,20"), 12, "the high is missing"),
    "empty field": (with_row(f"{HALF},110,112,,111,20"), 12, "the low is missing"),
    "negative": (with_row(f"{HALF},110,112,-109,111,20"), 12, "is not above zero"),
    "zero": (with_row(f"{HALF},0,112,0,111,20"), 12, "is not above zero"),
    "high below low": (with_row(f"{HALF},110,109,112,111,20"), 12, "below the low"),
    "close above high": (with_row(f"{HALF},110,112,109,113,20"), 12, "above the high"),
    "suffix on a price": (with_row(f"{HALF},1K,2K,1K,1K,20"), 12, "is not a number"),
    "thousands or decimals": (
        text([f'{START + i * HOUR},"1,234","1,300","1,200","1,250",5' for i in range(9)]),
        None, "a number with thousands or one with a decimal comma",
    ),
    "points and commas": (
        text([f"{HALF + i * HOUR};1,5;1,6;1,4;{c};5" for i, c in enumerate(["1,5", "1.55"] * 4)],
             HEADER.replace(",", ";")),
        None, "with decimal commas (1,5) and with decimal points (1.55)",
    ),
    # times
    "no such day": (
        text([f"2025-02-{d},1,2,1,1,5" for d in range(25, 31)]), 6, "'2025-02-29' cannot be read"
    ),
    "no such day, German": (
        text([f"{d}.02.2025,1,2,1,1,5" for d in range(25, 31)]), 6, "'29.02.2025' cannot be read"
    ),
    "yesterday": (with_row("yesterday,110,112,109,111,20"), 12, "'yesterday' cannot be read"),
    "no date at all": (with_row(",110,112,109,111,20"), 12, "cannot be read as a time"),
    "row numbers": (text([f"{i},1,2,1,1,5" for i in range(9)]), 2, "cannot be read as a time"),
    "future": (days_ahead, 32, "lies in the future"),
    "before Bitcoin": (with_row("946684800000,110,112,109,111,20"), 12, "lies before 2009"),
    "absurd": (with_row("9999999999999,110,112,109,111,20"), 12, "lies in the future"),
    "beyond all numbers": (with_row("9" * 25 + ",110,112,109,111,20"), 12, "cannot be read"),
    "day or month": (
        text([f"0{d}/03/2025,1,2,1,1,5" for d in range(1, 9)]), None, "day/month or month/day"
    ),
    "day and month": (
        text([f"{d},1,2,1,1,5" for d in ("13/03/2025", "03/14/2025")]), None,
        "day first (13/03/2025) and month first (03/14/2025)",
    ),
    "one time in all rows": (text([GOOD[0]] * 5), 3, "stands on line 2 already, with equal"),
    "the same time twice": (
        with_row(f"{START + 9 * HOUR},1,2,1,1,5"), 12, "on line 11 already, with different values"
    ),
    "two timeframes": (
        text([*rows(30), *rows(60, 300_000, START + 30 * HOUR)]), 2, "two timeframes in one"
    ),
    "one closing time": (
        text([GOOD[0]], HEADER.replace("time", "close_time")), None, "one closing time only"
    ),
    # several symbols
    "several symbols": (
        text([f"{r},{s}" for r in GOOD for s in ("BTCUSDT", "ETHUSDT")], HEADER + ",symbol"), None,
        "several symbols (BTCUSDT, ETHUSDT); choose one",
    ),
    # packed
    "truncated gzip": (
        cut(lambda p: p.write_bytes(gzip.compress(os.urandom(9999) + whole())), 0.5), None,
        "cut off or damaged",
    ),
    "gzip of nothing": (raw(b"\x1f\x8b\x08 and then nothing"), None, "cut off or damaged"),
    "damaged bzip2": (
        cut(lambda p: p.write_bytes(bz2.compress(whole())), 0.7), None, "cut off or damaged"
    ),
    "zip of several": (zipped({"a.csv": whole(), "b.csv": whole()}), None, "holds 2 files (a.csv"),
    "zip of none": (zipped({}), None, "holds no file"),
    "encrypted zip": (encrypted, None, "encrypted"),
    "truncated zip": (cut(zipped({"a.csv": whole()}), 0.6), None, "cannot be unpacked"),
    # Parquet, Feather, JSON
    "truncated Parquet": (cut(parquet(), 0.6), None, "Parquet file is cut off or damaged"),
    "Parquet by its name only": (raw(b"PAR1 and nothing else"), None, "cut off or damaged"),
    "Parquet of texts": (parquet(close=["a"] * 30), 1, "the close 'a' is not a number"),
    "Parquet of lists": (parquet(close=[[1.0]] * 30), None, "the close: it holds list"),
    "Parquet of durations": (
        parquet(time=pa.array(range(30), pa.duration("s"))), None, "the time: it holds duration"
    ),
    "Parquet without rows": (
        lambda p: pq.write_table(arrow_table().slice(0, 0), p), None, "no rows"
    ),
    "truncated Feather": (
        cut(lambda p: pyarrow.feather.write_feather(arrow_table(), str(p)), 0.7), None,
        "Feather file is cut off or damaged",
    ),
    "truncated JSON": (raw(b'[[1735689600000, 1, 2, 1, 1'), 1, "the JSON is damaged"),
    "JSON of something else": (raw(b'{"error": "rate limit"}'), None, "holds no list of candles"),
    "JSON of odd rows": (
        raw(json.dumps([[START, 1, 2, 1, 1, 5], [START + HOUR, 1]]).encode()), 2, "differ in shape"
    ),
    "JSON of nests": (raw(b"[" * 100_000), None, "the JSON is damaged"),
    "JSON of objects in fields": (
        raw(json.dumps([{"time": START, **MOST, "close": {"a": 1}}] * 3).encode()), 1,
        "is not a number",
    ),
}  # fmt: skip


def one_sentence(message: str, path: Path, line: int | None, says: str) -> None:
    assert says in message, message
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: "), message
    assert "\n" not in message


@pytest.mark.parametrize("name", BROKEN)
def test_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, line, says = BROKEN[name]
    path = tmp_path / "x.csv"
    make(path)
    with pytest.raises(DataError) as caught:
        read_candles(path)
    one_sentence(str(caught.value), path, line, says)


@pytest.mark.parametrize("name", BROKEN)
def test_exit_code_two_at_the_command_line(
    tmp_path: Path, leverpack: Call, name: str  # noqa: F811
) -> None:
    path = tmp_path / "x.csv"
    BROKEN[name][0](path)
    code, _, err = leverpack("backtest", "--data", str(path))
    assert (code, err.count("\n")) == (2, 1), err
    assert BROKEN[name][2] in err
    code, _, err = leverpack("data", "check", str(path))
    assert code == 2
    assert "Traceback" not in err
    assert "defect" not in err


def test_there_are_forty_kinds_and_more() -> None:
    assert len(BROKEN) >= 40


# --- what is in the way -----------------------------------------------------------------------


def test_no_file_broken_link_loop_and_odd_paths(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    for name, says in (
        ("none.csv", "no such file"), ("gone.csv", "link to a file that is not there"),
        ("a.csv", "leads back to itself"), ("x" * 5000, "no such file"),
        ("*.parquet", "no file matches"), ("a\0b", "no path"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=says):
            read_candles(tmp_path / name)


def test_a_folder_without_candles(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    (tmp_path / ".hidden.csv").write_text("nothing")
    (tmp_path / "inner.csv").mkdir()
    with pytest.raises(DataError, match="holds no candle files"):
        read_candles(tmp_path)


def test_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", GOOD)
    path.chmod(0)
    try:
        if os.geteuid() == 0:  # root may read anything
            os.seteuid(65534)
        with pytest.raises(DataError, match=r"Permission denied") as caught:
            read_candles(path)
        assert str(caught.value).startswith(f"{path}: ")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_does_not_hang(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "x.csv"
        os.mkfifo(path)
    said: list[str] = []

    def read() -> None:
        try:
            read_candles(path)
        except DataError as fault:
            said.append(str(fault))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert "a pipe or a device" in said[0]


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.csv", GOOD)
    seen = sources.File.stamp

    def stamp(file: sources.File) -> tuple[int, int, int]:
        before = seen(file)
        with path.open("a") as more:  # somebody appends between two looks
            more.write("1")
        return before

    monkeypatch.setattr(sources.File, "stamp", stamp)
    with pytest.raises(DataError, match="changed while it was read"):
        read_candles(path)


def test_a_gap_of_a_day(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [*rows(48)[:10], *rows(48)[34:]])
    with pytest.raises(DataError) as caught:
        read_candles(path, fill="error")
    says = (
        "after this line 24 1h candles are missing, from 2025-01-01T10:00:00+00:00 "
        "to 2025-01-02T09:00:00+00:00"
    )
    one_sentence(str(caught.value), path, 11, says)


def test_funding_that_is_none(tmp_path: Path) -> None:
    head = "fundingTime,fundingRate"
    for lines, line, says in (
        ([f"{START},1,2"], 2, "3 fields where the file has 2"),
        ([f"{START},abc"], 2, "the rate 'abc' is not a number"),
        (["1,0.1"], 2, "'1' cannot be read as a time"),
        ([f"{START},inf"], 2, "the rate 'inf' is not a number"),
    ):
        path = write(tmp_path / "f.csv", [f"{START - HOUR},0.0001", *lines][::-1], head)
        with pytest.raises(DataError) as caught:
            read_funding(path)
        one_sentence(str(caught.value), path, line, says)


# --- memory -----------------------------------------------------------------------------------

_MEASURED = """
import resource, sys
from leverpack.candles.reader import read_candles
from leverpack.errors import DataError
import pyarrow.csv, pyarrow.parquet  # their own size is not the file's

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_candles(sys.argv[1])
    print("read")
except DataError as fault:
    print(fault)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def said_and_grown(path: Path) -> tuple[str, int]:
    """What a process of its own says of a file, and by how many MB it grew."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(path)], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)),
    )  # fmt: skip
    said, grown = done.stdout.rsplit("\n", 2)[:2]
    return said, int(grown) // 1024


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file of that size which takes no room on the disk: NUL bytes after its start."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def test_a_line_of_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    sparse(path, b"a" * 70_000, 2 << 30)
    said, grown = said_and_grown(path)
    assert "x.csv:1: the line is longer than 65,536 characters" in said
    assert grown < 50
    sparse(path, "\n".join([HEADER, *rows(5000), str(START)]).encode(), 2 << 30)
    said, grown = said_and_grown(path)
    assert "x.csv:5002: the line is longer than 65,536 characters" in said
    assert grown < 150


@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_a_bomb_does_not_go_off(tmp_path: Path, pack: str) -> None:
    path = tmp_path / f"x.csv.{pack}"
    content = (GOOD[0].encode() + b"\n") * 3_000_000  # 100 MB out of 0.3
    if pack == "gzip":
        path.write_bytes(gzip.compress(content, 6))
    else:
        zipped({"x.csv": content})(path)
    assert path.stat().st_size < 500_000
    said, grown = said_and_grown(path)
    assert f"expands to more than {packing.MAX_RATIO} times its size" in said
    assert grown < 150


def test_the_bound_on_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *rows(9000)]).encode()))
    assert len(read_candles(path)) == 9000
    monkeypatch.setattr(packing, "MAX_UNPACKED", 100_000)
    with pytest.raises(DataError, match="expands to more than 100,000 bytes"):
        read_candles(path)


def test_a_parquet_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ones = pa.chunked_array([pa.nulls(4_000_000, pa.float64()).fill_null(1.0)] * 12)
    schema = pa.schema([(n, pa.float64()) for n in HEADER.split(",")])
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(pa.table([ones] * 6, schema=schema))
    assert path.stat().st_size < 2_000_000
    said, grown = said_and_grown(path)
    assert "the file holds 48,000,000 rows, more than" in said
    assert grown < 50
