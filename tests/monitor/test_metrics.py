"""Every metric moves in a run on the paper exchange that provokes it."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from leverpack.errors import SettingError
from leverpack.live.bus import Bus
from leverpack.live.switch import NO_ENTRIES
from leverpack.monitor.alerts import Alerts
from leverpack.monitor.attach import attached
from leverpack.monitor.auditmetrics import AuditMetrics
from leverpack.monitor.channels import Channel
from leverpack.monitor.metrics import LiveMetrics, metrics_text, put_metrics
from leverpack.monitor.reasons import OTHER, REASONS, reason_of
from tests.live.desk import Desk, trading
from tests.live.test_broker import UP, enter
from tests.paper.stand import MINUTE, SYMBOL, UNIFIED, serving, session, tape, walk

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]
# Does not change by its nature; its value is looked at instead.
CONSTANT = {"leverpack_candle_length_seconds"}


def series(text: str) -> Series:
    """Every sample of a scrape by family and labels."""
    return {
        (family.name, (("sample", s.name), *sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text) for s in family.samples
    }  # fmt: skip


class Seen:
    """What a run's metrics have shown: the families whose value has changed."""

    def __init__(self, metrics: LiveMetrics) -> None:
        self.metrics = metrics
        self.moved: set[str] = set()
        self._last: Series = {}

    def look(self) -> Series:
        now = series(self.metrics.text())
        for key, value in now.items():
            # A counter that was not there stood at nought; a gauge must have been there.
            counts = key[1][0][1].endswith(("_total", "_count", "_bucket"))
            before = self._last.get(key, 0.0 if counts else value)
            if repr(before) != repr(value):
                self.moved.add(key[0])
        self._last = now
        return now

    def value(self, name: str, **labels: str) -> float:
        """The sum of a family's samples of the name that have these labels."""
        found = [
            v for (_, names), v in self.look().items()
            if dict(names)["sample"] == name and labels.items() <= dict(names).items()
        ]  # fmt: skip
        assert found, name
        return sum(found)


@contextmanager
def measured(desk: Desk, *, channels: tuple[Channel, ...] = ()) -> Iterator[Seen]:
    store = desk.broker.store
    metrics = LiveMetrics(store.bus, store.exchange)
    alerts = Alerts(store.bus, channels)
    seen = Seen(metrics)
    try:
        yield seen
    finally:
        alerts.close()
        metrics.close()


def families(metrics: LiveMetrics) -> set[str]:
    return {family.name for family in metrics.registry.collect()}


def trades_and_money(tmp_path: Path, moved: set[str]) -> None:
    """An entry, a refusal, funding, a halt, a leverage that somebody changes."""
    script = {
        1: enter(),
        2: lambda s: s.buy(size=50.0),
        4: lambda s: s.close(),
    }
    how: dict[str, Any] = {"script": script, "leverage": 4.0, "take_profit_pct": 0.0,
                           "max_daily_loss": 500.0}  # fmt: skip
    with (
        serving(session(UP, funding=[(i, 0.0001) for i in range(8, 40)])) as stand,
    ):
        stand.step(10)
        with trading(stand, tmp_path / "a.db", **how) as desk, measured(
            desk, channels=(Channel(1, "json://127.0.0.1:9/none"),)
        ) as seen:
            desk.broker.store.bus.tell("looked", broker=desk.broker)  # as it does at the start
            seen.look()
            desk.step()
            books = stand.session.exchange.books
            assert seen.value("leverpack_equity_quote") == pytest.approx(
                books.account.equity(books.marks))
            assert seen.value("leverpack_position_base", symbol=UNIFIED) == desk.position > 0.0
            assert seen.value("leverpack_decided_leverage_ratio") == 4.0
            assert seen.value("leverpack_venue_leverage_ratio") == 4.0
            assert seen.value("leverpack_orders_total", state="closed") == 1.0
            assert 0.0 < seen.value("leverpack_liquidation_distance_ratio") < 0.3
            fees = books.account.costs.fees
            assert seen.value("leverpack_fees_quote") == pytest.approx(fees)
            desk.step()
            assert seen.value("leverpack_rejections_total", reason="funds") == 1.0
            assert seen.value("leverpack_alerts_total", kind="order_rejected") == 1.0
            stand.signed("POST", "leverage", symbol=SYMBOL, leverage=50)
            desk.step()
            assert seen.value("leverpack_venue_leverage_ratio") == 50.0
            assert seen.value("leverpack_decided_leverage_ratio") == 4.0
            assert seen.value("leverpack_alerts_total", kind="leverage_mismatch") == 1.0
            assert seen.value("leverpack_funding_quote") == pytest.approx(
                -books.account.costs.funding)
            desk.step(2)
            assert desk.position == 0.0
            seen.look()
            desk.broker.halt(NO_ENTRIES, "by hand")
            desk.until(lambda: seen.value("leverpack_halt_level") == NO_ENTRIES)
            desk.until(lambda: "leverpack_alert_messages" in _looked(seen), within=30.0)
        moved |= seen.moved


def _looked(seen: Seen) -> set[str]:
    seen.look()
    return seen.moved


def a_venue_in_trouble(tmp_path: Path, moved: set[str]) -> None:
    """Requests that fail, a stream that breaks, a stream that falls silent, a limit that trips."""
    with serving(session(UP)) as stand:
        stand.step(10)
        how: dict[str, Any] = {"quiet_s": 0.3, "broker": {"poll_s": 0.2}}
        with trading(stand, tmp_path / "b.db", **how) as desk, measured(desk) as seen:
            desk.step()
            seen.look()
            stand.admin("POST", "faults", kind="error_before", path="/fapi/v3/account", times=7)
            desk.until(lambda: seen.value("leverpack_venue_up") == 0.0)
            assert seen.value("leverpack_retries_total", method="fetch_balance") >= 4.0
            desk.until(lambda: seen.value("leverpack_venue_up") == 1.0)
            stand.admin("POST", "faults", kind="ws_half_open")
            desk.step(2)
            desk.until(lambda: seen.value("leverpack_stream_stale") == 1.0)
            assert seen.value("leverpack_alerts_total", kind="stream_lost") == 1.0
            for listener in stand.session.hub.listeners:
                listener.muted = False
            desk.step()
            desk.until(lambda: seen.value("leverpack_stream_stale") == 0.0)
            stand.admin("POST", "faults", kind="ws_drop")
            desk.until(lambda: "leverpack_stream_breaks" in _looked(seen))
            assert seen.value("leverpack_candle_length_seconds") == 3600.0
        moved |= seen.moved


def a_clock_of_today(tmp_path: Path, moved: set[str]) -> None:
    """Candles that end now: the lag can be measured by the venue's clock."""
    now = time.time_ns() // 1_000_000 // MINUTE * MINUTE
    played = tape(walk(30), step=MINUTE, start=now - 10 * MINUTE)
    with serving(session(played)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "c.db", timeframe="1m") as desk, measured(desk) as seen:
            seen.look()
            desk.step()
            assert seen.value("leverpack_stream_lag_seconds_count", symbol=UNIFIED) == 1.0
        moved |= seen.moved


def a_day_with_a_limit(tmp_path: Path, moved: set[str]) -> None:
    """The limit of the day is that of the strategies that run."""
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "d.db") as desk, measured(desk) as seen:
            desk.step()
            assert seen.value("leverpack_daily_loss_limit_quote") == 0.0
            book = desk.strategy.limit_book
            book.limits = type(book.limits)(max_daily_loss=50.0)
            desk.step()
            assert seen.value("leverpack_daily_loss_limit_quote") == 50.0
        moved |= seen.moved


def test_every_metric_moves(tmp_path: Path):
    moved: set[str] = set()
    trades_and_money(tmp_path, moved)
    a_venue_in_trouble(tmp_path, moved)
    a_clock_of_today(tmp_path, moved)
    a_day_with_a_limit(tmp_path, moved)
    assert families(LiveMetrics(Bus(), "x")) - moved == CONSTANT


def test_a_scrape_passes_promtool(tmp_path: Path):
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db", script={1: enter()}) as desk, measured(desk) as seen:
            desk.step(2)
            text = seen.metrics.text()
    checked = subprocess.run([tool, "check", "metrics"], input=text, text=True,
                             capture_output=True, check=False)  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_served_on_loopback_for_as_long_as_the_run_lasts(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db") as desk:
            said: list[str] = []
            store = desk.broker.store
            with attached(store, metrics_port=0, env_file=None, say=said.append) as watch:
                assert watch.address.startswith("http://127.0.0.1:")
                assert said == [f"metrics at {watch.address}"]
                desk.step()
                with urllib.request.urlopen(watch.address, timeout=5) as answer:
                    text = answer.read().decode()
                assert 'leverpack_candle_age_seconds{exchange="binanceusdm"' in text
                port = int(watch.address.rsplit(":", 1)[1].partition("/")[0])
                with pytest.raises(SettingError, match=f"{port}: 127.0.0.1 has no such"), \
                        attached(store, metrics_port=port, env_file=None):  # fmt: skip
                    pass
            with pytest.raises(SettingError, match="from 0 to 65535, not 70000"), attached(
                store, metrics_port=70_000, env_file=None
            ):
                pass
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(watch.address, timeout=2)
            desk.step()  # the run goes on without them


def test_a_broken_listener_does_not_hurt_the_run(tmp_path: Path):
    with serving(session(UP)) as stand:
        stand.step(10)
        with trading(stand, tmp_path / "j.db", script={1: enter()}) as desk:
            heard = 0

            def broken(event: str, facts: dict[str, Any]) -> None:
                nonlocal heard
                heard += 1
                raise RuntimeError("broken")

            desk.broker.store.bus.subscribe(broken)
            desk.step(2)
            assert heard and desk.position > 0.0


REFUSALS = [
    ("halted: by hand", "", "halted"),
    ("warm-up: no candle has closed since the start", "", "warm_up"),
    ("max_daily_trades: 3 today, 3 allowed", "strategy", "limit"),
    ("max_stake: the size is cut to 0.1", "strategy", "cut_by_limit"),
    ("too small: 0.001 (1.00) is under step or minimum", "strategy", "too_small"),
    ("size 0.0001 is below the step 0.001", "", "too_small"),
    ("binanceusdm: create_order was refused: ...", "InsufficientFunds", "funds"),
    ("anything 0x1234 else", "SomethingNew", OTHER),
]


@pytest.mark.parametrize(("reason", "kind", "word"), REFUSALS)
def test_reasons_are_few(reason: str, kind: str, word: str):
    assert reason_of(reason, kind) == word
    assert word in REASONS


class _Row:
    def __init__(self, symbol: str, status: str, leverage: float | None) -> None:
        self.symbol, self.status, self.leverage = symbol, status, leverage
        self.decided, self.notional = 10.0, 120.0
        self.effective_leverage = self.liquidation_distance = None


def test_an_audit_in_a_textfile(tmp_path: Path):
    rows = [_Row("A/USDT:USDT", "OK", 10.0), _Row("B/USDT:USDT", "ERROR", None)]
    found = AuditMetrics("bybit", 1_700_000_000_000, rows, equity=None, in_bounds=False,
                         statuses=("OK", "HIGH", "ERROR"))  # fmt: skip
    path = tmp_path / "leverpack.prom"
    assert found.put(path) == path and list(tmp_path.iterdir()) == [path]
    text = path.read_text()
    assert text == metrics_text(found.registry)
    held = {(n, dict(k).get("status") or dict(k).get("symbol")): v
            for (n, k), v in series(text).items()}  # fmt: skip
    assert held["leverpack_audit_symbols", "OK"] == 1.0
    assert held["leverpack_audit_symbols", "HIGH"] == 0.0
    assert held["leverpack_audit_venue_leverage_ratio", "A/USDT:USDT"] == 10.0
    assert ("leverpack_audit_venue_leverage_ratio", "B/USDT:USDT") not in held
    assert held["leverpack_audit_run_timestamp_seconds", None] == 1.7e9
    with pytest.raises(OSError):
        put_metrics(tmp_path / "none" / "x.prom", found.registry)
