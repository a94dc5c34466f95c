"""One parameter set of a strategy as the kernel takes it, or why Cerebro has to run it."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from leverpack.errors import refuse_unknown
from leverpack.indicators.columns import Bound, bound_columns, rule_arguments
from leverpack.margin.venues import (
    half_of_max_leverage,
    maintenance_and_fee_at_price,
    maintenance_at_price,
)
from leverpack.risk.leverage import MODELS
from leverpack.risk.limits import Limits
from leverpack.risk.sizing import SIZINGS
from leverpack.sweep.market import SweepMarket
from leverpack.sweep.records import INTRABAR, SetParams
from strategies import STRATEGIES, AdaptiveLeverageStrategy, LeverageStrategy, MarginMonitorStrategy
from strategies.guards import LIMIT_NAMES
from strategies.protection import ladder_steps

# What a strategy of the user's own may declare and still be the base's in everything else.
_DECLARATIONS = {
    "params", "columns", "rule", "confidence_rule", "columns_for", "rule_for", "settle", "lines",
    "frompackages", "packages", "alias", "aliased", "linealias", "plotinfo", "plotlines", "_ind",
}  # fmt: skip
_GENERAL_RULES = (maintenance_at_price, maintenance_and_fee_at_price, half_of_max_leverage)
_KINDS = typing.get_type_hints(SetParams)
_SLOTS = {"atr": "atr", "adx": "adx", "volatility": "volatility", "mean": "mean",
          "mean_square": "square"}  # fmt: skip


@dataclass(frozen=True)
class RuleCall:
    """A rule with what it is called with: the names of its lines, and its numbers."""

    rule: Callable[..., Any]
    lines: tuple[str, ...]
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class CompiledSet:
    """One set: numbers for the kernel, and which columns it reads.

    ``steps`` are (target as a fraction of the price, share before, share) of each part of the
    position; with ``single_target`` there is one part, whose target is the strategy's.
    """

    params: SetParams
    steps: tuple[tuple[float, float, float], ...]
    single_target: bool
    columns: dict[str, Bound]
    entry: RuleCall
    confidence: RuleCall | None
    sides: str
    slots: dict[str, str]  # field of RuleColumns -> name of a column


def settled(strategy: Any, given: Mapping[str, Any]) -> SimpleNamespace:
    """All parameters of a strategy with its presets put in; SettingError for what cannot be."""
    refuse_unknown(strategy, [n for n in given if n not in strategy.params._getkeys()])
    p = SimpleNamespace(**{**dict(strategy.params._getitems()), **given})
    strategy.settle(p)
    Limits(**{name: getattr(p, name) for name in LIMIT_NAMES})
    return p


def why_not_compiled(market: SweepMarket, strategy: type) -> str:
    """Why no set of this strategy on this account can be compiled; "" when it can."""
    if not issubclass(strategy, LeverageStrategy):
        return f"{strategy.__name__} is no LeverageStrategy"
    own = _overridden(strategy)
    if own:
        return f"{strategy.__name__} has code of its own in {own}"
    if market.profile.is_spot_margin or market.profile.rule not in _GENERAL_RULES:
        return f"the liquidation rule of {market.profile.title} is not in the kernel"
    if market.interest_hourly:
        return "interest by the hour is not in the kernel"
    return ""


def _overridden(strategy: type) -> str:
    """What a user's class does otherwise than the pack's class above it; "" for nothing."""
    known = {LeverageStrategy, *STRATEGIES.values()}
    for kind in strategy.__mro__:
        if kind in known:
            return ""
        for name in vars(kind):
            if name not in _DECLARATIONS and not (name.startswith("__") and name != "__init__"):
                return name
    return ""


def compile_set(
    market: SweepMarket, strategy: type, given: Mapping[str, Any]
) -> CompiledSet | str:
    """A set for the kernel, or in words what in these parameters only Cerebro can run.

    Raises SettingError for parameters that cannot be meant.
    """
    kind: Any = strategy
    p = settled(kind, given)
    for name in ("entry_rule", "confidence", "leverage_model", "limit_store", "emergency"):
        if getattr(p, name) is not None:
            return f"{name} is given"
    rule = kind.rule_for(p)
    if rule is None:
        return f"{kind.__name__} declares no rule"
    columns = bound_columns(kind.columns_for(p), p)
    entry = _call(rule, columns, p)
    confidence = kind.confidence_rule and _call(kind.confidence_rule, columns, p)
    for call in (entry, confidence):
        if isinstance(call, str):
            return call
    steps = _steps(p.targets)
    return CompiledSet(
        params=_numbers(market, kind, given, p),
        steps=steps,
        single_target=not p.targets,
        columns=columns,
        entry=entry,
        confidence=confidence,
        sides=p.sides,
        slots={f: n for f, n in _SLOTS.items() if n in columns},
    )


def _call(rule: Any, columns: Mapping[str, Bound], p: Any) -> Any:
    lines, names = rule_arguments(rule, columns)
    values = [getattr(p, n) for n in names]
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, (int, float)):
            return f"the parameter {name} of {rule.__name__} is no number"
    return RuleCall(rule, tuple(lines), tuple(float(v) for v in values))


def _steps(targets: Iterable[tuple[float, float]]) -> tuple[tuple[float, float, float], ...]:
    """The parts of a position, as Protection._ladder makes them."""
    return tuple(ladder_steps(tuple(targets) or ((0.0, 1.0),)))


def _numbers(
    market: SweepMarket, strategy: Any, given: Mapping[str, Any], p: Any
) -> SetParams:
    """Every number of the set in the kernel's own types: one compilation serves all."""
    settings = market.settings
    adaptive = issubclass(strategy, AdaptiveLeverageStrategy)
    monitor = issubclass(strategy, MarginMonitorStrategy)
    own = dict(strategy.params._getitems()).get("leverage")
    values: dict[str, Any] = {
        **{name: getattr(p, name, 0) for name in SetParams._fields},
        "first_bar": 0,  # known once the columns are
        "cash": settings.cash,
        "start_leverage": settings.leverage or given.get("leverage") or own or 1.0,
        "isolated": settings.margin_mode == "isolated",
        "maker": market.maker,
        "taker": market.taker,
        "slippage": settings.slippage,
        "close_fee": market.close_fee,
        "intrabar": INTRABAR.index(settings.intrabar),
        "sizing": SIZINGS.index(p.sizing),
        "leverage_cap": 1.0 / float(p.initial_margin) if monitor else math.inf,
        "monitor": monitor,
        "models": 0,
        "base_leverage": 0.0,
    }
    if not adaptive:  # a parameter of that name may mean something else in a user's strategy
        values["atr_stop"] = 0.0
    else:
        asked = strategy.model_names(p)
        values["models"] = sum(1 << MODELS.index(name) for name in set(asked))
        values["base_leverage"] = p.leverage if p.base_leverage is None else p.base_leverage
    return SetParams(**{name: _KINDS[name](values[name]) for name in SetParams._fields})
