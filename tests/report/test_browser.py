"""The page in a real browser: draws, sorts, zooms, has result.json's numbers, fetches nothing."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leverpack.report import write_report
from leverpack.report.compare import render_comparison
from leverpack.result import BacktestResult, LiquidationRecord
from tests.report.browser import needs_chromium, opened
from tests.report.builders import made_result, renamed
from tests.report.test_report import sample

pytestmark = [needs_chromium, pytest.mark.no_cover]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

# Pixels that are not transparent, of every canvas in the shadow roots below one element.
INK = """element => {
  const canvases = [];
  const walk = node => {
    if (node instanceof HTMLCanvasElement) canvases.push(node);
    if (node.shadowRoot) walk(node.shadowRoot);
    for (const child of node.children ?? []) walk(child);
  };
  walk(element);
  let ink = 0;
  for (const canvas of canvases) {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 3; i < data.length; i += 4) if (data[i]) ink++;
  }
  return ink;
}"""


def written(result: BacktestResult, folder: Path) -> tuple[Path, dict[str, Any]]:
    files = write_report(result, folder)
    return files["page"], json.loads(files["result"].read_text())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return written(sample(), tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    return written(made_result(100_000), tmp_path_factory.mktemp("long"))


def test_charts_are_drawn_and_nothing_leaves_the_page(real: tuple[Path, Any]) -> None:
    with opened(real[0]) as seen:
        page = seen.page
        page.wait_for_timeout(400)
        names = page.eval_on_selector_all(".plot", "all => all.map(e => e.id)")
        assert {"plot-price", "plot-equity", "plot-drawdown", "plot-margin_ratio",
                "plot-leverage", "plot-exposure", "plot-costs"} <= set(names)  # fmt: skip
        for name in names:
            assert page.eval_on_selector(f"#{name}", INK) > 500, name
        assert seen.requests == [real[0].resolve().as_uri()]
        assert seen.faults == []


def test_figures_in_the_page_are_those_of_the_result(real: tuple[Path, Any]) -> None:
    path, saved = real
    with opened(path) as seen:
        page = seen.page
        shown = page.eval_on_selector_all(
            ".card data", "all => Object.fromEntries(all.map(e => [e.id.slice(7), +e.value]))"
        )
        assert shown == {name: saved["totals"][name] for name in shown}
        assert len(shown) == 6
        statistics = page.eval_on_selector_all(
            "[data-key]", "all => all.map(e => [e.dataset.key, e.value === '' ? null : +e.value])"
        )
        assert statistics == [[s["key"], s["value"]] for s in saved["statistics"]]
        profits = page.eval_on_selector_all(
            "#trades tbody tr", "rows => rows.map(r => r.cells[6].textContent)"
        )
        assert profits == [f"{t['net']:+,.2f}" for t in saved["trades"]]
        equity = page.evaluate("columns.get('equity').then(v => v[v.length - 1])")
        assert equity == pytest.approx(saved["totals"]["end_equity"], abs=0.005)


def test_columns_come_back_exactly_as_the_candles_are(
    long: tuple[Path, Any],
) -> None:
    result = made_result(100_000)
    (series,) = result.symbols.values()
    with opened(long[0]) as seen:
        for name in ("open", "high", "low", "close"):
            got = np.array(seen.page.evaluate(f"columns.get('s0:{name}').then(v => [...v])"))
            assert np.array_equal(got, getattr(series, name)), name
        got = np.array(seen.page.evaluate("columns.get('s0:ts').then(v => [...v])"))
        assert np.array_equal(got, series.ts)
        ratio = seen.page.evaluate(
            "columns.get('ratio').then(v => [...v].map(x => Number.isFinite(x) ? x : null))"
        )
        back = np.array([np.nan if x is None else x for x in ratio])
        assert np.allclose(back, result.series["margin_ratio"], atol=5.1e-6, equal_nan=True)


def test_every_column_sorts_both_ways(real: tuple[Path, Any]) -> None:
    path, saved = real
    nets = [t["net"] for t in saved["trades"]]
    with opened(path) as seen:
        page = seen.page
        head = page.locator("#trades thead th").nth(6)
        cells = "rows => rows.map(r => r.cells[6].textContent)"
        for direction, backwards in (("ascending", False), ("descending", True)):
            head.locator("button").focus()
            page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == direction
            shown = page.eval_on_selector_all("#trades tbody tr", cells)
            assert shown == [f"{n:+,.2f}" for n in sorted(nets, reverse=backwards)]
        for button in page.locator("#trades thead button").all():
            button.click()
        assert len(page.query_selector_all("#trades tbody tr")) == len(nets)
        assert seen.faults == []


def test_zooming_in_shows_every_candle(long: tuple[Path, Any]) -> None:
    with opened(long[0]) as seen:
        page = seen.page
        detail = page.locator("#chart-price .detail")
        assert "each bar holds" in detail.inner_text()
        bars = "charts.then(c => c.drawn[0].model('price-wicks').data_source.data.x.length)"
        assert page.evaluate(bars) < 600
        page.click("[data-zoom='1']")
        page.wait_for_timeout(200)
        for _ in range(3):
            page.click("[data-zoom=in]")
            page.wait_for_timeout(100)
        assert "every one drawn" in detail.inner_text()
        view = page.evaluate("charts.then(c => [c.window.start, c.window.end])")
        minutes = (view[1] - view[0]) / 60_000
        assert minutes == pytest.approx(180, abs=2)
        assert page.evaluate(bars) == pytest.approx(minutes, abs=3)
        shared = page.evaluate("charts.then(c => c.drawn.map(d => d.figure.x_range.start))")
        assert set(shared) == {view[0]}
        box = page.locator("#chart-price .hand").bounding_box()
        page.mouse.move(box["x"] + 600, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 700, box["y"] + 100)
        page.mouse.up()
        page.wait_for_timeout(150)
        assert page.evaluate("charts.then(c => c.window.start)") < view[0]
        assert page.locator("#moment").inner_text().endswith("UTC")
        assert seen.faults == []


def test_a_page_of_100_000_candles_is_small_and_opens_soon(
    long: tuple[Path, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    size = long[0].stat().st_size / 1e6
    started = time.perf_counter()
    with opened(long[0]) as seen:
        took = seen.page.evaluate("performance.now()") / 1000.0
    with capsys.disabled():
        print(f"\n100,000 candles: {size:.2f} MB, drawn after {took:.2f} s "
              f"({time.perf_counter() - started:.1f} s with the browser's start)")  # fmt: skip
    assert size < 6.0
    assert took < 20.0


def test_a_hostile_name_is_only_text(tmp_path: Path) -> None:
    result = made_result(300, symbols=("A/B", "C/D"))
    path, _ = written(renamed(result, "A/B", EVIL), tmp_path)
    with opened(path) as seen:
        page = seen.page
        assert page.locator("#symbol option").first.inner_text() == EVIL
        assert page.locator("#trades tbody td").first.inner_text() in (EVIL, "C/D")
        page.select_option("#symbol", "1")
        page.wait_for_timeout(200)
        assert page.evaluate("charts.then(c => c.drawn[0].index)") == 1
        assert page.query_selector("img") is None
        assert seen.faults == []
        assert seen.requests == [path.resolve().as_uri()]
    comparison = tmp_path / "compare.html"
    comparison.write_text(render_comparison({EVIL: result, "other": made_result(200)}))
    with opened(comparison) as seen:
        seen.page.wait_for_timeout(400)
        assert seen.page.locator("#figures thead .key").first.inner_text() == EVIL
        assert seen.page.eval_on_selector("#plot-return", INK) > 500
        assert seen.faults == []


def test_small_runs_make_valid_pages(tmp_path: Path) -> None:
    idle = made_result(50)
    idle = dataclasses.replace(
        idle, trades=[], daily=[], stress=None, survival=None,
        totals={**idle.totals, "trades": 0, "worst_margin_ratio": None,
                "nearest_liquidation": None, "nearest_liquidation_time": None},
    )  # fmt: skip
    first = made_result(100)
    at = int(first.series["ts"][0])
    gone = dataclasses.replace(
        first, liquidations=[LiquidationRecord(at, "BTC/USDT:USDT", "long", 1.0, 9.0, 1.0, 0.0, "")]
    )
    for name, result in (("idle", idle), ("one", made_result(1)), ("first", gone)):
        path, _ = written(result, tmp_path / name)
        with opened(path) as seen:
            assert seen.page.locator(".card").count() == 6
            assert seen.faults == [], name


def test_the_colours_follow_the_paper_and_the_phone_does_not_scroll_sideways(
    real: tuple[Path, Any], tmp_path: Path
) -> None:
    # A folder's name may be one long word: the page breaks it rather than grow wider.
    wide = tmp_path / "report.html"
    long_name = f"/{'a_long_folder_name' * 4}/made_"
    wide.write_text(real[0].read_text().replace("/made_", long_name))
    with opened(wide, viewport={"width": 390, "height": 844}, color_scheme="dark") as seen:
        page = seen.page
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        color = "charts.then(c => c.drawn[1].figure.left[0].major_label_text_color)"
        dark = page.evaluate(color)
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(200)
        assert page.evaluate(color) != dark


@pytest.mark.slow
def test_a_million_candles_stay_usable(tmp_path: Path) -> None:
    started = time.perf_counter()
    path, _ = written(made_result(1_000_000), tmp_path)
    assert time.perf_counter() - started < 120.0
    with opened(path) as seen:
        took = seen.page.evaluate("""async () => {
          const c = await charts, started = performance.now();
          for (const d of c.drawn) d.draw(1100);
          return performance.now() - started;
        }""")
        print(f"\nall charts drawn again in {took:.0f} ms")
        assert took < 5_000.0
        assert seen.faults == []
