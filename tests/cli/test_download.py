"""``leverpack data download`` as typed by hand: interrupted, gone on with, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leverpack.candles.reader import read_candles
from tests.candles.test_download import Market, market, overlap, same
from tests.cli.test_bad_input import Call, leverpack, one_sentence  # noqa: F401 - a fixture
from tests.conftest import ROOT, heed_ctrl_c
from tests.paper.stand import HOUR, START, UNIFIED

COUNT = 3_000  # six pages of what ccxt says the exchange gives


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory):
    """A market for what only reads of it."""
    with market(tmp_path_factory.mktemp("quiet") / "data", count=60) as running:
        yield running


def arguments(here: Market, folder: Path, *more: str) -> list[str]:
    return [
        "data", "download", "--exchange", "binanceusdm", "--symbols", UNIFIED, "--from",
        "2025-01-01", "--folder", str(folder), "--url", here.relay.url, *more,
    ]  # fmt: skip


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_an_ended_process_loses_one_page_at_most(tmp_path: Path, by: signal.Signals):
    with market(tmp_path / "data", count=COUNT) as here:
        here.fault("delay", path="/fapi/v1/klines", times=0, seconds=0.2)
        command = [sys.executable, "-m", "leverpack", *arguments(here, here.folder)]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=heed_ctrl_c
        )
        for _ in range(600):
            if len(here.relay.spans()) >= 4 or process.poll() is not None:
                break
            time.sleep(0.02)
        process.send_signal(by)
        _, err = process.communicate(timeout=20)
        if by == signal.SIGINT:
            said = "interrupted; the same command goes on with what is missing\n"
            assert (process.returncode, err) == (130, said)
        assert process.returncode != 0
        assert not here.path.exists()
        time.sleep(0.3)  # the answer under way is written by the exchange, not by the process
        had = here.asked()
        assert 4 <= len(had) < COUNT // 500
        here.stand.admin("DELETE", "faults")
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        again = here.asked()
        assert overlap(again, had) <= 500 * HOUR  # the page that was under way
        assert overlap(again, had[:-1]) == 0
        same(here.path, here.trades)
        assert os.listdir(here.folder) == [here.path.name]


def test_what_is_printed(leverpack: Call, quiet: Market, tmp_path: Path):  # noqa: F811
    more = ("--mark", "--funding", "--tiers", "--to", "2025-01-02")
    code, out, err = leverpack(*arguments(quiet, tmp_path, *more))
    assert (code, err) == (0, "")
    for words in ("BTCUSDT_1h.parquet", "BTCUSDT_mark_1h.parquet", "BTCUSDT_funding.parquet",
                  "tiers_2025-01-03.csv", "binanceusdm-paper", "2025-01-02"):  # fmt: skip
        assert words in out
    assert len(read_candles(tmp_path / "BTCUSDT_1h.parquet")) == 48  # a last day is a whole one
    code, out, _ = leverpack(*arguments(quiet, tmp_path, *more))
    assert code == 0
    assert "tiers_2025-01-03.csv: was there already" in out
    code, out, _ = leverpack("data", "check", str(tmp_path / "BTCUSDT_1h.parquet"))
    assert code == 0


def test_times_and_lists(leverpack: Call, quiet: Market, tmp_path: Path):  # noqa: F811
    more = ("--symbols", f"{UNIFIED}, {UNIFIED}", "--to", "2025-01-01T05:00+01:00")
    assert leverpack(*arguments(quiet, tmp_path, *more))[0] == 0
    assert read_candles(tmp_path / "BTCUSDT_1h.parquet").ts.tolist() == [
        START + i * HOUR for i in range(5)
    ]


def test_no_real_key_reaches_a_paper_exchange(
    leverpack: Call, quiet: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
):
    monkeypatch.setenv("LEVERPACK_API_KEY", "real")
    monkeypatch.setenv("LEVERPACK_API_SECRET", "real")
    assert leverpack(*arguments(quiet, tmp_path, "--tiers"))[0] == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--exchange", "binanceusdmm"), ["'binanceusdmm' is unknown", "binanceusdm?"]),
        (("--exchange", "kraken"), ["--url", "binanceusdm or bybit"]),
        (("--symbols", "BTCUSDT"), ["'BTCUSDT'", "did you mean BTC/USDT:USDT?"]),
        (("--symbols", ","), ["--symbols"]),
        (("--timeframe", "7h"), ["'7h'", "1h, 2h"]),
        (("--timeframe", "hour"), ["'hour'"]),
        (("--timeframe", "1M"), ["1M", "1d"]),
        (("--from", "yesterday"), ["--from yesterday"]),
        (("--from", "2040-01-01"), ["--from 2040-01-01", "no candle has closed since"]),
        (("--to", "2024-01-01"), ["--from", "after --to"]),
        (("--folder", str(ROOT / "README.md")), ["--folder", "README.md", "a file"]),
        (("--folder", "/proc/none"), ["--folder", "/proc/none"]),
        (("--url", "http://127.0.0.1:1", "--attempts", "1"), ["markets", "check the network"]),
        (("--url", "somewhere"), ["--url somewhere"]),
        (("--attempts", "0"), ["--attempts"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_what_cannot_be_had_is_one_sentence(
    leverpack: Call, quiet: Market, tmp_path: Path,  # noqa: F811
    more: tuple[str, ...], words: list[str],
):  # fmt: skip
    given = arguments(quiet, tmp_path)
    if more[0] == "--symbols":
        at = given.index("--symbols")
        del given[at : at + 2]
    code, out, err = leverpack(*given, *more)
    one_sentence(code, err, *words)
    assert out == ""
    assert list(tmp_path.iterdir()) == []
