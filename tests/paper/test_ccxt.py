"""The unmodified ccxt client, sync and async: every unified method that live trading needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from leverpack.paper.client import point_at
from tests.paper.stand import HOUR, START, SYMBOL, UNIFIED, Stand, serving, session, tape, walk

ccxt = pytest.importorskip("ccxt")
CONFIG = {"apiKey": "paper", "secret": "paper", "enableRateLimit": False}
FUNDING = [(8, 0.0001), (16, -0.0002), (24, 0.0003)]


@dataclass
class Asked:
    """A ccxt client whose methods are called the same way, sync or async."""

    stand: Stand
    client: Any
    run: Callable[[Any], Any]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.run(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def asked(request: Any) -> Iterator[Asked]:
    mark = [tuple(round(p * 1.0005, 1) for p in row) for row in walk(80)]
    held = session(tape(walk(80), mark=mark, funding=FUNDING), spread=0.0002)
    with serving(held) as stand:
        if request.param == "sync":
            yield Asked(stand, point_at(ccxt.binanceusdm(CONFIG), stand.url), lambda x: x)
            return
        import ccxt.async_support as async_ccxt

        loop = asyncio.new_event_loop()

        async def made() -> Any:
            return point_at(async_ccxt.binanceusdm(CONFIG), stand.url)

        client = loop.run_until_complete(made())
        yield Asked(stand, client, loop.run_until_complete)
        loop.run_until_complete(client.close())
        loop.close()


def books(asked: Asked) -> Any:
    return asked.stand.session.exchange.books


def test_markets_and_candles(asked: Asked):
    market = asked.load_markets()[UNIFIED]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["cost"]["min"] == 100.0
    asked.stand.step(30)
    played = asked.stand.session.exchange.tapes[SYMBOL]
    rows = asked.fetch_ohlcv(UNIFIED, "1h", limit=10)
    assert [row[0] for row in rows] == [START + i * HOUR for i in range(21, 31)]
    assert [row[4] for row in rows[:-1]] == played.candles.close[21:30].tolist()
    assert rows[-1][1:5] == [played.candles.open[30]] * 4  # the one that forms
    marks = asked.fetch_ohlcv(UNIFIED, "1h", limit=2, params={"price": "mark"})
    assert marks[0][3] == pytest.approx(played.mark_columns[2][29])
    longer = asked.fetch_ohlcv(UNIFIED, "4h", limit=3)
    assert longer[0][2] == played.candles.high[20:24].max()
    since = asked.fetch_ohlcv(UNIFIED, "1h", since=START + 5 * HOUR, limit=3)
    assert [row[0] for row in since] == [START + i * HOUR for i in (5, 6, 7)]
    assert asked.fetch_time() == START + 30 * HOUR


def test_prices_and_funding(asked: Asked):
    asked.stand.step(20)
    exchange = asked.stand.session.exchange
    ticker = asked.fetch_ticker(UNIFIED)
    assert ticker["last"] == exchange.last(SYMBOL)
    book = asked.fetch_order_book(UNIFIED, 5)
    assert book["bids"][0][0] < ticker["last"] < book["asks"][0][0]
    rate = asked.fetch_funding_rate(UNIFIED)
    assert (rate["fundingRate"], rate["fundingTimestamp"]) == (0.0003, START + 24 * HOUR)
    assert rate["markPrice"] == books(asked).marks[SYMBOL]
    past = asked.fetch_funding_rate_history(UNIFIED)
    assert [(r["timestamp"], r["fundingRate"]) for r in past] == [
        (START + at * HOUR, rate) for at, rate in FUNDING[:2]
    ]
    assert asked.fetch_trades(UNIFIED, limit=2)


def test_leverage_modes_and_tiers(asked: Asked):
    asked.set_leverage(12, UNIFIED)
    assert asked.fetch_leverage(UNIFIED)["longLeverage"] == 12
    assert asked.fetch_leverages([UNIFIED])[UNIFIED]["longLeverage"] == 12
    asked.set_margin_mode("isolated", UNIFIED)
    assert asked.fetch_margin_mode(UNIFIED)["marginMode"] == "isolated"
    asked.set_position_mode(True)
    assert asked.fetch_position_mode()["hedged"] is True
    asked.set_position_mode(False)
    position = books(asked).position(SYMBOL)
    assert (position.leverage, position.isolated) == (12.0, True)
    tiers = asked.fetch_leverage_tiers([UNIFIED])[UNIFIED]
    table = position.tiers
    assert tuple(t["maintenanceMarginRate"] for t in tiers) == table.mmrs
    assert tuple(t["maxLeverage"] for t in tiers) == table.max_leverages
    assert tuple(float(t["info"]["cum"]) for t in tiers) == table.cums


def test_a_round_trip_leaves_what_the_books_say(asked: Asked):
    asked.set_leverage(10, UNIFIED)
    asked.set_margin_mode("isolated", UNIFIED)
    order = asked.create_order(UNIFIED, "market", "buy", 0.05, None, {"clientOrderId": "in-1"})
    assert (order["status"], order["filled"]) == ("closed", 0.05)
    asked.stand.step(10)
    held, account = books(asked).position(SYMBOL), books(asked).account
    position = asked.fetch_positions([UNIFIED])[0]
    assert (position["side"], position["contracts"]) == ("long", 0.05)
    assert position["entryPrice"] == pytest.approx(held.entry)
    low, _ = books(asked).liquidation_range(SYMBOL)
    assert position["liquidationPrice"] == pytest.approx(low, abs=1e-8)
    marks = books(asked).marks
    assert position["unrealizedPnl"] == pytest.approx(held.unrealised(marks[SYMBOL]), abs=1e-8)
    balance = asked.fetch_balance()["USDT"]
    assert balance["total"] == pytest.approx(account.equity(marks), abs=1e-7)
    assert balance["free"] == pytest.approx(account.free_margin(marks), abs=1e-7)
    asked.add_margin(UNIFIED, 25.0)
    assert books(asked).position(SYMBOL).margin == pytest.approx(held.margin)
    asked.create_order(UNIFIED, "market", "sell", 0.05, None, {"reduceOnly": True})
    assert asked.fetch_positions([UNIFIED]) == []
    trades = asked.fetch_my_trades(UNIFIED)
    assert [t["side"] for t in trades] == ["buy", "sell"]
    costs = account.costs
    assert sum(t["fee"]["cost"] for t in trades) == pytest.approx(costs.fees, abs=1e-8)
    paid = asked.fetch_funding_history(UNIFIED)
    assert sum(p["amount"] for p in paid) == pytest.approx(costs.funding, abs=1e-8)
    assert asked.fetch_balance()["USDT"]["total"] == pytest.approx(account.wallet, abs=1e-8)


def test_a_limit_order_is_found_amended_and_cancelled(asked: Asked):
    price = asked.fetch_ticker(UNIFIED)["last"] * 0.97
    made = asked.create_order(UNIFIED, "limit", "buy", 0.01, price, {"clientOrderId": "rest-1"})
    assert (made["status"], made["type"]) == ("open", "limit")
    assert asked.fetch_order(made["id"], UNIFIED)["clientOrderId"] == "rest-1"
    by_name = asked.fetch_order(None, UNIFIED, {"clientOrderId": "rest-1"})
    assert by_name["id"] == made["id"]
    changed = asked.edit_order(made["id"], UNIFIED, "limit", "buy", 0.02, price * 0.99)
    assert (changed["id"], changed["amount"]) == (made["id"], 0.02)
    assert [o["id"] for o in asked.fetch_open_orders(UNIFIED)] == [made["id"]]
    assert asked.cancel_order(made["id"], UNIFIED)["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        asked.cancel_order(made["id"], UNIFIED)
    batch = [
        {"symbol": UNIFIED, "type": "limit", "side": "buy", "amount": 0.01, "price": price},
        {"symbol": UNIFIED, "type": "limit", "side": "buy", "amount": 0.001, "price": price / 2},
    ]
    assert sorted(o["status"] for o in asked.create_orders(batch)) == ["open", "rejected"]
    asked.cancel_all_orders(UNIFIED)
    assert asked.fetch_open_orders(UNIFIED) == []
    assert len(asked.fetch_orders(UNIFIED)) == 2


CONDITIONAL = [
    ("market", {"stopLossPrice": 0.95}, "STOP_MARKET"),
    ("market", {"takeProfitPrice": 1.05}, "TAKE_PROFIT_MARKET"),
    ("limit", {"stopLossPrice": 0.95}, "STOP"),
    ("limit", {"takeProfitPrice": 1.05}, "TAKE_PROFIT"),
    ("market", {"trailingPercent": 2.5}, "TRAILING_STOP_MARKET"),
    ("market", {"stopLossPrice": 0.9, "closePosition": True}, "STOP_MARKET"),
    ("market", {"stopLossPrice": 0.92, "workingType": "MARK_PRICE"}, "STOP_MARKET"),
]


@pytest.mark.parametrize(("kind", "extra", "wanted"), CONDITIONAL)
def test_every_conditional_order(asked: Asked, kind: str, extra: dict[str, Any], wanted: str):
    asked.create_order(UNIFIED, "market", "buy", 0.05)
    last = asked.fetch_ticker(UNIFIED)["last"]
    params = {k: last * v if k.endswith("Price") else v for k, v in extra.items()}
    if "closePosition" not in extra:
        params["reduceOnly"] = True
    price = last * 0.94 if kind == "limit" else None
    made = asked.create_order(UNIFIED, kind, "sell", 0.05, price, params)
    assert made["info"]["orderType"] == wanted
    listed = asked.fetch_open_orders(UNIFIED, params={"trigger": True})
    assert [o["id"] for o in listed] == [made["id"]]
    assert asked.fetch_order(made["id"], UNIFIED, {"trigger": True})["status"] == "open"
    asked.cancel_order(made["id"], UNIFIED, {"trigger": True})
    assert asked.fetch_open_orders(UNIFIED, params={"trigger": True}) == []
    assert not asked.stand.session.exchange.desk.algos.all_open()


def test_post_only_fok_ioc_and_reduce_only(asked: Asked):
    last = asked.fetch_ticker(UNIFIED)["last"]
    with pytest.raises(ccxt.OrderNotFillable):
        asked.create_order(UNIFIED, "limit", "buy", 0.01, last * 1.01, {"postOnly": True})
    with pytest.raises(ccxt.OrderNotFillable):
        asked.create_order(UNIFIED, "limit", "buy", 0.01, last * 0.99, {"timeInForce": "FOK"})
    lost = asked.create_order(UNIFIED, "limit", "buy", 0.01, last * 0.99, {"timeInForce": "IOC"})
    assert lost["status"] == "expired"
    with pytest.raises(ccxt.InvalidOrder, match="-2022"):
        asked.create_order(UNIFIED, "market", "sell", 0.05, None, {"reduceOnly": True})
    with pytest.raises(ccxt.InsufficientFunds):
        asked.create_order(UNIFIED, "market", "buy", 9.0)


def test_hedge_mode_holds_both_legs(asked: Asked):
    asked.set_position_mode(True)
    asked.create_order(UNIFIED, "market", "buy", 0.05, None, {"hedged": True})
    asked.create_order(UNIFIED, "market", "sell", 0.02, None, {"hedged": True})
    sides = {p["side"]: p["contracts"] for p in asked.fetch_positions([UNIFIED])}
    assert sides == {"long": 0.05, "short": 0.02}
    asked.create_order(UNIFIED, "market", "sell", 0.05, None, {"hedged": True, "reduceOnly": True})
    assert [p["side"] for p in asked.fetch_positions([UNIFIED])] == ["short"]


def test_the_countdown_cancels_everything(asked: Asked):
    price = asked.fetch_ticker(UNIFIED)["last"] * 0.9
    asked.create_order(UNIFIED, "limit", "buy", 0.01, price)
    asked.fapiPrivatePostCountdownCancelAll({"symbol": SYMBOL, "countdownTime": 2 * HOUR})
    asked.stand.step()
    assert len(asked.fetch_open_orders(UNIFIED)) == 1
    asked.stand.step()
    assert asked.fetch_open_orders(UNIFIED) == []
