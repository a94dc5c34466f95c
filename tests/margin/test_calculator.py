"""The calculator for people: worked answers, agreement with the room, and named refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.errors import SettingError
from leverpack.margin.calculator import OtherPosition, calculate
from leverpack.margin.tiers import TierBook, TierTable, builtin_tiers
from tests.conftest import ROOT


def test_the_worked_short_across_two_tiers() -> None:
    answer = calculate(symbol="BTC/USDT", side="short", entry=100_000.0, size=6.0, leverage=2.0)
    assert answer.liquidation_price == pytest.approx(149_279.68, abs=0.005)
    assert (answer.tier, answer.liquidation_tier) == (2, 3)
    assert answer.initial_margin == answer.margin == 300_000.0
    assert answer.maintenance_margin == 2_700.0
    assert answer.bankruptcy_price == 150_000.0
    assert answer.max_leverage == 100.0
    assert answer.move_percent == pytest.approx(49.27968, abs=1e-5)


def test_one_usdt_at_100x() -> None:
    answer = calculate(symbol="BTCUSDT", side="long", entry=50_000.0, stake=1.0, leverage=100.0)
    assert answer.size == 0.002
    assert answer.notional == 100.0
    assert answer.liquidation_price == pytest.approx(49_500.0 / 0.996)
    assert answer.move_percent == pytest.approx(-0.6024, abs=1e-4)
    assert answer.round_trip_fee_percent_of_margin == pytest.approx(10.0)
    assert answer.funding_day == pytest.approx(-0.03)  # three settlements of 0.01 %
    assert answer.funding_day_percent_of_margin == pytest.approx(-3.0)


def test_cross_with_another_position_in_the_wallet() -> None:
    eth = OtherPosition("short", 10.0, 3_000.0, 3_300.0, "ETHUSDT", mmr=0.005)
    answer = calculate(
        symbol="BTCUSDT", side="long", entry=50_000.0, size=1.0, leverage=5.0, mode="cross",
        wallet=10_000.0, others=[eth],
    )  # fmt: skip
    assert answer.liquidation_price == pytest.approx(43_338.35, abs=0.005)
    assert answer.bankruptcy_price == 43_000.0
    assert answer.margin_ratio == pytest.approx((200.0 + 165.0) / 7_000.0)


def test_another_position_takes_its_rate_from_the_tiers() -> None:
    eth = OtherPosition("short", 10.0, 3_000.0, 3_300.0, "ETH/USDT:USDT")
    answer = calculate(
        symbol="BTCUSDT", side="long", entry=50_000.0, size=1.0, leverage=5.0, mode="cross",
        wallet=10_000.0, others=[eth],
    )  # fmt: skip
    assert answer.liquidation_price == pytest.approx((43_000.0 + 33_000.0 * 0.004) / 0.996)


def test_explicit_rates_as_in_the_binance_example() -> None:
    answer = calculate(
        side="long", entry=1_456.84, size=3_683.979, leverage=5.0, mode="cross",
        wallet=1_535_443.01, mmr=0.1, maintenance_amount=135_365.0,
    )  # fmt: skip
    assert answer.liquidation_price == pytest.approx(1_114.78, abs=0.005)
    assert answer.tier is None
    assert answer.maintenance_margin_rate == 0.1
    assert answer.assumptions


def test_a_long_that_cannot_be_liquidated() -> None:
    answer = calculate(symbol="BTCUSDT", side="long", entry=50_000.0, size=1.0)
    assert answer.liquidation_price is None
    assert answer.move_percent is None
    assert answer.bankruptcy_price == 0.0


def test_extra_margin_moves_the_price_away_and_stays_out_of_the_percentages() -> None:
    plan: dict[str, Any] = {"symbol": "BTCUSDT", "side": "long", "entry": 5e4, "size": 1.0}
    plain, more = (
        calculate(**plan, leverage=10.0),
        calculate(**plan, leverage=10.0, extra_margin=1e3),
    )
    assert plain.liquidation_price is not None and more.liquidation_price is not None
    assert more.liquidation_price < plain.liquidation_price
    assert more.margin == plain.margin + 1_000.0
    assert more.round_trip_fee_percent_of_margin == plain.round_trip_fee_percent_of_margin


@pytest.mark.parametrize(
    ("venue", "price"),
    [
        ("binanceusdm", 90.0 / 0.99),
        ("okx", 90.0 / (1 - 0.01 - 0.0005)),
        ("bybit", 91.0),
        ("kucoinfutures", 91.0),
    ],
)
def test_venues_differ(venue: str, price: float) -> None:
    answer = calculate(side="long", entry=100.0, size=1.0, leverage=10.0, mmr=0.01, venue=venue)
    assert answer.liquidation_price == pytest.approx(price)


def test_the_table_of_the_date_and_the_note_when_there_is_none() -> None:
    plan: dict[str, Any] = {"symbol": "BTCUSDT", "side": "long", "entry": 5e4, "size": 1.0}
    old = calculate(**plan, leverage=100.0, when=date(2025, 1, 1))
    assert (old.tiers_valid_from, old.tier, old.assumptions) == (date(2024, 10, 24), 2, ())
    early = calculate(**plan, leverage=100.0, when=date(2021, 1, 1))
    assert "2021-01-01" in early.assumptions[0] and "2024-10-24" in early.assumptions[0]


def test_own_tiers() -> None:
    table = TierTable.flat("XUSDT", 0.02, 10.0)
    one = calculate(side="long", entry=1.0, size=10.0, leverage=5.0, tiers=table)
    book = calculate(
        side="long", entry=1.0, size=10.0, leverage=5.0, tiers=TierBook([table]), symbol="X/USDT"
    )
    assert one == book
    assert one.maintenance_margin == pytest.approx(0.2)


LONG: dict[str, Any] = {
    "symbol": "BTCUSDT", "side": "long", "entry": 50_000.0, "size": 1.0, "leverage": 5.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "up"}, "side must be"),
        ({"entry": 0.0}, "entry must be a number above 0"),
        ({"entry": float("nan")}, "entry must be"),
        ({"size": -1.0}, "size must be"),
        ({"size": None}, "either size .* or stake"),
        ({"stake": 10.0}, "either size .* or stake"),
        ({"size": None, "stake": -1.0}, "stake must be"),
        ({"leverage": 0.0}, "leverage must be"),
        (
            {"leverage": 126.0, "size": 0.1, "when": date(2025, 1, 1)},
            "leverage 126 is above the 125x",
        ),
        ({"size": 1e5}, "size: a notional of .* is over"),
        ({"mode": "hedge"}, "mode must be"),
        ({"mode": "cross"}, "wallet is needed"),
        ({"mode": "cross", "wallet": 9_000.0}, "wallet 9,000.00 is below"),
        ({"mode": "cross", "wallet": 2e4, "extra_margin": 5.0}, "extra_margin is for"),
        ({"wallet": -5.0}, "wallet must be"),
        ({"extra_margin": -5.0}, "extra_margin must be"),
        ({"venue": "ftx"}, "venue 'ftx': use one of"),
        ({"venue": "kraken"}, "not in the calculator"),
        ({"venue": "okx"}, "give mmr or tiers for venue okx"),
        (
            {"venue": "bybit", "mode": "cross", "mmr": 0.01, "wallet": 2e4},
            "mode 'cross' is not known",
        ),
        ({"symbol": None}, "symbol is needed"),
        ({"symbol": "NOPE"}, "no tier table for symbol 'NOPE'"),
        ({"taker_fee": 5.0}, "taker_fee must be a fraction"),
        ({"funding_rate": -2.0}, "funding_rate must be a fraction"),
        ({"funding_interval_hours": 0.0}, "funding_interval_hours must be"),
        ({"mmr": 1.0}, "mmr must be a fraction"),
        ({"mmr": 0.01, "max_leverage": 4.0}, "leverage 5 is above the 4x"),
        ({"max_leverage": 4.0}, "max_leverage needs mmr"),
        ({"maintenance_amount": 4.0}, "maintenance_amount needs mmr"),
        ({"mmr": 0.01, "maintenance_amount": -4.0}, "maintenance_amount must be"),
        ({"mmr": 0.25}, "would be liquidated at its entry"),
        ({"others": [OtherPosition("short", 1.0, 1.0, 1.0, "ETHUSDT")]}, "others share a wallet"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        calculate(**{**LONG, **change})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (OtherPosition("down", 1.0, 1.0, 1.0, "ETHUSDT"), "others: side"),
        (OtherPosition("long", 0.0, 1.0, 1.0, "ETHUSDT"), "others: size"),
        (OtherPosition("long", 1.0, 1.0, float("nan"), "ETHUSDT"), "others: mark"),
        (
            OtherPosition("short", 1.0, 5e4, 5e4, "BTC/USDT"),
            "BTC/USDT is the symbol of the planned",
        ),
    ],
)
def test_nonsense_in_other_positions_is_refused(other: OtherPosition, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        calculate(**{**LONG, "mode": "cross", "wallet": 2e4, "others": [other]})


@given(
    st.sampled_from(("long", "short")), st.floats(1.0, 1e5), st.floats(1e-3, 10.0),
    st.floats(1.5, 50.0),
)  # fmt: skip
def test_the_answer_is_the_table_s_own_price(
    side: str, entry: float, size: float, leverage: float
) -> None:
    table = builtin_tiers().at("BTCUSDT")
    answer = calculate(
        symbol="BTCUSDT", side=side, entry=entry, size=size, leverage=leverage, tiers=table
    )
    sign = 1.0 if side == "long" else -1.0
    price = table.liquidation_price(sign, size, entry, size * entry / leverage)
    assert answer.liquidation_price == price
    # Liquidation always comes before the margin is gone.
    assert sign * (price - answer.bankruptcy_price) > 0.0
    assert sign * (entry - price) > 0.0


def test_the_record_goes_into_json() -> None:
    record = calculate(**LONG).to_dict()
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again["tiers_valid_from"] == "2026-09-01"
    assert again["symbol"] == "BTCUSDT"
    unlimited = calculate(side="long", entry=1.0, size=1.0, leverage=2.0, mmr=0.01).to_dict()
    assert unlimited["max_leverage"] is None


def test_the_margin_room_starts_light() -> None:
    code = (
        "import sys, leverpack.margin.calculator, leverpack.margin.vectors; "
        "heavy = {'backtrader', 'pandas', 'numpy', 'numba', 'matplotlib', 'ccxt'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
