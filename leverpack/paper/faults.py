"""Faults on demand: which requests go wrong, and how; what breaks at which candle."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from leverpack.errors import DataError, SettingError, nearest

# What can happen to a request and its answer.
LINE_KINDS = (
    "delay", "lost_request", "lost_response", "timeout_before", "timeout_after", "error_before",
    "error_after", "rate_limit", "ban", "malformed", "maintenance", "duplicate",
)  # fmt: skip
# What can happen to the venue, the account or the streams.
EVENT_KINDS = (
    "ws_drop", "ws_half_open", "ws_duplicate", "ws_reorder", "listen_key_expired", "clock_skew",
    "partial_fill", "leverage_stays", "closed_elsewhere", "adl", "tier_change", "funding_interval",
)  # fmt: skip


@dataclass(slots=True)
class Fault:
    """One rule: ``kind`` and when it happens.

    A fault of the line happens to requests whose ``method`` and ``path`` (with * and ?) match,
    not to the first ``after`` of them, ``times`` times (0: for ever), each with ``probability``.
    An event happens at the opening of candle number ``candle`` (of the first file, from 1), else
    after a matching request if ``path`` is given, else at once.

    ``seconds`` is the length of a delay or timeout; ``status`` of an error; ``count`` how many
    messages or calls are meant; ``share`` of an order that still fills; ``ms`` of skew;
    ``hours`` of a funding interval; ``factor`` by which maintenance rates grow and leverages
    shrink.
    """

    kind: str
    method: str = "*"
    path: str = ""
    after: int = 0
    times: int = 1
    probability: float = 1.0
    candle: int = 0
    symbol: str = ""
    seconds: float = 1.0
    status: int = 503
    count: int = 1
    share: float = 0.5
    ms: int = 10_000
    hours: int = 4
    factor: float = 2.0
    happened: int = 0

    def __post_init__(self) -> None:
        if self.kind not in LINE_KINDS + EVENT_KINDS:
            hint = nearest(self.kind, LINE_KINDS + EVENT_KINDS, "see leverpack.paper.faults")
            raise SettingError(f"fault kind {self.kind!r} is unknown; {hint}")
        if not 0.0 <= self.probability <= 1.0:
            raise SettingError(f"probability of {self.kind} must lie in 0..1")
        if self.seconds < 0.0 or self.after < 0 or self.times < 0:
            raise SettingError(f"seconds, after and times of {self.kind} must not be negative")

    @classmethod
    def from_mapping(cls, values: Any) -> Fault:
        """A rule from plain values; SettingError names what does not fit."""
        if not isinstance(values, Mapping):
            raise SettingError("a fault must be a table of names and values")
        known = {f.name: f for f in fields(cls) if f.name != "happened"}
        for name, value in values.items():
            if name not in known:
                hint = nearest(str(name), known, f"it has {', '.join(known)}")
                raise SettingError(f"a fault has no {name!r}; {hint}")
            wanted = type(known[name].default) if name != "kind" else str
            fits = isinstance(value, (int, float)) if wanted is float else type(value) is wanted
            if not fits or isinstance(value, bool):
                raise SettingError(f"{name} of a fault must be {wanted.__name__}, not {value!r}")
        if "kind" not in values:
            raise SettingError("a fault needs a kind")
        return cls(**values)

    @property
    def spent(self) -> bool:
        """Whether it has happened as often as it may."""
        return bool(self.times) and self.happened >= self.times


def read_faults(path: Path) -> list[Fault]:
    """Rules from a TOML file with ``[[fault]]`` tables or a JSON list; DataError with the file."""
    try:
        text = path.read_text()
        rows = json.loads(text) if path.suffix == ".json" else tomllib.loads(text).get("fault", [])
    except OSError as fault:
        raise DataError(f"cannot be read: {fault.strerror}", source=str(path)) from fault
    except ValueError as fault:
        raise DataError(f"is no valid TOML or JSON: {fault}", source=str(path)) from fault
    if not isinstance(rows, list):
        raise DataError("must hold a list of faults", source=str(path))
    try:
        return [Fault.from_mapping(row) for row in rows]
    except SettingError as fault:
        raise DataError(str(fault), source=str(path)) from fault


class Faults:
    """The rules in force; ``act`` is called with every event that is due."""

    def __init__(self, act: Callable[[Fault], None], seed: int = 1) -> None:
        self.rules: list[Fault] = []
        self.candle = 1  # the one that is open
        self._act = act
        self._dice = random.Random(seed)
        self._seen: dict[int, int] = {}  # requests that matched a rule, by its id()

    def add(self, rules: Iterable[Fault]) -> None:
        """Put rules into force; an event without a condition happens now."""
        for rule in rules:
            if rule.kind in EVENT_KINDS and not rule.candle and not rule.path:
                rule.happened += 1
                self._act(rule)
            elif rule.candle and rule.candle <= self.candle:
                raise SettingError(f"candle {rule.candle} of fault {rule.kind} has already opened")
            self.rules.append(rule)

    def clear(self) -> None:
        """Take all rules out of force."""
        self.rules.clear()
        self._seen.clear()

    def candle_opened(self, number: int) -> None:
        """Candle ``number`` (from 1) has opened."""
        self.candle = number
        for rule in self.rules:
            if rule.candle == self.candle and not rule.spent:
                rule.happened += 1
                self._act(rule)

    def of_request(self, method: str, path: str) -> list[Fault]:
        """The faults of the line that happen to this request, in the order of the rules."""
        found = []
        for rule in self.rules:
            if rule.kind in LINE_KINDS and self._hits(rule, method, path):
                found.append(rule)
        return found

    def after_request(self, method: str, path: str) -> None:
        """Let the events happen that follow this request."""
        for rule in self.rules:
            if rule.kind in EVENT_KINDS and rule.path and self._hits(rule, method, path):
                self._act(rule)

    def _hits(self, rule: Fault, method: str, path: str) -> bool:
        if rule.spent or not fnmatchcase(method, rule.method):
            return False
        if not fnmatchcase(path, rule.path or "*"):
            return False
        seen = self._seen[id(rule)] = self._seen.get(id(rule), 0) + 1
        if seen <= rule.after or self._dice.random() >= rule.probability:
            return False
        rule.happened += 1
        return True

    def listed(self) -> list[dict[str, Any]]:
        """The rules as plain values."""
        return [asdict(rule) for rule in self.rules]
