"""Engines over made and real candles, shared by the tests of this room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leverpack.backtest.settings import BacktestSettings
from leverpack.sweep import SweepEngine
from tests.conftest import ROOT
from tests.strategies.realdata import RealSet

DATA = ROOT / "data"


def made_settings(strategy: str = "conservative", **more: Any) -> BacktestSettings:
    """The shipped year of hourly candles with mark and funding."""
    return BacktestSettings(
        data=DATA / "made_BTCUSDT_1h_2025.csv", mark=DATA / "made_BTCUSDT_mark_1h_2025.csv",
        funding=DATA / "made_BTCUSDT_funding_2025.csv", symbol="BTC/USDT:USDT",
        strategy=strategy, **more,
    )  # fmt: skip


def real_settings(real: RealSet, strategy: str, **more: Any) -> BacktestSettings:
    """One of the shared real sets."""
    return BacktestSettings(
        data=real.trade, mark=real.mark, funding=real.funding, symbol=real.symbol,
        strategy=strategy, on_fault="drop", **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def made() -> SweepEngine:
    """The conservative strategy on the shipped year."""
    return SweepEngine(made_settings())


@pytest.fixture
def user_file(tmp_path: Path) -> Any:
    """Writes a strategy file of a user's and gives its path as text."""

    def write(source: str, name: str = "mine.py") -> str:
        path = tmp_path / name
        path.write_text(source)
        return str(path)

    return write
