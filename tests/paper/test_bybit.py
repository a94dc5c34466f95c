"""The second protocol, Bybit v5 linear, on the same engine: unmodified ccxt beside the books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leverpack.errors import SettingError
from leverpack.margin.profiles import BYBIT
from leverpack.paper.client import point_at
from tests.paper.stand import HOUR, START, SYMBOL, UNIFIED, Stand, serving, session, tape, walk

ccxt = pytest.importorskip("ccxt")
FUNDING = [(8, 0.0001), (16, -0.0002), (24, 0.0003)]


@pytest.fixture
def stand() -> Iterator[Stand]:
    settings = {"venue": "bybit", "maker": BYBIT.maker, "taker": BYBIT.taker, "leverage": 10}
    with serving(session(tape(walk(60), funding=FUNDING), spread=0.0002, **settings)) as running:
        yield running


@pytest.fixture
def client(stand: Stand) -> Any:
    made = ccxt.bybit({"apiKey": "paper", "secret": "paper", "enableRateLimit": False})
    return point_at(made, stand.url)


def test_market_data(stand: Stand, client: Any):
    market = client.load_markets()[UNIFIED]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    stand.step(20)
    played = stand.session.exchange.tapes[SYMBOL]
    rows = client.fetch_ohlcv(UNIFIED, "1h", limit=5)
    assert [row[0] for row in rows] == [START + i * HOUR for i in range(16, 21)]
    assert rows[0][4] == played.candles.close[16]
    assert client.fetch_ohlcv(UNIFIED, "1h", limit=2, params={"price": "mark"})
    rate = client.fetch_funding_rate(UNIFIED)
    assert (rate["fundingRate"], rate["fundingTimestamp"]) == (0.0003, START + 24 * HOUR)
    past = client.fetch_funding_rate_history(UNIFIED)
    assert [r["fundingRate"] for r in past] == [0.0001, -0.0002]
    book = client.fetch_order_book(UNIFIED, 5)
    last = client.fetch_ticker(UNIFIED)["last"]
    assert book["bids"][0][0] < last < book["asks"][0][0]
    tiers = client.fetch_market_leverage_tiers(UNIFIED)
    assert tiers[0]["maxLeverage"] == 100.0  # what the profile caps
    assert tiers[1]["maintenanceMarginRate"] == 0.005


def test_a_round_trip_by_bybits_own_rule(stand: Stand, client: Any):
    client.set_margin_mode("isolated")
    client.set_leverage(7, UNIFIED)
    with pytest.raises(ccxt.ExchangeError, match="110043"):
        client.set_leverage(7, UNIFIED)
    made = client.create_order(UNIFIED, "market", "buy", 0.05)
    found = client.fetch_order(made["id"], UNIFIED, {"acknowledged": True})
    assert (found["status"], found["filled"]) == ("closed", 0.05)
    books = stand.session.exchange.books
    held = client.fetch_positions([UNIFIED])[0]
    position = books.position(SYMBOL)
    assert (held["side"], held["contracts"], held["leverage"]) == ("long", 0.05, 7.0)
    # Bybit values the maintenance margin at the entry.
    entry, rate = position.entry, position.tiers.mmr(0.05 * position.entry)
    assert held["liquidationPrice"] == pytest.approx(entry * (1 - 1 / 7 + rate), rel=1e-6)
    stand.step(10)
    client.create_order(UNIFIED, "market", "sell", 0.05, None, {"reduceOnly": True})
    trades = client.fetch_my_trades(UNIFIED)
    costs = books.account.costs
    assert sum(t["fee"]["cost"] for t in trades if t["order"]) == pytest.approx(costs.fees)
    total = client.fetch_balance()["USDT"]["total"]
    assert total == pytest.approx(books.account.wallet, abs=1e-7)
    assert costs.funding
    assert [p for p in client.fetch_positions([UNIFIED]) if p["contracts"]] == []


def test_resting_and_conditional_orders(stand: Stand, client: Any):
    last = client.fetch_ticker(UNIFIED)["last"]
    made = client.create_order(
        UNIFIED, "limit", "buy", 0.01, last * 0.97, {"clientOrderId": "mine-1"}
    )
    changed = client.edit_order(made["id"], UNIFIED, "limit", "buy", 0.02, last * 0.96)
    assert changed["id"] == made["id"]
    listed = client.fetch_open_orders(UNIFIED)
    assert [(o["id"], o["clientOrderId"], o["amount"]) for o in listed] == [
        (made["id"], "mine-1", 0.02)
    ]
    assert client.cancel_order(made["id"], UNIFIED)["id"] == made["id"]
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(made["id"], UNIFIED)
    client.create_order(UNIFIED, "market", "buy", 0.05)
    stop = client.create_order(
        UNIFIED, "market", "sell", 0.05, None, {"stopLossPrice": last * 0.9, "reduceOnly": True}
    )
    target = client.create_order(
        UNIFIED, "market", "sell", 0.05, None, {"takeProfitPrice": last * 1.1, "reduceOnly": True}
    )
    waiting = client.fetch_open_orders(UNIFIED, params={"trigger": True})
    assert {o["id"] for o in waiting} == {stop["id"], target["id"]}
    kinds = {str(a.id): a.kind for a in stand.session.exchange.desk.algos.all_open()}
    assert kinds == {stop["id"]: "STOP_MARKET", target["id"]: "TAKE_PROFIT_MARKET"}
    client.cancel_all_orders(UNIFIED, {"trigger": True})
    assert client.fetch_open_orders(UNIFIED, params={"trigger": True}) == []


def test_a_triggered_stop_keeps_its_id():
    price = 100_000.0
    rows = [(price,) * 4, (price, price, price - 2_000, price - 1_500), (price,) * 4]
    with serving(session(tape(rows), venue="bybit", leverage=10)) as stand:
        client = point_at(ccxt.bybit({"apiKey": "paper", "secret": "paper"}), stand.url)
        client.create_order(UNIFIED, "market", "buy", 0.05)
        stop = client.create_order(
            UNIFIED, "market", "sell", 0.05, None, {"stopLossPrice": 99_000, "reduceOnly": True}
        )
        stand.step(2)
        found = client.fetch_order(stop["id"], UNIFIED, {"acknowledged": True})
        assert (found["id"], found["status"], found["average"]) == (stop["id"], "closed", 99_000.0)
        assert client.fetch_my_trades(UNIFIED)[-1]["order"] == stop["id"]


def test_refusals_come_in_bybits_numbers(stand: Stand, client: Any):
    last = client.fetch_ticker(UNIFIED)["last"]
    with pytest.raises(ccxt.InsufficientFunds, match="110007"):
        client.create_order(UNIFIED, "market", "buy", 9.0)
    with pytest.raises(ccxt.ExchangeError, match="110094"):
        client.create_order(UNIFIED, "limit", "buy", 0.001, 98_000)
    with pytest.raises(ccxt.ExchangeError, match="110017"):
        client.create_order(UNIFIED, "market", "buy", 0.01, None, {"reduceOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="110013"):
        client.set_leverage(101, UNIFIED)
    kept = client.create_order(UNIFIED, "limit", "buy", 0.01, last * 1.01, {"postOnly": True})
    found = client.fetch_order(kept["id"], UNIFIED, {"acknowledged": True})
    assert (found["status"], found["filled"]) == ("canceled", 0.0)
    wrong = point_at(ccxt.bybit({"apiKey": "paper", "secret": "other"}), stand.url)
    with pytest.raises(ccxt.AuthenticationError, match="10004"):
        wrong.fetch_positions([UNIFIED])
    stand.admin("POST", "faults", kind="rate_limit", path="/v5/*")
    with pytest.raises(ccxt.RateLimitExceeded):
        client.fetch_ticker(UNIFIED)
    assert stand.raw("GET", "/v5/market/nothing").status == 404
    assert stand.raw("POST", "/v5/order/create", b"[").body["retCode"] == 10003


def test_an_unknown_venue_is_refused():
    with pytest.raises(SettingError, match="venue must be one of"):
        session(walk(5), venue="nowhere")


def test_hedge_mode_margin_and_history(stand: Stand, client: Any):
    client.set_position_mode(True, UNIFIED)
    client.set_margin_mode("isolated")
    client.create_order(UNIFIED, "market", "buy", 0.05, None, {"positionIdx": 1})
    client.create_order(UNIFIED, "market", "sell", 0.02, None, {"positionIdx": 2})
    held = {p["side"]: p["contracts"] for p in client.fetch_positions([UNIFIED])}
    assert held == {"long": 0.05, "short": 0.02}
    books = stand.session.exchange.books
    before = books.position(f"{SYMBOL}:LONG").margin
    margin = {"category": "linear", "symbol": SYMBOL, "margin": "25", "positionIdx": 1}
    client.privatePostV5PositionAddMargin(margin)
    assert books.position(f"{SYMBOL}:LONG").margin == pytest.approx(before + 25.0)
    assert client.fetch_trading_fee(UNIFIED)["taker"] == BYBIT.taker
    ended = client.fetch_closed_orders(UNIFIED)
    assert {(o["side"], o["filled"]) for o in ended} == {("buy", 0.05), ("sell", 0.02)}


def test_a_waiting_order_is_amended_and_a_leverage_stays(stand: Stand, client: Any):
    last = client.fetch_ticker(UNIFIED)["last"]
    client.create_order(UNIFIED, "market", "buy", 0.05)
    stop = client.create_order(
        UNIFIED, "market", "sell", 0.05, None, {"stopLossPrice": last * 0.9, "reduceOnly": True}
    )
    client.edit_order(
        stop["id"], UNIFIED, "market", "sell", 0.04, None, {"triggerPrice": last * 0.92}
    )
    algo = stand.session.exchange.desk.algos.all_open()[0]
    assert (algo.units, algo.trigger) == (40, pytest.approx(last * 0.92, abs=0.1))
    client.cancel_all_orders(UNIFIED)
    assert stand.session.exchange.desk.orders.all_open() == []
    stand.admin("POST", "faults", kind="leverage_stays")
    client.set_leverage(20, UNIFIED)
    assert client.fetch_positions([UNIFIED])[0]["leverage"] == 10.0
    assert client.fetch_trades(UNIFIED, limit=3) is not None
    with pytest.raises(ccxt.ExchangeError, match="110025"):
        client.set_position_mode(False, UNIFIED)
