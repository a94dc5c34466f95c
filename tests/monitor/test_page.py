"""The live page in a real browser beside a real run, and what its server refuses."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverpack.errors import DataError, SettingError
from leverpack.live.journal import Journal
from leverpack.live.reading import JournalReader
from leverpack.live.switch import ask_to_halt, kill_file_of, level_in
from leverpack.monitor.page import TOKEN_VARIABLE, PageServer, chosen_token, serving
from leverpack.monitor.pagestate import page_state
from tests.live.desk import trading
from tests.live.test_broker import UP, enter
from tests.paper import stand as paper
from tests.report.browser import CHROMIUM, needs_chromium

TOKEN = "a-token-of-this-test-0123"
PARAMS: dict[str, Any] = {
    "leverage": 10.0, "stop_loss_pct": 0.02, "take_profit_pct": 0.0, "max_daily_loss": 500.0,
}  # fmt: skip


@contextmanager
def page_of(journal: Path, **how: Any) -> Iterator[PageServer]:
    """The page's server in a thread of its own, on a free port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(15)

    async def made() -> Any:
        held = serving(journal, TOKEN, port=0, **how)
        return held, await held.__aenter__()

    try:
        held, server = wait(made())
        try:
            yield server
        finally:
            wait(held.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(15)
        loop.close()


@contextmanager
def browsing(url: str, **context: Any) -> Iterator[Any]:
    """The page in Chromium; whatever its console complains of fails the test."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(**context)
            page.on("console", lambda m: m.type in ("error", "warning") and faults.append(m.text))
            page.on("pageerror", lambda e: faults.append(str(e)))
            page.on("dialog", lambda d: (faults.append("dialog"), d.dismiss()))
            page.goto(url)
            page.wait_for_selector("html[data-serial]", timeout=15_000, state="attached")
            yield page
        finally:
            browser.close()
    assert not faults


def until(true: Callable[[], bool], within: float = 15.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def state_of(journal: Path) -> dict[str, Any]:
    with JournalReader(journal) as reader:
        return page_state(reader)


def asked(server: PageServer, method: str, path: str, body: str = "", **headers: str) -> Any:
    """Status, headers and body of one plain request."""
    link = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        link.putrequest(method, path, skip_host="Host" in headers)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            link.putheader(name.replace("_", "-"), value)
        link.endheaders(body.encode())
        answer = link.getresponse()
        streams = answer.getheader("Content-Type", "").startswith("text/event-stream")
        text = answer.readline() if streams else answer.read()
        return answer.status, answer.headers, text.decode()
    finally:
        link.close()


@needs_chromium
@pytest.mark.no_cover
def test_values_are_the_journal_s_and_the_kill_switch_halts_the_run(tmp_path: Path):
    path = tmp_path / "j.db"
    switch = {"kill_file": str(kill_file_of(path)), "poll_s": 0.5}
    with paper.serving(paper.session(UP)) as stand:
        stand.step(10)
        with trading(stand, path, script={2: enter()}, broker=switch, **PARAMS) as desk:
            desk.step()
            with page_of(path) as server, browsing(f"{server.url}/#token={TOKEN}") as page:
                assert TOKEN not in page.url
                page.wait_for_selector(".flat")
                desk.step()
                # An update comes by itself: the entry of the second candle.
                page.wait_for_selector("article.position", timeout=15_000)
                until(lambda: len(state_of(path)["orders"]) == 1)
                page.wait_for_selector("#orders td")
                state = state_of(path)
                (held,) = state["positions"]
                text = page.inner_text("article.position")
                books = stand.session.exchange.books
                assert held["size"] == desk.position > 0.0
                assert held["liquidation"] == pytest.approx(
                    books.liquidation_range(paper.SYMBOL)[0], rel=1e-6)
                assert f"{held['distance'] * 100:,.2f} %" in text
                for name in ("mark", "entry", "liquidation", "stop"):
                    assert f"{held[name]:,.2f}" in text, name
                assert "10x isolated" in text
                meter = page.get_attribute(".track", "aria-valuenow")
                assert float(meter) == pytest.approx(held["distance"] * 100.0)
                shown = page.get_attribute("#account-equity", "value")
                assert float(shown) == pytest.approx(state["equity"], abs=1e-9)
                assert f"{state['equity']:,.2f}" in page.inner_text("#account")
                assert "daily loss" in page.inner_text("#limits")
                assert page.locator("#orders tbody tr").count() == len(state["orders"]) == 1
                page.wait_for_selector("#equity path", state="attached")
                # One press arms, the second asks; the run closes everything.
                button = page.locator("#kill button[data-level='3']")
                button.click()
                assert level_in(kill_file_of(path)) == 0
                button.click()
                page.wait_for_selector("text=Asked for: everything closed")
                desk.until(lambda: desk.broker.halted == 3 and desk.position == 0.0)
                page.wait_for_selector(".flat", timeout=15_000)
                page.wait_for_selector("text=Halted: everything closed", timeout=15_000)
                assert "halt" in page.inner_text("#alerts")
                assert button.is_disabled()
        # The run has ended in order.
    assert state_of(path)["ended"] is True


def fill(path: Path, **now: Any) -> Journal:
    """A journal as a run leaves it."""
    journal = Journal(path)
    journal.describe({"strategy": "Made", "symbols": ["X"], "quote": "USDT", "params": {}})
    standing = {
        "time_ms": time.time_ns() // 1_000_000, "run": 1, "live": True, "away": "", "halted": 0,
        "halt_reason": "", "ended": False, "equity": 1000.0, "wallet": 1000.0,
        "free_margin": 900.0, "used_margin": 100.0, "unrealised": 0.0, "margin_ratio": 0.5,
        "call_ratio": 0.8, "effective_leverage": 5.0, "fees": 0.0, "funding": 0.0,
        "day_profit": 0.0, "feeds": [], "orders": [], "positions": [],
    }  # fmt: skip
    journal.state("now").save(standing | now)
    return journal


POSITION = {
    "symbol": "X", "size": -2.0, "entry": 100.0, "mark": 100.0, "liquidation": 101.5,
    "venue_liquidation": None, "margin_ratio": 0.5, "venue_margin_ratio": float("inf"),
    "leverage": 20.0, "decided": 10.0, "unrealised": 0.0, "isolated": True,
}  # fmt: skip
EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"


@needs_chromium
@pytest.mark.no_cover
def test_what_a_trader_must_see_and_no_token_no_button(tmp_path: Path):
    path = tmp_path / "j.db"
    old = time.time_ns() // 1_000_000 - 120_000
    with fill(path, positions=[POSITION], time_ms=old) as journal:
        journal.add_event("alert", EVIL, "liquidation_near")
        size = {"width": 390, "height": 844}
        with page_of(path) as server, browsing(server.url, viewport=size) as page:
            assert page.locator("article.position.near").count() == 1
            assert "1.50 %" in page.inner_text("article.position")
            assert "rise of the mark" in page.inner_text("article.position")
            said = page.inner_text("#banners")
            assert "no stop rests" in said and "not written for a while" in said
            assert "silent for 2 min" in page.inner_text("#pulse")
            assert EVIL in page.inner_text("#alerts") and page.title() != "evil"
            assert page.is_hidden("#kill")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            # In sight without scrolling: the number, then its bar.
            for part in (".away b", ".track"):
                box = page.locator(part).bounding_box()
                assert box["y"] + box["height"] < 844
        with page_of(path) as server, browsing(f"{server.url}/#token=wrong-{TOKEN}") as page:
            assert page.is_hidden("#kill")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    with fill(tmp_path / "j.db"), page_of(tmp_path / "j.db") as held:
        yield held


HALT = json.dumps({"level": 3})


def test_the_kill_switch_wants_the_token(server: PageServer):
    switch = kill_file_of(server.journal)
    for given in ({}, {"X_Leverpack_Token": "wrong"}, {"X_Leverpack_Token": TOKEN[:-1]},
                  {"X_Leverpack_Token": "\xe9\xff"}, {"Cookie": f"token={TOKEN}"}):  # fmt: skip
        status, _, text = asked(server, "POST", "/halt", HALT, **given)
        assert (status, "nothing was done" in text) == (403, True)
    assert asked(server, "POST", f"/halt?token={TOKEN}", HALT)[0] == 403
    assert not switch.exists()
    for body in ("", "3", "[]", '{"level": 4}', '{"level": true}', '{"level": "3"}', "x" * 5000):
        status, _, _ = asked(server, "POST", "/halt", body, X_Leverpack_Token=TOKEN)
        assert status in (400, 413)
    assert not switch.exists()
    status, _, text = asked(server, "POST", "/halt", HALT, X_Leverpack_Token=TOKEN)
    assert (status, "everything closed" in text, level_in(switch)) == (200, True, 3)
    # A lower level never takes a higher one back.
    asked(server, "POST", "/halt", '{"level": 1}', X_Leverpack_Token=TOKEN)
    assert level_in(switch) == 3
    assert asked(server, "GET", "/halt", X_Leverpack_Token=TOKEN)[0] == 405


@pytest.mark.parametrize("path", ["/", "/stream", "/halt", "/page.js"])
def test_other_pages_and_other_names_are_refused(server: PageServer, path: str):
    method = "POST" if path == "/halt" else "GET"
    own = f"127.0.0.1:{server.port}"
    refused: list[dict[str, str]] = [
        {"Host": "evil.example"}, {"Host": f"evil.example:{server.port}"},
        {"Host": f"127.0.0.1.evil.example:{server.port}"}, {"Host": "192.0.2.7"}, {"Host": ""},
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"https://{own}"},
        {"Origin": "http://127.0.0.1:1"}, {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
    ]  # fmt: skip
    for headers in refused:
        status, answered, _ = asked(
            server, method, path, HALT if method == "POST" else "", X_Leverpack_Token=TOKEN,
            **headers,
        )  # fmt: skip
        assert status == 403, headers
        assert answered["Access-Control-Allow-Origin"] is None
    assert not kill_file_of(server.journal).exists()
    for headers in ({"Host": own}, {"Host": f"localhost:{server.port}"}, {"Origin": f"http://{own}"}):
        status, answered, _ = asked(
            server, method, path, HALT if method == "POST" else "", X_Leverpack_Token=TOKEN,
            **headers,
        )  # fmt: skip
        assert status == 200, headers
        assert "default-src 'none'" in answered["Content-Security-Policy"]
        assert answered["X-Frame-Options"] == "DENY" and answered["Cache-Control"] == "no-store"


def test_only_this_machine_reaches_it_unless_asked(server: PageServer):
    assert server.host == "127.0.0.1" and server.is_local
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells this machine's own address
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(OSError):
        socket.create_connection((address, server.port), timeout=2).close()


def test_on_another_address_reading_wants_the_token_too(tmp_path: Path):
    with fill(tmp_path / "j.db"), page_of(tmp_path / "j.db", host="0.0.0.0") as held:
        assert not held.is_local
        assert asked(held, "GET", "/stream")[0] == 403
        assert asked(held, "GET", "/stream", X_Leverpack_Token=TOKEN)[0] == 200
        assert asked(held, "GET", "/stream", X_Leverpack_Token=TOKEN, Host="evil.example")[0] == 403


def test_the_page_asks_nobody_else_for_anything(server: PageServer):
    for path in ("/", "/page.css", "/page.js"):
        status, _, text = asked(server, "GET", path)
        assert status == 200 and text
        links = text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in links and "https://" not in links
        assert "innerHTML" not in text and "eval(" not in text


def test_it_writes_nothing_but_the_kill_file(server: PageServer):
    """The page reads a journal whose run goes on writing, and leaves it as it is."""
    with JournalReader(server.journal) as reader:
        before = {t: reader.rows(t) for t in ("runs", "events", "account", "intents")}
        asked(server, "GET", "/stream")
        asked(server, "POST", "/halt", HALT, X_Leverpack_Token=TOKEN)
        assert before == {t: reader.rows(t) for t in before}
    assert kill_file_of(server.journal).read_text() == "3\n"


def test_wrong_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: PageServer):
    with pytest.raises(DataError, match="no such journal"), page_of(tmp_path / "none.db"):
        pass
    with pytest.raises(SettingError, match="level 1, 2 or 3"):
        ask_to_halt(server.journal, 4)
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with pytest.raises(SettingError, match="16 or more"):
        chosen_token()
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert chosen_token() == TOKEN
    monkeypatch.delenv(TOKEN_VARIABLE)
    assert len({chosen_token() for _ in range(9)}) == 9
