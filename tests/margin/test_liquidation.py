"""The liquidation price is where equity meets maintenance margin: worked numbers and properties."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.errors import SettingError
from leverpack.margin.hedge import hedge_liquidation_price, hedge_liquidation_range
from leverpack.margin.liquidation import (
    bankruptcy_price,
    bankruptcy_price_from_margin,
    inverse_liquidation_price,
    linear_liquidation_price,
    liquidation_price,
)
from leverpack.margin.ratios import close_fee_reserve
from leverpack.margin.tiers import TierBook, TierTable, builtin_tiers, maintenance_margin
from leverpack.margin.venues import VENUE_RULES, VenuePosition, venue_liquidation_price
from tests.conftest import needs_shared, vectors
from tests.margin.strategies import Columns, columns, fees, leverages, prices, sides, sizes


def table_2026(symbol: str) -> TierTable:
    return TierBook.from_ccxt(vectors("binance_tiers_2026-09.json")).at(symbol)


def all_builtin_tables() -> list[TierTable]:
    book = builtin_tiers()
    return [table for symbol in book.symbols for table in book.tables(symbol)]


# -- worked numbers ------------------------------------------------------------------------------


@needs_shared
def test_tier_is_solved_at_the_liquidation_price() -> None:
    btc = table_2026("BTC/USDT:USDT")
    entry_tier = linear_liquidation_price(
        -1.0, 6.0, 100_000.0, 300_000.0, btc.mmr(6e5), btc.maintenance_amount(6e5), 0.0, 0.0, 0.0
    )
    assert entry_tier == pytest.approx(149_303.48, abs=0.005)  # values it in the wrong tier
    price = btc.liquidation_price(-1.0, 6.0, 100_000.0, 300_000.0)
    assert price == pytest.approx(149_279.68, abs=0.005)
    assert (btc.tier(6e5), btc.tier(6 * price)) == (2, 3)


@needs_shared
@pytest.mark.parametrize(
    ("side", "true", "by_collateral"),
    [(1.0, 98_868.69, 98_393.57), (-1.0, 101_108.91, 101_593.63)],
)
def test_tier_is_looked_up_by_notional_not_by_collateral(
    side: float, true: float, by_collateral: float
) -> None:
    btc = table_2026("BTC/USDT:USDT")
    collateral = 1e7 / 50.0
    assert btc.liquidation_price(side, 100.0, 1e5, collateral) == pytest.approx(true, abs=0.005)
    wrong = linear_liquidation_price(
        side, 100.0, 1e5, collateral, btc.mmr(collateral), btc.maintenance_amount(collateral),
        0.0, 0.0, 0.0,
    )  # fmt: skip
    assert wrong == pytest.approx(by_collateral, abs=0.005)


def test_other_positions_count_with_their_own_direction() -> None:
    # Wallet 10,000; long 1 BTC at 50,000 (0.4 %); short 10 ETH at 3,000 marked 3,300 (0.5 %).
    mm_eth, profit_eth = 10 * 3_300.0 * 0.005, -10 * (3_300.0 - 3_000.0)
    flat = ((math.inf,), (0.004,), (0.0,), 0.0, mm_eth)
    true = liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, *flat, profit_eth)
    assert true == pytest.approx(43_338.35, abs=0.005)
    unsigned = liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, *flat, -profit_eth)
    assert unsigned == pytest.approx(37_314.26, abs=0.005)


def test_isolated_long_of_the_guide_example() -> None:
    price = linear_liquidation_price(1.0, 1.0, 50_000.0, 10_000.0, 0.1, 0.0, 0.0, 0.0, 0.0)
    assert price == pytest.approx(44_444.44, abs=0.005)


def test_bankruptcy_prices() -> None:
    assert bankruptcy_price(1.0, 100.0, 4.0) == 75.0
    assert bankruptcy_price(-1.0, 100.0, 4.0) == 125.0
    assert bankruptcy_price(1.0, 100.0, 0.5) == 0.0
    assert bankruptcy_price_from_margin(1.0, 2.0, 100.0, 50.0) == 75.0
    assert bankruptcy_price_from_margin(1.0, 2.0, 100.0, 500.0) == 0.0
    assert math.isnan(bankruptcy_price(1.0, 100.0, 0.0))


@pytest.mark.parametrize(("side", "never"), [(1.0, 0.0), (-1.0, math.inf)])
def test_never_liquidated(side: float, never: float) -> None:
    one_tier = ((math.inf,), (0.01,), (0.0,), 0.0, 0.0, 0.0)
    assert liquidation_price(side, 0.0, 100.0, 10.0, *one_tier) == never  # flat
    assert liquidation_price(1.0, 1.0, 100.0, 100.0, *one_tier) == 0.0  # 1x long
    # An inverse short of 1x holds exactly the coin it owes.
    assert inverse_liquidation_price(-1.0, 100.0, 50.0, 2.0, *one_tier) == math.inf


def test_a_missing_number_is_never_a_safe_answer() -> None:
    one_tier = ((math.inf,), (0.01,), (0.0,), 0.0, 0.0, 0.0)
    for side in (1.0, -1.0):
        assert math.isnan(liquidation_price(side, 1.0, 100.0, math.nan, *one_tier))
        assert math.isnan(liquidation_price(side, 1.0, math.nan, 10.0, *one_tier))
    assert math.isnan(notional_rate_of_one())


def notional_rate_of_one() -> float:
    return linear_liquidation_price(1.0, 1.0, 100.0, 10.0, 1.0, 0.0, 0.0, 0.0, 0.0)


# -- properties ----------------------------------------------------------------------------------


def equity_less_needs(
    price: float, side: float, size: float, entry: float, wallet: float, table: Columns,
    fee: float, mm_others: float, upnl_others: float,
) -> float:  # fmt: skip
    maintenance = maintenance_margin(size * price, table.caps, table.mmrs, table.cums)
    equity = wallet + side * size * (price - entry) + upnl_others
    return equity - maintenance - size * price * fee - mm_others


@given(
    columns(), sides, sizes, prices, leverages, st.floats(0.0, 3.0), fees,
    st.floats(0.0, 0.01), st.floats(-0.01, 0.01),
)  # fmt: skip
def test_equity_meets_maintenance_at_the_price(
    table: Columns, side: float, size: float, entry: float, leverage: float, extra: float,
    fee: float, mm_share: float, pnl_share: float,
) -> None:  # fmt: skip
    notional = size * entry
    wallet = notional / leverage * (1.0 + extra)
    case = (side, size, entry, wallet, table, fee, mm_share * notional, pnl_share * notional)
    price = liquidation_price(*case[:4], table.caps, table.mmrs, table.cums, fee, case[6], case[7])
    if price == 0.0:
        # A long that even the price zero leaves solvent; a short that is lost at any price.
        assert side * equity_less_needs(0.0, *case) >= -1e-9 * (notional + wallet)
        return
    scale = notional + wallet + size * price
    assert equity_less_needs(price, *case) == pytest.approx(0.0, abs=1e-9 * scale)
    # Away from the price the position is safe on the right side and lost on the other.
    assert equity_less_needs(price * (1 + 1e-6 * side), *case) > -1e-9 * scale
    assert equity_less_needs(price * (1 - 1e-6 * side), *case) < 1e-9 * scale


@given(
    columns(), sides, sizes, st.integers(0, 5), st.floats(0.9, 1.1), st.floats(0.1, 3.0), fees
)  # fmt: skip
def test_finds_the_price_that_the_wallet_was_made_for(
    table: Columns, side: float, size: float, tier: int, near: float, entry_share: float,
    fee: float,
) -> None:  # fmt: skip
    # A notional close to a cap, where the wrong tier is picked most easily.
    notional = table.caps[tier % len(table.caps)] * near
    price, entry = notional / size, notional / size * entry_share
    needs = maintenance_margin(notional, table.caps, table.mmrs, table.cums) + notional * fee
    wallet = needs - side * size * (price - entry)
    found = liquidation_price(
        side, size, entry, wallet, table.caps, table.mmrs, table.cums, fee, 0.0, 0.0
    )
    assert found == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize("table", all_builtin_tables(), ids=lambda t: f"{t.symbol}-{t.valid_from}")
def test_the_right_tier_is_found_close_to_every_cap(table: TierTable) -> None:
    distances = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
    for cap, side, fee in itertools.product(table.caps, (1.0, -1.0), (0.0, 0.001)):
        for near in (1.0 + sign * d for d in distances for sign in (1.0, -1.0)):
            notional, entry = cap * near, cap * 1.2
            # One coin, so that its price is the notional.
            wallet = table.maintenance_margin(notional) + notional * fee - side * (notional - entry)
            price = table.liquidation_price(side, 1.0, entry, wallet, fee)
            assert price == pytest.approx(notional, rel=1e-12)


@given(columns(), sides, sizes, prices, leverages, fees)
def test_agrees_with_bisection(
    table: Columns, side: float, size: float, entry: float, leverage: float, fee: float
) -> None:
    wallet = size * entry / leverage
    case = (side, size, entry, wallet, table, fee, 0.0, 0.0)
    low, high = 0.0, entry * 3.0  # at 1x a short is gone at twice its entry
    if equity_less_needs(low, *case) * equity_less_needs(high, *case) >= 0.0:
        return
    for _ in range(200):
        middle = (low + high) / 2.0
        if (equity_less_needs(middle, *case) > 0.0) == (side > 0.0):
            high = middle
        else:
            low = middle
    price = liquidation_price(
        side, size, entry, wallet, table.caps, table.mmrs, table.cums, fee, 0.0, 0.0
    )
    assert price == pytest.approx(high, rel=1e-9, abs=1e-9 * entry)


@given(columns(), sides, sizes, prices, leverages, st.floats(1e-3, 1.0))
def test_more_wallet_moves_the_price_away(
    table: Columns, side: float, size: float, entry: float, leverage: float, more: float
) -> None:
    wallet = size * entry / leverage
    rest = (table.caps, table.mmrs, table.cums, 0.0, 0.0, 0.0)
    near = liquidation_price(side, size, entry, wallet, *rest)
    far = liquidation_price(side, size, entry, wallet * (1.0 + more), *rest)
    assert side * (near - far) > 0.0 or near == far == 0.0


@given(columns(), sides, sizes, prices, st.floats(1.0, 100.0), st.floats(1.001, 5.0))
def test_higher_leverage_brings_the_price_nearer(
    table: Columns, side: float, size: float, entry: float, leverage: float, more: float
) -> None:
    rest = (table.caps, table.mmrs, table.cums, 0.0, 0.0, 0.0)
    far = liquidation_price(side, size, entry, size * entry / leverage, *rest)
    near = liquidation_price(side, size, entry, size * entry / (leverage * more), *rest)
    assert side * (near - far) > 0.0 or near == far == 0.0


@given(columns(), sides, st.floats(1e3, 1e9), prices, leverages, fees)
def test_inverse_equity_meets_maintenance_in_coin(
    table: Columns, side: float, value: float, entry: float, leverage: float, fee: float
) -> None:
    wallet = value / entry / leverage
    price = inverse_liquidation_price(
        side, value, entry, wallet, table.caps, table.mmrs, table.cums, fee, 0.0, 0.0
    )
    if price == math.inf:
        assert side < 0.0
        assert wallet >= value / entry * (1.0 - 1e-9)
        return
    coins = value / price
    equity = wallet + side * (value / entry - coins)
    needs = maintenance_margin(coins, table.caps, table.mmrs, table.cums) + coins * fee
    assert equity == pytest.approx(needs, abs=1e-9 * (wallet + value / entry + coins))


@given(columns(), sizes, sizes, prices, prices, st.floats(1e-3, 2.0), fees)
def test_hedged_legs_meet_maintenance_at_both_ends(
    table: Columns, long_size: float, short_size: float, long_entry: float, short_entry: float,
    share: float, fee: float,
) -> None:  # fmt: skip
    gross = long_size * long_entry + short_size * short_entry
    wallet = gross * share

    def left(price: float) -> float:
        equity = wallet + long_size * (price - long_entry) - short_size * (price - short_entry)
        for size in (long_size, short_size):
            equity -= maintenance_margin(size * price, table.caps, table.mmrs, table.cums)
            equity -= size * price * fee
        return equity

    lower, upper = hedge_liquidation_range(
        long_size, long_entry, short_size, short_entry, wallet,
        table.caps, table.mmrs, table.cums, fee, 0.0, 0.0,
    )  # fmt: skip
    if lower > upper:
        assert (lower, upper) == (math.inf, 0.0)
        assert all(left(entry * k) <= 1e-9 * gross for entry in (long_entry, short_entry)
                   for k in (0.0, 0.5, 1.0, 2.0))  # fmt: skip
        return
    for price in (lower, upper):
        if 0.0 < price < math.inf:
            scale = gross + wallet + (long_size + short_size) * price
            assert left(price) == pytest.approx(0.0, abs=1e-9 * scale)
    inside = lower + 1.0 if upper == math.inf else (lower + upper) / 2.0
    assert left(inside) >= -1e-9 * (gross + wallet + (long_size + short_size) * inside)


def test_hedge_closed_form_and_range_agree_and_can_lie_above() -> None:
    one_tier = ((math.inf,), (0.004,), (0.0,))
    # Net long 0.5: liquidated below. Balanced: only the maintenance margin moves, so above.
    for short, above in ((0.5, False), (1.0, True)):
        closed = hedge_liquidation_price(
            1.0, 50_000.0, short, 51_000.0, 2_000.0, 0.004, 0.0, 0.004, 0.0, 0.0, 0.0
        )
        ends = hedge_liquidation_range(
            1.0, 50_000.0, short, 51_000.0, 2_000.0, *one_tier, 0.0, 0.0, 0.0
        )
        assert ends[above] == pytest.approx(closed, rel=1e-12)
    single = hedge_liquidation_range(1.0, 5e4, 0.0, 5e4, 1e4, *one_tier, 0.0, 0.0, 0.0)
    assert single == (linear_liquidation_price(1.0, 1.0, 5e4, 1e4, 0.004, 0, 0, 0, 0), math.inf)


# -- venues --------------------------------------------------------------------------------------


def test_binance_spot_margin_level_price() -> None:
    # 3x long: own 3 coins bought at 100 with 200 borrowed; short: owe 1 coin, hold 150.
    long = VenuePosition(1.0, 3.0, 100.0, base_owned=3.0, quote_owed=200.0, level=1.1)
    assert venue_liquidation_price("binancemargin", long) == pytest.approx(220.0 / 3.0)
    short = VenuePosition(-1.0, 1.0, 100.0, quote_owned=150.0, base_owed=1.0)
    assert venue_liquidation_price("binancemargin", short) == pytest.approx(150.0 / 1.1)


def test_added_margin_at_bybit_moves_the_price() -> None:
    plain = VenuePosition(-1.0, 2.0, 100.0, leverage=10.0, mmrs=(0.005,))
    added = VenuePosition(-1.0, 2.0, 100.0, leverage=10.0, mmrs=(0.005,), extra_margin=4.0)
    assert venue_liquidation_price("bybit", plain) == pytest.approx(109.5)
    assert venue_liquidation_price("bybit", added) == pytest.approx(111.5)


def test_the_closing_fee_that_kucoin_reserves_cancels() -> None:
    plain = VenuePosition(1.0, 1.0, 100.0, leverage=10.0, wallet=10.0, mmrs=(0.01,))
    reserve = close_fee_reserve(1.0, 1.0, 100.0, 10.0, 0.001)
    stated = VenuePosition(1.0, 1.0, 100.0, wallet=10.0 + reserve, maintenance=1.0 + reserve)
    for position in (plain, stated):
        assert venue_liquidation_price("kucoinfutures", position) == pytest.approx(91.0)


@pytest.mark.parametrize("venue", sorted(VENUE_RULES))
def test_every_venue_liquidates_a_long_below_and_a_short_above(venue: str) -> None:
    for side in (1.0, -1.0):
        position = VenuePosition(
            side, 1.0, 100.0, leverage=5.0, wallet=20.0, mmrs=(0.01,), taker_fee=0.0005,
            adjust_factor=0.05, max_leverage=50.0,
            base_owned=max(side, 0.0), quote_owned=120.0 if side < 0.0 else 0.0,
            base_owed=max(-side, 0.0), quote_owed=80.0 if side > 0.0 else 0.0,
        )  # fmt: skip
        if venue in ("binancecoinm", "okxinverse"):
            position = VenuePosition(side, 100.0, 100.0, leverage=5.0, wallet=0.2, mmrs=(0.01,))
        price = venue_liquidation_price(venue, position)
        assert 70.0 < price < 100.0 if side > 0.0 else 100.0 < price < 130.0


def test_unknown_venue_and_missing_figure_are_named() -> None:
    position = VenuePosition(1.0, 1.0, 100.0)
    with pytest.raises(SettingError, match="'ftx' is unknown"):
        venue_liquidation_price("ftx", position)
    with pytest.raises(SettingError, match="max_leverage"):
        venue_liquidation_price("hyperliquid", position)
    with pytest.raises(SettingError, match="adjust_factor"):
        venue_liquidation_price("htx", position)
