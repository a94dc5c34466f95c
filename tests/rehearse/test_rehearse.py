"""The live path against the backtest on real candles, and what a planted difference does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leverpack.backtest.settings import BacktestSettings
from leverpack.errors import DataError, SettingError
from leverpack.paper.instrument import instrument_for
from leverpack.rehearse.compare import Comparison, compare
from leverpack.rehearse.live import rehearse_live, session_for
from leverpack.rehearse.plan import Plan, plan_for
from leverpack.rehearse.run import Rehearsal, rehearse
from leverpack.rehearse.tested import backtest
from tests.conftest import needs_shared
from tests.rehearse.cases import HISTORY, pairs, settings

SLICE, WHOLE = 84, 600
# Every strategy on every coin, the two ladders by turns, and the liquidations on one.
QUICK = [
    (coin, case) for coin, case in pairs()
    if case not in ("micro_scalping", "liquidated_cross", "liquidated")
    and (coin, case) not in (
        ("BTC", "ladder_trailing"), ("SOL", "ladder_break_even"), ("ETH", "ladder_trailing"),
    )
] + [("ETH", "liquidated")]  # fmt: skip


def check(found: Rehearsal, candles: int) -> None:
    compared = found.comparison
    assert not compared.unexplained
    assert compared.candles == candles
    assert len(compared.live) == len(compared.backtest) > 0
    assert compared.largest["size"] < 1e-9
    assert compared.largest["equity"] < 2e-8
    assert found.live.liquidations == found.backtest.liquidations
    if "liquidation" not in {t.reason for t in compared.backtest}:
        assert compared.largest["price"] < 1e-9
        assert {d.rule for d in compared.differences} <= {"eight digits"}


@needs_shared
@pytest.mark.parametrize(("coin", "case"), QUICK)
def test_live_does_what_the_backtest_does(coin: str, case: str):
    found = rehearse(settings(coin, case, SLICE), history=HISTORY)
    check(found, SLICE)
    if case.startswith("liquidated"):
        assert found.live.liquidations > 0


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize(("coin", "case"), pairs())
def test_live_does_what_the_backtest_does_through_a_crash(coin: str, case: str):
    check(rehearse(settings(coin, case, WHOLE), history=HISTORY), WHOLE)


# -- planted differences, on made candles --------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> BacktestSettings:
    """A random walk as a file, and a strategy that trades on it."""
    from tests.paper.stand import START, walk

    lines = ["time,open,high,low,close,volume"]
    for i, row in enumerate(walk(64, swing=0.004)):
        lines.append(f"{START + i * 3_600_000},{','.join(map(str, row))},1000")
    path = tmp_path_factory.mktemp("made") / "BTCUSDT-1h.csv"
    path.write_text("\n".join(lines) + "\n")
    params = {
        "fast_period": "3", "slow_period": "8", "rsi_period": "3", "rsi_oversold": "48",
        "rsi_overbought": "52", "stop_loss_pct": "0.005", "take_profit_pct": "0.008",
    }  # fmt: skip
    return BacktestSettings(data=path, symbol="BTC/USDT:USDT", params=params, leverage=5.0)


def compared(
    plan: Plan, journal: Path, live: Plan | None = None, **exchange: Any
) -> Comparison:
    live = live or plan
    outcome, run = rehearse_live(live, session_for(live, **exchange), journal)
    return compare(plan, outcome, backtest(plan, run.broker.guard.settable))


def whats(found: Comparison) -> set[str]:
    return {d.what.split(" (")[0] for d in found.unexplained}


def test_another_fee_at_the_venue_is_found(made: BacktestSettings, tmp_path: Path):
    found = compared(plan_for(made), tmp_path / "j.db", taker=0.0006)
    assert len(found.backtest) > 3
    assert {"fees", "equity"} <= whats(found)


def test_another_tick_at_the_venue_is_found(made: BacktestSettings, tmp_path: Path):
    plan = plan_for(made)
    coarse = instrument_for(plan.candles, symbol="BTCUSDT", tick="5")
    found = compared(plan, tmp_path / "j.db", replace(plan, instrument=coarse))
    assert {"price", "pnl", "equity"} <= whats(found)


def test_another_stop_is_found(made: BacktestSettings, tmp_path: Path):
    plan = plan_for(made)
    wider = replace(plan, params={**plan.params, "stop_loss_pct": 0.006})
    found = compared(plan, tmp_path / "j.db", wider)
    assert {"size", "price", "pnl", "equity"} <= whats(found)


def test_a_position_closed_by_other_hands_is_found(made: BacktestSettings, tmp_path: Path):
    plan = plan_for(made)
    session = session_for(plan)
    exchange = session.exchange
    closed: list[int] = []

    def close(tape: Any, what: str) -> None:
        if what == "opened" and not closed and exchange.books.held("BTCUSDT"):
            closed.append(exchange.close_elsewhere("BTCUSDT"))

    exchange.market_listeners.append(close)
    outcome, run = rehearse_live(plan, session, tmp_path / "j.db")
    assert closed == [1]
    found = compare(plan, outcome, backtest(plan, run.broker.guard.settable))
    assert {"exit by", "equity"} <= whats(found)


PLAIN = """
import backtrader as bt

class Plain(bt.Strategy):
    params = (("every", 7),)

    def next(self):
        if self.position and len(self) % self.p.every == 3:
            self.close()
        elif not self.position and len(self) % self.p.every == 0:
            (self.buy if len(self) % 2 else self.sell)(size=0.0314)
"""


def test_a_plain_backtrader_strategy(made: BacktestSettings, tmp_path: Path):
    own = tmp_path / "plain.py"
    own.write_text(PLAIN)
    found = rehearse(replace(made, strategy=str(own), params={"every": "6"}))
    assert not found.comparison.unexplained
    assert len(found.comparison.live) > 6
    assert found.to_dict()["agrees"]


LATE = """
import backtrader as bt

class Late(bt.Strategy):
    resting = None

    def next(self):
        if not self.position and self.resting is None:
            self.buy(size=0.05)

    def notify_order(self, order):
        if order.status != order.Completed:
            return
        self.resting = None
        if order.isbuy():
            self.resting = self.sell(
                size=0.05, exectype=bt.Order.Stop, price=order.executed.price * 0.999,
                reduce_only=True)
"""


def test_a_stop_that_a_backtest_rests_a_candle_late_is_found(
    made: BacktestSettings, tmp_path: Path
):
    """Backtrader tells of a fill after its candle, the exchange at once: so does the table."""
    own = tmp_path / "late.py"
    own.write_text(LATE)
    found = rehearse(replace(made, strategy=str(own), params={}))
    assert {"exit candle", "price", "equity"} <= whats(found.comparison)


# -- settings ------------------------------------------------------------------------------------


def test_the_warm_up_comes_before_the_first_candle(made: BacktestSettings):
    from datetime import datetime

    plan = plan_for(replace(made, start=datetime(2025, 1, 2)), history=10)
    assert (plan.begin, len(plan.candles)) == (10, 64 - 14)
    assert plan.start_ms == 1_735_776_000_000


@pytest.mark.parametrize(("changed", "word"), [
    ({"venue": "bybit"}, "--venue bybit"), ({"slippage": 0.001}, "--slippage 0.001"),
    ({"fill": "previous"}, "--fill previous"),
])  # fmt: skip
def test_what_is_not_rehearsed_is_refused(
    made: BacktestSettings, changed: dict[str, Any], word: str
):
    with pytest.raises(SettingError, match=word):
        plan_for(replace(made, **changed))


def test_a_journal_that_is_there_is_refused(made: BacktestSettings, tmp_path: Path):
    path = tmp_path / "j.db"
    path.write_text("kept")
    with pytest.raises(SettingError, match="is there already"):
        rehearse(made, journal=path)
    assert path.read_text() == "kept"


def test_a_start_behind_the_candles_is_refused(made: BacktestSettings):
    from datetime import date

    with pytest.raises(DataError, match="--from 2026-01-01"):
        plan_for(replace(made, start=date(2026, 1, 1)))


def test_a_strategy_that_raises_ends_the_rehearsal_with_its_word(
    made: BacktestSettings, tmp_path: Path
):
    own = tmp_path / "own.py"
    own.write_text(
        "from strategies import LeverageStrategy\n\n\n"
        "class Breaks(LeverageStrategy):\n"
        "    def signal(self, data):\n"
        "        raise RuntimeError('broken rule')\n"
    )
    with pytest.raises(RuntimeError, match="broken rule"):
        rehearse(replace(made, strategy=str(own), params={}))
