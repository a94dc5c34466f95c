"""What one candle does to what rests: data tables of candle, orders, expected fills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from leverpack.errors import DataError, SettingError
from leverpack.margin.tiers import TierBook, TierTable
from leverpack.paper.exchange import Exchange
from leverpack.paper.instrument import Instrument, instrument_for
from leverpack.paper.klines import bars
from leverpack.paper.orders import BOTH, LONG, SHORT, Algo, Order, PaperSettings
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape
from tests.paper.stand import HOUR, START, SYMBOL, Row, candles, session, tape

P = 100_000.0
QUIET: Row = (P, P + 100, P - 100, P)
FREE = TierBook([TierTable.flat(SYMBOL, 0.004, 125.0, 0.0125)])


def exchange(*rows: Row, **more: Any) -> Exchange:
    """Opens at P; the candles follow, then two quiet ones."""
    played = tape([*rows, QUIET, QUIET], mark=more.pop("mark", None),
                  funding=more.pop("funding", ()))  # fmt: skip
    return session(played, tiers=FREE, **{"isolated": True, "leverage": 10, **more}).exchange


def order(venue: Exchange, kind: str, side: int, units: int, price: float = 0.0,
          **more: Any) -> Order:  # fmt: skip
    made = Order(
        venue.desk.orders.new_id(), f"t{venue.desk.orders.next_id}", SYMBOL, side, kind, units,
        price, **more,
    )  # fmt: skip
    return venue.desk.place(made)


def algo(venue: Exchange, kind: str, side: int, units: int, trigger: float, **more: Any) -> Algo:
    made = Algo(
        venue.desk.algos.new_id(), f"a{venue.desk.algos.next_id}", SYMBOL, side, kind, units,
        trigger, **more,
    )  # fmt: skip
    return venue.desk.place_algo(made)


def fills(venue: Exchange) -> list[tuple[int, int, float]]:
    return [(t.sign, t.units, t.price) for t in venue.books.trades]


def test_a_market_order_fills_at_the_open_it_stands_at():
    venue = exchange((P, P + 500, P - 500, P + 200), (P + 300, P + 400, P, P))
    venue.step()
    order(venue, "MARKET", 1, 10)
    assert fills(venue) == [(1, 10, P + 300)]
    assert venue.books.trades[0].time == venue.now == START + HOUR


# Long 10 at P with a stop at P - 1000 and a target at P + 1000; then this candle.
CANDLES = [
    ((P, P + 1_500, P - 500, P + 200), [P + 1_000], "target"),
    ((P, P + 500, P - 1_500, P), [P - 1_000], "stop"),
    ((P, P + 1_500, P - 1_500, P), [P - 1_000], "both: the stop counts"),
    ((P + 2_000, P + 2_100, P + 1_900, P + 2_000), [P + 2_000], "a gap fills at the open"),
    ((P - 2_000, P - 1_900, P - 2_100, P - 2_000), [P - 2_000], "a gap through the stop"),
    ((P, P + 900, P - 900, P), [], "neither"),
]


@pytest.mark.parametrize(("candle", "wanted", "why"), CANDLES)
def test_stop_and_target(candle: Row, wanted: list[float], why: str):
    venue = exchange(QUIET, candle)
    order(venue, "MARKET", 1, 10)
    algo(venue, "STOP_MARKET", -1, 10, P - 1_000, reduce_only=True)
    order(venue, "LIMIT", -1, 10, P + 1_000, reduce_only=True)
    venue.step(2)
    assert [price for _, _, price in fills(venue)[1:]] == wanted, why
    if wanted:
        assert venue.books.units(SYMBOL) == 0
        assert not venue.desk.orders.all_open()


def test_a_touched_limit_is_maker_and_a_crossing_one_taker():
    venue = exchange((P, P + 500, P - 500, P))
    order(venue, "LIMIT", 1, 10, P - 300)
    order(venue, "LIMIT", 1, 10, P + 300)
    venue.step()
    assert [(t.price, t.maker) for t in venue.books.trades] == [(P, False), (P - 300, True)]
    assert venue.books.trades[1].fee == pytest.approx(0.01 * (P - 300) * 0.0002)


def test_liquidation_on_the_mark_not_on_the_trades():
    wick = (P, P + 100, P - 20_000, P)
    calm = [QUIET] * 4
    saved = exchange(QUIET, wick, mark=calm)
    order(saved, "MARKET", 1, 50)
    saved.step(3)
    assert saved.books.units(SYMBOL) == 50
    caught = exchange(QUIET, wick)
    order(caught, "MARKET", 1, 50)
    price = caught.books.liquidation_range(SYMBOL)[0]
    stop = algo(caught, "STOP_MARKET", -1, 50, P - 15_000, reduce_only=True)
    caught.step(3)
    assert fills(caught)[1:] == [(-1, 50, pytest.approx(price))]
    assert stop.status == "EXPIRED"
    assert caught.books.account.wallet >= 0.0
    assert [i.kind for i in caught.books.incomes][-2:] == ["REALIZED_PNL", "INSURANCE_CLEAR"]


def test_a_stop_above_the_liquidation_price_saves_the_position():
    venue = exchange(QUIET, (P, P + 100, P - 20_000, P))
    order(venue, "MARKET", 1, 50)
    algo(venue, "STOP_MARKET", -1, 50, P - 5_000, reduce_only=True)
    venue.step(3)
    assert fills(venue)[1:] == [(-1, 50, P - 5_000)]
    assert not venue.forced


def test_a_mark_that_opens_beyond_liquidation_fills_at_that_open():
    gap = (P - 30_000, P - 29_000, P - 31_000, P - 30_000)
    venue = exchange(QUIET, gap)
    order(venue, "MARKET", 1, 50)
    venue.step(3)
    taken = venue.forced[0]
    assert fills(venue)[1] == (-1, 50, P - 30_000)
    assert taken.shortfall > 0.0
    assert venue.books.account.wallet == pytest.approx(10_000 - 50 * P / 1000 / 10 - 2.5)


def test_a_mark_trigger_waits_for_the_mark():
    venue = exchange(QUIET, (P, P + 100, P - 2_000, P), mark=[QUIET] * 4)
    order(venue, "MARKET", 1, 10)
    waiting = algo(venue, "STOP_MARKET", -1, 10, P - 1_000, working="MARK_PRICE")
    venue.step(3)
    assert waiting.live
    marks = [QUIET, (P, P + 100, P - 1_000, P), QUIET, QUIET]
    venue = exchange(QUIET, (P, P + 100, P - 2_000, P), mark=marks)
    order(venue, "MARKET", 1, 10)
    fired = algo(venue, "STOP_MARKET", -1, 10, P - 450, working="MARK_PRICE")
    venue.step(2)
    assert fired.status == "FINISHED"
    # Half of the mark's way down is half of the trades' way down.
    assert fills(venue)[1][2] == pytest.approx(P - 2_000 + 550 / 1_100 * 2_100)


def test_a_trailing_stop_follows_and_falls_back():
    venue = exchange(QUIET, (P, P + 4_000, P, P + 3_900), (P + 3_900, P + 3_900, P + 1_000, P))
    order(venue, "MARKET", 1, 10)
    trailing = algo(venue, "TRAILING_STOP_MARKET", -1, 10, 0.0, callback=0.02, reduce_only=True)
    venue.step(2)
    assert trailing.extreme == P + 4_000
    venue.step()
    assert fills(venue)[1] == (-1, 10, pytest.approx((P + 4_000) * 0.98))


def test_a_trailing_stop_waits_for_its_activation():
    venue = exchange(QUIET, (P, P + 400, P - 3_000, P), (P, P + 1_000, P, P + 900))
    order(venue, "MARKET", 1, 10)
    trailing = algo(venue, "TRAILING_STOP_MARKET", -1, 10, 0.0, callback=0.02, activation=P + 500)
    venue.step(2)
    assert trailing.live
    assert not trailing.extreme
    venue.step()
    assert trailing.extreme == P + 1_000


def test_a_stop_limit_rests_at_its_limit_after_the_trigger():
    venue = exchange(QUIET, (P, P + 1_500, P, P + 1_400), (P + 1_400, P + 1_500, P + 800, P + 900))
    waiting = algo(venue, "STOP", 1, 10, P + 1_000, price=P + 900)
    venue.step(2)
    child = venue.desk.orders.all[waiting.order_id]
    assert (waiting.status, child.status, child.price) == ("TRIGGERED", "NEW", P + 900)
    venue.step()
    assert (waiting.status, fills(venue)) == ("FINISHED", [(1, 10, P + 900)])


def test_close_position_takes_all_there_is_and_nothing_when_flat():
    venue = exchange(QUIET, (P, P + 100, P - 2_000, P))
    order(venue, "MARKET", 1, 10)
    closing = algo(venue, "STOP_MARKET", -1, 0, P - 1_000, close_position=True)
    order(venue, "MARKET", 1, 7)
    venue.step(2)
    assert fills(venue)[2:] == [(-1, 17, P - 1_000)]
    assert closing.status == "FINISHED"
    late = algo(venue, "STOP_MARKET", -1, 0, P - 50, close_position=True)
    venue.step()
    assert (late.status, venue.books.units(SYMBOL)) == ("EXPIRED", 0)


def test_a_reduce_only_order_never_opens():
    venue = exchange(QUIET, (P, P + 1_000, P, P))
    order(venue, "MARKET", 1, 10)
    resting = order(venue, "LIMIT", -1, 25, P + 500, reduce_only=True)
    venue.step(2)
    assert (resting.filled, resting.status) == (10, "EXPIRED")
    assert venue.books.units(SYMBOL) == 0
    with pytest.raises(Refusal, match="-2022"):
        order(venue, "MARKET", -1, 5, reduce_only=True)


def test_funding_at_the_open_before_orders_and_once():
    venue = exchange(QUIET, QUIET, QUIET, funding=[(2, 0.001), (3, -0.002)])
    order(venue, "MARKET", 1, 50)
    venue.step(3)
    paid = [(i.time, i.amount) for i in venue.books.incomes if i.kind == "FUNDING_FEE"]
    assert paid == [
        (START + 2 * HOUR, pytest.approx(-0.05 * P * 0.001)),
        (START + 3 * HOUR, pytest.approx(0.05 * P * 0.002)),
    ]


def test_hedge_mode_shares_one_cross_wallet():
    fall = (P, P, P - 60_000, P - 50_000)
    venue = exchange(QUIET, fall, hedged=True, isolated=False, leverage=20)
    order(venue, "MARKET", 1, 900, position_side=LONG)
    order(venue, "MARKET", -1, 800, position_side=SHORT)
    lower, upper = venue.books.liquidation_range(f"{SYMBOL}:LONG")
    assert (lower, upper) == venue.books.liquidation_range(f"{SYMBOL}:SHORT")
    # Of 0.1 BTC net, 10,000 of wallet bear a fall of nearly the whole price.
    assert lower < P - 60_000
    venue.step(2)
    assert not venue.forced
    assert venue.books.units(f"{SYMBOL}:LONG") == 900
    with pytest.raises(Refusal, match="-4061"):
        order(venue, "MARKET", 1, 1, position_side=BOTH)


def test_depth_makes_partial_fills_and_a_thin_book_ends():
    venue = exchange(QUIET, QUIET, depth=0.0001, spread=0.0002, leverage=100)
    taken = order(venue, "MARKET", 1, 300)  # 0.1 of 1000 coins' volume is 100 steps
    assert taken.status == "EXPIRED"
    assert taken.filled <= 100
    prices = [price for _, _, price in fills(venue)]
    assert len(prices) > 3
    assert prices == sorted(prices)
    again = order(venue, "MARKET", 1, 10)
    assert taken.filled + again.filled <= 100  # what was taken is gone until the price moves
    venue.step()
    assert order(venue, "MARKET", 1, 10).filled == 10


def test_a_resting_order_gets_its_share_of_the_volume():
    rows = [QUIET, (P, P, P - 1_000, P - 900), (P - 900, P, P - 1_000, P), QUIET]
    venue = exchange(*rows, depth=0.00005, leverage=100)
    resting = order(venue, "LIMIT", 1, 80, P - 500)
    venue.step(2)
    assert (resting.filled, resting.status) == (50, "PARTIALLY_FILLED")
    venue.step()
    assert (resting.filled, resting.status) == (80, "FILLED")


def test_slippage_is_against_the_taker():
    venue = exchange(QUIET, slippage=0.001)
    order(venue, "MARKET", 1, 10)
    order(venue, "MARKET", -1, 10)
    assert fills(venue) == [(1, 10, P + 100), (-1, 10, P - 100)]


def test_a_margin_call_comes_once_an_episode():
    rows = [(P, P, P, P), (P, P, P - 8_700, P - 8_700), (P - 8_700, P, P - 8_700, P)]
    venue = exchange(*rows, (P, P, P - 8_700, P - 8_700), leverage=10)
    calls: list[Any] = []
    venue.listeners.append(lambda e: calls.append(e) if e.kind == "call" else None)
    venue.change_tiers(TierTable.flat(SYMBOL, 0.012, 125.0, 0.0125))
    order(venue, "MARKET", 1, 100)
    venue.step(2)
    assert len(calls) == 1
    venue.step(2)
    assert len(calls) == 2


def test_open_orders_reserve_margin():
    venue = exchange(QUIET)
    free = venue.available()
    order(venue, "LIMIT", 1, 100, P - 1_000)
    assert venue.available() == pytest.approx(free - 0.1 * (P - 1_000) / 10)
    order(venue, "LIMIT", -1, 50, P + 1_000)  # the smaller side reserves nothing beside it
    assert venue.available() == pytest.approx(free - 0.1 * (P - 1_000) / 10)
    with pytest.raises(Refusal, match="-2019"):
        order(venue, "LIMIT", 1, 950, P - 1_000)


def test_real_time_and_lock_step_meet_at_every_close():
    rows = [(P, P + 900, P - 700, P + 300), (P + 300, P + 400, P - 900, P - 800)]
    stepped, flowing = exchange(*rows), exchange(*rows)
    for venue in (stepped, flowing):
        order(venue, "MARKET", 1, 10)
        order(venue, "LIMIT", -1, 10, P + 800, reduce_only=True)
        algo(venue, "STOP_MARKET", 1, 10, P + 350)
    stepped.step(2)
    for moment in range(START, START + 2 * HOUR + 1, HOUR // 7):
        flowing.advance(moment)
        flowing.books.check()
    flowing.advance(START + 2 * HOUR)
    assert flowing.now == stepped.now
    assert {f[2] for f in fills(flowing)} == {f[2] for f in fills(stepped)} == {P, P + 800, P + 350}


def test_amending_keeps_the_id_and_moves_the_order():
    venue = exchange((P, P + 100, P - 600, P))
    made = order(venue, "LIMIT", 1, 10, P - 900)
    venue.desk.amend(made, 20, P - 500)
    assert (made.units, made.price, made.changes) == (20, P - 500, 1)
    with pytest.raises(Refusal, match="-5027"):
        venue.desk.amend(made, 20, P - 500)
    with pytest.raises(Refusal, match="-2019"):
        venue.desk.amend(made, 5_000, P - 500)
    venue.step()
    assert fills(venue) == [(1, 20, P - 500)]


def test_the_replay_may_start_with_a_history():
    trades = candles([QUIET] * 30)
    played = Tape(instrument_for(trades), trades, None, None, START + 20 * HOUR)
    venue = session(played).exchange
    assert (venue.now, played.at) == (START + 20 * HOUR, 20)
    assert len(bars(played, HOUR, limit=500)) == 21
    with pytest.raises(DataError, match="after the last candle"):
        Tape(instrument_for(trades), trades, None, None, START + 30 * HOUR)


def two(first: list[Row], second: list[Row], **more: Any) -> Exchange:
    """Two contracts with one cross wallet."""
    other = Instrument("ETHUSDT", "ETH", "USDT", Decimal("0.1"), Decimal("0.001"), Decimal(20))
    tapes = [tape(first), tape(second, instrument=other, symbol="ETHUSDT")]
    free = TierBook([TierTable.flat(s, 0.005, 125.0, 0.0) for s in (SYMBOL, "ETHUSDT")])
    return Exchange(PaperSettings(deposit=10_000.0, leverage=50, **more), tapes, free)


def place(venue: Exchange, symbol: str, side: int, units: int) -> None:
    number = venue.desk.orders.new_id()
    venue.desk.place(Order(number, f"t{number}", symbol, side, "MARKET", units))


def test_two_contracts_that_fall_together_bring_the_cross_account_down():
    still = [(P, P, P, P)] * 4
    fall = [(P, P, P, P), (P, P, P - 6_000, P), (P, P, P, P), (P, P, P, P)]
    alone = two(fall, still)
    for symbol in (SYMBOL, "ETHUSDT"):
        place(alone, symbol, 1, 1_000)
    alone.step(3)
    assert not alone.forced  # 6,000 of 10,000 lost, 1,000 of maintenance margin
    together = two(fall, fall)
    for symbol in (SYMBOL, "ETHUSDT"):
        place(together, symbol, 1, 1_000)
    together.step(3)
    assert together.forced
    together.books.check()
    hedged = two(fall, fall)
    place(hedged, SYMBOL, 1, 1_000)
    place(hedged, "ETHUSDT", -1, 1_000)
    hedged.step(3)
    assert not hedged.forced


def test_the_legs_of_a_hedge_are_liquidated_at_their_common_price():
    fall = (P - 20_000, P - 20_000, P - 40_000, P - 35_000)
    venue = exchange(QUIET, fall, hedged=True, isolated=False, leverage=100)
    order(venue, "MARKET", 1, 500, position_side=LONG)
    order(venue, "MARKET", -1, 100, position_side=SHORT)
    lower, _ = venue.books.liquidation_range(f"{SYMBOL}:LONG")
    venue.step(2)
    # The long leg takes what the account is worth, the short leg's profit included.
    assert [f.order.position_side for f in venue.forced] == [LONG, SHORT]
    assert [t.price for t in venue.books.trades][2:] == pytest.approx([lower, lower])
    assert venue.forced[0].shortfall > 0.0
    assert venue.books.account.wallet >= 0.0


def test_a_resting_order_fills_in_small_stretches_too():
    venue = exchange((P, P, P - 1_000, P - 1_000), depth=0.00001, leverage=100)  # 10 steps a candle
    resting = order(venue, "LIMIT", 1, 8, P - 1)
    for moment in range(START, START + HOUR, HOUR // 600):
        venue.advance(moment)
    assert 5 <= resting.filled <= 8


MISFITS = [
    ([], "candles of one symbol"),
    ([tape([QUIET] * 3), tape([QUIET] * 3, step=60_000, symbol="ETHUSDT")], "one length"),
    ([tape([QUIET] * 3), tape([QUIET] * 3, symbol="ETHUSDC")], "one quote currency"),
]


@pytest.mark.parametrize(("tapes", "words"), MISFITS)
def test_contracts_that_do_not_fit_together(tapes: list[Tape], words: str):
    with pytest.raises(SettingError, match=words):
        Exchange(PaperSettings(), tapes)


GRIDS = [
    ("BTCUSDT", 100_000.0, "0.10", "0.001"), ("DOGE/USDT:USDT", 0.12345, "0.00001", "1"),
    ("BNBUSDT", 612.3, "0.1", "0.01"), ("XYZUSDC", 4.0, "1", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("symbol", "price", "tick", "step"), GRIDS)
def test_the_grid_of_a_contract(symbol: str, price: float, tick: str, step: str):
    found = instrument_for(candles([(price,) * 4] * 3), symbol=symbol)
    assert (str(found.tick), str(found.step)) == (tick, step)
    own = instrument_for(candles([(price,) * 4] * 3), symbol=symbol, tick="0.5", step="0.25")
    assert (own.down_to_tick(1.3), own.up_to_tick(1.3), own.qty_text(3)) == (1.0, 1.5, "0.75")
    with pytest.raises(SettingError, match="tick"):
        instrument_for(candles([(price,) * 4] * 3), symbol=symbol, tick="-1")


def test_a_book_too_far_from_the_mark_takes_no_market_order():
    venue = exchange(QUIET, spread=0.12)
    with pytest.raises(Refusal, match="-4131"):
        order(venue, "MARKET", 1, 10)


def test_orders_until_a_date_end_at_it():
    venue = exchange(QUIET, QUIET)
    resting = order(venue, "LIMIT", 1, 10, P - 4_000, tif="GTD", good_till=START + HOUR)
    waiting = algo(venue, "STOP", 1, 10, P + 4_000, price=P + 4_000, good_till=START + 2 * HOUR)
    venue.step()
    assert (resting.status, waiting.status) == ("EXPIRED", "NEW")
    venue.step()
    assert waiting.status == "EXPIRED"


def test_a_fill_without_margin_ends_the_order_and_not_the_books():
    venue = exchange(QUIET, (P, P, P - 4_500, P - 4_400), isolated=False, leverage=20)
    resting = order(venue, "LIMIT", 1, 1_500, P - 4_000)
    venue.books.deposit(-5_000.0, venue.now)
    venue.step(2)
    assert (resting.status, resting.reason) == ("EXPIRED", "Margin is insufficient.")
    assert venue.books.units(SYMBOL) == 0
    venue.books.check()
