"""Every scalar function compiled with numba gives, bit for bit, what the plain call gives."""

from __future__ import annotations

import doctest
import inspect
import math
import random
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from leverpack.margin import venues
from leverpack.margin.compiled import compile_scalars, scalar_functions, scalar_modules

TIERS = 5
RANGES = {
    "leverage": (0.5, 120.0),
    "leverage_x": (0.5, 120.0),
    "mmr": (0.0, 0.1),
    "mmr_below": (0.0, 0.1),
    "long_mmr": (0.0, 0.1),
    "short_mmr": (0.0, 0.1),
    "cum": (0.0, 5e3),
    "long_cum": (0.0, 5e3),
    "short_cum": (0.0, 5e3),
    "fee_open": (0.0, 0.002),
    "fee_close": (0.0, 0.002),
    "close_fee": (0.0, 0.002),
    "taker_fee": (0.0, 0.002),
    "rate": (-0.02, 0.02),
    "held_share": (-0.1, 1.1),
    "hours": (0.0, 50.0),
    "period_hours": (1.0, 8.0),
    "step": (1e-8, 1e-2),
    "buffer": (0.0, 0.5),
    "slope": (-2.0, 2.0),
    "size": (0.0, 50.0),
    "long_size": (0.0, 50.0),
    "short_size": (0.0, 50.0),
    "fill": (-50.0, 50.0),
    "upnl_others": (-5e3, 5e3),
    "mm_others": (0.0, 5e3),
    "wallet": (0.0, 2e6),
    "entry_notional": (0.0, 2e6),
    "notional": (0.0, 2e6),
    "collateral": (0.0, 2e6),
    "backing": (-2e6, 2e6),
}


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    return compile_scalars()


def table(rng: random.Random) -> dict[str, tuple[float, ...]]:
    caps, mmrs, cums = [rng.uniform(1e4, 1e5)], [rng.uniform(0.0, 0.01)], [0.0]
    for _ in range(TIERS - 1):
        mmr = mmrs[-1] + rng.uniform(0.0, 0.05)
        cums.append(cums[-1] + caps[-1] * (mmr - mmrs[-1]))
        mmrs.append(mmr)
        caps.append(caps[-1] * rng.uniform(1.5, 6.0))
    return {
        "caps": tuple(caps),
        "mmrs": tuple(mmrs),
        "cums": tuple(cums),
        "max_leverages": tuple(100.0 / (i + 1) for i in range(TIERS)),
    }


def arguments(function: Any, rng: random.Random) -> list[Any]:
    """Random arguments by the parameters' names and annotations."""
    columns = table(rng)
    values: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        if name in columns:
            values.append(columns[name])
        elif kind == "Sequence[float]":
            values.append(tuple(rng.uniform(0.0, 1e4) for _ in range(TIERS)))
        elif kind == "bool":
            values.append(rng.random() < 0.5)
        elif kind == "int":
            values.append(rng.randrange(TIERS))
        elif kind == "float":
            values.append(number(name, rng))
        else:
            raise AssertionError(f"{function.__name__}: {name} is a {kind}, which is no scalar")
    return values


def number(name: str, rng: random.Random) -> float:
    if name == "side":
        return rng.choice((1.0, -1.0))
    low, high = RANGES.get(name, (0.0, 1e4))
    # The edges are where the branches are.
    return rng.choice((0.0, low, high)) if rng.random() < 0.1 else rng.uniform(low, high)


def bits(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(bits(v) for v in value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return value


@pytest.mark.parametrize("name", sorted(scalar_functions()))
def test_compiled_equals_plain(name: str, compiled: SimpleNamespace) -> None:
    plain, fast, rng = scalar_functions()[name], getattr(compiled, name), random.Random(name)
    compared = 0
    for _ in range(300):
        values = arguments(plain, rng)
        try:
            expected = plain(*values)
        except ZeroDivisionError:
            # Only for inputs that the function's contract leaves out; compiled raises as well.
            with pytest.raises(ZeroDivisionError):
                fast(*values)
            continue
        assert bits(fast(*values)) == bits(expected), values
        compared += 1
    assert compared > 200
    assert len(fast.signatures) == 1  # one compilation: the types do not wander


def test_compiled_functions_call_compiled_functions(compiled: SimpleNamespace) -> None:
    tiers = ((3e5, 8e5, 3e6), (0.004, 0.005, 0.0065), (0.0, 300.0, 1_500.0))
    price = compiled.liquidation_price(-1.0, 6.0, 1e5, 3e5, *tiers, 0.0, 0.0, 0.0)
    assert price == pytest.approx(149_279.68, abs=0.005)


def test_examples_in_the_docstrings_hold() -> None:
    from leverpack.margin import tiers

    tried = 0
    for module in (*scalar_modules(), venues, tiers):
        outcome = doctest.testmod(module)
        assert outcome.failed == 0, module.__name__
        tried += outcome.attempted
    assert tried >= 10
