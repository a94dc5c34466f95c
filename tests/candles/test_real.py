"""All real perpetual files of the shared material, against the figures that come with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leverpack.candles.check import check_file
from leverpack.candles.reader import read_candles, read_funding
from leverpack.candles.series import iso
from leverpack.candles.timeframes import timeframe_name
from tests.conftest import needs_shared, real, shared_dir

pytestmark = needs_shared


def _index(folder: str) -> list[dict[str, Any]]:
    path = shared_dir() / "data" / folder / "index.json"
    return json.loads(path.read_text()) if path.is_file() else []


@pytest.mark.parametrize("entry", _index("perp"), ids=lambda e: e["file"].split(".")[0])
def test_perpetuals(entry: dict[str, Any]) -> None:
    path = real(entry["file"])
    if entry["kind"] == "funding":
        funding = read_funding(path)
        assert len(funding) == entry["rows"]
        assert iso(int(funding.ts[0]))[:16] == entry["first"][:16]
        assert iso(int(funding.ts[-1]))[:16] == entry["last"][:16]
        assert funding.rate.mean() == pytest.approx(entry["rate_mean"], abs=1e-12)
        hours = {f"{h:g}": n for h, n in funding.intervals_h().items()}
        assert hours == entry["interval_hours_between_rows"]
        return
    read = read_candles(path, kind="mark" if "mark" in entry["kind"] else "trade")
    assert len(read) == entry["rows"]
    assert (iso(int(read.ts[0])), iso(int(read.ts[-1]))) == (entry["first"], entry["last"])
    assert timeframe_name(read.timeframe_ms) == entry["timeframe"]
    # The index names the candle before a gap, the reader the first one missing.
    before = [[iso(at - read.timeframe_ms), n] for at, n in read.gaps]
    assert before == entry["gaps"]
    assert read.symbol == entry["symbol"]
    if "low_min" in entry and entry["low_min"] is not None:
        assert read.low.min() == entry["low_min"]
        assert read.high.max() == entry["high_max"]


def test_check_speaks_of_duplicates_and_of_a_flat_market() -> None:
    folder = shared_dir() / "data" / "formats"
    report = check_file(folder / "cdd_binance_1h_mixed_units_dups_desc.csv")
    assert report["ok"] is False
    assert report["rows"] == 576
    report = check_file(folder / "synthetic_flat_prices_1h.csv")
    assert report["ok"] is True
    assert "flat" in {f["code"] for f in report["findings"]}
    assert check_file(real("binanceusdm_SOLUSDT_funding_20200913_20260630.parquet"))["ok"] is True
