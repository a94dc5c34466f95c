"""The report of real runs: files that hold the same numbers, a page that is valid and safe."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leverpack.backtest.run import run_backtest
from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import SettingError
from leverpack.report import summary_rows, write_report
from leverpack.report.sampling import BUCKETS, min_max_buckets
from leverpack.result import BacktestResult
from tests.conftest import ROOT

DATA = ROOT / "data"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def sample(**changed: Any) -> BacktestResult:
    settings = {
        "data": DATA / "made_BTCUSDT_1h_2025.csv",
        "mark": DATA / "made_BTCUSDT_mark_1h_2025.csv",
        "funding": DATA / "made_BTCUSDT_funding_2025.csv",
        "symbol": "BTC/USDT:USDT",
        "leverage": 12.0,
        "params": {"risk_per_trade": "0.04", "stop_loss_pct": "0.09", "take_profit_pct": "0.12"},
    }
    return run_backtest(BacktestSettings(**{**settings, **changed}))


@pytest.fixture(scope="module")
def result() -> BacktestResult:
    return sample()


@pytest.fixture(scope="module")
def written(result: BacktestResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_report(result, tmp_path_factory.mktemp("report") / "deep" / "down")


class Page(HTMLParser):
    """Checks that elements close in order; gathers text, table rows, links and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data


def test_nothing_in_the_page_is_fetched(written: dict[str, Path]) -> None:
    html = written["page"].read_text()
    assert Page(html).addresses == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    assert "unsafe-eval" not in policy[1]
    assert "connect-src" not in policy[1]


def test_page_json_and_table_hold_the_same_figures(
    result: BacktestResult, written: dict[str, Path]
) -> None:
    page = Page(written["page"].read_text())
    full = json.loads(written["result"].read_text())
    assert json.loads(page.scripts[0]) == full["totals"]
    totals = full["totals"]
    assert totals["liquidations"] >= 3
    for value in (
        f"{totals['return'] * 100:+,.2f} %", f"{totals['cost_of_leverage']:,.2f}",
        f"{totals['liquidations']} / {totals['margin_calls']}",
    ):  # fmt: skip
        assert value in page.text
        assert any(value in text for _, text in summary_rows(result))
    for sentence in result.assumptions:
        assert sentence in page.text
    fees = {row[5] for row in page.rows if len(row) == 8}
    assert {f"{x.fee:,.2f}" for x in result.liquidations} <= fees


def test_the_csv_files_add_up_to_the_result(
    result: BacktestResult, written: dict[str, Path]
) -> None:
    with written["trades"].open() as file:
        trades = list(csv.DictReader(file))
    assert len(trades) == len(result.trades)
    net = sum(float(t["net"]) for t in trades)
    assert result.totals["end_equity"] == pytest.approx(10_000.0 + net, abs=1e-6)
    with written["margin"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result.run["bars"] == 8_760
    assert float(rows[-1]["equity"]) == result.totals["end_equity"]
    assert rows[0]["datetime"].startswith("2025-01-01 00:00:00")
    reached = [float(r["worst_margin_ratio"]) for r in rows if r["worst_margin_ratio"]]
    assert sum(r >= 1.0 for r in reached) == len(result.liquidations)
    assert max(reached) == result.totals["worst_margin_ratio"]
    held = [r for r in rows if r["BTC/USDT:USDT position"] not in ("0", "0.0")]
    assert all(r["BTC/USDT:USDT liquidation_price"] for r in held)


def test_the_picture_is_a_png_of_its_width(written: dict[str, Path]) -> None:
    head = written["picture"].read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20], "big") == 1_600


def test_text_from_outside_is_escaped(result: BacktestResult, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><b>&"
    changed = dataclasses.replace(
        result,
        run={**result.run, "strategy": evil},
        assumptions=[evil],
        rejections=[{"time": 0, "symbol": evil, "side": "buy", "size": 1.0, "reason": evil}],
        totals={**result.totals, "note": evil},
    )
    page = Page(write_report(changed, tmp_path)["page"].read_text())
    honest = Page(write_report(result, tmp_path / "honest")["page"].read_text())
    assert len(page.scripts) == len(honest.scripts)
    assert json.loads(page.scripts[0])["note"] == evil
    assert page.text.count("<script>alert(1)</script>") >= 4  # as text, not as an element


def test_a_run_without_a_trade_and_one_of_a_single_candle(tmp_path: Path) -> None:
    lines = (DATA / "made_BTCUSDT_1h_2025.csv").read_text().splitlines()
    short = tmp_path / "one.csv"
    short.write_text("\n".join(lines[:2]) + "\n")
    for name, result in (
        ("one", sample(data=short, mark=None, funding=None)),
        ("calm", sample(params={"rsi_oversold": "0.001", "rsi_overbought": "99.999"})),
    ):
        files = write_report(result, tmp_path / name)
        page = Page(files["page"].read_text())
        assert "nothing came near liquidation" in page.text
        totals = json.loads(files["result"].read_text())["totals"]
        assert totals["trades"] == 0
        assert totals["nearest_liquidation"] is None
        assert totals["end_equity"] == 10_000.0


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(
    result: BacktestResult, tmp_path: Path
) -> None:
    first = {k: p.read_bytes() for k, p in write_report(result, tmp_path).items()}
    (tmp_path / "result.json").write_text("old")
    second = {k: p.read_bytes() for k, p in write_report(result, tmp_path).items()}
    assert first == second
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/version").exists(), reason="no /proc")
def test_a_folder_that_cannot_be_written_is_named(result: BacktestResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", Path("/proc/leverpack")):
        with pytest.raises(SettingError, match=re.escape(f"--report {folder}: cannot be written")):
            write_report(result, folder)


def test_lines_keep_their_extremes_and_gaps_when_drawn() -> None:
    rng = np.random.default_rng(3)
    values = np.cumsum(rng.normal(size=100_000))
    values[40_000:60_000] = np.nan
    values[77_777], values[12_345] = 1e6, -1e6
    picks = min_max_buckets(values)
    assert len(picks) <= 2 * BUCKETS
    assert {77_777, 12_345} <= set(picks.tolist())
    assert (np.diff(picks) > 0).all()
    drawn = values[picks]
    assert np.isnan(drawn).any()
    assert not np.isnan(drawn).all()
    assert min_max_buckets(values[:10]).tolist() == list(range(10))
