"""Which parameter sets a sweep runs: axes written as ``leverage=1:20``, all of them or a sample."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any

from leverpack.backtest.run import parse_params
from leverpack.errors import SettingError, nearest

_MOST_VALUES = 1_000_000  # of one axis


@dataclass(frozen=True)
class Axis:
    """One parameter: its values; or, without values, any number from ``low`` to ``high``."""

    name: str
    values: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan

    def pick(self, rng: random.Random) -> Any:
        """One of its values at random."""
        return rng.choice(self.values) if self.values else rng.uniform(self.low, self.high)


class Grid(Sequence[dict[str, Any]]):
    """Every combination of the axes, made on access; the last axis changes fastest.

    ``Grid({"leverage": [1, 2, 3], "stop_loss_pct": [0.01, 0.02]})[0]`` is
    ``{"leverage": 1, "stop_loss_pct": 0.01}``. Raises SettingError for an axis without values.
    """

    def __init__(self, axes: Mapping[str, Sequence[Any]] | Sequence[Axis]) -> None:
        if isinstance(axes, Mapping):
            axes = [Axis(name, tuple(values)) for name, values in axes.items()]
        self.axes = tuple(axes)
        for axis in self.axes:
            if not axis.values and math.isnan(axis.low):
                raise SettingError(f"--grid {axis.name}: there are no values")

    @property
    def open_axes(self) -> list[str]:
        """The axes without steps: they can be sampled, not gone through."""
        return [a.name for a in self.axes if not a.values]

    def __len__(self) -> int:
        self._need_steps()
        return math.prod(len(a.values) for a in self.axes)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        rest = range(len(self))[index]
        found = {}
        for axis in reversed(self.axes):
            rest, at = divmod(rest, len(axis.values))
            found[axis.name] = axis.values[at]
        return {axis.name: found[axis.name] for axis in self.axes}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def numbered(self, slow: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """All sets with their number, the axes named in ``slow`` changing slowest; made lazily."""
        order = sorted(range(len(self.axes)), key=lambda k: self.axes[k].name not in slow)
        lengths = [len(a.values) for a in self.axes]
        weights = [math.prod(lengths[k + 1 :]) for k in range(len(lengths))]
        for picks in product(*(range(lengths[k]) for k in order)):
            number = sum(at * weights[k] for k, at in zip(order, picks, strict=True))
            yield number, self[number]

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """``count`` sets at random, each once where all axes have steps; the same for a seed."""
        rng = random.Random(seed)
        if self.open_axes:
            return [{a.name: a.pick(rng) for a in self.axes} for _ in range(count)]
        return [self[i] for i in rng.sample(range(len(self)), min(count, len(self)))]

    def _need_steps(self) -> None:
        if self.open_axes:
            name = self.open_axes[0]
            raise SettingError(
                f"--grid {name}: a range without a step can only be sampled; write "
                f"{name}=low:high:step, or add --random"
            )


def parse_grid(texts: Sequence[str], strategy: Any) -> Grid:
    """Axes from texts: ``name=1:20`` (step 1), ``name=0.01:0.05:0.005``, ``name=2,3,5``.

    Both ends of a range are in it. Values of text parameters and of ``targets`` are separated by
    ``|``. A range of fractions without a step is open: for sampling. Raises SettingError.
    """
    defaults = dict(strategy.params._getitems())
    axes: list[Axis] = []
    for text in texts:
        name, sign, values = (part.strip() for part in text.partition("="))
        if not sign or not values:
            raise SettingError(f"--grid {text!r}: write name=low:high:step or name=one,two,three")
        if name not in defaults:
            hint = nearest(name, defaults, f"it has {', '.join(defaults)}")
            raise SettingError(f"--grid {name}: {strategy.__name__} has no such parameter; {hint}")
        if name in [a.name for a in axes]:
            raise SettingError(f"--grid {name}: it is there twice")
        axes.append(_axis(name, values, defaults[name], strategy))
    if not axes:
        raise SettingError("--grid: name at least one parameter, as in --grid leverage=1:20")
    return Grid(axes)


def _axis(name: str, text: str, default: Any, strategy: Any) -> Axis:
    if isinstance(default, (str, tuple)) or "|" in text:
        return Axis(name, _converted(name, text.split("|"), strategy))
    if ":" in text:
        return _range(name, text, default)
    return Axis(name, _converted(name, text.split(","), strategy))


def _converted(name: str, parts: Sequence[str], strategy: Any) -> tuple[Any, ...]:
    return tuple(parse_params(strategy, {name: part.strip()})[name] for part in parts)


def _range(name: str, text: str, default: Any) -> Axis:
    try:
        numbers = [Decimal(part.strip()) for part in text.split(":")]
    except InvalidOperation:
        raise SettingError(f"--grid {name}={text}: a range is made of numbers") from None
    if len(numbers) not in (2, 3) or not all(n.is_finite() for n in numbers):
        raise SettingError(f"--grid {name}={text}: write low:high or low:high:step")
    low, high = numbers[:2]
    if low > high:
        raise SettingError(f"--grid {name}={text}: the first end lies above the second")
    whole = isinstance(default, int) and not isinstance(default, bool)
    if len(numbers) == 2 and not whole and (low % 1 or high % 1):
        return Axis(name, (), float(low), float(high))
    step = numbers[2] if len(numbers) == 3 else Decimal(1)
    if not step > 0:
        raise SettingError(f"--grid {name}={text}: the step must be positive")
    count = int((high - low) / step) + 1
    if count > _MOST_VALUES:
        raise SettingError(f"--grid {name}={text}: that is {count:,} values; take a larger step")
    steps = [low + k * step for k in range(count)]
    if whole and any(s % 1 for s in steps):
        raise SettingError(f"--grid {name}={text}: {name} is a whole number")
    return Axis(name, tuple(int(s) if whole else float(s) for s in steps))
