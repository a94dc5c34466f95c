"""Margin calls as episodes: when the margin ratio stood at or over the call ratio."""

from __future__ import annotations

from leverpack.result import MarginCallRecord


class CallEpisodes:
    """Takes the worst margin ratio of each candle; ``found`` holds the episodes, oldest first."""

    def __init__(self) -> None:
        self.found: list[MarginCallRecord] = []

    def take(self, time: int, worst: float | None, level: float | None) -> None:
        """One candle: its time (epoch ms), its worst margin ratio and the ratio of a call.

        None for the worst is a candle without a position; it ends the episode.
        """
        last = self.found[-1] if self.found else None
        under_way = last is not None and last.end is None
        if worst is not None and level is not None and worst >= level:
            if under_way and last is not None:
                last.bars += 1
                last.worst_margin_ratio = max(last.worst_margin_ratio, worst)
            else:
                self.found.append(MarginCallRecord(time, None, worst, 1))
        elif under_way and last is not None:
            last.end = time
