"""The kernel as plain Python gives, bit for bit, what the compiled one gives."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import numpy as np
import pytest

from leverpack.sweep import SweepEngine, kernel
from leverpack.sweep import engine as engine_module
from leverpack.sweep.compiling import RuleRefused, globals_read, recompiled
from strategies import STRATEGIES
from tests.sweep.conftest import made_settings
from tests.sweep.randomsets import random_set


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_plain_equals_compiled(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"plain {strategy}")
    engine = SweepEngine(
        made_settings(strategy, slippage=rng.choice((0.0, 0.0003)), end=date(2025, 3, 31))
    )
    sets: list[dict[str, Any]] = [{}, *(random_set(strategy, rng) for _ in range(4))]
    fast = [engine.outcome(s, most_trades=10_000) for s in sets]
    monkeypatch.setattr(engine_module, "engine", lambda: kernel.run_set)
    trades = 0
    for params, compiled in zip(sets, fast, strict=True):
        plain = engine.outcome(params, most_trades=10_000)
        assert plain.figures == compiled.figures, params
        assert plain.trades.tobytes() == compiled.trades.tobytes(), params
        assert plain.daily.tobytes() == compiled.daily.tobytes(), params
        trades += len(plain.trades)
    assert trades


def test_no_trade_is_lost_where_there_is_little_room(made: SweepEngine) -> None:
    whole = made.outcome({}, most_trades=1_000)
    part = made.outcome({}, most_trades=3)
    assert len(part.trades) == 3
    assert part.trades.tobytes() == whole.trades[:3].tobytes()
    assert part.figures == whole.figures


def test_fewer_candles_than_the_rule_needs(made: SweepEngine) -> None:
    found = made.outcome({"slow_period": 8_000, "fast_period": 10})
    assert found.figures["trades"] is not None
    none = SweepEngine(made_settings()).outcome({"slow_period": 9_000})
    assert none.figures["trades"] == 0
    assert none.figures["end_equity"] == 10_000.0
    assert none.figures["sharpe"] is None
    assert np.all(none.daily == 10_000.0)


def test_a_rule_may_not_hide_variables() -> None:
    level = 5.0

    def hidden(close: float) -> int:
        return 1 if close > level else 0

    with pytest.raises(RuleRefused, match="variables of the function"):
        recompiled(hidden, {})


def test_what_a_function_reads_is_found_in_its_inner_code_too() -> None:
    names = globals_read(kernel.run_set)
    assert {"start", "walk", "decide", "refresh"} <= set(names)
    def outer(values: list[float]) -> list[float]:
        return [kernel.side_of(v) for v in values]

    assert "kernel" in globals_read(outer)
