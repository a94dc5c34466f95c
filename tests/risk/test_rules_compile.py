"""Entry rules, leverage models, sizes, caps and exit steps compile and give the plain answers."""

from __future__ import annotations

import doctest
import random
from types import SimpleNamespace

import pytest

from leverpack.margin.compiled import compile_scalars, scalar_functions
from leverpack.risk import caps, exits, guide, halts, leverage, sizing, watch
from strategies import adaptive, confidence_ladder, conservative, margin_monitor, micro_stake
from tests.margin.test_compile import arguments, bits

MODULES = (
    leverage, sizing, exits, caps, halts, watch, conservative, adaptive, margin_monitor,
    micro_stake, confidence_ladder,
)  # fmt: skip
RULES = sorted(scalar_functions(*MODULES).keys() - scalar_functions().keys())


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    return compile_scalars(*MODULES)


def test_every_rule_is_among_them() -> None:
    assert {
        "conservative_entry", "adaptive_entry", "swing_entry", "scalping_entry", "momentum_entry",
        "trend_confidence", "margin_action", "guide_leverage", "volatility_target_leverage",
        "kelly_leverage", "drawdown_control_leverage", "liquidation_distance_cap", "risk_size",
        "stake_size", "equity_size", "confidence_multiplier", "tradable_size", "rung_size",
        "trailing_stop", "break_even_price", "time_is_up", "allowed_size",
    } <= set(RULES)  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_compiled_equals_plain(name: str, compiled: SimpleNamespace) -> None:
    plain, fast = scalar_functions(*MODULES)[name], getattr(compiled, name)
    rng = random.Random(name)
    compared = 0
    for _ in range(300):
        values = arguments(plain, rng)
        try:
            expected = plain(*values)
        except ZeroDivisionError:
            with pytest.raises(ZeroDivisionError):
                fast(*values)
            continue
        assert bits(fast(*values)) == bits(expected), values
        compared += 1
    assert compared > 150
    assert len(fast.signatures) == 1


def test_examples_in_the_docstrings_hold() -> None:
    tried = 0
    for module in (*MODULES, guide):
        outcome = doctest.testmod(module)
        assert outcome.failed == 0, module.__name__
        tried += outcome.attempted
    assert tried >= 20
