"""cerebro.plot() with the matplotlib of today: figures that are not blank, dates under them."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import subprocess
import sys
from datetime import date
from typing import Any

import backtrader as bt
import numpy as np
import pytest

import leverpack as lp
from analyzers.observers import Leverage, LiquidationPrice, MarginRatio
from strategies import ConservativeLeverageStrategy
from tests.conftest import ROOT


def ran(end: date = date(2025, 1, 31), feeds: int = 1) -> Any:
    engine = lp.Cerebro()
    engine.setbroker(lp.MarginBroker(cash=10_000, leverage=10))
    path = str(ROOT / "data" / "made_BTCUSDT_1h_2025.csv")
    for number in range(feeds):
        engine.adddata(lp.CandleFeed(dataname=path, symbol=f"S{number}/USDT", todate=end))
    engine.addstrategy(ConservativeLeverageStrategy, leverage=10)
    engine.addobserver(MarginRatio)
    engine.addobserver(Leverage)
    engine.addobservermulti(LiquidationPrice)
    engine.run()
    return engine


def pixels(figure: Any) -> Any:
    """The picture as it is saved, grey values."""
    import matplotlib.image

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    file.seek(0)
    return matplotlib.image.imread(file)[..., :3].mean(axis=2)


@pytest.fixture(autouse=True)
def closed_figures() -> Any:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize("style", ["line", "candle"])
def test_it_draws_and_saves(style: str) -> None:
    (figures,) = ran().plot(style=style, use="agg")
    (figure,) = figures
    picture = pixels(figure)
    assert picture.shape == (9 * 60, 16 * 60)
    assert (picture < 0.9).mean() > 0.02, "blank"
    for axes in figure.axes:
        box = axes.get_window_extent().transformed(figure.transFigure.inverted())
        rows = slice(int((1 - box.y1) * 540) + 3, int((1 - box.y0) * 540) - 3)
        inside = picture[rows, int(box.x0 * 960) + 3 : int(box.x1 * 960) - 3]
        assert (inside < 0.9).any(), "an empty panel"


def test_the_observers_are_panels_and_the_liquidation_price_is_over_the_candles() -> None:
    ((figure,),) = ran().plot(use="agg")
    named = {
        text.get_text().split("\n")[0]: axes
        for axes in figure.axes if axes.get_legend() is not None
        for text in axes.get_legend().get_texts()
    }  # fmt: skip
    assert {"Margin ratio, %", "Leverage, x", "Liquidation price"} <= set(named)
    assert any("S0/USDT" in name or "made_BTC" in name for name in named)
    line = next(
        x for x in named["Liquidation price"].get_lines() if "liquidation" in x.get_label()
    )
    assert np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()


def test_the_dates_are_under_the_lowest_panel_and_right() -> None:
    engine = ran()
    ((figure,),) = engine.plot(use="agg")
    figure.canvas.draw()
    lowest = min(figure.axes, key=lambda axes: axes.get_position().y0)
    labels = [
        (t.label1.get_text(), t.get_loc()) for t in lowest.xaxis.get_major_ticks()
        if t.label1.get_visible() and t.label1.get_text()
    ]  # fmt: skip
    assert len(labels) >= 4
    numbers = engine.runstrats[0][0].lines.datetime.array
    for text, position in labels:
        assert text == bt.num2date(numbers[round(position)]).strftime("%Y-%m-%d %H:%M")
    for axes in figure.axes:
        if axes.get_position().y0 > lowest.get_position().y0:
            assert not any(t.label1.get_visible() for t in axes.xaxis.get_major_ticks())


def test_several_figures_feeds_and_a_part_of_the_time() -> None:
    (figures,) = ran(feeds=2).plot(
        use="agg", numfigs=2, start=date(2025, 1, 5), end=date(2025, 1, 25)
    )
    assert len(figures) == 2
    assert all((pixels(f) < 0.9).mean() > 0.02 for f in figures)


def test_nothing_ran_is_nothing_to_draw() -> None:
    assert lp.Cerebro().plot(use="agg") == []


BARE = """
import os
import leverpack, matplotlib
from tests.analyzers.test_plot import ran
figures = ran().plot()
print(matplotlib.get_backend(), len(figures[0][0].axes))
"""


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("", "agg"),
        pytest.param(
            "module://matplotlib_inline.backend_inline", "inline", id="inline in a notebook"
        ),
    ],
)
def test_importing_backtraders_plot_leaves_the_backend_alone(backend: str, expected: str) -> None:
    if backend:
        pytest.importorskip("matplotlib_inline", reason="comes with a notebook")
    bare = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    bare["MPLBACKEND"] = backend
    if not backend:
        del bare["MPLBACKEND"]
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", BARE], capture_output=True, text=True,
        cwd=ROOT, env=bare, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_the_inside_that_is_leaned_on() -> None:
    from leverpack.backtest.plotting import Plotter

    known = {
        "plot": "04a2d958eac4b9ac", "setlocators": "79ca5bd52f06cf24",
        "newaxis": "991eaa3e82540356",
    }  # fmt: skip
    theirs = Plotter.__mro__[1]
    for name, digest in known.items():
        source = inspect.getsource(getattr(theirs, name))
        assert hashlib.sha256(source.encode()).hexdigest()[:16] == digest, (
            f"Backtrader's {name} has changed: read it, then adapt leverpack.backtest.plotting"
        )
    source = inspect.getsource(bt.Cerebro.plot)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "214aed5986144557"
