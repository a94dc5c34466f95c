"""The sample files are what the generator makes, and worth trying things on."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from leverpack.candles.align import align_mark, schedule_funding
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.sample import (
    Made,
    compare,
    files,
    make_crash_month,
    make_year,
    write_samples,
)
from leverpack.candles.timeframes import HOUR_MS
from leverpack.errors import SettingError
from tests.conftest import ROOT

DATA = ROOT / "data"


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return files()


def test_the_files_are_those_the_generator_makes(made: dict[str, bytes]) -> None:
    assert sorted(p.name for p in DATA.glob("made_*")) == sorted(made)
    for name, content in made.items():
        kept = (DATA / name).read_bytes()
        if name.endswith(".gz"):  # packers differ, what is in the pack does not
            kept, content = gzip.decompress(kept), gzip.decompress(content)
        assert kept == content, name
    assert sum(p.stat().st_size for p in DATA.iterdir()) < 2_000_000


def test_another_seed_is_another_market_of_the_same_kind(made: dict[str, bytes]) -> None:
    again, other = make_year(20250126), make_year(7)
    np.testing.assert_array_equal(again.candles.close, make_year().candles.close)
    assert len(other.candles) == 8760
    assert not np.array_equal(other.candles.close, again.candles.close)
    assert (other.candles.low <= other.candles.close).all()


def test_comparing_and_not_overwriting(tmp_path: Path, made: dict[str, bytes]) -> None:
    assert compare(DATA, made) == []
    assert compare(tmp_path, made) == list(made)
    write_samples(tmp_path)
    assert compare(tmp_path, made) == []
    changed = tmp_path / "made_BTCUSDT_funding_2025.csv"
    changed.write_text("mine\n")
    packed = tmp_path / "made_BTCUSDT_1m_crash.csv.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), 1))  # another packer
    assert compare(tmp_path, made) == [changed.name]
    with pytest.raises(SettingError, match=r"made_BTCUSDT_funding_2025.csv: .*--force"):
        write_samples(tmp_path, force=False)
    assert changed.read_text() == "mine\n"
    write_samples(tmp_path)
    assert compare(tmp_path, made) == []


def test_writing_leaves_no_parts_behind(tmp_path: Path, made: dict[str, bytes]) -> None:
    written = write_samples(tmp_path / "out")
    assert sorted(p.name for p in written) == sorted(made)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(made)


def _year() -> Made:
    read = read_candles(DATA / "made_BTCUSDT_1h_2025.csv")
    mark = read_candles(DATA / "made_BTCUSDT_mark_1h_2025.csv", kind="mark")
    return Made(read, mark, read_funding(DATA / "made_BTCUSDT_funding_2025.csv"))


def test_the_files_read_clean() -> None:
    year = _year()
    assert len(year.candles) == len(year.mark) == 8760
    assert year.candles.symbol == "BTCUSDT"
    assert year.candles.findings == []
    assert year.candles.gaps == []
    assert year.funding.intervals_h() == {8.0: 1094}
    np.testing.assert_array_equal(year.candles.low, make_year().candles.low)
    month = read_candles(DATA / "made_BTCUSDT_1m_crash.csv.gz")
    mark = read_candles(DATA / "made_BTCUSDT_mark_5m_crash.csv.gz", kind="mark")
    assert len(month) == 43_200
    assert not align_mark(month, mark).fallback.any()


def test_the_year_is_tradeable_and_dangerous() -> None:
    year = _year()
    close = year.candles.close
    day = np.lib.stride_tricks.sliding_window_view(close, 24)
    assert (day[:, -1] / day[:, 0]).min() < 0.75  # a crash of more than a quarter in a day
    month = close[::720]
    assert (np.diff(month) > 0).sum() >= 3
    assert (np.diff(month) < 0).sum() >= 3
    returns = np.diff(np.log(close))
    assert 0.3 < returns.std() * np.sqrt(8760) < 0.9
    calm = np.delete(returns, slice(5400, 5600))  # without the crash
    assert (calm**4).mean() / calm.var() ** 2 > 4  # fat tails
    size = np.abs(calm)
    assert np.corrcoef(size[:-1], size[1:])[0, 1] > 0.1  # volatility clusters


def test_mark_and_last_part_in_the_crash_only() -> None:
    for made in (_year(), make_crash_month()):
        mark = align_mark(made.candles, made.mark)
        apart = np.abs(mark.close / made.candles.close - 1)
        assert 0 < np.mean(apart) < 0.001
        low = int(np.argmin(np.where(np.arange(len(apart)) > 100, made.candles.low, np.inf)))
        assert mark.low[low] >= made.candles.low[low]
    assert mark.low[low] > 1.02 * made.candles.low[low]  # the month's low is its crash


def test_funding_follows_the_premium() -> None:
    for made in (_year(), make_crash_month()):
        plan = schedule_funding(made.candles, made.mark, made.funding)
        assert len(plan) == len(made.funding)
        assert not plan.fallback.any()
        assert made.funding.rate.min() < 0 < made.funding.rate.max()
        assert np.abs(made.funding.rate).max() <= 0.02
    year = _year()
    trend = np.log(year.candles.close[8::8] / year.candles.close[:-8:8])[: len(year.funding) - 1]
    crash = np.abs(trend) > 0.1
    rate = year.funding.rate[1:]
    assert np.corrcoef(trend[~crash], rate[~crash])[0, 1] > 0.15
    assert (np.diff(year.funding.ts) == 8 * HOUR_MS).all()
