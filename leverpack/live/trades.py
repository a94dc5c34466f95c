"""Trades from flat to flat out of a journal's fills, by the ledger that the backtest keeps."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from leverpack.backtest.ledger import Ledger
from leverpack.backtest.resting import LIMIT, MARKET, STOP, STOP_LIMIT
from leverpack.live.requests import trigger_in
from leverpack.margin.books import Costs, MarginPosition
from leverpack.margin.position import position_after_fill, realised_pnl
from leverpack.margin.ratios import is_nearer, liquidation_distance
from leverpack.margin.tiers import TierTable
from leverpack.result import LiquidationRecord, TradeRecord

Row = dict[str, Any]
FORCED = ("liquidation", "adl")
_EPS = 1e-9
_SNAPSHOT, _FUNDING, _FILL = range(3)  # what comes first of what has the same time


class Rows(Protocol):
    """A journal, open for writing or for reading only."""

    def rows(self, table: str) -> list[Row]:
        """The rows of a table, oldest first."""


@dataclass(slots=True)
class _Created:
    price: float | None
    pricelimit: float | None


@dataclass(slots=True)
class _Rest:
    """An intent as the ledger sees orders; ``number`` is its place among all intents."""

    number: int
    buy: bool
    kind: int
    trailing: bool
    created: _Created
    closes: bool
    tag: str
    sent_ms: int


class _Symbol:
    """One symbol of the journal: where the replay stands, as the ledger wants to know it."""

    def __init__(self, key: str, candles: list[Row]) -> None:
        self.key = key
        self.resting: list[Any] = []
        # Tiers play no part: nothing is liquidated here but what the venue has liquidated.
        self.state = MarginPosition(TierTable.flat(key, 0.0, float("inf"), 0.0), 1.0, True)
        self.now = 0
        self.nearest = float("inf")
        self.liquidation: float | None = None  # as it was noted last, quote
        self.rests: list[_Rest] = []  # still to be told to the ledger, oldest first
        self.opens = [int(c["time_ms"]) for c in candles]
        self.step_ms = min((b - a for a, b in zip(self.opens, self.opens[1:], strict=False)),
                           default=0)  # fmt: skip
        self.close = float(candles[-1]["close"]) if candles else 0.0

    @property
    def bar(self) -> int:
        """How many of the journal's candles had opened by now."""
        return bisect_right(self.opens, self.now)

    def time_ms(self) -> int:
        """Now, epoch ms UTC."""
        return self.now


@dataclass(slots=True)
class Replay:
    """What a journal's fills and funding add up to; ``runs`` has the run that ended each trade."""

    closed: list[TradeRecord] = field(default_factory=list)
    open: list[TradeRecord] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    liquidations: list[LiquidationRecord] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)

    def closed_in(self, run: int) -> list[TradeRecord]:
        """The trades that ended in one run."""
        return [t for t, ended in zip(self.closed, self.runs, strict=True) if ended == run]


def replayed(journal: Rows) -> Replay:
    """The trades of all that a journal has noted, in the order of their ends.

    Times are those of the fills. Leverage is what was read back last before the order left;
    fills of nobody here are trades all the same, by their ``reason``.
    """
    return _Replaying(journal).run()


class _Replaying:
    def __init__(self, journal: Rows) -> None:
        self.found = Replay()
        self.ledger = Ledger()
        self.rests = {
            row["client_id"]: _rest(number, row)
            for number, row in enumerate(journal.rows("intents"))
        }
        self.readings = journal.rows("leverage")
        self.fills = journal.rows("fills")
        self.funding = journal.rows("funding")
        self.snapshots = journal.rows("snapshots")
        self.begun: dict[int, int] = {}  # run: its first candle
        for row in journal.rows("account"):
            self.begun.setdefault(int(row["run"]), int(row["time_ms"]))
        self.symbols = self._symbols(journal)

    def _symbols(self, journal: Rows) -> dict[str, _Symbol]:
        candles: dict[str, list[Row]] = {}
        for row in journal.rows("candles"):
            candles.setdefault(row["symbol"], []).append(row)
        for rows in candles.values():
            rows.sort(key=lambda c: int(c["time_ms"]))
        names = dict.fromkeys([*candles, *(f["symbol"] for f in self.fills)])
        symbols = {name: _Symbol(name, candles.get(name, [])) for name in names}
        for row in journal.rows("intents"):
            rest = self.rests[row["client_id"]]
            if rest.closes and row["symbol"] in symbols:
                symbols[row["symbol"]].rests.append(rest)
        return symbols

    def run(self) -> Replay:
        for time, kind, _, row in sorted(self._events(), key=lambda e: e[:3]):
            symbol = self.symbols.get(row["symbol"])
            if symbol is None:
                continue
            symbol.now = max(symbol.now, time)
            if kind == _FILL:
                self._fill(symbol, row)
            elif kind == _FUNDING:
                self._book("funding", symbol, float(row["amount"]))
            else:
                self._seen(symbol, row)
        for symbol in self.symbols.values():
            self._rest_up_to(symbol, len(self.rests))
            symbol.now = max([symbol.now, *symbol.opens[-1:]])
        self.found.closed = self.ledger.trades
        self.found.open = self.ledger.still_open(self.symbols.values())
        return self.found

    def _events(self) -> Iterator[tuple[int, int, int, Row]]:
        order = count()
        latest = 0
        for row in self.fills:  # in the venue's order, which rounded times must not upset
            # One without a time stands for a position that its run has found and adopted.
            when = int(row["time_ms"]) or self.begun.get(int(row.get("run") or 0), 0)
            latest = max(latest, when)
            yield latest, _FILL, next(order), row
        for row in self.funding:
            yield int(row["time_ms"]), _FUNDING, next(order), row
        for row in self.snapshots:
            symbol = self.symbols.get(row["symbol"])
            closed = int(row["time_ms"]) + (symbol.step_ms if symbol is not None else 0)
            yield closed, _SNAPSHOT, next(order), row

    def _book(self, cost: str, symbol: _Symbol, amount: float) -> None:
        for costs in (self.found.costs, symbol.state.costs):
            setattr(costs, cost, getattr(costs, cost) + amount)

    # -- one event -------------------------------------------------------------------------------

    def _fill(self, symbol: _Symbol, row: Row) -> None:
        rest = self.rests.get(row["client_id"])
        reason = str(row.get("reason") or "")
        if rest is not None:
            self._rest_up_to(symbol, rest.number)
        state, price, fee = symbol.state, float(row["price"]), float(row["fee"])
        signed = float(row["size"]) if row["side"] == "buy" else -float(row["size"])
        entry, held_before = state.entry, state.size
        held, state.entry, closed, opened = position_after_fill(held_before, entry, signed, price)
        state.size = 0.0 if abs(held) < _EPS else held
        if not held_before:
            state.leverage = self._leverage_at(symbol.key, None if rest is None else rest.sent_ms)
            symbol.nearest, symbol.liquidation = float("inf"), None
        if closed:
            if symbol.liquidation:
                side = 1.0 if held_before > 0.0 else -1.0
                self._near(symbol, liquidation_distance(side, price, symbol.liquidation), None)
            self._book("realised", symbol, realised_pnl(closed, entry, price))
        forced = reason in FORCED and bool(closed)
        self._book("liquidation_fees" if forced else "fees", symbol, fee)
        if forced:
            self.ledger.liquidated(symbol, abs(closed), price)
            self.found.liquidations.append(LiquidationRecord(
                symbol.now, symbol.key, "long" if signed < 0.0 else "short", abs(closed), price,
                fee, 0.0, "",
            ))  # fmt: skip
        else:
            tag = (rest.tag if rest is not None else reason) or "signal"
            self.ledger.fill(symbol, closed, opened, price, fee, tag, rest)
        self.found.runs += [int(row.get("run") or 0)] * (
            len(self.ledger.trades) - len(self.found.runs)
        )

    def _seen(self, symbol: _Symbol, row: Row) -> None:
        symbol.liquidation = row["liquidation"]
        if row.get("nearest") is not None and symbol.state.size:
            ratio = row.get("worst_margin_ratio") or row["margin_ratio"]
            self._near(symbol, float(row["nearest"]), ratio)

    def _near(self, symbol: _Symbol, distance: float, ratio: float | None) -> None:
        if is_nearer(distance, symbol.nearest):
            symbol.nearest = distance
            self.ledger.seen(symbol, distance, ratio)

    def _rest_up_to(self, symbol: _Symbol, number: int) -> None:
        """Tell the ledger of the orders that rested before the one of that number was sent."""
        while symbol.rests and symbol.rests[0].number <= number:
            self.ledger.rests(symbol, symbol.rests.pop(0))

    def _leverage_at(self, symbol: str, sent_ms: int | None) -> float:
        known = [r for r in self.readings if r["symbol"] == symbol]
        before = [r for r in known if sent_ms is None or int(r["time_ms"]) <= sent_ms]
        return float((before or known or [{"leverage": 1.0}])[-1]["leverage"])


def _rest(number: int, row: Row) -> _Rest:
    asked = json.loads(row["request"])
    price, trigger = asked.get("price"), trigger_in(asked)
    limit = asked.get("type") == "limit"
    kinds = (STOP, STOP_LIMIT) if row["conditional"] else (MARKET, LIMIT)
    return _Rest(
        number, row["side"] == "buy", kinds[limit], bool(asked.get("trailingPercent")),
        _Created(trigger if row["conditional"] else price, price if limit else None),
        bool(row["reduce_only"]), str(row["tag"] or ""), int(row["sent_ms"]),
    )  # fmt: skip
