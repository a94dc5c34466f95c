"""Axes as people write them: ranges with both ends, lists, texts, samples."""

from __future__ import annotations

import pytest

from leverpack.errors import SettingError
from leverpack.sweep import Grid, parse_grid
from strategies import AdaptiveLeverageStrategy, ConservativeLeverageStrategy


def values(text: str, strategy: type = ConservativeLeverageStrategy) -> tuple[object, ...]:
    (axis,) = parse_grid([text], strategy).axes
    return axis.values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("leverage=1:3", (1.0, 2.0, 3.0)),
        ("stop_loss_pct=0.01:0.03:0.01", (0.01, 0.02, 0.03)),
        ("stop_loss_pct=0.01:0.05:0.005", (.01, .015, .02, .025, .03, .035, .04, .045, .05)),
        ("fast_period=5:20:5", (5, 10, 15, 20)),
        ("slow_period=30, 50", (30, 50)),
        ("break_even=true,false", (True, False)),
        ("sides=long|both", ("long", "both")),
        ("targets=0.06:0.3,0.1:0.7|0.05:1", (((0.06, 0.3), (0.1, 0.7)), ((0.05, 1.0),))),
        ("leverage=1.5:3.6", ()),
    ],
)  # fmt: skip
def test_what_people_write(text: str, expected: tuple[object, ...]) -> None:
    found = values(text)
    assert found == expected
    assert [type(x) for x in found] == [type(x) for x in expected]


def test_texts_with_commas() -> None:
    assert values("models=guide|guide,drawdown", AdaptiveLeverageStrategy) == (
        "guide", "guide,drawdown",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["leverage"], "write name=low:high:step"),
        (["leverge=1:3"], "did you mean leverage"),
        (["leverage=3:1"], "lies above"),
        (["leverage=1:3:0"], "step must be positive"),
        (["leverage=a:b"], "made of numbers"),
        (["leverage=1:2:3:4"], "low:high"),
        (["leverage=nan:3"], "low:high"),
        (["fast_period=1:3:0.5"], "whole number"),
        (["leverage=1:2:1e-9"], "larger step"),
        (["leverage=1:2", "leverage=1:3"], "twice"),
        (["leverage=x,y"], "expected a number"),
        ([], "at least one"),
    ],
)
def test_what_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        parse_grid(texts, ConservativeLeverageStrategy)


def test_every_combination_once_whatever_the_order() -> None:
    grid = Grid({"a": [1, 2], "b": [10, 20, 30], "c": ["x", "y"]})
    plain = list(grid)
    assert len(grid) == len(plain) == 12
    assert plain[0] == {"a": 1, "b": 10, "c": "x"}
    assert plain[1] == {"a": 1, "b": 10, "c": "y"}
    assert grid[-1] == {"a": 2, "b": 30, "c": "y"}
    assert grid[2:4] == plain[2:4]
    ordered = list(grid.numbered(["c"]))
    assert sorted(number for number, _ in ordered) == list(range(12))
    assert all(grid[number] == params for number, params in ordered)
    assert [params["c"] for _, params in ordered] == ["x"] * 6 + ["y"] * 6


def test_a_sample_is_the_seeds() -> None:
    grid = Grid({"a": range(100), "b": range(100)})
    one = grid.sample(50, 7)
    assert one == grid.sample(50, 7) != grid.sample(50, 8)
    assert len({(s["a"], s["b"]) for s in one}) == 50
    assert len(Grid({"a": [1, 2]}).sample(50, 0)) == 2


def test_a_range_without_steps_is_for_samples() -> None:
    grid = parse_grid(["stop_loss_pct=0.01:0.05", "leverage=2:4"], ConservativeLeverageStrategy)
    assert grid.open_axes == ["stop_loss_pct"]
    found = grid.sample(200, 1)
    assert all(0.01 <= s["stop_loss_pct"] <= 0.05 for s in found)
    assert {s["leverage"] for s in found} == {2.0, 3.0, 4.0}
    with pytest.raises(SettingError, match="--random"):
        len(grid)


def test_an_axis_without_values_is_named() -> None:
    with pytest.raises(SettingError, match="leverage"):
        Grid({"leverage": []})
