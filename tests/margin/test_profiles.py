"""Venue profiles: prices worked by hand, levels, caps, one definition of liquidation for all."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.errors import SettingError
from leverpack.margin.account import MarginAccount
from leverpack.margin.profiles import PROFILES, VenueProfile, venue_profile
from leverpack.margin.tiers import TierTable, builtin_tiers

TIERED = TierTable(
    "T", TierTable.flat("T", 0.1, 5.0, 0.0).valid_from, (0.0, 2_000.0, 10_000.0),
    (2_000.0, 10_000.0, 1e9), (0.004, 0.01, 0.05), (0.0, 12.0, 412.0), (40.0, 20.0, 10.0), 0.0,
)  # fmt: skip
SPOT = ("kraken", "binance")
EP, Q = 100.0, 2.0
MMR = 0.01


def opened(
    venue: str, side: float, leverage: float, *, isolated: bool = True,
    table: TierTable | None = None, cash: float = 1_000.0,
) -> MarginAccount:  # fmt: skip
    """An account with one position of 2 at 100, free of trading fees."""
    profile = venue_profile(venue)
    account = MarginAccount(cash, profile=profile)
    table = table or TierTable.flat("X", MMR, 50.0, 0.0)
    account.add_position("X", table, leverage=leverage, isolated=isolated)
    account.fill("X", side * Q, EP, 0.0)
    return account


def by_hand(venue: str, s: float, leverage: float) -> float:
    """The formulas of the venues' own pages, one tier of 1 %, margin untouched since entry."""
    wb = Q * EP / leverage
    if venue == "binanceusdm":
        return (wb - s * Q * EP) / (Q * (MMR - s))
    if venue == "bybit":
        return EP - s * (Q * EP / leverage - Q * EP * MMR) / Q
    if venue == "okx":
        return (s * Q * EP - wb) / (Q * (s - MMR - 0.0005))
    if venue == "kucoinfutures":
        close_fee = Q * EP * (1.0 - s / leverage) * 0.0006  # reserved at the bankruptcy price
        return EP - s * ((wb + close_fee) - (Q * EP * MMR + close_fee)) / Q
    if venue == "hyperliquid":
        return (wb - s * Q * EP) / (Q * (1.0 / (2.0 * 40.0) - s))
    if venue == "kraken":
        if s > 0.0:
            return EP + (0.4 * Q * EP / leverage - wb) / Q
        return (wb + Q * EP) / (Q * (1.0 + 0.4 / leverage))
    if s > 0.0:
        return 1.1 * Q * EP * (leverage - 1.0) / leverage / Q
    return (Q * EP + wb) / (1.1 * Q)


@pytest.mark.parametrize("venue", PROFILES)
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("leverage", [3.0, 5.0])
def test_isolated_liquidation_price_by_the_venues_own_formula(venue, side, leverage):
    account = opened(venue, side, leverage)
    assert account.liquidation_price("X", {"X": EP}) == pytest.approx(
        by_hand(venue, side, leverage), rel=1e-12
    )


@pytest.mark.parametrize(
    ("venue", "long3", "short5"),
    [
        ("binanceusdm", 67.3401, 118.8119),
        ("bybit", 67.6667, 119.0),
        ("okx", 67.3741, 118.7531),
        ("kucoinfutures", 67.6667, 119.0),
        ("hyperliquid", 67.5105, 118.5185),
        ("kraken", 80.0, 111.1111),
        ("binance", 73.3333, 109.0909),
    ],
)
def test_the_prices_as_figures(venue, long3, short5):
    assert opened(venue, 1.0, 3.0).liquidation_price("X", {}) == pytest.approx(long3, abs=1e-4)
    assert opened(venue, -1.0, 5.0).liquidation_price("X", {}) == pytest.approx(short5, abs=1e-4)


@pytest.mark.parametrize("venue", PROFILES)
@pytest.mark.parametrize("isolated", [True, False])
@given(
    side=st.sampled_from([1.0, -1.0]),
    size=st.floats(0.01, 500.0),
    entry=st.floats(0.1, 50_000.0),
    leverage=st.floats(1.1, 5.0),
    extra=st.floats(-0.3, 1.0),
    other=st.floats(-0.2, 0.2),
)
def test_the_ratio_is_one_at_the_liquidation_price(
    venue, isolated, side, size, entry, leverage, extra, other
):
    """Rule and ratio come from different functions; both say the same, whatever was paid since."""
    initial = size * entry / leverage
    account = MarginAccount(initial * 2.0, profile=venue_profile(venue))
    account.add_position("X", TIERED, leverage=leverage, isolated=isolated)
    account.add_position("Y", TIERED, leverage=5.0, isolated=isolated)
    account.fill("X", side * size, entry, 0.0)
    if not isolated:
        account.fill("Y", other * size, entry, 0.0)
    account.charge_interest("X", -extra * initial)
    marks = {"X": entry, "Y": entry * 1.01}
    price = account.liquidation_price("X", marks)
    if 1e-6 * entry < price < math.inf:  # nearer to 0 the price is rounding
        ratio = account.margin_ratio({**marks, "X": price}, "X")
        assert ratio == pytest.approx(1.0, rel=1e-6)
        worse, better = price * (1.0 - side * 0.01), price * (1.0 + side * 0.01)
        assert account.margin_ratio({**marks, "X": worse}, "X") > 1.0
        assert account.margin_ratio({**marks, "X": better}, "X") < 1.0


def test_kraken_calls_at_80_percent_and_closes_at_40():
    account = opened("kraken", 1.0, 5.0)
    profile = account.profile
    assert account.margin_level({"X": EP}) == pytest.approx(1.0)  # as a new position must have
    at_call = EP + (0.8 * 40.0 - 40.0) / Q
    assert at_call == pytest.approx(96.0)
    assert account.margin_level({"X": at_call}) == pytest.approx(0.8)
    assert account.margin_ratio({"X": at_call}) == pytest.approx(profile.call_ratio(5.0))
    assert account.margin_level({"X": 88.0}) == pytest.approx(0.4)
    assert account.margin_ratio({"X": 88.0}) == pytest.approx(1.0)


def test_krakens_short_has_its_used_margin_in_coins():
    account = opened("kraken", -1.0, 5.0)
    # Equity 40 - 2 * 5 = 30 over used margin 2 * 105 / 5 = 42.
    assert account.margin_level({"X": 105.0}) == pytest.approx(30.0 / 42.0)


def test_kraken_cross_counts_the_used_margin_of_all():
    account = MarginAccount(200.0, profile=venue_profile("kraken"))
    for key in "XY":
        account.add_position(key, TierTable.flat(key, 0.0, 5.0), leverage=5.0, isolated=False)
    account.fill("X", 4.0, 100.0, 0.0)
    account.fill("Y", -3.0, 100.0, 0.0)
    marks = {"X": 90.0, "Y": 110.0}
    used = 4.0 * 100.0 / 5.0 + 3.0 * 110.0 / 5.0  # the long at entry, the short at its mark
    equity = 200.0 - 40.0 - 30.0
    assert account.used_margin(marks) == pytest.approx(used)
    assert account.margin_level(marks) == pytest.approx(equity / used)
    price = account.liquidation_price("X", marks)
    assert 200.0 + 4.0 * (price - 100.0) - 30.0 == pytest.approx(0.4 * used)


@pytest.mark.parametrize(("leverage", "call"), [(3.0, 1.3), (5.0, 1.16)])
def test_binance_margin_calls_by_leverage(leverage, call):
    account = opened("binance", 1.0, leverage)
    debt = Q * EP * (leverage - 1.0) / leverage
    assert account.margin_level({"X": EP}) == pytest.approx(Q * EP / debt)
    at_call = call * debt / Q
    assert account.margin_level({"X": at_call}) == pytest.approx(call)
    assert account.margin_ratio({"X": at_call}) == pytest.approx(
        account.profile.call_ratio(leverage)
    )


def test_binance_margin_counts_unpaid_interest_as_debt_and_added_margin_as_asset():
    account = opened("binance", 1.0, 5.0)
    account.charge_interest("X", 4.0)
    assert account.margin_level({"X": 99.0}) == pytest.approx(198.0 / (160.0 + 4.0))
    account.add_margin("X", 24.0, {"X": 99.0})  # 4 pay the interest, 20 lie beside the loan
    assert account.margin_level({"X": 99.0}) == pytest.approx((198.0 + 20.0) / 160.0)
    short = opened("binance", -1.0, 5.0)
    short.charge_interest("X", 4.0)
    assert short.margin_level({"X": 101.0}) == pytest.approx(240.0 / (202.0 + 4.0))


def test_a_long_without_a_loan_has_no_debt_to_measure():
    account = opened("binance", 1.0, 1.0)
    assert account.margin_level({"X": 50.0}) == math.inf
    assert account.margin_ratio({"X": 50.0}) == 0.0
    assert account.liquidation_price("X", {"X": 50.0}) == 0.0


def test_bybit_takes_the_tier_of_the_entry_and_binance_that_of_the_price():
    table = builtin_tiers().at("BTCUSDT")
    big = {"binanceusdm": 0.0, "bybit": 0.0}
    for venue in big:
        account = MarginAccount(1e6, profile=venue_profile(venue))
        account.add_position("BTC", table, leverage=2.0, isolated=True)
        account.fill("BTC", -6.0, 100_000.0, 0.0)
        big[venue] = account.liquidation_price("BTC", {})
    assert big["binanceusdm"] == pytest.approx(149_279.68, abs=0.01)
    needed = table.maintenance_margin(600_000.0)
    assert big["bybit"] == pytest.approx(100_000.0 + (300_000.0 - needed) / 6.0)


def test_okx_counts_the_close_into_its_ratio():
    account = opened("okx", 1.0, 5.0)
    assert account.margin_ratio({"X": 100.0}) == pytest.approx((2.0 + 0.1) / 40.0)
    assert opened("binanceusdm", 1.0, 5.0).margin_ratio({"X": 100.0}) == pytest.approx(2.0 / 40.0)


@pytest.mark.parametrize(
    ("venue", "leverage", "words"),
    [
        ("kraken", 6.0, "5x that Kraken allows"),
        ("binance", 6.0, "5x that Binance margin allows"),
        ("bybit", 101.0, "100x that Bybit allows"),
        ("okx", 126.0, "100x that OKX allows"),
        ("kucoinfutures", 126.0, "125x that KuCoin Futures allows"),
        ("hyperliquid", 41.0, "40x that Hyperliquid allows"),
    ],
)
def test_leverage_above_the_cap_is_refused_by_name(venue, leverage, words):
    profile = venue_profile(venue)
    table = profile.own_table("BTCUSDT") or TierTable.flat("BTCUSDT", 0.001, 500.0)
    account = MarginAccount(1_000.0, profile=profile)
    with pytest.raises(SettingError, match=words):
        account.add_position("X", table, leverage=leverage, isolated=True)
    with pytest.raises(SettingError, match=words):
        profile.check_leverage(leverage)


def test_only_krakens_pairs_may_say_otherwise():
    ten = TierTable.flat("XBTUSD", 0.0, 10.0)
    kraken = MarginAccount(1_000.0, profile=venue_profile("kraken"))
    assert kraken.add_position("X", ten, leverage=10.0, isolated=True).leverage == 10.0
    with pytest.raises(SettingError, match="tiers of XBTUSD allow at Kraken"):
        kraken.set_leverage("X", 11.0, {})
    binance = MarginAccount(1_000.0, profile=venue_profile("binance"))
    with pytest.raises(SettingError, match="5x that Binance margin allows"):
        binance.add_position("X", ten, leverage=10.0, isolated=True)


def test_hyperliquids_rate_follows_the_pairs_largest_leverage():
    profile = venue_profile("hyperliquid")
    rates = {s: profile.own_table(s).mmrs[0] for s in ("BTC/USDC:USDC", "ETHUSDT", "DOGE/USDT")}
    assert rates == {"BTC/USDC:USDC": 0.0125, "ETHUSDT": 0.02, "DOGE/USDT": 0.05}
    fitted = profile.fit(TIERED)
    assert set(fitted.mmrs) == {1.0 / 80.0} and set(fitted.cums) == {0.0}
    assert fitted.max_leverages == TIERED.max_leverages
    assert profile.fit(fitted) is fitted


def test_fitting_a_table_leaves_binances_as_it_is():
    assert venue_profile("binanceusdm").fit(TIERED) is TIERED
    assert venue_profile("bybit").fit(TIERED) is TIERED
    assert set(venue_profile("kraken").fit(TIERED).mmrs) == {0.0}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("krakn", "did you mean kraken?"), ("bybitt", "did you mean bybit?"), ("ftx", "use one of")],
)
def test_an_unknown_venue_names_the_nearest(wrong, hint):
    with pytest.raises(SettingError, match=f"'{wrong}' is unknown; ") as told:
        venue_profile(wrong)
    assert hint in str(told.value)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_is_of_one_piece(profile: VenueProfile):
    assert (profile.kind == "spot margin") == profile.is_spot_margin == (profile.name in SPOT)
    assert profile.funding != profile.is_spot_margin
    assert 0.0 < profile.maker <= profile.taker < 0.01
    assert bool(profile.call_levels) == profile.is_spot_margin
    assert 0.0 < profile.call_ratio(3.0) < 1.0
    charged = profile.interest_hourly or profile.rollover_fee
    assert bool(charged) == profile.is_spot_margin
    own = dataclasses.replace(profile, taker=0.009)
    assert own.taker == 0.009 and own.rule is profile.rule


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["fill", "interest", "liquidate", "leverage", "margin", "funding"]),
        st.sampled_from("XY"), st.integers(-20, 20), st.integers(50, 200),
    ),
    max_size=30,
)  # fmt: skip


@pytest.mark.parametrize("venue", PROFILES)
@given(events=EVENTS, isolated=st.booleans())
def test_the_books_balance_at_every_venue(venue, events, isolated):
    """A second book of cash: what every event moved, added up without the account's sums."""
    account = MarginAccount(5_000.0, profile=venue_profile(venue))
    for key in "XY":
        account.add_position(key, TIERED, leverage=3.0, isolated=isolated)
    cash, marks, moved = 5_000.0, {"X": 100.0, "Y": 100.0}, 5_000.0
    for kind, key, number, price in events:
        marks[key] = float(price)
        held = account.positions[key]
        worth = held.size * (price - held.entry)
        if kind == "fill" and number:
            fee = abs(number) * price * account.profile.taker
            equity = account.equity(marks)
            account.fill(key, float(number), float(price), fee)
            assert account.equity(marks) == pytest.approx(equity - fee, abs=1e-9 * moved)
            cash = account.wallet
        elif kind == "interest":
            account.charge_interest(key, abs(number) / 10.0)
            cash -= abs(number) / 10.0
        elif kind == "funding" and account.profile.funding and held.size:
            cash += account.settle_funding(key, float(price), number / 1000.0)
        elif kind == "liquidate" and held.size:
            taken = account.liquidate(key, float(price), marks)
            cash += worth - taken.fee + taken.shortfall
        elif kind in ("leverage", "margin"):
            try:
                if kind == "leverage":
                    account.set_leverage(key, float(max(1, number)), marks)
                else:
                    account.add_margin(key, float(number), marks)
            except SettingError:
                pass
        moved += abs(number) * price + abs(worth)
        assert account.wallet == pytest.approx(cash, abs=1e-9 * moved)
        assert account.wallet == pytest.approx(
            account.deposits + account.costs.net(), abs=1e-9 * moved
        )
        ratio, level = account.margin_ratio(marks), account.margin_level(marks)
        assert (ratio is None) == (level is None) or not account.profile.is_spot_margin
        assert ratio is None or ratio >= 0.0
