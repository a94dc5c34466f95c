"""Stress and survival: what is worked out is what a backtest with such a candle does."""

from __future__ import annotations

from datetime import date
from typing import Any

import backtrader as bt
import numpy as np
import pytest

from analyzers import MarginAnalyzer
from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.run import run_backtest
from leverpack.backtest.settings import BacktestSettings
from leverpack.backtest.stress import MOVES, stress
from leverpack.candles.feed import CandleFeed
from leverpack.margin.account import MarginAccount
from leverpack.margin.shock import liquidating_move, shocked
from leverpack.margin.tiers import TierTable
from tests.backtest.desk import frame
from tests.conftest import ROOT

TIERS = TierTable(
    "T", TierTable.flat("T", 0.1, 5.0, 0.0).valid_from, (0.0, 2_000.0, 10_000.0),
    (2_000.0, 10_000.0, 1e9), (0.004, 0.01, 0.05), (0.0, 12.0, 412.0), (125.0, 50.0, 10.0), 0.0125,
)  # fmt: skip
PRICES = {"A/USDT": 100.0, "B/USDT": 20.0}
HELD = {
    "a long": {"A/USDT": 10.0},
    "a short": {"A/USDT": -10.0},
    "two longs": {"A/USDT": 10.0, "B/USDT": 60.0},
    "a long and a short": {"A/USDT": 14.0, "B/USDT": -30.0},
}


class _Enter(bt.Strategy):
    params = (("sizes", None),)

    def next(self) -> None:
        if len(self) == 1:
            for data in self.datas:
                size = self.p.sizes[data.symbol]
                (self.buy if size > 0.0 else self.sell)(data=data, size=abs(size))


def play(sizes: dict[str, float], mode: str, move: float | None, **broker: Any) -> tuple[Any, Any]:
    """Positions at the second candle; ``move``: a fifth candle that opens there and stays."""
    settings = {
        "cash": 260.0, "leverage": 10.0, "margin_mode": mode, "tiers": TIERS, "maker": 0.0,
        "taker": 0.0005, **broker,
    }  # fmt: skip
    desk = MarginBroker(**settings)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(desk)
    for symbol in sizes:
        price = PRICES[symbol]
        rows = [(price,) * 4] * 4
        if move is not None:
            rows.append((price * (1.0 + move),) * 4)
        cerebro.adddata(CandleFeed(dataname=frame(rows), symbol=symbol))
    cerebro.addstrategy(_Enter, sizes=sizes)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    analyzer = cerebro.run()[0].analyzers.margin
    assert not desk.rejections
    return desk, analyzer


@pytest.mark.parametrize("venue", ["binanceusdm", "okx", "bybit"])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("held", HELD)
def test_a_shock_is_what_a_candle_that_opens_there_does(venue: str, mode: str, held: str) -> None:
    _, analyzer = play(HELD[held], mode, None, venue=venue, taker=0.0005)
    got = stress(analyzer.most_exposed)
    assert got is not None
    hit = 0
    for shock in got.shocks:
        broker, _ = play(HELD[held], mode, shock.move, venue=venue, taker=0.0005)
        assert shock.equity_after == pytest.approx(broker.getvalue(), abs=1e-9)
        assert sorted(shock.liquidated) == sorted(x.symbol for x in broker.liquidations)
        assert shock.liquidation_fees == pytest.approx(broker.costs().liquidation_fees)
        assert shock.shortfall == pytest.approx(broker.costs().insurance)
        hit += bool(shock.liquidated)
    assert 0 < hit < len(MOVES) or held == "a long and a short"


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("held", HELD)
def test_the_liquidating_move_is_the_edge(mode: str, held: str) -> None:
    _, analyzer = play(HELD[held], mode, None)
    moves = analyzer.series()["liquidating_move"]
    assert np.isnan(moves[0])
    move = moves[-1]
    assert not np.isnan(move)
    just_before, _ = play(HELD[held], mode, move * (1.0 - 1e-7))
    just_after, _ = play(HELD[held], mode, move * (1.0 + 1e-7))
    assert not just_before.liquidations
    assert just_after.liquidations
    other_way, _ = play(HELD[held], mode, -move * (1.0 - 1e-7))
    assert not other_way.liquidations, "the nearest direction is the one that is said"


def test_what_no_move_liquidates_has_none() -> None:
    account = MarginAccount(10_000.0)
    account.add_position("A", TIERS, leverage=1.0, isolated=True)
    account.add_position("B", TIERS, leverage=1.0, isolated=False)
    assert liquidating_move(account, {"A": 100.0, "B": 20.0}) is None
    account.fill("B", 10.0, 20.0, 0.0)  # 200 of 10,000
    assert liquidating_move(account, {"A": 100.0, "B": 20.0}) is None
    assert shocked(account, {"B": 20.0}, -0.5).equity == 9_900.0
    assert account.equity({"B": 20.0}) == 10_000.0, "the account itself is left alone"


def test_the_most_exposed_moment_is_the_highest_effective_leverage() -> None:
    _, analyzer = play(HELD["two longs"], "cross", -0.05)
    time, account, marks = analyzer.most_exposed
    assert time == analyzer.times()[-1]
    assert marks == pytest.approx({"A/USDT": 95.0, "B/USDT": 19.0})
    got = stress(analyzer.most_exposed)
    assert got is not None
    assert got.effective_leverage == pytest.approx(analyzer.series()["effective_leverage"].max())
    assert got.exposure == pytest.approx({"A/USDT": 950.0, "B/USDT": 1_140.0})
    assert got.equity == pytest.approx(account.equity(marks))


def test_decided_leverage_and_exposure_by_candle() -> None:
    _, analyzer = play(HELD["a long and a short"], "isolated", None)
    decided = analyzer.series()["decided_leverage"]
    assert np.isnan(decided[0])
    assert decided[1:] == pytest.approx([10.0] * 3)
    assert analyzer.series()["call_ratio"][1:].tolist() == [0.8] * 3


def settings(**changed: Any) -> BacktestSettings:
    given: dict[str, Any] = {
        "data": ROOT / "data" / "made_BTCUSDT_1h_2025.csv", "symbol": "BTC/USDT:USDT",
        "leverage": 10.0, "end": date(2025, 3, 31), **changed,
    }  # fmt: skip
    return BacktestSettings(**given)


def test_survival_is_found_by_running() -> None:
    result = run_backtest(settings(survival=True))
    found = result.survival
    assert found is not None
    assert found.complete
    assert found.highest is not None
    assert 10.0 < found.highest < found.ceiling
    assert len(found.tried) <= 9
    assert [t.leverage for t in found.tried] == sorted(t.leverage for t in found.tried)
    at_edge = run_backtest(settings(leverage=found.highest))
    beyond = run_backtest(settings(leverage=found.highest + 1.0))
    assert at_edge.totals["liquidations"] == 0
    assert beyond.totals["liquidations"] > 0
    by_leverage = {t.leverage: t for t in found.tried}
    assert by_leverage[found.highest].return_ == pytest.approx(at_edge.totals["return"], abs=1e-12)
    assert by_leverage[found.highest + 1.0].liquidations == beyond.totals["liquidations"]


def test_survival_knows_the_venues_cap_and_is_not_looked_for_unasked() -> None:
    assert run_backtest(settings()).survival is None
    found = run_backtest(settings(venue="kraken", leverage=2.0, survival=True)).survival
    assert found is not None
    assert found.ceiling <= 10.0
    assert all(t.leverage <= found.ceiling for t in found.tried)
    assert found.highest == found.ceiling or not found.tried[-1].survived


def test_a_model_is_scaled_and_it_is_said() -> None:
    found = run_backtest(
        settings(strategy="adaptive", leverage=2.0, end=date(2025, 2, 10), survival=True)
    ).survival
    assert found is not None
    assert "model" in found.note
