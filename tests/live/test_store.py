"""The store against a real paper exchange: what is tried again, what never is, what is said."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from leverpack.config import Settings
from leverpack.errors import OutcomeUnknown, SettingError, VenueAway, VenueRefused
from leverpack.live.keys import Keys
from leverpack.live.loop import LoopThread
from leverpack.live.store import CCXTStore
from tests.paper.stand import SYMBOL, UNIFIED, Stand, serving, session, walk

SECRET = "a-secret-nobody-may-see"


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with serving(session(walk(60), secret=SECRET)) as held:
        yield held


@pytest.fixture
def store(stand: Stand) -> Iterator[CCXTStore]:
    stand.admin("DELETE", "faults")
    with made(stand) as opened:
        yield opened
    stand.admin("DELETE", "faults")


def made(stand: Stand, **config: Any) -> CCXTStore:
    keys = {"apiKey": "paper", "secret": SECRET, **config}
    return CCXTStore("binanceusdm", keys, url=stand.url, settings=Settings(), env_file=None)


def requests(stand: Stand) -> dict[str, int]:
    return {r["kind"]: r["happened"] for r in stand.admin("GET", "faults")["rules"]}


@pytest.mark.parametrize("kind", ["lost_response", "error_before", "malformed", "rate_limit"])
def test_reads_are_tried_again(stand: Stand, store: CCXTStore, kind: str):
    stand.admin("POST", "faults", kind=kind, path="/fapi/v1/klines", times=1)
    assert store.read("fetch_ohlcv", UNIFIED, "1h")
    assert requests(stand) == {kind: 1}


def test_reads_give_up_and_say_that_the_venue_is_away(stand: Stand, store: CCXTStore):
    stand.admin("POST", "faults", kind="error_before", path="/fapi/v1/klines", times=0)
    with pytest.raises(VenueAway, match="binanceusdm: fetch_ohlcv"):
        store.read("fetch_ohlcv", UNIFIED, "1h")
    assert requests(stand) == {"error_before": 5}


WRITES = [
    ("lost_response", OutcomeUnknown, 1),
    ("lost_request", OutcomeUnknown, 0),
    ("error_after", OutcomeUnknown, 1),
    ("malformed", OutcomeUnknown, 1),
    ("rate_limit", VenueAway, 0),
    ("maintenance", VenueAway, 0),
]


@pytest.mark.parametrize(("kind", "error", "fills"), WRITES)
def test_a_write_is_sent_once_and_its_fate_is_told_apart(
    stand: Stand, store: CCXTStore, kind: str, error: type, fills: int
):
    before = len(stand.session.exchange.books.trades)
    rule = {"kind": kind, "path": "/fapi/v1/order", "method": "POST", "times": 0}
    stand.admin("POST", "faults", **rule)
    with pytest.raises(error):
        store.write("create_order", UNIFIED, "market", "buy", 0.001)
    assert requests(stand) == {kind: 1}
    assert len(stand.session.exchange.books.trades) - before == fills


def test_what_the_venue_refuses_is_never_tried_again(stand: Stand, store: CCXTStore):
    rule = {"kind": "delay", "path": "/fapi/v1/order", "times": 0, "seconds": 0.0}
    stand.admin("POST", "faults", **rule)
    with pytest.raises(VenueRefused, match=r"(?i)margin is insufficient.*-2019") as caught:
        store.write("create_order", UNIFIED, "market", "buy", 100.0)
    assert (caught.value.kind, caught.value.code) == ("InsufficientFunds", "-2019")
    with pytest.raises(VenueRefused, match="does not exist"):
        store.read("fetch_order", "12345", UNIFIED)
    assert requests(stand) == {"delay": 2}


def test_a_wrong_key_is_one_sentence_without_the_key(stand: Stand, caplog: Any):
    with made(stand, secret="wrong-but-still-secret") as store:
        with pytest.raises(VenueRefused, match="check the API key") as caught:
            store.read("fetch_balance")
        shown = f"{caught.value} {caught.value!r} {store!r} {vars(store)!r} {caplog.text}"
        assert caught.value.__cause__ is None
    assert "wrong-but-still-secret" not in shown


def test_keys_come_from_the_environment(stand: Stand, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BINANCEUSDM_API_KEY", "paper")
    monkeypatch.setenv("LEVERPACK_API_SECRET", SECRET)
    with CCXTStore("binance", {"options": {"defaultType": "future"}}, url=stand.url,
                   settings=Settings(), env_file=None) as store:  # fmt: skip
        assert store.exchange == "binanceusdm"
        assert store.read("fetch_balance")["USDT"]["total"] > 0.0


@pytest.mark.parametrize(("text", "left"), [
    ("GET /x?a=1&signature=0f0f&b=2 timed out", "GET /x?a=1&signature=***&b=2 timed out"),
    ("PUT /fapi/v1/listenKey?listenKey=abc", "PUT /fapi/v1/listenKey?listenKey=***"),
    ('{"listenKey": "abc", "b": 2}', '{"listenKey": "***", "b": 2}'),
    (f"wss://x.com/ws/{'Ab1' * 21} closed", "wss://x.com/ws/*** closed"),
    ("wss://x/ws/btcusdt@kline_1m", "wss://x/ws/btcusdt@kline_1m"),
])  # fmt: skip
def test_no_signature_and_no_listen_key_is_said(text: str, left: str):
    assert Keys({}).hidden(text) == left


def test_real_money_needs_the_switch():
    for where in ({"sandbox": False}, {"url": "http://exchange.example:1"}):
        store = CCXTStore("binanceusdm", {"apiKey": "k", "secret": "s"}, settings=Settings(),
                          env_file=None, **where)  # fmt: skip
        with pytest.raises(SettingError, match="ENABLE_LIVE_TRADING"):
            store.open()
        assert not store.is_open


WRONG = [
    ({"exchange": "binanceusdmm"}, "did you mean binanceusdm"),
    ({"config": {"options": {"margin": "crossed"}}}, "isolated or cross"),
    ({"config": {"options": {"leverage": 0}}}, "options.leverage"),
]


@pytest.mark.parametrize(("given", "words"), WRONG)
def test_wrong_settings_are_refused_at_once(given: dict[str, Any], words: str):
    with pytest.raises(SettingError, match=words):
        CCXTStore(**given, settings=Settings(), env_file=None)


def test_unknown_symbols_and_timeframes_get_the_nearest(store: CCXTStore):
    with pytest.raises(SettingError, match="did you mean BTC/USDT:USDT"):
        store.market("BTC/USDT:USD")
    with pytest.raises(SettingError, match="no timeframe '7m'"):
        store.check_timeframe("7m")


def test_a_venue_that_is_not_there_leaves_nothing_open():
    before = threading.active_count()
    store = CCXTStore("binanceusdm", url="http://127.0.0.1:9", settings=Settings(), env_file=None)
    with pytest.raises(VenueAway, match="check the network"):
        store.open()
    assert threading.active_count() == before
    with pytest.raises(VenueAway, match="closed"):
        store.read("fetch_balance")


def test_it_closes_quickly_with_streams_open(stand: Stand):
    before = threading.active_count()
    heard: list[Any] = []
    store = made(stand)
    store.open()
    store.watch("watch_ohlcv", UNIFIED, "1h", tell=heard.append)
    until = time.monotonic() + 5.0
    while not heard and time.monotonic() < until:
        stand.step()
        time.sleep(0.05)
    assert heard
    started = time.monotonic()
    store.close()
    assert time.monotonic() - started < 5.0
    assert threading.active_count() == before
    assert stand.session.exchange.tapes[SYMBOL]


def test_what_nobody_waits_for_is_logged_in_a_line_without_secrets(
    caplog: pytest.LogCaptureFixture,
):
    """ccxt starts tasks and forgets them; asyncio would print them with all that they say."""
    caplog.set_level("INFO")
    loop = LoopThread("test", lambda text: text.replace("k3y", "***"))

    async def fails(fault: Exception) -> None:
        raise fault

    async def forgets(fault: Exception) -> None:
        asyncio.ensure_future(fails(fault))  # noqa: RUF006
        await asyncio.sleep(0.05)
        gc.collect()

    loop.run(forgets(ccxt.NetworkError("GET /x?listenKey=k3y\ntimed out")), 5)
    loop.run(forgets(RuntimeError("a defect with k3y")), 5)
    loop.stop(5)
    # What earlier tests have forgotten may be collected, and said, here, too.
    known, defect = (r for r in caplog.records if "***" in r.getMessage())
    assert (known.levelname, known.getMessage()) == (
        "INFO", "in the background: NetworkError: GET /x?listenKey=*** timed out"
    )  # fmt: skip
    assert defect.levelname == "ERROR" and "Traceback" in defect.getMessage()
    assert "a defect with ***" in defect.getMessage() and "k3y" not in caplog.text
