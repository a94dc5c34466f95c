"""Which alerts are news: each once an episode, gathered so that none is lost however many come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from leverpack.live.bus import DAILY_SUMMARY, HALTED, LIQUIDATION, RESTARTED

SILENCE_S = 3600.0
# What happens at a moment: each is news. The rest are conditions, which repeat while they last.
MOMENTS = frozenset({LIQUIDATION, RESTARTED, HALTED, DAILY_SUMMARY})
KEPT = 3  # sentences a kind; the rest is counted
_MOST_EPISODES = 10_000
_NUMBER = re.compile(r"\d[\d.,]*")


class Episodes:
    """Remembers what has been told; ``clock`` gives seconds.

    An episode is one kind with one sentence but for its numbers. It ends when its condition has
    cleared, or ``silence_s`` after it was last heard of.
    """

    def __init__(
        self, silence_s: float = SILENCE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._silence_s, self._clock = silence_s, clock
        self._open: dict[tuple[str, str], float] = {}

    def is_news(self, kind: str, text: str) -> bool:
        """Whether this begins an episode."""
        if kind in MOMENTS:
            return True
        now, key = self._clock(), (kind, _NUMBER.sub("#", text))
        heard = self._open.pop(key, None)  # put anew at the end, so that the oldest comes first
        self._open[key] = now
        if len(self._open) > _MOST_EPISODES:
            del self._open[next(iter(self._open))]
        return heard is None or now - heard > self._silence_s

    def clear(self, kind: str, symbol: str) -> None:
        """The condition has ended: of one symbol, or of all with ""."""
        start = _NUMBER.sub("#", f"{symbol}:") if symbol else ""
        for key in [k for k in self._open if k[0] == kind and k[1].startswith(start)]:
            del self._open[key]


@dataclass(slots=True)
class Gathered:
    """Alerts that wait to be sent, by kind: how many, and the first sentences of each."""

    counts: dict[str, int] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, kind: str, text: str, count: int = 1) -> None:
        """Take in ``count`` alerts of a kind; the text of the first few is kept."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        texts = self.texts.setdefault(kind, [])
        if text and len(texts) < KEPT:
            texts.append(text)

    def merge(self, later: Gathered) -> None:
        """Take in what has been gathered elsewhere, after this."""
        for kind, count in later.counts.items():
            self.add(kind, "", count)
            room = KEPT - len(self.texts[kind])
            self.texts[kind] += later.texts[kind][:room]

    def message(self) -> tuple[str, str]:
        """Title and body: the sentence itself for one alert, else each kind with its count."""
        if sum(self.counts.values()) == 1:
            kind = next(iter(self.counts))
            return worded(kind), self.texts[kind][0]
        total = sum(self.counts.values())
        lines = []
        for kind, count in self.counts.items():
            lines.append(f"{worded(kind)}: {count}")
            lines += [f"- {text}" for text in self.texts[kind]]
            if count > len(self.texts[kind]):
                lines.append(f"- and {count - len(self.texts[kind])} more")
        kinds = "1 kind" if len(self.counts) == 1 else f"{len(self.counts)} kinds"
        return f"{total} alerts of {kinds}", "\n".join(lines)


def worded(kind: str) -> str:
    """A kind as people read it."""
    return kind.replace("_", " ")
