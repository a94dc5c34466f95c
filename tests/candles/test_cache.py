"""The cache of slow files: says what a fresh read says, survives damage, and keeps its size."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leverpack.candles import cache
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.errors import DataError
from leverpack.files import CACHE_VARIABLE, cache_folder, caching_is_off
from tests.candles.helpers import HOUR, START, rows, write
from tests.conftest import needs_shared, shared_dir
from tests.fuzz.corpus import kind_of

FORMATS = shared_dir() / "data" / "formats"
FILES = [p.name for p in sorted(FORMATS.glob("*")) if p.name not in ("README.md", "index.json")]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, in which every slow file pays."""
    folder = tmp_path / "caches" / "candles"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder.parent))
    monkeypatch.setattr(cache, "_PAYS_FROM", 1)
    return folder


def packed(path: Path, count: int = 400) -> Path:
    """A slow file: packed, with a gap and a duplicate that are said."""
    made = write(path.with_suffix(""), [*rows(count)[:10], *rows(count)[12:], rows(count)[0]])
    path.write_bytes(gzip.compress(made.read_bytes()))
    made.unlink()
    return path


def same(one: Candles | Funding, other: Candles | Funding) -> None:
    """Equal field by field: types and bits of arrays, findings and all."""
    assert type(one) is type(other)
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), field.name
        else:
            assert a == b and type(a) is type(b), field.name


def only(folder: Path) -> Path:
    """The one file in the cache."""
    (path,) = folder.iterdir()
    return path


@needs_shared
@pytest.mark.parametrize("name", FILES)
def test_a_cached_read_says_what_a_fresh_one_says(
    name: str, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "reads_plainly", lambda file, want: False)  # keep all of them

    def read() -> Candles | Funding:
        if kind_of(name) == "funding":
            return read_funding(FORMATS / name)
        kind = "mark" if name.endswith("_mark.feather") else "trade"
        symbol = "BTC" if name.startswith("wide_") else None
        return read_candles(FORMATS / name, symbol=symbol, kind=kind, on_fault="drop")

    if name.startswith("negative_"):
        for _ in range(2):
            with pytest.raises(DataError, match="no column named"):
                read()
        assert not kept.exists()
        return
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    fresh = read()
    assert not kept.exists()
    monkeypatch.setenv(CACHE_VARIABLE, str(kept.parent))
    same(read(), fresh)
    assert len(list(kept.iterdir())) == 1
    monkeypatch.setattr(cache, "_store", None)  # a second miss would call it
    same(read(), fresh)


def test_only_slow_files_are_kept(tmp_path: Path, kept: Path) -> None:
    plain = write(tmp_path / "plain.csv", rows(30))
    read_candles(plain)
    assert not kept.exists()
    named = [r.replace(r.split(",")[0], f"Jan {i + 1}, 2025") for i, r in enumerate(rows(30))]
    words = write(
        tmp_path / "words.csv", [f'"{r[: r.index(",", 7)]}"{r[r.index(",", 7):]}' for r in named]
    )
    assert len(read_candles(words)) == 30
    assert len(list(kept.iterdir())) == 1
    two = [[START + i * HOUR, 1, 2, 1, 1, 5] for i in (0, 1)]
    (tmp_path / "a.json").write_text(json.dumps(two))
    read_candles(tmp_path / "a.json")
    assert len(list(kept.iterdir())) == 2


def test_small_files_are_not_worth_it(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_PAYS_FROM", 500_000)
    read_candles(packed(tmp_path / "x.csv.gz"), on_fault="drop")
    assert not kept.exists()


def test_content_name_treatment_and_reader_count(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / "x.csv.gz")
    read_candles(path, on_fault="drop")
    before = path.stat()
    changed = gzip.decompress(path.read_bytes()).replace(b",100,", b",101,")
    path.write_bytes(gzip.compress(changed))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # nothing but the content tells
    assert read_candles(path, on_fault="drop").open[0] == 101.0
    filled = read_candles(path, on_fault="drop", fill="previous")
    assert (len(filled), len(read_candles(path, on_fault="drop"))) == (400, 398)
    other = path.rename(tmp_path / "y.csv.gz")
    assert read_candles(other, on_fault="drop").source == str(other)
    assert len(list(kept.iterdir())) == 4
    monkeypatch.setattr(cache, "_version", lambda: "another reader")
    read_candles(other, on_fault="drop")
    assert len(list(kept.iterdir())) == 5
    with pytest.raises(DataError, match=r"y\.csv\.gz:400: .*already"):
        read_candles(other)  # a refusal is not kept, and not hidden by what is
    assert len(list(kept.iterdir())) == 5


@pytest.mark.parametrize("hurt", ["flipped", "cut", "emptied", "other"])
def test_a_damaged_cache_is_read_past_and_written_anew(
    tmp_path: Path, kept: Path, hurt: str
) -> None:
    path = packed(tmp_path / "x.csv.gz")
    fresh = read_candles(path, on_fault="drop")
    place = only(kept)
    good = place.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    ways = {"flipped": bytes(bad), "cut": good[:-50], "emptied": b"", "other": b"ARROW1 no more"}
    place.write_bytes(ways[hurt])
    same(read_candles(path, on_fault="drop"), fresh)
    assert only(kept).read_bytes() == good


@pytest.mark.slow
def test_no_flipped_bit_passes(tmp_path: Path, kept: Path) -> None:
    path = packed(tmp_path / "x.csv.gz", 40)
    fresh = read_candles(path, on_fault="drop")
    place = only(kept)
    good = place.read_bytes()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        place.write_bytes(bad)
        same(read_candles(path, on_fault="drop"), fresh)


def test_an_unfinished_candle_is_judged_each_time(tmp_path: Path, kept: Path) -> None:
    path = packed(tmp_path / "x.csv.gz")
    assert "unfinished" not in {f.code for f in read_candles(path, on_fault="drop").findings}
    last = (START + 399 * HOUR) // 1000
    os.utime(path, (last + 60, last + 60))  # the same content, as if written a minute after it
    assert "unfinished" in {f.code for f in read_candles(path, on_fault="drop").findings}
    os.utime(path, (last + 7200, last + 7200))
    assert "unfinished" not in {f.code for f in read_candles(path, on_fault="drop").findings}


def test_the_oldest_go_when_it_grows_too_large(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [packed(tmp_path / f"{i}.csv.gz") for i in range(4)]
    read_candles(paths[0], on_fault="drop")
    first = only(kept)
    monkeypatch.setattr(cache, "LIMIT", int(first.stat().st_size * 2.5))
    read_candles(paths[1], on_fault="drop")
    second = next(p for p in kept.iterdir() if p != first)
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    read_candles(paths[0], on_fault="drop")  # used: now the second is the oldest
    assert first.stat().st_mtime > 2
    left = kept / ".dead.feather.1.part"
    left.write_bytes(b"1")
    os.utime(left, (1, 1))
    read_candles(paths[2], on_fault="drop")
    assert first.exists() and not second.exists() and not left.exists()
    assert len(list(kept.iterdir())) == 2


def test_a_place_that_cannot_be_written_is_no_error(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / "x.csv.gz")
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "a file" / "inside"))
    assert len(read_candles(path, on_fault="drop")) == 398


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for off in ("off", " OFF "):
        monkeypatch.setenv(CACHE_VARIABLE, off)
        assert caching_is_off()
    monkeypatch.setenv(CACHE_VARIABLE, "~/kept")
    assert cache_folder("candles") == Path.home() / "kept" / "candles"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert cache_folder("candles") == tmp_path / "leverpack" / "candles"


def test_a_folder_is_kept_as_one(tmp_path: Path, kept: Path) -> None:
    months = tmp_path / "months"
    months.mkdir()
    lines = rows(60)
    for i in range(3):
        part = "\n".join(["time,open,high,low,close,volume", *lines[i * 20 : i * 20 + 20]])
        (months / f"{i}.csv.gz").write_bytes(gzip.compress(part.encode()))
    fresh = read_candles(months)
    same(read_candles(months), fresh)
    assert (len(list(kept.iterdir())), fresh.files) == (1, 3)
    (months / "2.csv.gz").unlink()
    assert len(read_candles(months)) == 40


_READ = """
import sys
from leverpack.candles import cache
cache._PAYS_FROM = 1
from leverpack.candles.reader import read_candles
for _ in range(15):
    for name in sys.argv[1:]:
        assert read_candles(name, on_fault="drop").close.sum() > 0
"""


def test_two_processes_do_not_hurt_one_another(tmp_path: Path, kept: Path) -> None:
    paths = [str(packed(tmp_path / f"{i}.csv.gz")) for i in range(2)]
    environ = {**os.environ, CACHE_VARIABLE: str(kept.parent)}
    at_once = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", _READ, *paths], env=environ)
        for _ in range(3)
    ]
    for _ in range(20):  # and a third party that removes what it finds
        for path in kept.glob("*.feather"):
            path.unlink(missing_ok=True)
        if all(p.poll() is not None for p in at_once):
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert [p.wait(60) for p in at_once] == [0, 0, 0]
    assert not list(kept.glob(".*.part"))


def test_the_command_line_switch(tmp_path: Path, kept: Path) -> None:
    lines: list[Any] = [[START + i * HOUR, 100, 102, 99, 101, 1.5] for i in range(15_000)]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(lines))
    environ = {**os.environ, CACHE_VARIABLE: str(kept.parent)}
    for arguments, count in ((["data", "check", "--no-cache"], 0), (["data", "check"], 1)):
        done = subprocess.run(
            [sys.executable, "-m", "leverpack", *arguments, str(path)], env=environ, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        assert "15000" in done.stdout
        assert (len(list(kept.iterdir())) if kept.exists() else 0) == count
