"""Tier tables: the built-in ones against their source, dates, spelling, files, faults with line."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.errors import DataError, SettingError
from leverpack.margin.tiers import (
    TierBook,
    TierTable,
    builtin_tiers,
    maintenance_margin,
    max_leverage_for_notional,
    plain_symbol,
    read_tiers,
    tier_index,
)
from tests.conftest import needs_shared, real, vectors
from tests.margin.strategies import Columns, columns

HEADER = (
    "symbol,valid_from,tier,min_notional,max_notional,maintenance_margin_rate,max_leverage,"
    "maintenance_amount,liquidation_fee"
)
FIRST = "XUSDT,2025-01-01,1,0,1000,0.01,50,0,0.01"
SECOND = "XUSDT,2025-01-01,2,1000,5000,0.02,25,10,0.01"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "tiers.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the built-in tables -------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("coin", ["BTC", "ETH", "SOL", "XRP", "BNB", "DOGE"])
@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("binance_tiers_2024-10.json", date(2024, 10, 24)),
        ("binance_tiers_2026-09.json", date(2026, 9, 1)),
    ],
)
def test_builtin_table_equals_its_source(coin: str, name: str, when: date) -> None:
    source = vectors(name)[f"{coin}/USDT:USDT"]
    table = builtin_tiers().at(f"{coin}USDT", when)
    assert table.valid_from == when
    assert table.floors == tuple(t["minNotional"] for t in source)
    assert table.caps == tuple(t["maxNotional"] for t in source)
    assert table.mmrs == tuple(t["maintenanceMarginRate"] for t in source)
    assert table.cums == tuple(t["cum"] for t in source)
    assert table.max_leverages == tuple(t["maxLeverage"] for t in source)
    assert table.liquidation_fee == 0.0125


def test_the_table_is_picked_by_date() -> None:
    book = builtin_tiers()
    assert book.symbols == ("BNBUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
    old, new = date(2024, 10, 24), date(2026, 9, 1)
    assert book.at("BTCUSDT", date(2026, 8, 31)).valid_from == old
    assert book.at("BTCUSDT", new).valid_from == new
    assert book.at("BTCUSDT").valid_from == new
    assert book.at("BTCUSDT", old).max_leverage(40_000.0) == 125.0
    assert book.at("BTCUSDT", new).max_leverage(40_000.0) == 150.0
    assert book.next_change("BTCUSDT", old) == new
    assert book.next_change("BTCUSDT", new) is None
    assert book.at("BTCUSDT", datetime(2026, 8, 31, 23, 59)).valid_from == old
    assert not book.covers("BTCUSDT", datetime(2024, 10, 23, 23, 59))


def test_a_date_before_all_tables_gives_the_earliest_and_says_so() -> None:
    book = builtin_tiers()
    assert book.at("ETHUSDT", date(2021, 5, 19)).valid_from == date(2024, 10, 24)
    assert not book.covers("ETHUSDT", date(2021, 5, 19))
    assert book.covers("ETHUSDT", date(2024, 10, 24))
    assert not book.covers("NOPEUSDT", date(2026, 9, 1))


@pytest.mark.parametrize(
    "spelling",
    ["BTCUSDT", "BTC/USDT", "BTC/USDT:USDT", "btc-usdt", "BTC_USDT", "BTCUSDT.P", " BTCUSDT#2"],
)
def test_spellings_of_a_symbol_are_one(spelling: str) -> None:
    assert spelling in builtin_tiers()
    assert builtin_tiers().at(spelling).symbol == "BTCUSDT"


def test_other_contracts_are_not_taken_for_it() -> None:
    for other in ("BTC/USD:BTC", "BTC/USDC:USDC", "TBTCUSDT"):
        assert plain_symbol(other) != "BTCUSDT"
        with pytest.raises(SettingError, match="no tier table for symbol"):
            builtin_tiers().at(other)


# -- lookup --------------------------------------------------------------------------------------


def test_tiers_at_and_around_their_caps() -> None:
    table = builtin_tiers().at("BTCUSDT")
    assert [table.tier(v) for v in (0.0, 299_999.0, 300_000.0, 300_001.0, 1e12)] == [1, 1, 2, 2, 12]
    assert table.max_leverage(300_000.0) == 150.0  # the cap itself is still allowed
    assert table.max_leverage(300_000.01) == 100.0
    assert table.max_leverage(1_800_000_000.0) == 1.0
    assert table.max_leverage(1_800_000_001.0) == 0.0
    assert table.mmr(600_000.0) == 0.005
    assert table.maintenance_amount(600_000.0) == 300.0
    assert table.maintenance_margin(600_000.0) == 2_700.0


def test_largest_leverage_for_a_collateral() -> None:
    table = builtin_tiers().at("BTCUSDT")
    assert table.max_leverage_for_collateral(0.0) == 150.0
    assert table.max_leverage_for_collateral(2_000.0) == 150.0
    assert table.max_leverage_for_collateral(2_500.0) == 120.0
    with pytest.raises(SettingError, match="over the largest notional"):
        table.max_leverage_for_collateral(1.9e9)


@given(columns(), st.floats(0.0, 1e9))
def test_maintenance_margin_is_continuous_and_rising(table: Columns, notional: float) -> None:
    book = TierTable(
        "X", date(2025, 1, 1), (0.0, *table.caps[:-1]), table.caps, table.mmrs, table.cums,
        (10.0,) * len(table.caps), 0.01,
    )  # fmt: skip
    margin = book.maintenance_margin(notional)
    assert 0.0 <= margin <= notional
    for cap in table.caps[:-1]:
        below, above = (book.maintenance_margin(cap * k) for k in (1 - 1e-12, 1 + 1e-12))
        assert below == pytest.approx(above, rel=1e-9, abs=1e-9 * cap)
    assert book.maintenance_margin(notional * 1.01) >= margin


@given(columns(), st.floats(0.0, 1e9))
def test_scalar_lookup_matches_a_plain_search(table: Columns, notional: float) -> None:
    expected = sum(cap <= notional for cap in table.caps[:-1])
    assert tier_index(notional, table.caps) == expected
    levels = tuple(float(100 - i) for i in range(len(table.caps)))
    allowed = max_leverage_for_notional(notional, table.caps, levels)
    over = sum(cap < notional for cap in table.caps)
    assert allowed == (0.0 if over == len(table.caps) else levels[over])


def test_a_deduction_above_the_margin_leaves_none() -> None:
    assert maintenance_margin(100.0, (math.inf,), (0.1,), (50.0,)) == 0.0


def test_an_assumed_table() -> None:
    table = TierTable.flat("X/USDT", 0.01, 50.0, 0.02)
    assert table.maintenance_margin(1e9) == 1e7
    assert (table.max_leverage(1e12), table.liquidation_fee) == (50.0, 0.02)
    assert table.with_liquidation_fee(0.0).liquidation_fee == 0.0
    free = TierTable.flat("X", 0.0, math.inf, 0.0)
    assert free.liquidation_price(1.0, 1.0, 100.0, 50.0) == 50.0  # no maintenance: bankruptcy


# -- files ---------------------------------------------------------------------------------------


def test_a_csv_is_read_and_what_it_leaves_out_is_filled(tmp_path: Path) -> None:
    path = written(
        tmp_path, "# a comment", HEADER, FIRST.replace(",0,0.01", ",,"),
        "", "X/USDT,2025-01-01,2,1000,,0.02,25,,",
    )  # fmt: skip
    table = read_tiers(path).at("XUSDT")
    assert table.cums == (0.0, 10.0)
    assert table.caps == (1000.0, math.inf)
    assert table.liquidation_fee == 0.0125


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ([HEADER, FIRST, SECOND.replace("0.02", "two")], 3, "maintenance_margin_rate is not a"),
        ([HEADER, FIRST, SECOND.replace(",10,", ",11,")], 3, "maintenance amount is 11"),
        ([HEADER, FIRST, SECOND.replace("2,1000", "2,900")], 3, "floor 900 is not the cap 1000"),
        ([HEADER, FIRST, SECOND.replace("0.02", "0.005")], 3, "rate 0.005 is below the 0.01"),
        ([HEADER, FIRST, SECOND.replace("5000", "500")], 3, "cap 500 is not above"),
        ([HEADER, FIRST, SECOND.replace(",25,", ",75,")], 3, "leverage 75 is above the 50"),
        ([HEADER, "# note", FIRST.replace("0.01,50", "1.5,50")], 3, "not a fraction"),
        ([HEADER, FIRST.replace("1,0,1000", "1,5,1000")], 2, "first floor is 5"),
        ([HEADER, FIRST.replace("2025-01-01", "soon")], 2, "valid_from is not a date"),
        ([HEADER, FIRST + ",9"], 2, "10 columns where the header has 9"),
        ([HEADER, FIRST.replace("XUSDT", "")], 2, "symbol is empty"),
        ([HEADER, FIRST, SECOND[:-4] + "0.02"], 3, "liquidation_fee of XUSDT differs"),
        ([HEADER, FIRST.replace(",50,", ",nan,")], 2, "largest leverage nan"),
        ([HEADER.replace("max_leverage", "lev"), FIRST], 1, "column max_leverage is missing"),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, lines: list[str], line: int, message: str
) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(DataError, match=message) as error:
        read_tiers(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert error.value.line == line


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_tiers(tmp_path / "none.csv")
    with pytest.raises(DataError, match="has no rows"):
        read_tiers(written(tmp_path, HEADER))
    with pytest.raises(DataError, match="cannot be read"):
        read_tiers(tmp_path)
    broken = tmp_path / "tiers.json"
    broken.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_tiers(broken)
    broken.write_text(json.dumps({"X/USDT": [{"maxNotional": 5}]}))
    with pytest.raises(DataError, match="X/USDT tier 1: maintenanceMarginRate"):
        read_tiers(broken)


def test_two_tables_of_one_date_are_refused() -> None:
    with pytest.raises(SettingError, match="two tier tables of XUSDT"):
        TierBook([TierTable.flat("X/USDT", 0.01, 5.0), TierTable.flat("XUSDT", 0.02, 5.0)])


@needs_shared
def test_both_json_shapes_give_the_same_book() -> None:
    dated = read_tiers(real("binanceusdm_leverage_tiers.json"))
    plain = TierBook.from_ccxt(vectors("binance_tiers_2026-09.json"), date(2026, 9, 1))
    for coin in ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "HYPE", "LINK"):
        assert dated.at(f"{coin}USDT") == plain.at(f"{coin}/USDT:USDT")
        assert plain.covers(f"{coin}USDT", date(2026, 9, 1))
    assert [t.valid_from for t in dated.tables("BTCUSDT")] == [date(2024, 10, 24), date(2026, 9, 1)]


def test_cum_is_found_in_the_raw_answer_of_the_venue() -> None:
    tiers = [
        {"minNotional": 0, "maxNotional": 1000, "maintenanceMarginRate": 0.01, "maxLeverage": 50,
         "info": {"cum": "0.0"}},
        {"minNotional": 1000, "maxNotional": None, "maintenanceMarginRate": 0.02,
         "maxLeverage": 25, "info": {"cum": "10.0"}},
    ]  # fmt: skip
    table = TierBook.from_ccxt({"X/USDT:USDT": tiers}).at("XUSDT")
    assert table.cums == (0.0, 10.0)
    assert table.caps[-1] == math.inf
