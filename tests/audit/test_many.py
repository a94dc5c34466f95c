"""``leverpack paper`` with many contracts: cheap to list, to play and to count requests of."""

from __future__ import annotations

import time
import urllib.request

from tests.audit.desk import many, standing
from tests.cli.test_paper import ended, get, started
from tests.paper.stand import Stand


def test_contracts_of_made_names_play_the_first_files_candles():
    process, url, said = started("--speed", "0", "--contracts", "40")
    try:
        assert "and 30 more" in said
        assert get(f"{url}/paper/v1/step", {"candles": 3})["played"] == 3
        symbols = get(f"{url}/paper/v1/state")["symbols"]
        assert len(symbols) == 40
        assert symbols["MADE040USDT"] == symbols["BTCUSDT"]
    finally:
        ended(process)


def test_a_twin_shares_the_candles_and_goes_its_own_way():
    held = many(3)
    first, twin, _ = held.exchange.tapes.values()
    assert twin._trade is first._trade
    assert twin.instrument.symbol == twin.candles.symbol == "MADE002USDT"
    assert first.candles.symbol == "BTCUSDT"
    held.step(2)
    assert (first.at, twin.at) == (2, 2)
    twin.open_next()
    assert (first.at, twin.at) == (2, 3)


def test_300_contracts_play_a_candle_in_less_than_a_second():
    held = many(300)
    began = time.monotonic()
    assert held.step(3) == 3
    assert time.monotonic() - began < 3.0


def test_a_leverage_stays_for_one_contract_alone():
    with standing(2) as stand:
        stand.admin("POST", "faults", kind="leverage_stays", symbol="MADE002USDT")
        for symbol in ("BTCUSDT", "MADE002USDT"):
            assert stand.signed("POST", "leverage", symbol=symbol, leverage=7).status == 200
        books = stand.session.exchange.books
        assert [books.position(s).leverage for s in ("BTCUSDT", "MADE002USDT")] == [7.0, 10.0]
        stand.signed("POST", "leverage", symbol="MADE002USDT", leverage=7)
        assert books.position("MADE002USDT").leverage == 7.0


def ask(stand: Stand, path: str) -> None:
    with urllib.request.urlopen(stand.url + path, timeout=10) as answer:
        answer.read()


def test_requests_are_counted_by_method_and_path():
    with standing(1) as stand:
        for path in ("/fapi/v1/time", "/fapi/v1/time?x=1", "/fapi/v1/ping", "/paper/v1/state"):
            ask(stand, path)
        assert stand.admin("GET", "requests") == {"GET /fapi/v1/time": 2, "GET /fapi/v1/ping": 1}
        stand.admin("DELETE", "requests")
        assert stand.admin("GET", "requests") == {}
        for i in range(1_005):
            stand.session.count("GET", f"/made/up/{i}")
        assert len(stand.session.requests) == 1_000
