"""Shapes that no real file was at hand for: exchange answers, packings, ways of writing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from leverpack.candles.feed import CandleFeed
from leverpack.candles.reader import read_candles, read_funding
from leverpack.errors import DataError, SettingError
from tests.candles.helpers import HEADER, HOUR, START, rows, write

DAY = 24 * HOUR


def is_whole(read: Any, count: int = 30) -> None:
    assert read.ts.tolist() == [START + i * HOUR for i in range(count)]
    for what, first in (("open", 100), ("high", 102), ("low", 99), ("close", 101)):
        assert getattr(read, what).tolist() == [float(first + i) for i in range(count)]
    assert read.timeframe_ms == HOUR


def fields(order: str = "tohlcv", scale: int = 1) -> list[list[Any]]:
    """The rows of 30 candles with their fields in this order; times are ms // scale."""
    out = []
    for row in rows(30):
        named = dict(zip("tohlcv", (int(v) for v in row.split(",")), strict=True))
        named["t"] //= scale
        out.append([named[letter] for letter in order])
    return out


def codes(read: Any) -> set[str]:
    return {f.code for f in read.findings}


# --- what exchanges answer --------------------------------------------------------------------

ANSWERS: dict[str, Any] = {
    "ccxt": fields(),
    "binance klines": [[*map(str, r), r[0] + HOUR - 1, "1", 5, "1", "1", "0"] for r in fields()],
    "bybit": {
        "retCode": 0,
        "result": {"symbol": "BTCUSDT", "list": [[*map(str, r), "9"] for r in fields()[::-1]]},
    },
    "okx": {"code": "0", "data": [[*map(str, r), "9", "9", "1"] for r in fields()[::-1]]},
    "kraken": {
        "error": [],
        "result": {
            "XXBTZUSD": [[*r[:5], "9", r[5], 3] for r in fields(scale=1000)], "last": START,
        },
    },
    "kucoin": {"code": "200000", "data": [list(map(str, r)) for r in fields("tochlv", 1000)]},
    "bitfinex": fields("tochlv"),
    "coinbase": fields("tlhocv", 1000),
    "tradingview": {
        "s": "ok",
        **{k: list(c) for k, c in zip("tohlcv", zip(*fields(), strict=True), strict=True)},
    },
    "objects": [dict(zip(HEADER.split(","), r, strict=True)) for r in fields()],
    "hyperliquid": [
        {"t": r[0], "T": r[0] + HOUR - 1, "s": "BTC", "i": "1h", "n": 5,
         **{k: str(v) for k, v in zip("ohlcv", r[1:], strict=True)}} for r in fields()
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in ANSWERS if n != "hyperliquid"])
def test_answers_of_exchanges(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ANSWERS[name]))
    read = read_candles(path)
    is_whole(read)
    assert read.volume.tolist() == [10.0 + i for i in range(30)]
    assert ("price_order" in codes(read)) == (name in ("kucoin", "bitfinex", "coinbase"))


def test_two_times_under_one_letter_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(ANSWERS["hyperliquid"]))
    with pytest.raises(DataError, match=r"'t' \(time\) stands more than once"):
        read_candles(path)


def test_one_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(o) for o in ANSWERS["objects"]))
    is_whole(read_candles(path))


@pytest.mark.parametrize(
    "answer",
    [
        [{"fundingTime": START + 8 * HOUR * i, "fundingRate": f"0.000{i + 1}"} for i in range(3)],
        {"result": {"list": [{"fundingRateTimestamp": str(START + 8 * HOUR * i),
                              "fundingRate": f"0.000{i + 1}"} for i in (2, 1, 0)]}},
        {"code": "0", "data": [{"fundingTime": str(START + 8 * HOUR * i), "realizedRate": "x",
                                "fundingRate": f"0.000{i + 1}"} for i in range(3)]},
        {"rates": [{"timestamp": datetime.fromtimestamp(START / 1000 + 28800 * i, UTC).isoformat(),
                    "fundingRate": 5.5, "relativeFundingRate": (i + 1) / 10000}
                   for i in range(3)]},
        [{"r": f"0.000{i + 1}", "t": START // 1000 + 28800 * i} for i in range(3)],
        [{"coin": "BTC", "fundingRate": f"0.000{i + 1}", "premium": "0",
          "time": START + 8 * HOUR * i + 33} for i in range(3)],
    ],
    ids=["binance", "bybit", "okx", "kraken", "gate", "hyperliquid"],
)  # fmt: skip
def test_funding_of_several_makers(tmp_path: Path, answer: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(answer))
    funding = read_funding(path)
    assert funding.ts.tolist() == [START + 8 * HOUR * i for i in range(3)]
    assert funding.rate.tolist() == pytest.approx([0.0001, 0.0002, 0.0003])


def test_rates_in_percent_are_said(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [f"{START},0.0100%", f"{START + DAY},-0.5%"], "time,rate")
    funding = read_funding(path)
    assert funding.rate.tolist() == pytest.approx([0.0001, -0.005])
    assert "written_percent" in codes(funding)


def test_a_rate_beside_every_candle_is_warned_of(tmp_path: Path) -> None:
    lines = [f"{r},{0.0001 * (1 + i // 8):.4f}" for i, r in enumerate(rows(30))]
    path = write(tmp_path / "x.csv", lines, HEADER + ",funding_rate")
    assert "repeated_rate" in codes(read_funding(path))


# --- packing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packings(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "x.csv.packed"
    path.write_bytes(pack("\n".join([HEADER, *rows(30)]).encode()))
    is_whole(read_candles(path))


# --- columns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["{s}:{w}", "{s}_{w}", "{w}_{s}", "{s} {w}", "{s}.{w}", "('{s}', '{w}')"]
)
def test_symbols_side_by_side(tmp_path: Path, name: str) -> None:
    head = ["time"]
    for symbol in ("ETHUSDT", "BTCUSDT"):
        head += [name.format(s=symbol, w=what) for what in HEADER.split(",")[1:]]
    lines = [f"{r.split(',')[0]},9,9,9,9,9,{r.split(',', 1)[1]}" for r in rows(30)]
    path = write(tmp_path / "x.csv", [",".join(f'"{h}"' for h in head), *lines], None)
    is_whole(read_candles(path, symbol="BTC/USDT:USDT"))
    with pytest.raises(DataError, match=r"several symbols \(BTCUSDT, ETHUSDT\)"):
        read_candles(path)


def test_symbols_one_below_the_other(tmp_path: Path) -> None:
    lines = [f"{r},{s}" for r in rows(30) for s in ("BTC/USDT", "ETH/USDT")]
    path = write(tmp_path / "x.csv", lines, HEADER + ",symbol")
    read = read_candles(path, symbol="ETHUSDT")
    is_whole(read)
    lines[21] = lines[21].replace("112,", "1,", 1)
    write(path, lines, HEADER + ",symbol")
    with pytest.raises(DataError, match=r"x\.csv:23: the high"):
        read_candles(path, symbol="ETHUSDT")
    frame = pd.read_csv(path)
    assert len(read_candles(frame, symbol="BTC/USDT")) == 30


def test_a_table_with_three_header_lines(tmp_path: Path) -> None:
    head = ["Price,Close,High,Low,Open,Volume", "Ticker" + ",BTC-USD" * 5, "Date,,,,,"]
    lines = [
        f"{datetime.fromtimestamp(t / 1000, UTC):%Y-%m-%d %H:%M:%S},{c},{h},{low},{o},{v}"
        for t, o, h, low, c, v in fields()
    ]
    is_whole(read_candles(write(tmp_path / "x.csv", [*head, *lines], None)))
    both = ["Price,Close,Close,Open,Open,High,High,Low,Low", "Ticker" + ",BTC-USD,ETH-USD" * 4,
            "Date,,,,,,,,"]  # fmt: skip
    lines = [f"{line.split(',')[0]},9,{c},9,{o},9,{h},9,{low}" for line, (_, o, h, low, c, _) in
             zip(lines, fields(), strict=True)]  # fmt: skip
    is_whole(read_candles(write(tmp_path / "y.csv", [*both, *lines], None), symbol="ETH-USD"))


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Volume", "unknown"), ("Volume BTC", "base"), ("volume_gas", "base"),
        ("VolumeFrom", "base"), ("base_volume", "base"), ("Volume USDT", "quote"),
        ("quote_volume", "quote"), ("volume_contracts", "contracts"), ("contracts", "contracts"),
        ("turnover", "quote"), ("tick_vol", "unknown"),
    ],
)  # fmt: skip
def test_what_the_volume_counts(tmp_path: Path, name: str, unit: str) -> None:
    read = read_candles(write(tmp_path / "x.csv", rows(30), HEADER.replace("volume", name)))
    assert (read.volume_unit, read.summary()["volume_unit"]) == (unit, unit)
    assert read.volume[0] == 10


# --- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [0, 1, 1000])
def test_closing_times(tmp_path: Path, end: int) -> None:
    lines = [f"{int(r.split(',')[0]) + HOUR - end},{r.split(',', 1)[1]}" for r in rows(30)]
    path = write(tmp_path / "x.csv", lines, HEADER.replace("time", "close_time"))
    read = read_candles(path)
    is_whole(read)
    assert "close_times" in codes(read)
    if end:  # the last tick of a candle speaks for itself
        is_whole(read_candles(write(path, lines, HEADER.replace("time", "timestamp"))))


def test_closing_times_of_months(tmp_path: Path) -> None:
    ends = pd.date_range("2024-02-01", periods=20, freq="MS") - pd.Timedelta(milliseconds=1)
    frame = pd.DataFrame({"close_time": ends, "open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5})
    read = read_candles(frame)
    assert read.summary()["first"] == "2024-01-01T00:00:00+00:00"
    assert read.summary()["last"] == "2025-08-01T00:00:00+00:00"


def test_days_first_months_first_and_names(tmp_path: Path) -> None:
    when = [datetime.fromtimestamp((START + i * DAY) / 1000, UTC) for i in range(20)]
    for fmt, said in (
        ("%d/%m/%Y", "day first, as 13/01/2025 shows"), ("%m/%d/%Y %H:%M", "month first"),
        ("%d-%m-%Y", "day first"), ("%m/%d/%y", "month first"), ("%d %b %Y", ""),
        ("%B %d, %Y", ""), ("%b %d, %Y %I:%M %p", ""), ("%d-%b-%Y %H:%M:%S", ""),
        ("%Y-%m-%d %I:%M:%S %p", ""), ("%Y-%m-%d %H:%M:%S UTC", ""),
    ):  # fmt: skip
        lines = [f'"{w:{fmt}}",1,2,1,1,5' for w in when]
        read = read_candles(write(tmp_path / "x.csv", lines))
        assert read.ts.tolist() == [START + i * DAY for i in range(20)], fmt
        told = [f.message for f in read.findings if f.code == "date_order"]
        assert (said in told[0]) if said else not told


def test_offsets_and_fractions_are_said(tmp_path: Path) -> None:
    when = [datetime.fromtimestamp((START + i * HOUR) / 1000, UTC) for i in range(30)]
    lines = [f"{w:%Y-%m-%d %H:%M:%S} +0530,1,2,1,1,5" for w in when]
    read = read_candles(write(tmp_path / "x.csv", lines))
    assert read.ts[0] == START - 5 * HOUR - HOUR // 2
    assert next(f for f in read.findings if f.code == "zone").count == 30
    lines = [f"{(START + i * HOUR) * 1000 + 17},1,2,1,1,5" for i in range(30)]
    read = read_candles(write(tmp_path / "x.csv", lines))
    assert read.ts[0] == START
    assert next(f for f in read.findings if f.code == "floored").count == 30


def test_an_hour_of_the_day_needs_the_day(tmp_path: Path) -> None:
    lines = [f"{i * HOUR},{r.split(',', 1)[1]}" for i, r in enumerate(rows(24))]
    is_whole(read_candles(write(tmp_path / "btcusdt_2025-01-01_trade.csv", lines)), 24)
    with pytest.raises(DataError, match="cannot be read as a time"):
        read_candles(write(tmp_path / "btcusdt.csv", lines))


# --- numbers ----------------------------------------------------------------------------------


def test_currency_signs_spaces_and_what_was_done_about_them(tmp_path: Path) -> None:
    lines = [
        f'{t},"$1,{o:03}.25","$1,{h:03}.5","$1,{low:03}.0","$1,{c:03}.1",7'
        for t, o, h, low, c, _ in fields()
    ]
    read = read_candles(write(tmp_path / "x.csv", lines))
    assert read.open[0] == 1100.25
    assert {"written_thousands", "written_currency"} <= codes(read)
    lines = [
        f"{t};1 {o:03},25;1 {h:03},5;1 {low:03},0;1 {c:03},1;7" for t, o, h, low, c, _ in fields()
    ]
    read = read_candles(write(tmp_path / "x.csv", lines, HEADER.replace(",", ";")))
    assert read.high[0] == 1102.5


# --- the way out ------------------------------------------------------------------------------


def test_missing_candles_left_out_filled_or_refused(tmp_path: Path) -> None:
    lines = rows(30)
    path = write(tmp_path / "x.csv", [*lines[:10], *lines[13:20], *lines[21:]])
    read = read_candles(path)
    assert (len(read), len(read.gaps)) == (26, 2)
    read = read_candles(path, fill="previous")
    assert read.ts.tolist() == [START + i * HOUR for i in range(30)]
    for i in (10, 11, 12, 20):
        before = read.close[9 if i < 13 else 19]
        assert [read.open[i], read.high[i], read.low[i], read.close[i]] == [before] * 4
        assert read.volume[i] == 0
    assert read.close[13] == 114
    assert read.gaps == []
    said = next(f for f in read.findings if f.code == "filled")
    assert (said.count, said.line) == (4, 11)
    assert "4 missing candles in 2 gaps, the first at 2025-01-01T10:00" in said.message
    with pytest.raises(DataError, match=r"x\.csv:11: .*3 1h candles are missing.*first of 2 gaps"):
        read_candles(path, fill="error")
    with pytest.raises(SettingError, match="fill='next' is none of"):
        read_candles(path, fill="next")  # type: ignore[arg-type]
    assert len(CandleFeed(dataname=path, fill="previous").candles) == 30
    assert len(read_candles(read_candles(path), fill="previous")) == 30


def test_a_dropped_row_is_filled_like_a_missing_one(tmp_path: Path) -> None:
    lines = rows(30)
    lines[10] = lines[10].replace("110", "x")
    read = read_candles(write(tmp_path / "x.csv", lines), on_fault="drop", fill="previous")
    assert (len(read), read.open[10], read.volume[10]) == (30, 110.0, 0.0)


def test_gaps_of_months_and_of_ages_are_not_filled(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=30, freq="MS").delete([5, 6])
    frame = pd.DataFrame({"time": days, "open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5})
    with pytest.raises(DataError, match="months are not filled"):
        read_candles(frame, fill="previous")
    lines = [*rows(20, 1000, START - 400 * DAY), *rows(20, 1000)]
    with pytest.raises(DataError, match="34,559,980 in all, and at most 5,000,000 are filled"):
        read_candles(write(tmp_path / "x.csv", lines), fill="previous")


@pytest.mark.parametrize("kind", ["int32", "float32", "uint64", "decimal", "dictionary"])
def test_number_types_of_parquet(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame(fields(), columns=HEADER.split(","))
    table = pa.Table.from_pandas(frame)
    types: dict[str, Any] = {
        "decimal": pa.decimal128(25, 2), "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }  # fmt: skip
    for i in range(1, 6):
        column = table.column(i).cast(pa.string()) if kind == "dictionary" else table.column(i)
        wanted = types.get(kind) or getattr(pa, kind)()
        column = column.dictionary_encode() if kind == "dictionary" else column.cast(wanted)
        table = table.set_column(i, table.column_names[i], column)
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(table, path)
    is_whole(read_candles(path))


def test_a_long_file_with_one_odd_field_is_still_read_by_columns(tmp_path: Path) -> None:
    lines = rows(20_000, 60_000)
    lines[15_000] = '"' + lines[15_000].replace(",", '","') + '"'
    lines[16_000] = lines[16_000].replace(",16100,", ", 16100 ,")
    read = read_candles(write(tmp_path / "x.csv", lines))
    assert np.array_equal(read.open, 100.0 + np.arange(20_000))
    lines[17_000] = lines[17_000].replace(",17100,", ",1x,")
    with pytest.raises(DataError, match=r"x\.csv:17002: the open '1x' is not a number"):
        read_candles(write(tmp_path / "x.csv", lines))
