"""Alerts over real HTTP: a storm, once an episode, a dead channel, secrets, retries."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from leverpack.config import Settings, load_settings
from leverpack.errors import SettingError
from leverpack.live.bus import (
    ALERT_KINDS,
    DAILY_SUMMARY,
    HALTED,
    MARGIN_CALL,
    ORDER_REJECTED,
    VENUE_AWAY,
    Bus,
)
from leverpack.live.store import CCXTStore
from leverpack.monitor import alerts as module
from leverpack.monitor.alerts import Alerts, TokenBucket
from leverpack.monitor.channels import VARIABLE, Channel, find_channels
from leverpack.monitor.episodes import Episodes, Gathered, worded
from tests.conftest import ROOT

TOKEN = "tok3nOfTheChannel"


@dataclass
class Receiver:
    """A notification service on loopback: ``answers`` are its next status codes, then 200."""

    port: int = 0
    messages: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: int = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{TOKEN}"

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        said = await request.json()
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.messages.append(said)
        return web.Response(status=status)

    def wait(self, count: int, within: float = 15.0) -> list[dict[str, str]]:
        until = time.monotonic() + within
        while len(self.messages) < count:
            assert time.monotonic() < until, self.messages
            time.sleep(0.01)
        return self.messages


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    held, loop = Receiver(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/{rest:.*}", held.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        held.port = runner.addresses[0][1]
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield held
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextmanager
def sending(bus: Bus, *urls: str, **how: Any) -> Iterator[Alerts]:
    held = Alerts(bus, [Channel(i, url) for i, url in enumerate(urls, 1)], **how)
    try:
        yield held
    finally:
        held.close()


def test_a_storm_sends_few_messages_and_loses_no_kind(receiver: Receiver):
    bus = Bus()
    with sending(bus, receiver.url):
        began = time.monotonic()
        for i in range(1_000):
            kind = ALERT_KINDS[i % len(ALERT_KINDS)]
            # Symbols of letters: each sentence is an episode of its own.
            name = "".join(chr(ord("A") + int(digit)) for digit in f"{i:03d}")
            bus.tell("alert", kind=kind, text=f"{name}/USDT:USDT: something")
        assert time.monotonic() - began < 1.0
        receiver.wait(1)
    assert len(receiver.messages) <= 2
    counts: Counter[str] = Counter()
    for message in receiver.messages:
        lines = message["message"].splitlines()
        for kind in ALERT_KINDS:
            counts[kind] += sum(int(x.rpartition(": ")[2]) for x in lines
                                if x.startswith(f"{worded(kind)}: "))  # fmt: skip
    assert sum(counts.values()) == 1_000
    assert set(+counts) == set(ALERT_KINDS)


def test_a_long_storm_keeps_to_the_rate(receiver: Receiver):
    bus = Bus()
    with sending(bus, receiver.url, burst=2, every_s=1.0):
        began = time.monotonic()
        sent = 0
        while time.monotonic() - began < 4.0:
            sent += 1
            bus.tell("alert", kind=HALTED, text="halt")
            time.sleep(0.005)
        elapsed = time.monotonic() - began
    # Two at once, one a second, and one at the end.
    assert 2 <= len(receiver.messages) <= 2 + elapsed + 1
    told = sum(
        int(m["message"].partition("\n")[0].rpartition(": ")[2]) for m in receiver.messages)
    assert told == sent


def test_once_an_episode(receiver: Receiver):
    bus = Bus()

    def tell(text: str, kind: str = MARGIN_CALL) -> None:
        bus.tell("alert", kind=kind, text=text)

    with sending(bus, receiver.url):
        for ratio in (81.0, 85.5, 92.1):
            tell(f"BTC/USDT:USDT: margin ratio {ratio:.1f}%")
        receiver.wait(1)
        tell("BTC/USDT:USDT: margin ratio 99.0%")
        bus.tell("cleared", kind=VENUE_AWAY, symbol="")
        bus.tell("cleared", kind=MARGIN_CALL, symbol="ETH/USDT:USDT")
        tell("BTC/USDT:USDT: margin ratio 98.0%")
        bus.tell("cleared", kind=MARGIN_CALL, symbol="BTC/USDT:USDT")
        tell("BTC/USDT:USDT: margin ratio 83.0%")
        assert receiver.wait(2)[1]["message"].endswith("83.0%")
    assert [m["message"] for m in receiver.messages] == [
        "BTC/USDT:USDT: margin ratio 81.0%", "BTC/USDT:USDT: margin ratio 83.0%"]
    assert receiver.messages[0]["title"] == "leverpack: margin call"


def test_an_episode_ends_with_silence_and_moments_are_always_news():
    now = [0.0]
    held = Episodes(60.0, lambda: now[0])
    assert held.is_news(ORDER_REJECTED, "A: refused at 1")
    for second in (30.0, 80.0, 130.0):  # it goes on
        now[0] = second
        assert not held.is_news(ORDER_REJECTED, f"A: refused at {second}")
    now[0] = 191.0
    assert held.is_news(ORDER_REJECTED, "A: refused at 4")
    assert held.is_news(DAILY_SUMMARY, "2025: 1") and held.is_news(DAILY_SUMMARY, "2025: 1")
    held.clear(ORDER_REJECTED, "")
    assert held.is_news(ORDER_REJECTED, "A: refused at 5")


def test_gathered_counts_everything():
    first, later = Gathered(), Gathered()
    for i in range(5):
        first.add(MARGIN_CALL, f"a{i}")
    later.add(MARGIN_CALL, "b")
    later.add(HALTED, "c")
    first.merge(later)
    assert first.message() == ("7 alerts of 2 kinds", "margin call: 6\n- a0\n- a1\n- a2\n- and 3 "
                               "more\nhalted: 1\n- c")  # fmt: skip
    assert first and not Gathered()


def test_a_token_bucket():
    now = [0.0]
    bucket = TokenBucket(2, 10.0, lambda: now[0])
    for _ in range(2):
        assert bucket.wait_s() == 0.0
        bucket.take()
    assert bucket.wait_s() == pytest.approx(10.0)
    now[0] = 4.0
    assert bucket.wait_s() == pytest.approx(6.0)
    now[0] = 1_000.0
    assert bucket.wait_s() == 0.0
    bucket.take()
    bucket.take()
    assert bucket.wait_s() == pytest.approx(10.0)  # no more than two were saved up


def test_a_message_that_is_not_taken_is_sent_again(receiver: Receiver):
    bus, outcomes = Bus(), []
    bus.subscribe(lambda event, facts: outcomes.append(facts["outcome"])
                  if event == "message" else None)  # fmt: skip
    receiver.answers = [500] * (module.ATTEMPTS + 1)
    with sending(bus, receiver.url, rest_s=0.2):
        bus.tell("alert", kind=HALTED, text="first")
        until = time.monotonic() + 20.0
        while not outcomes:
            assert time.monotonic() < until
            time.sleep(0.01)
        bus.tell("alert", kind=MARGIN_CALL, text="second")
        message = receiver.wait(1, within=20.0)[0]["message"]
    assert outcomes == ["failed", "sent"]
    assert message.splitlines() == ["halted: 1", "- first", "margin call: 1", "- second"]
    assert receiver.asked == module.ATTEMPTS + 2


def test_a_dead_channel_blocks_neither_the_run_nor_the_others(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
):
    bus = Bus()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        dead = f"json://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}?rto=1"
        with caplog.at_level(logging.DEBUG), sending(bus, dead, receiver.url):
            began = time.monotonic()
            for i in range(200):
                bus.tell("alert", kind=HALTED, text=f"halt {i}")
            assert time.monotonic() - began < 0.5
            receiver.wait(1)
            closing = time.monotonic()
        assert time.monotonic() - closing < module.CLOSE_S + 0.5
    assert TOKEN not in caplog.text


def test_no_secret_leaves(receiver: Receiver, caplog: pytest.LogCaptureFixture):
    key = "k3yOfTheAccount0123456789"
    store = CCXTStore("binanceusdm", {"apiKey": key, "secret": "s3cretOfTheAccount"},
                      settings=Settings(), env_file=None)  # fmt: skip
    receiver.answers = [500]
    with caplog.at_level(logging.DEBUG), sending(store.bus, receiver.url, hide=store.hidden):
        store.bus.tell("alert", kind=HALTED, text=(
            f"key {key} secret s3cretOfTheAccount to {receiver.url} with {TOKEN}\n"
            f"GET /x?signature=abcdef0123&y=1 {'x' * 5_000}"))
        message = receiver.wait(1)[0]["message"]
    for secret in (key, "s3cretOfTheAccount", TOKEN, "abcdef0123"):
        assert secret not in message + caplog.text
    assert message.startswith("key *** secret *** to *** with ***")
    assert len(message) <= 500 and "\n" not in message


def test_channels_come_from_the_environment_alone(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text(f"{VARIABLE}=json://127.0.0.1/{TOKEN}\n")
    assert [c.name for c in find_channels(environ={}, env_file=file)] == ["channel 1 (JSON)"]
    two = {VARIABLE: f"json://127.0.0.1/{TOKEN}\n  xml://127.0.0.1/{TOKEN}"}
    found = find_channels(environ=two, env_file=file)
    assert [c.name for c in found] == ["channel 1 (JSON)", "channel 2 (XML)"]
    assert TOKEN not in repr(found)
    with pytest.raises(TypeError):
        pickle.dumps(found[0])
    assert find_channels(environ={}, env_file=None) == []
    toml = tmp_path / "leverpack.toml"
    toml.write_text(f'LEVERPACK_ALERTS = "json://127.0.0.1/{TOKEN}"\n')
    loaded = load_settings(config=toml, env_file=file, environ={})
    assert loaded.warnings == [
        f"{toml}:1: LEVERPACK_ALERTS is not a setting and is ignored; keep secrets out of this "
        "file, in the environment"]


@pytest.mark.parametrize(("url", "words"), [
    (f"nosuch://{TOKEN}", r"address 2 \(nosuch\) is not understood"),
    (TOKEN, "address 2 is not understood"),
    ("tgram://", r"address 2 \(tgram\)"),
])  # fmt: skip
def test_an_address_that_is_none(url: str, words: str):
    with pytest.raises(SettingError, match=words) as caught:
        find_channels(environ={VARIABLE: f"json://127.0.0.1/x {url}"})
    assert TOKEN not in str(caught.value)


def command(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if "LEVERPACK" not in k}
    return subprocess.run(
        [sys.executable, "-m", "leverpack", "alerts", *args], cwd=cwd, text=True,
        capture_output=True, check=False, env={**plain, "PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip


def test_the_command(receiver: Receiver, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    both = f"{receiver.url} json://127.0.0.1:{nobody}/{TOKEN}"
    ran = command("test", cwd=tmp_path, LEVERPACK_ALERTS=both)
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == [
        "channel 1 (JSON): ok", "channel 2 (JSON): FAILED (0 of 1 taken)"]
    assert TOKEN not in ran.stdout + ran.stderr
    assert all(worded(kind) in receiver.messages[0]["message"] for kind in ALERT_KINDS)
    ran = command("test", "--each", cwd=tmp_path, LEVERPACK_ALERTS=receiver.url)
    assert (ran.returncode, len(receiver.messages)) == (0, 1 + len(ALERT_KINDS))
    ran = command("test", cwd=tmp_path)
    assert ran.returncode == 2 and "no channel: set LEVERPACK_ALERTS" in ran.stderr
