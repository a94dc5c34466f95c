"""A user's rule sweeps compiled; what cannot be compiled goes through Cerebro and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leverpack.cli.strategies import new_strategy
from leverpack.errors import SettingError
from leverpack.sweep import SweepEngine
from leverpack.sweep.outcome import FIGURES
from tests.sweep.conftest import made_settings
from tests.sweep.test_parity import compare

BREAKOUT = '''
import math
from leverpack.indicators.columns import column
from strategies import LeverageStrategy

LEAST = 0.001


def far(close, level):
    return abs(math.log(close / level)) > LEAST


def breakout(close, highest, lowest, before, eager):
    if close > highest and (eager or far(close, before)):
        return 1
    return -1 if close < lowest else 0


def sure(close, highest, lowest):
    return 0.9 if highest > lowest * 1.03 else 0.72


class Breakout(LeverageStrategy):
    params = (("period", 20), ("eager", 0), ("liquidation_stops", 2.0))
    columns = {
        "highest": column("Highest", "high", ago=1, period="period"),
        "lowest": column("Lowest", "low", ago=1, period="period"),
        "before": column("", "close", ago=1),
    }
    rule = breakout
    confidence_rule = sure
'''


def test_a_users_rule_is_compiled_and_trades_as_in_cerebro(user_file: Any) -> None:
    engine = SweepEngine(made_settings(user_file(BREAKOUT)))
    counts = []
    for params in ({}, {"period": 50, "leverage": 10.0}, {"eager": 1, "targets": ((0.02, 0.5),)}):
        counts.append(compare(engine, params).figures["trades"])
    assert all(counts)
    assert len(set(counts)) > 1


def test_what_new_strategy_writes_sweeps_compiled(tmp_path: Path) -> None:
    new_strategy("golden_cross", tmp_path)
    engine = SweepEngine(made_settings(str(tmp_path / "golden_cross.py")))
    assert compare(engine, {"average_period": 20, "leverage": 5.0}).figures["trades"]


def test_an_edited_rule_never_meets_the_code_of_the_old_one(user_file: Any) -> None:
    before = SweepEngine(made_settings(user_file(BREAKOUT))).outcome({}).figures["trades"]
    helper = BREAKOUT.replace("LEAST = 0.001", "LEAST = 0.02")
    after = SweepEngine(made_settings(user_file(helper))).outcome({})
    assert after.engine == "compiled"
    assert after.figures["trades"] != before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("    confidence_rule = sure", "    def signal(self, data):\n        return 1"), "signal"),
        (("    rule = breakout", "    rule = None\n"), "declares no rule"),
        (("    return -1 if close < lowest else 0", "    return 'no' + str(open)"), "breakout"),
    ],
)
def test_what_does_not_compile_says_why(user_file: Any, change: Any, why: str) -> None:
    source = BREAKOUT.replace(*change)
    assert source != BREAKOUT
    engine = SweepEngine(made_settings(user_file(source)))
    ready = engine.prepare(0, {})
    assert isinstance(ready, str)
    assert why in ready


def test_a_rule_that_answers_nonsense_is_refused(user_file: Any) -> None:
    source = BREAKOUT.replace("return -1 if close < lowest else 0", "return 7")
    found = SweepEngine(made_settings(user_file(source))).outcome({})
    assert "something else than 1, -1 or 0" in found.refused


@pytest.mark.parametrize(
    "params",
    [{"entry_rule": lambda data: 0}, {"emergency": {"drawdown": 0.5}},
     {"leverage_model": lambda data, side: 2.0}],
)  # fmt: skip
def test_functions_and_protocols_go_through_cerebro(params: dict[str, Any]) -> None:
    found = SweepEngine(made_settings()).outcome(params)
    assert found.engine == "cerebro"
    assert next(iter(params)) in found.why


def test_any_backtrader_strategy_sweeps_through_cerebro(user_file: Any) -> None:
    source = '''
import backtrader as bt


class Crossing(bt.Strategy):
    params = (("fast", 10), ("slow", 30))

    def __init__(self):
        fast, slow = (bt.indicators.SMA(period=p) for p in (self.p.fast, self.p.slow))
        self.cross = bt.indicators.CrossOver(fast, slow)

    def next(self):
        if self.cross > 0 and not self.position:
            self.buy(size=0.1)
        elif self.cross < 0 and self.position:
            self.close()
'''
    engine = SweepEngine(made_settings(user_file(source), leverage=2.0))
    found = engine.outcome({"fast": 5})
    assert set(found.figures) == set(FIGURES)
    assert found.figures["trades"] and found.figures["trades"] > 10
    assert "no LeverageStrategy" in found.why
    assert engine.outcome({"fats": 5}).refused


def test_a_rule_names_columns_before_parameters(user_file: Any) -> None:
    source = BREAKOUT.replace("breakout(close, highest, lowest, before, eager)",
                              "breakout(close, eager, highest, lowest, before)")  # fmt: skip
    found = SweepEngine(made_settings(user_file(source))).outcome({})
    assert "come before those that are parameters" in found.refused


def test_unknown_parameters_are_named() -> None:
    found = SweepEngine(made_settings()).outcome({"leverag": 2.0})
    assert "did you mean leverage" in found.refused
    with pytest.raises(SettingError):
        SweepEngine(made_settings("conservativ"))
