"""Which fills of a market are new: by ids where they rise, by time where they do not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

_DAY_MS = 86_400_000
SPAN_MS = 7 * _DAY_MS  # the longest that one request to Bybit may span
_OVERLAP_MS = 10_000  # how late a fill may be listed behind one of a later time
_PAGE = 100
_PAGES = 100


class FillCursor(ABC):
    """Where the fills of one market are read on, so that each is taken once and in order."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.behind = False  # there was more than one answer holds: ask again at once

    @abstractmethod
    def begin(self, noted: list[dict[str, Any]], now_ms: int) -> bool:
        """Go on behind the fills that a journal has noted (its rows, oldest first).

        False when none of them is the venue's, as where a position was adopted.
        """

    @abstractmethod
    def pass_over(self, trades: Iterable[Any], own: set[str]) -> None:
        """Without a noted one: begin behind ``trades``, other than those of the orders ``own``."""

    @abstractmethod
    def calls(self, now_ms: int) -> list[Call]:
        """The requests for what is new at ``now_ms`` (the venue's clock)."""

    @abstractmethod
    def fresh(self, trades: Iterable[Any]) -> list[Any]:
        """Those that have not been taken, in the venue's order."""

    @abstractmethod
    def take(self, trade: Any) -> None:
        """It has been booked."""


class RisingIds(FillCursor):
    """For a venue whose fill ids rise (Binance): all above the last one."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.last = 0

    def begin(self, noted: list[dict[str, Any]], now_ms: int) -> bool:
        """Behind the highest id; adopted positions have ids below 0."""
        self.last = max((int(f["trade_id"]) for f in noted if f["time_ms"]), default=0)
        return self.last > 0

    def pass_over(self, trades: Iterable[Any], own: set[str]) -> None:
        """Behind the newest, unless it is our own."""
        newest = max(trades, key=lambda t: int(t["id"]), default=None)
        if newest is not None and str(newest["order"]) not in own:
            self.last = int(newest["id"])

    def calls(self, now_ms: int) -> list[Call]:
        """From the next id on."""
        params: dict[str, Any] = {"fromId": self.last + 1} if self.last > 0 else {}
        return [("fetch_my_trades", (self.symbol, None, 1000, params), {})]

    def fresh(self, trades: Iterable[Any]) -> list[Any]:
        """By time, then by id."""
        new = [t for t in trades if int(t["id"]) > self.last]
        return sorted(new, key=lambda t: (_time(t), int(t["id"])))

    def take(self, trade: Any) -> None:
        """Note its id."""
        self.last = max(self.last, int(trade["id"]))


class ByTime(FillCursor):
    """For a venue whose fill ids do not rise (Bybit): by time, overlapping, each id once.

    ``params`` go with each request; ``is_fill`` tells fills from other rows of the same list.
    """

    def __init__(
        self, symbol: str, params: dict[str, Any], is_fill: Callable[[Any], bool]
    ) -> None:
        super().__init__(symbol)
        self._params, self._is_fill = params, is_fill
        self._since = self._floor = self._asked = 0
        self._taken: dict[str, int] = {}  # ids within the overlap, and their times

    def begin(self, noted: list[dict[str, Any]], now_ms: int) -> bool:
        """Behind the latest time; never before the first, which this journal knows nothing of."""
        timed = {str(f["trade_id"]): int(f["time_ms"]) for f in noted if f["time_ms"]}
        self._since = max(timed.values(), default=now_ms - SPAN_MS + _OVERLAP_MS)
        self._floor = min(timed.values(), default=self._since - _OVERLAP_MS)
        self._taken = dict(timed)
        self._forget()
        return bool(timed)

    def pass_over(self, trades: Iterable[Any], own: set[str]) -> None:
        """Know all that is there already; what is our own is still to be booked."""
        rows = list(trades)
        mine = [_time(t) for t in rows if str(t["order"]) in own]
        self._taken = {str(t["id"]): _time(t) for t in rows if str(t["order"]) not in own}
        self._since = min(mine, default=self._asked)
        self._floor = self._since - _OVERLAP_MS

    def calls(self, now_ms: int) -> list[Call]:
        """From shortly before the last one on; in pieces where that is long ago."""
        self._asked = now_ms
        start = max(self._floor, self._since - _OVERLAP_MS)
        params: dict[str, Any] = self._params
        limit: int | None = _PAGE
        if self.behind:
            params, limit = {**params, "paginate": True, "paginationCalls": _PAGES}, None
        found: list[Call] = []
        while now_ms - start > SPAN_MS:
            piece = {**params, "until": start + SPAN_MS}
            found.append(("fetch_my_trades", (self.symbol, start, limit, piece), {}))
            start += SPAN_MS
        return [*found, ("fetch_my_trades", (self.symbol, start, limit, dict(params)), {})]

    def fresh(self, trades: Iterable[Any]) -> list[Any]:
        """By time; nothing of an answer that is full, whose oldest may be missing."""
        rows = list(trades)
        if len(rows) >= _PAGE and not self.behind:
            self.behind = True
            return []
        self.behind = False
        # So that the next request spans no more than it may, however long nothing is filled.
        self._since = max(self._since, self._asked - _DAY_MS)
        new = {
            str(t["id"]): t for t in rows
            if self._is_fill(t) and str(t["id"]) not in self._taken and _time(t) >= self._floor
        }  # fmt: skip
        return sorted(new.values(), key=lambda t: (_time(t), int(t["info"].get("seq") or 0)))

    def take(self, trade: Any) -> None:
        """Note its id and time."""
        self._taken[str(trade["id"])] = _time(trade)
        if _time(trade) > self._since:
            self._since = _time(trade)
            self._forget()

    def _forget(self) -> None:
        oldest = self._since - 2 * _OVERLAP_MS
        self._taken = {ident: at for ident, at in self._taken.items() if at >= oldest}


def _time(trade: Any) -> int:
    return int(trade["timestamp"] or 0)
