"""Candles of longer intervals out of the tape, and orders that history forgets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from leverpack.candles.timeframes import DAY_MS, WEEK_MS
from leverpack.paper import store
from leverpack.paper.klines import INTERVALS, bars, interval_ms, last_day
from leverpack.paper.orders import Order
from leverpack.paper.refusal import Refusal
from tests.paper.stand import HOUR, START, serving, session, tape, walk


def played(count: int, upto: int):
    made = tape(walk(count))
    for _ in range(upto + 1):
        made.open_next()
        made.play(1.0)
    return made


def day_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_weeks_start_on_monday_and_months_on_their_first_day():
    made = played(60 * 24, 59 * 24 - 1)  # all of January and February 2025
    weeks = bars(made, WEEK_MS, limit=100)
    assert {day_of(w.start).weekday() for w in weeks} == {0}
    assert day_of(weeks[1].start) == datetime(2025, 1, 6, tzinfo=UTC)
    assert weeks[1].open == made.candles.open[5 * 24]
    assert weeks[1].high == made.candles.high[5 * 24 : 12 * 24].max()
    months = bars(made, INTERVALS["1M"], limit=100)
    assert [(day_of(m.start), day_of(m.end)) for m in months] == [
        (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)),
        (datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)),
    ]
    assert months[0].low == made.candles.low[: 31 * 24].min()


def test_bounds_and_limits():
    made = played(100, 80)
    day = bars(made, DAY_MS, limit=2)
    assert [b.start for b in day] == [START + 2 * DAY_MS, START + 3 * DAY_MS]
    assert day[-1].close == made.candles.close[80]
    first = bars(made, HOUR, start=START + 5 * HOUR, limit=3)
    assert [b.start for b in first] == [START + i * HOUR for i in (5, 6, 7)]
    within = bars(made, HOUR, start=START + 5 * HOUR, end=START + 6 * HOUR, limit=500)
    assert [b.start for b in within] == [START + i * HOUR for i in (5, 6)]
    upto = bars(made, HOUR, end=START + 3 * HOUR, limit=2)
    assert [b.start for b in upto] == [START + i * HOUR for i in (2, 3)]
    assert bars(made, HOUR, end=START - 1, limit=5) == []
    assert bars(made, HOUR, start=START + 500 * HOUR, limit=5) == []
    assert last_day(made).high == made.candles.high[57:81].max()
    with pytest.raises(Refusal, match="-1120"):
        interval_ms("30m", made)


def test_the_forming_candle_is_what_has_been_played():
    made = tape([(100.0, 110.0, 95.0, 105.0)] * 2)
    made.open_next()
    made.play(1 / 3)
    bar = bars(made, HOUR, limit=1)[0]
    assert (bar.open, bar.high, bar.low, bar.close) == (100.0, 100.0, 95.0, 95.0)
    made.play(1.0)
    bar = bars(made, HOUR, limit=1)[0]
    assert (bar.high, bar.low, bar.close, bar.volume) == (110.0, 95.0, 105.0, 1_000.0)


def test_old_orders_are_forgotten_and_open_ones_never(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "KEPT", 5)
    kept: store.Store[Order] = store.Store(1)
    resting = Order(kept.new_id(), "rests", "BTCUSDT", 1, "LIMIT", 1, 1.0)
    kept.add(resting)
    for i in range(20):
        order = Order(kept.new_id(), f"c{i}", "BTCUSDT", 1, "MARKET", 1)
        kept.add(order)
        order.status = "FILLED"
        kept.close(order)
    assert len(kept.all) == 5
    assert kept.find("BTCUSDT", None, "rests") is resting
    assert kept.find("BTCUSDT", None, "c19") is kept.all[21]
    assert kept.find("BTCUSDT", None, "c0") is None
    assert kept.find_any(None, "c19") is kept.all[21]
    assert kept.find("ETHUSDT", 1, None) is None


def test_two_amendments_in_one_request():
    with serving(session(walk(10))) as stand:
        last = stand.session.exchange.last("BTCUSDT")
        side = {"symbol": "BTCUSDT", "side": "BUY"}
        for name in ("one", "two"):
            stand.signed(
                "POST", "order", **side, type="LIMIT", quantity="0.01", timeInForce="GTC",
                price=f"{last * 0.97:.1f}", newClientOrderId=name,
            )  # fmt: skip
        rows = [
            f'{{"symbol":"BTCUSDT","side":"BUY","origClientOrderId":"{name}","quantity":"0.02",'
            f'"price":"{last * 0.96:.1f}"}}'
            for name in ("one", "three")
        ]
        found = stand.signed("PUT", "batchOrders", batchOrders=f"[{','.join(rows)}]").body
        assert [r.get("origQty", r.get("code")) for r in found] == ["0.020", -2013]
        gone = stand.signed(
            "DELETE", "batchOrders", symbol="BTCUSDT", origClientOrderIdList='["one","two","six"]'
        ).body
        assert [r.get("status", r.get("code")) for r in gone] == ["CANCELED", "CANCELED", -2011]
        checked = stand.signed("POST", "order/test", **side, type="MARKET", quantity="0.01").body
        assert checked["status"] == "NEW"
        assert not stand.session.exchange.books.trades
