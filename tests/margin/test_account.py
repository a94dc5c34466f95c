"""The margin account: worked cases by hand, and the invariant over random histories."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverpack.errors import InvariantError, SettingError
from leverpack.margin.account import MarginAccount
from leverpack.margin.tiers import TierTable

FLAT = TierTable.flat("X", 0.005, 100.0, 0.0125)


def account(cash: float = 10_000.0, *, leverage: float = 10.0, isolated: bool = True):
    made = MarginAccount(cash)
    made.add_position("X", FLAT, leverage=leverage, isolated=isolated)
    return made


def test_open_add_reduce_close():
    a = account()
    a.fill("X", 1.0, 100.0, 0.05)
    a.fill("X", 1.0, 110.0, 0.05)
    p = a.positions["X"]
    assert (p.size, p.entry, p.margin) == (2.0, 105.0, 21.0)
    a.fill("X", -1.0, 120.0, 0.06)
    assert (p.size, p.entry, p.margin) == (1.0, 105.0, 10.5)
    assert a.wallet == pytest.approx(10_000 + 15 - 0.16)
    a.fill("X", -1.0, 90.0, 0.04)
    assert (p.size, p.margin) == (0.0, 0.0)
    assert a.wallet == pytest.approx(10_000 + 15 - 15 - 0.20)


def test_reversal_closes_the_old_and_opens_the_rest():
    a = account()
    a.fill("X", 2.0, 100.0, 0.0)
    done = a.fill("X", -3.0, 110.0, 0.0)
    p = a.positions["X"]
    assert (done.closed, done.opened, done.realised) == (-2.0, -1.0, 20.0)
    assert (p.size, p.entry, p.margin) == (-1.0, 110.0, 11.0)


def test_isolated_liquidation_takes_the_margin_and_no_more():
    a = account()
    a.fill("X", 10.0, 100.0, 0.0)
    price = a.liquidation_price("X", {"X": 100.0})
    assert price == pytest.approx((100.0 - 1000.0) / (10.0 * (0.005 - 1.0)))
    taken = a.liquidate("X", price, {"X": price})
    assert a.wallet == pytest.approx(10_000.0 - 100.0)
    assert taken.fee == pytest.approx(10.0 * price * 0.0125)
    assert taken.shortfall == pytest.approx(taken.fee - 10.0 * price * 0.005)


def test_a_gap_through_the_liquidation_price_leaves_the_rest_of_the_wallet():
    a = account()
    a.fill("X", 10.0, 100.0, 0.0)
    taken = a.liquidate("X", 50.0, {"X": 50.0})
    assert a.wallet == pytest.approx(9_900.0)
    assert taken.shortfall == pytest.approx(500.0 - 100.0 + taken.fee)


def test_cross_liquidation_takes_the_wallet_and_never_goes_below_zero():
    a = account(100.0, isolated=False)
    a.fill("X", 10.0, 100.0, 0.0)
    a.liquidate("X", 80.0, {"X": 80.0})
    assert a.wallet == pytest.approx(0.0, abs=1e-12)
    assert a.costs.insurance > 0.0


def test_funding_drains_isolated_margin_and_moves_the_liquidation_price():
    a = account()
    a.fill("X", -10.0, 100.0, 0.0)
    before = a.liquidation_price("X", {"X": 100.0})
    assert a.settle_funding("X", 100.0, -0.02) == pytest.approx(-20.0)
    after = a.liquidation_price("X", {"X": 100.0})
    assert after < before
    assert a.positions["X"].margin == pytest.approx(80.0)


def test_added_margin_moves_the_price_away_and_can_be_taken_out_again():
    a = account()
    a.fill("X", 10.0, 100.0, 0.0)
    marks = {"X": 100.0}
    near = a.liquidation_price("X", marks)
    a.add_margin("X", 50.0, marks)
    assert a.liquidation_price("X", marks) == pytest.approx(near - 50.0 / (10.0 * 0.995))
    with pytest.raises(SettingError, match="initial margin"):
        a.add_margin("X", -60.0, marks)
    a.add_margin("X", -50.0, marks)
    assert a.liquidation_price("X", marks) == pytest.approx(near)


def test_leverage_change_on_an_open_isolated_position():
    a = account()
    a.fill("X", 10.0, 100.0, 0.0)
    marks = {"X": 100.0}
    a.set_leverage("X", 5.0, marks)
    assert a.positions["X"].margin == pytest.approx(200.0)
    a.set_leverage("X", 20.0, marks)
    assert a.positions["X"].margin == pytest.approx(200.0)
    with pytest.raises(SettingError, match="above the 100x"):
        a.set_leverage("X", 101.0, marks)


def test_a_refused_leverage_change_leaves_the_old_leverage():
    a = account(150.0)
    a.fill("X", 10.0, 100.0, 0.0)
    with pytest.raises(SettingError, match="free margin"):
        a.set_leverage("X", 5.0, {"X": 100.0})
    assert a.positions["X"].leverage == 10.0


def test_margin_mode_does_not_change_under_an_open_position():
    a = account()
    a.fill("X", 1.0, 100.0, 0.0)
    with pytest.raises(SettingError, match="while its position is open"):
        a.set_isolated("X", False)


def test_flat_has_no_ratio_and_no_level():
    a = account()
    assert a.margin_ratio({}) is None
    assert a.margin_level({}) is None
    assert a.liquidation_price("X", {}) is None


def test_a_broken_book_is_noticed():
    a = account()
    a.wallet += 1.0
    with pytest.raises(InvariantError, match="out of balance"):
        a.deposit(0.0)


def test_cross_counts_the_other_positions_by_their_own_direction():
    a = MarginAccount(10_000.0)
    zero = TierTable.flat("B", 0.0, 125.0, 0.0)
    a.add_position("B", zero, leverage=10.0, isolated=False)
    a.add_position("E", zero, leverage=10.0, isolated=False)
    a.fill("B", 1.0, 50_000.0, 0.0)
    a.fill("E", -10.0, 3_000.0, 0.0)
    # The short has lost 10 * 300, so the long goes 3,000 earlier than 40,000.
    assert a.liquidation_price("B", {"B": 50_000.0, "E": 3_300.0}) == pytest.approx(43_000.0)


# -- random histories ----------------------------------------------------------------------------

PRICES = st.integers(50, 200)
EVENTS = st.one_of(
    st.tuples(st.just("fill"), st.sampled_from("XY"), st.integers(-20, 20), PRICES),
    st.tuples(st.just("funding"), st.sampled_from("XY"), st.integers(-30, 30), PRICES),
    st.tuples(st.just("interest"), st.sampled_from("XY"), st.integers(0, 5), PRICES),
    st.tuples(st.just("liquidate"), st.sampled_from("XY"), st.just(0), PRICES),
    st.tuples(st.just("leverage"), st.sampled_from("XY"), st.integers(1, 50), PRICES),
    st.tuples(st.just("margin"), st.sampled_from("XY"), st.integers(-50, 50), PRICES),
    st.tuples(st.just("deposit"), st.sampled_from("XY"), st.integers(0, 100), PRICES),
)


class Exact:
    """The same books in exact fractions, written without the account's functions."""

    def __init__(self, cash: int) -> None:
        self.wallet = Fraction(cash)
        self.size = {"X": Fraction(0), "Y": Fraction(0)}
        self.cost = {"X": Fraction(0), "Y": Fraction(0)}  # signed cost of what is held

    def fill(self, key: str, size: int, price: int, fee: Fraction) -> None:
        held, cost = self.size[key], self.cost[key]
        closing = min(abs(held), abs(size)) if held * size < 0 else Fraction(0)
        if closing:
            entry = cost / held
            direction = 1 if held > 0 else -1
            self.wallet += direction * closing * (price - entry)
            held -= direction * closing
            cost = entry * held
        rest = abs(size) - closing
        direction = 1 if size > 0 else -1
        self.size[key] = held + direction * rest
        self.cost[key] = cost + direction * rest * price
        self.wallet -= fee

    def equity(self, prices: dict[str, int]) -> Fraction:
        return self.wallet + sum(
            self.size[k] * prices[k] - self.cost[k] for k in self.size
        )


@given(
    events=st.lists(EVENTS, max_size=40),
    isolated=st.booleans(),
    cash=st.integers(100, 100_000),
)
def test_equity_equals_the_exact_books_after_every_event(events, isolated, cash):
    a = MarginAccount(float(cash))
    for key in "XY":
        a.add_position(key, FLAT, leverage=10.0, isolated=isolated)
    exact = Exact(cash)
    prices = {"X": 100, "Y": 100}
    moved = Fraction(cash)
    for kind, key, number, price in events:
        prices[key] = price
        marks = {k: float(v) for k, v in prices.items()}
        position = a.positions[key]
        if kind == "fill" and number:
            fee = Fraction(abs(number) * price, 2000)
            a.fill(key, float(number), float(price), float(fee))
            exact.fill(key, number, price, fee)
            moved += abs(number) * price
        elif kind == "funding":
            rate = Fraction(number, 1000)
            cash_flow = -exact.size[key] * price * rate
            a.settle_funding(key, float(price), float(rate))
            exact.wallet += cash_flow
            moved += abs(cash_flow)
        elif kind == "interest":
            a.charge_interest(key, float(number))
            exact.wallet -= number
        elif kind == "deposit":
            a.deposit(float(number))
            exact.wallet += number
            moved += number
        elif kind == "liquidate" and position.size:
            held = exact.size[key]
            collateral = Fraction(position.margin)
            if not isolated:
                other = "Y" if key == "X" else "X"
                collateral = exact.wallet + (
                    exact.size[other] * prices[other] - exact.cost[other]
                )
            taken = a.liquidate(key, float(price), marks)
            fee = abs(held) * price * Fraction(1, 80)
            pnl = held * price - exact.cost[key]
            shortfall = max(Fraction(0), -(collateral + pnl - fee))
            exact.wallet += pnl - fee + shortfall
            exact.size[key] = exact.cost[key] = Fraction(0)
            moved += abs(pnl) + fee
            assert taken.shortfall == pytest.approx(float(shortfall), abs=1e-9 * float(moved))
            if not isolated:
                assert a.equity(marks) >= -1e-9 * float(moved)
        elif kind in ("leverage", "margin"):
            try:
                if kind == "leverage":
                    a.set_leverage(key, float(number), marks)
                else:
                    a.add_margin(key, float(number), marks)
            except SettingError:
                pass
        tolerance = 1e-9 * float(moved + 1)
        assert a.equity(marks) == pytest.approx(float(exact.equity(prices)), abs=tolerance)
        assert a.wallet == pytest.approx(a.deposits + a.costs.net(), abs=tolerance)
        for k in "XY":
            assert a.positions[k].size == pytest.approx(float(exact.size[k]), abs=1e-9)


@given(
    size=st.floats(0.001, 100.0),
    entry=st.floats(0.01, 100_000.0),
    leverage=st.floats(1.0, 100.0),
    side=st.sampled_from([1.0, -1.0]),
)
def test_isolated_liquidation_at_its_price_never_costs_more_than_the_margin(
    size, entry, leverage, side
):
    a = MarginAccount(1e9)
    a.add_position("X", FLAT, leverage=leverage, isolated=True)
    a.fill("X", side * size, entry, 0.0)
    margin = a.positions["X"].margin
    price = a.liquidation_price("X", {"X": entry})
    a.liquidate("X", price, {"X": price})
    # At 1x a long's price is near zero and its fee with it: a little of the margin is left then.
    assert 1e9 - a.wallet <= margin * (1.0 + 1e-6) + 1e-6
