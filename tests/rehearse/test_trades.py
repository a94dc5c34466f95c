"""Fills and funding to trades from flat to flat."""

from __future__ import annotations

import pytest

from leverpack.rehearse.trades import Fill, Payment, trades_of

HOUR = 3_600_000


def fill(hour: int, size: float, price: float, fee: float = 1.0, tag: str = "entry") -> Fill:
    return Fill(hour * HOUR, size, price, fee, tag)


def test_a_ladder_out_of_a_long():
    fills = [
        fill(1, 2.0, 100.0), fill(2, 1.0, 103.0), fill(4, -1.0, 110.0, tag="target"),
        fill(5, -2.0, 95.0, tag="stop"),
    ]  # fmt: skip
    (trade,) = trades_of(fills, [])
    assert (trade.side, trade.size, trade.entry_price) == ("long", 3.0, 101.0)
    assert trade.exit_price == pytest.approx(100.0)
    assert (trade.entry_candle, trade.exit_candle, trade.reason) == (HOUR, 5 * HOUR, "stop")
    assert trade.pnl == pytest.approx(9.0 - 12.0)
    assert (trade.fees, trade.net) == (4.0, pytest.approx(-7.0))


def test_a_turn_is_the_end_of_one_trade_and_the_start_of_the_next():
    long, short = trades_of([fill(1, 1.0, 100.0), fill(3, -3.0, 110.0, 3.0)], [])
    assert (long.pnl, long.fees, long.exit_candle) == (10.0, 2.0, 3 * HOUR)
    assert (short.side, short.size, short.fees) == ("short", 2.0, 2.0)
    assert (short.exit_candle, short.exit_price, short.reason) == (None, None, "open")


def test_funding_at_an_open_belongs_to_what_was_held_before_it():
    payments = [Payment(hour * HOUR, 10.0**hour) for hour in range(7)]
    fills = [
        fill(1, 1.0, 100.0), fill(3, -1.0, 100.0), fill(3, -1.0, 100.0), fill(5, 1.0, 100.0),
    ]  # fmt: skip
    one, other = trades_of(fills, payments)
    assert one.funding == 10.0**2 + 10.0**3
    assert other.funding == 10.0**4 + 10.0**5


def test_funding_of_an_open_trade_goes_on():
    (trade,) = trades_of([fill(1, 1.0, 100.0)], [Payment(2 * HOUR, -1.0), Payment(9 * HOUR, -2.0)])
    assert trade.funding == -3.0
