"""The real files in the shapes that traders have: every fact that their index states."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from leverpack.candles.check import check_file
from leverpack.candles.columns import plain
from leverpack.candles.reader import load_candles, read_candles, read_funding
from leverpack.candles.series import Candles, Funding, iso
from leverpack.candles.timeframes import HOUR_MS, timeframe_ms, timeframe_name
from leverpack.errors import DataError
from tests.conftest import needs_shared, shared_dir

pytestmark = needs_shared

FOLDER = shared_dir() / "data" / "formats"
INDEX: list[dict[str, Any]] = (
    json.loads((FOLDER / "index.json").read_text()) if (FOLDER / "index.json").is_file() else []
)
by_name = pytest.mark.parametrize("entry", INDEX, ids=lambda e: e["file"].split(".")[0])
UNITS = {
    "ms": "ms", "us": "us", "s": "s", "s-float": "s", "mixed ms/us": "ms+us",
    "mixed ms/s-float": "ms+s", "ms since midnight UTC of the date in the file name": "ms of day",
}  # fmt: skip
# What the header says of the volume; "unknown" everywhere else.
VOLUME_UNITS = {
    "cdd_binance_1h_mixed_units_dups_desc.csv": "base",
    "cdd_binance_1h_unix_date_disagree_desc.csv": "base",
    "cdd_binance_futures_1h_desc.csv": "base",
    "cdd_coinbase_1d_banner_dateonly_desc.csv": "base",
    "cdd_coinbase_1h_titlecase_desc.csv": "base",
    "cdd_coinbase_1h_urlline_12h_desc.csv": "base",
    "cryptocompare_bitfinex_1h_desc.csv": "base",
}
# Beside what every file may have: columns that are not used, no header, another order.
SAID = {
    "20221213_adausdt_minute_trade_perp.csv": {"date_from_name"},
    "backtestingpy_btcusd_monthly.csv": {"month_end"},
    "binance_vision_spot_1h_ms_us_concat.csv": {"mixed_units"},
    "binance_vision_um_fundingRate.csv": {"late_stamps"},
    "binance_vision_um_fundingRate_variable_interval.csv": {"late_stamps"},
    "ccxt_spot_1h_misaligned.json": {"gaps", "off_grid"},
    "cdd_binance_1h_mixed_units_dups_desc.csv": {"contradictory_duplicate", "mixed_units"},
    "cdd_binance_futures_1h_desc.csv": {"duplicate"},
    "cdd_coinbase_1d_banner_dateonly_desc.csv": {"banner", "gaps"},
    "investing_com_daily_desc.csv": {"written_thousands", "written_suffix"},
    "kaggle_bitstamp_1m_float_seconds.csv": {"flat"},
    "kraken_ohlcvt_60_sparse.csv": {"gaps"},
    "synthetic_flat_prices_1h.csv": {"flat"},
    "wide_multi_asset_1d.csv": {"symbols", "gaps"},
}  # fmt: skip


def whole_ms(stamp: str) -> str:
    """An index stamp as the reader writes it: no microseconds."""
    return re.sub(r"(\.\d{3})\d{3}", r"\1", stamp)


def load(entry: dict[str, Any]) -> Candles | Funding:
    path = FOLDER / entry["file"]
    if entry["kind"] == "funding":
        return read_funding(path)
    wide = entry["file"].startswith("wide_")
    return load_candles(
        path, kind="mark" if entry["kind"] == "mark" else "trade", on_fault="drop",
        symbol="BTC" if wide else None,
    )  # fmt: skip


def test_the_index_has_all_files() -> None:
    assert len(INDEX) == 43
    there = {p.name for p in FOLDER.iterdir()} - {"README.md", "index.json"}
    assert {e["file"] for e in INDEX} == there


@by_name
def test_rows_times_and_treatment(entry: dict[str, Any]) -> None:
    if entry["kind"] == "negative":
        with pytest.raises(DataError, match=rf"{entry['file']}:1: no column named .*open"):
            read_candles(FOLDER / entry["file"])
        with pytest.raises(DataError, match=r"no column named .*rate"):
            read_funding(FOLDER / entry["file"])
        return
    read = load(entry)
    assert len(read) == entry["expected_rows_after_cleaning"]
    assert len(read) + entry["duplicate_rows"] == entry["data_rows_in_file"]
    assert read.duplicates == entry["duplicate_rows"]
    assert (np.diff(read.ts) > 0).all()
    first, last = whole_ms(entry["first_ts_utc"]), whole_ms(entry["last_ts_utc"])
    if entry.get("floored_to_hour_for_gap_check"):  # the reader floors, the index names the stamp
        first, last = (re.sub(r"\.\d+", "", stamp) for stamp in (first, last))
    assert (iso(int(read.ts[0])), iso(int(read.ts[-1]))) == (first, last)
    assert read.order == entry["order"]
    stamps = "timestamp" if "arrow" in entry["ts_unit"] else "iso"
    assert read.unit == UNITS.get(entry["ts_unit"], stamps)
    assert read.summary()["tz"] == "UTC"
    if read.symbol:
        told = entry.get("symbol") or ""
        assert plain(read.symbol) in (plain(told), plain(told.split(" ")[0]))
    codes = {f.code for f in read.findings}
    assert SAID.get(entry["file"], set()) <= codes
    assert ("no_header" in codes) == (
        entry.get("has_header") is False or "json" in entry.get("format", "")
    ) or entry["kind"] == "funding"
    assert ("banner" in codes) == (entry.get("header_line") == 2)


@by_name
def test_figures(entry: dict[str, Any]) -> None:
    if entry["kind"] == "negative":
        return
    read = load(entry)
    if isinstance(read, Funding):
        assert read.rate.sum() == pytest.approx(entry["sum_rate"], abs=1e-12)
        assert (read.rate[0], read.rate[-1]) == (
            entry["first_row"]["rate"], entry["last_row"]["rate"]
        )  # fmt: skip
        hours = {f"{h:g}": n for h, n in read.intervals_h().items()}
        assert hours == entry["interval_hours_between_rows"]
        return
    assert read.close.sum() == pytest.approx(entry["sum_close"], rel=1e-12, abs=6e-7)
    assert (read.high.max(), read.low.min()) == (entry["max_high"], entry["min_low"])
    if "sum_volume" in entry:
        # The index rounds its sums to the sixth decimal.
        assert read.volume.sum() == pytest.approx(entry["sum_volume"], rel=1e-12, abs=6e-7)
        assert int((read.volume == 0).sum()) == entry["zero_volume_rows"]
        assert entry["nan_volume_rows"] == 0
        assert "bad_volume" not in {f.code for f in read.findings}
    assert read.volume_unit == VOLUME_UNITS.get(entry["file"], "unknown")
    for at, row in ((0, entry["first_row"]), (-1, entry["last_row"])):
        for what, value in row.items():
            assert getattr(read, what)[at] == value
    assert entry["ohlc_violations"] == 0
    assert "high_low" not in {f.code for f in read.findings}


@by_name
def test_timeframe_and_gaps(entry: dict[str, Any]) -> None:
    if entry["kind"] in ("negative", "funding"):
        return
    read = load(entry)
    assert isinstance(read, Candles)
    assert timeframe_name(read.timeframe_ms) == entry["timeframe"]
    assert read.timeframe_ms == timeframe_ms(entry["timeframe"])
    assert len(read.gaps) == entry.get("gap_count", 0)
    assert sum(n for _, n in read.gaps) == entry.get("missing_bars", 0)
    before = [[iso(at - read.timeframe_ms), n] for at, n in read.gaps]
    listed = [[whole_ms(at), n] for at, n in entry.get("gaps_after_ts", [])]
    assert before[: len(listed)] == listed  # the index lists the first twelve
    if entry.get("misaligned_rows") is not None and read.timeframe_ms <= 24 * HOUR_MS:
        assert int((read.ts % read.timeframe_ms != 0).sum()) == entry["misaligned_rows"]


def test_columns_and_duplicates_that_only_some_files_have() -> None:
    entry = next(e for e in INDEX if e["file"].startswith("merged_"))
    path = FOLDER / entry["file"]
    funding = read_funding(path)
    assert len(funding) == entry["funding_rows_nonzero"]
    assert funding.rate.sum() == pytest.approx(entry["sum_funding"], abs=1e-12)
    assert "no_settlement" in {f.code for f in funding.findings}
    mark = read_candles(path, kind="mark")
    assert len(mark) == 744
    assert {"mark_price_open": "open", "mark_price_close": "close"}.items() <= mark.columns.items()
    assert (mark.open[0], mark.close[1]) == (3.932, 3.89106708)
    assert {"no_high", "no_low"} <= {f.code for f in mark.findings}


def test_the_other_symbol_of_a_wide_file_and_none() -> None:
    path = FOLDER / "wide_multi_asset_1d.csv"
    ether = read_candles(path, symbol="ETH/USD")
    assert (ether.symbol, ether.open[0], ether.volume[0]) == ("ETH/USD", 706.08, 83332.92)
    with pytest.raises(DataError, match=r"several symbols \(BTC, ETH\); choose one by symbol"):
        read_candles(path)
    with pytest.raises(DataError, match="XRP is not among them"):
        read_candles(path, symbol="XRP")


def test_what_needs_a_decision_is_refused_unless_asked() -> None:
    for name, sort in (("mixed_units_dups", "different"), ("futures_1h", "equal")):
        path = next(FOLDER.glob(f"cdd_binance*{name}*"))
        with pytest.raises(DataError, match=rf"\.csv:\d+: .*with {sort} values"):
            read_candles(path)
    assert check_file(FOLDER / "synthetic_flat_prices_1h.csv")["ok"] is True
