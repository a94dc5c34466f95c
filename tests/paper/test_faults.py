"""Faults on demand: what the client sees, and what the books hold."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leverpack.errors import DataError, SettingError
from leverpack.paper.faults import EVENT_KINDS, LINE_KINDS, Fault, Faults, read_faults
from leverpack.paper.orders import PaperSettings
from tests.paper.stand import SYMBOL, Stand, serving, session, walk

BUY = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
ORDERS = {"method": "POST", "path": "/fapi/v1/order"}
LOST = (urllib.error.URLError, http.client.HTTPException, ConnectionError)


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(session(walk(40), funding=[(8, 0.0001), (16, 0.0001), (24, 0.0001)])) as running:
        yield running


def fault(stand: Stand, kind: str, **more: Any) -> Any:
    return stand.admin("POST", "faults", kind=kind, **more)


def trades(stand: Stand) -> int:
    return len(stand.session.exchange.books.trades)


@pytest.mark.parametrize(("kind", "filled"), [
    ("lost_request", 0), ("timeout_before", 0), ("lost_response", 1), ("timeout_after", 1),
])  # fmt: skip
def test_a_lost_answer_and_what_became_of_the_order(stand: Stand, kind: str, filled: int):
    fault(stand, kind, **ORDERS, seconds=0.05)
    with pytest.raises(LOST):
        stand.signed("POST", "order", **BUY, newClientOrderId="unsure")
    assert trades(stand) == filled
    found = stand.signed("GET", "order", symbol=SYMBOL, origClientOrderId="unsure").body
    assert found.get("status", found.get("code")) == ("FILLED" if filled else -2013)


@pytest.mark.parametrize(("kind", "more", "status", "code", "filled"), [
    ("error_before", {"status": 502}, 502, -1001, 0),
    ("error_after", {"status": 503}, 503, -1007, 1),
    ("rate_limit", {}, 429, -1003, 0),
    ("ban", {}, 418, -1003, 0),
    ("maintenance", {}, 503, -1016, 0),
])  # fmt: skip
def test_a_venue_in_trouble(
    stand: Stand, kind: str, more: Any, status: int, code: int, filled: int
):
    fault(stand, kind, **ORDERS, **more)
    reply = stand.signed("POST", "order", **BUY)
    assert (reply.status, reply.body["code"], trades(stand)) == (status, code, filled)
    assert stand.signed("POST", "order", **BUY).status == 200


def test_malformed_json_delay_and_a_doubled_request(stand: Stand):
    fault(stand, "malformed", **ORDERS)
    assert isinstance(stand.signed("POST", "order", **BUY).body, str)
    fault(stand, "delay", **ORDERS, seconds=0.2)
    started = time.monotonic()
    stand.signed("POST", "order", **BUY)
    assert time.monotonic() - started >= 0.2
    limit = {**BUY, "type": "LIMIT", "price": "96000", "timeInForce": "GTC"}
    fault(stand, "duplicate", **ORDERS)
    stand.signed("POST", "order", **limit, newClientOrderId="same")
    fault(stand, "duplicate", **ORDERS)
    stand.signed("POST", "order", **BUY)  # a market order without an id of its own fills twice
    assert len(stand.signed("GET", "openOrders", symbol=SYMBOL).body) == 1
    assert trades(stand) == 4


def test_rules_count_match_and_come_from_a_seed():
    def hits(seed: int) -> list[int]:
        faults = Faults(lambda rule: None, seed)
        faults.add([Fault("delay", path="/fapi/*", times=0, probability=0.3)])
        return [i for i in range(200) if faults.of_request("GET", "/fapi/v1/time")]

    assert hits(1) == hits(1) != hits(2)
    assert 30 < len(hits(1)) < 90
    faults = Faults(lambda rule: None)
    faults.add([Fault("delay", method="POST", path="/fapi/v1/ord*", after=2, times=2)])
    met = [bool(faults.of_request("POST", "/fapi/v1/order")) for _ in range(6)]
    assert met == [False, False, True, True, False, False]
    assert not faults.of_request("GET", "/fapi/v1/order")


def test_a_leverage_that_silently_stays(stand: Stand):
    fault(stand, "leverage_stays")
    assert stand.signed("POST", "leverage", symbol=SYMBOL, leverage=7).body["leverage"] == 7
    config = stand.signed("GET", "symbolConfig", symbol=SYMBOL).body[0]
    assert config["leverage"] == PaperSettings().leverage
    stand.signed("POST", "leverage", symbol=SYMBOL, leverage=7)
    assert stand.signed("GET", "symbolConfig", symbol=SYMBOL).body[0]["leverage"] == 7


def test_a_position_closed_by_somebody_else(stand: Stand):
    stand.signed("POST", "order", **BUY)
    fault(stand, "closed_elsewhere")
    assert stand.session.exchange.books.units(SYMBOL) == 0
    orders = stand.signed("GET", "allOrders", symbol=SYMBOL).body
    assert orders[-1]["clientOrderId"].startswith("web_")


def test_tiers_funding_interval_and_clock_that_change(stand: Stand):
    before = stand.signed("GET", "leverageBracket", symbol=SYMBOL).body[0]["brackets"][0]
    fault(stand, "tier_change", factor=2.0)
    after = stand.signed("GET", "leverageBracket", symbol=SYMBOL).body[0]["brackets"][0]
    assert after["maintMarginRatio"] == 2 * before["maintMarginRatio"]
    assert after["initialLeverage"] == before["initialLeverage"] // 2
    stand.step(9)
    fault(stand, "funding_interval", hours=4)
    rows = stand.raw("GET", "/fapi/v1/fundingInfo").body
    assert rows[0]["fundingIntervalHours"] == 4
    stand.step(8)
    rates = stand.raw("GET", f"/fapi/v1/fundingRate?symbol={SYMBOL}").body
    assert [r["fundingRate"] for r in rates] == ["0.00010000", "0.00005000", "0.00005000"]
    fault(stand, "clock_skew", ms=60_000)
    assert stand.signed("GET", "openOrders").body["code"] == -1021
    stand.admin("DELETE", "faults")
    assert stand.signed("GET", "openOrders").body == []


def test_an_event_waits_for_its_candle_or_its_request(stand: Stand):
    stand.signed("POST", "order", **BUY)
    fault(stand, "closed_elsewhere", candle=3)
    stand.step()
    assert stand.session.exchange.books.units(SYMBOL) == 10
    stand.step()
    assert stand.session.exchange.books.units(SYMBOL) == 0
    fault(stand, "closed_elsewhere", **ORDERS)
    stand.signed("POST", "order", **BUY)
    assert stand.session.exchange.books.units(SYMBOL) == 0
    assert "already opened" in fault(stand, "ws_drop", candle=2)["error"]


async def listen(stand: Stand, doing: list[dict[str, Any]], want: int) -> list[dict[str, Any]]:
    """What the user stream says while faults are set and one order is sent."""
    loop = asyncio.get_running_loop()
    key = stand.session.venue.new_listen_key()
    heard: list[dict[str, Any]] = []
    address = f"{stand.url}/ws/{key}"
    async with aiohttp.ClientSession() as line, line.ws_connect(address) as socket:
        for wanted in doing:
            await loop.run_in_executor(None, lambda w=wanted: fault(stand, **w))
        await loop.run_in_executor(None, lambda: stand.signed("POST", "order", **BUY))
        while len(heard) < want:
            try:
                message = await asyncio.wait_for(socket.receive(), 0.5)
            except TimeoutError:
                break
            if message.type is not aiohttp.WSMsgType.TEXT:
                heard.append({"x": "closed"})
                break
            event = json.loads(message.data)
            heard.append({"x": event.get("o", {}).get("x", event["e"])})
    return heard


STREAMS = [
    ([], ["NEW", "TRADE", "ACCOUNT_UPDATE"]),
    ([{"kind": "ws_duplicate", "count": 2}], ["NEW", "NEW", "TRADE", "TRADE", "ACCOUNT_UPDATE"]),
    ([{"kind": "ws_reorder"}], ["TRADE", "NEW", "ACCOUNT_UPDATE"]),
    ([{"kind": "ws_half_open"}], []),
    ([{"kind": "ws_drop"}], ["closed"]),
    ([{"kind": "listen_key_expired"}], ["listenKeyExpired", "closed"]),
    ([{"kind": "partial_fill", "share": 0.5}], ["NEW", "EXPIRED"]),
]


@pytest.mark.parametrize(("doing", "wanted"), STREAMS)
def test_a_bad_stream(stand: Stand, doing: list[dict[str, Any]], wanted: list[str]):
    heard = asyncio.run(listen(stand, doing, len(wanted) + 1))
    assert [h["x"] for h in heard] == wanted
    if doing and doing[0]["kind"] == "partial_fill":
        assert stand.session.exchange.books.units(SYMBOL) == 5


def test_a_file_of_faults(tmp_path: Path):
    good = tmp_path / "faults.toml"
    good.write_text(
        '[[fault]]\nkind = "delay"\npath = "/fapi/*"\n[[fault]]\nkind = "ws_drop"\ncandle = 9\n'
    )
    assert [f.kind for f in read_faults(good)] == ["delay", "ws_drop"]
    as_json = tmp_path / "faults.json"
    as_json.write_text('[{"kind": "ban", "times": 3}]')
    assert read_faults(as_json)[0].times == 3
    wrong = [
        ('[[fault]]\nkind = "dely"', "did you mean delay"),
        ('[[fault]]\nkind = "delay"\nsecond = 1', "did you mean seconds"),
        ('[[fault]]\nkind = "delay"\ntimes = "two"', "times of a fault must be int"),
        ('[[fault]]\npath = "/"', "needs a kind"), ("[[fault", "no valid TOML"),
        ('fault = 3', "list of faults"),
        ('[[fault]]\nkind = "delay"\nprobability = 2.0', "probability"),
    ]  # fmt: skip
    for text, words in wrong:
        good.write_text(text)
        with pytest.raises(DataError, match=words) as caught:
            read_faults(good)
        assert str(good) in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_faults(tmp_path / "none.toml")


def test_every_kind_is_known_and_can_happen(stand: Stand):
    assert stand.admin("GET", "faults")["kinds"] == {
        "line": list(LINE_KINDS), "event": list(EVENT_KINDS),
    }  # fmt: skip
    for kind in EVENT_KINDS:
        stand.session.act(Fault(kind))
    with pytest.raises(SettingError, match="no contract"):
        stand.session.act(Fault("closed_elsewhere", symbol="NOPE"))
    assert stand.raw("GET", "/fapi/v1/time").status == 200
