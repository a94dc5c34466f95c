"""What is written reads the same bit for bit, whole or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from leverpack.candles.check import read_any
from leverpack.candles.reader import load_candles, read_candles, read_funding
from leverpack.candles.series import Candles, Funding
from leverpack.candles.store import ENDINGS, write_series
from leverpack.errors import DataError, SettingError
from leverpack.files import put_file
from tests.candles.helpers import HOUR, START, candles, rows, write
from tests.conftest import needs_shared, shared_dir


def again(path: Path, series: Candles | Funding) -> Candles | Funding:
    return read_funding(path) if isinstance(series, Funding) else read_candles(
        path, kind=series.kind
    )  # fmt: skip


def assert_same(one: Candles | Funding, other: Candles | Funding) -> None:
    names = ("ts", "rate") if isinstance(one, Funding) else (
        "ts", "open", "high", "low", "close", "volume"
    )  # fmt: skip
    for name in names:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.symbol == other.symbol
    if isinstance(one, Candles) and isinstance(other, Candles) and one.kind == "trade":
        assert one.volume_unit == other.volume_unit


@pytest.mark.parametrize("ending", ENDINGS)
def test_candles_marks_and_funding(tmp_path: Path, ending: str) -> None:
    trade = candles([1 / 3, 2 / 3], [1e-9 + 2 / 3] * 2, [1 / 7] * 2, [0.1 + 0.2, 0.5], start=START)
    mark = candles([1.0, 2.0], [3.0, 3.0], [0.5, 0.5], [2.0, 2.5], kind="mark")
    stamps, rates = np.array([START, START + HOUR]), np.array([-1 / 3e4, 1e-8])
    funding = Funding(stamps, rates, "made", 'X"/Y,:Y')
    for series in (trade, mark, funding):
        path = write_series(series, tmp_path / f"a{ending}", force=True)
        assert_same(again(path, series), series)
    assert [p.name for p in tmp_path.iterdir()] == [f"a{ending}"]


def test_what_the_columns_are(tmp_path: Path) -> None:
    trade = read_candles(write(tmp_path / "BTCUSDT-1h.csv", rows(4)))
    text = write_series(trade, tmp_path / "out.csv").read_text().splitlines()
    assert text[0] == "time,symbol,open,high,low,close,volume"
    assert text[1] == "2025-01-01 00:00:00.000Z,BTCUSDT,100,102,99,101,10"
    assert gzip.decompress(write_series(trade, tmp_path / "out.csv.gz").read_bytes()) == (
        tmp_path / "out.csv"
    ).read_bytes()
    table = pq.read_table(write_series(trade, tmp_path / "out.parquet"))
    assert table.column_names == ["time", "symbol", "open", "high", "low", "close", "volume"]
    assert table.schema.field("time").type == pa.timestamp("ms", "UTC")
    write_series(trade, tmp_path / "out.feather")
    for schema in (table.schema, feather.read_table(tmp_path / "out.feather").schema):
        about = json.loads(schema.metadata[b"leverpack"])
        assert (about["format"], about["kind"], about["symbol"]) == (1, "trade", "BTCUSDT")
        assert (about["timeframe"], about["source"]) == ("1h", trade.source)
        assert about["findings"] == [f.to_dict() for f in trade.findings]
        assert "volume_unit" in about


def test_the_same_candles_give_the_same_bytes(tmp_path: Path) -> None:
    trade = read_candles(write(tmp_path / "BTCUSDT-1h.csv", rows(40)))
    for ending in ENDINGS:
        one = write_series(trade, tmp_path / f"one{ending}").read_bytes()
        assert write_series(trade, tmp_path / f"two{ending}").read_bytes() == one


def test_nothing_is_overwritten_or_half_written(tmp_path: Path) -> None:
    trade = candles([1.0], [2.0], [0.5], [1.5])
    there = tmp_path / "a.csv"
    there.write_text("mine")
    with pytest.raises(SettingError, match=r"a\.csv: .*--force"):
        write_series(trade, there)
    for name, words in (("a.txt", "must end in one of"), (".csv", "must end"),
                        ("no/a.csv", "no folder"), ("b.csv/", "folder")):  # fmt: skip
        (tmp_path / "b.csv").mkdir(exist_ok=True)
        with pytest.raises(SettingError, match=words):
            write_series(trade, tmp_path / name)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        put_file(there, fail)
    assert there.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b.csv"]


PRICES = st.floats(1e-12, 1e12)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    prices=st.lists(st.tuples(PRICES, PRICES), min_size=3, max_size=12),
    volume=st.floats(0.0, 1e15), odd=st.integers(0, 999), ending=st.sampled_from(ENDINGS),
)  # fmt: skip
def test_any_price_survives(
    tmp_path: Path, prices: list[tuple[float, float]], volume: float, odd: int, ending: str
) -> None:
    opens, closes = (list(side) for side in zip(*prices, strict=True))
    highs, lows = [max(p) for p in prices], [min(p) for p in prices]
    trade = candles(opens, highs, lows, closes, start=START + odd)
    trade.volume[:] = volume
    path = write_series(trade, tmp_path / f"a{ending}", force=True)
    assert_same(load_candles(path), trade)


def _real() -> list[str]:
    folder = shared_dir() / "data" / "formats"
    try:
        return [e["file"] for e in json.loads((folder / "index.json").read_text())]
    except OSError:
        return []


@needs_shared
@pytest.mark.parametrize("name", _real())
def test_every_real_format(tmp_path: Path, name: str) -> None:
    path = shared_dir() / "data" / "formats" / name
    try:
        series: Any = read_any(path, on_fault="drop")
    except DataError:
        assert name.startswith(("negative_", "wide_"))
        return
    for ending in ENDINGS:
        written = write_series(series, tmp_path / f"x{ending}")
        assert_same(again(written, series), series)
