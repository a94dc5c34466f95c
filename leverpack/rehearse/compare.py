"""The two runs of a rehearsal side by side: every difference, and the rule that explains it.

A rule is recognised by computation, never by size alone: what the venue's rounding can have done
to just this figure, and not a digit more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from leverpack.rehearse.plan import Outcome, Plan
from leverpack.rehearse.trades import Fill, Trade, trades_of

_NOISE = 1e-11  # of a figure: what arithmetic in another order leaves
_HALF_DIGIT = 0.5e-8  # money has eight digits
_COMPUTED = "liquidation"  # the tag of fills whose price comes from a formula

Value = float | str | int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Why two figures may differ; ``name`` stands in the table."""

    name: str
    reason: str


DIGITS = Rule("eight digits", "the venue tells money with eight digits")
GRID = Rule(
    "price grid",
    "the venue tells prices on its tick; a liquidation's, or an open that the candles have off "
    "the tick, lies between two (its books keep the exact one)",
)
RULES = (DIGITS, GRID)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that differs. ``trade`` counts from 1, 0 is the account; ``candle`` epoch ms.

    ``rule`` is the name of the rule that explains it, "" where none does.
    """

    trade: int
    candle: int
    what: str
    live: Value
    backtest: Value
    rule: str = ""


@dataclass(slots=True)
class Comparison:
    """What was compared and what differs; ``largest`` are absolute, in the figures' own units."""

    differences: list[Difference]
    live: list[Trade]
    backtest: list[Trade]
    candles: int
    largest: dict[str, float] = field(default_factory=dict)

    @property
    def unexplained(self) -> list[Difference]:
        """Those that no rule explains."""
        return [d for d in self.differences if not d.rule]


class _Comparing:
    """Collects the differences and the largest of each kind."""

    def __init__(self, plan: Plan) -> None:
        self.grid = plan.instrument
        ts, opens = plan.candles.ts.tolist(), plan.candles.open.tolist()
        self.opens = dict(zip(ts, opens, strict=True))
        self.found: list[Difference] = []
        self.largest = dict.fromkeys(("size", "price", "fees", "pnl", "funding", "equity"), 0.0)

    def differ(self, trade: int, candle: int, what: str, live: Value, tested: Value) -> None:
        """Note two things that must be one and are not."""
        if live != tested:
            self.found.append(Difference(trade, candle, what, live, tested))

    def figures(
        self, trade: int, candle: int, what: str, live: float, tested: float,
        allowed: dict[Rule, float] | None = None,
    ) -> None:  # fmt: skip
        """Note two figures that differ by more than noise, and the rule that allows as much."""
        off, noise = abs(live - tested), _NOISE * max(1.0, abs(tested))
        kind = what.rpartition(" ")[2]
        self.largest[kind] = max(self.largest.get(kind, 0.0), off)
        if off <= noise:
            return
        room, rule = noise, ""
        for allowing, bound in (allowed or {}).items():
            room += bound
            if bound and not rule and off <= room:
                rule = allowing.name
        self.found.append(Difference(trade, candle, what, live, tested, rule))

    def price_room(self, live: Fill, tested: Fill) -> float:
        """How far the venue's tick has moved the price of just this fill; 0.0: it has not."""
        lies_between = tested.tag == _COMPUTED or tested.price == self.opens.get(tested.candle)
        told = float(self.grid.price_text(tested.price))
        if not lies_between or told != live.price:
            return 0.0
        return abs(told - tested.price) * (1.0 + 1e-9)

    # -- trade by trade --------------------------------------------------------------------------

    def trade(self, number: int, live: Trade, tested: Trade) -> None:
        """Compare one trade with its twin, fill by fill and in its sums."""
        at = tested.entry_candle
        self.differ(number, at, "side", live.side, tested.side)
        self.differ(number, at, "exit candle", live.exit_candle, tested.exit_candle)
        self.differ(number, at, "exit by", live.reason, tested.reason)
        self.differ(number, at, "fills", len(live.fills), len(tested.fills))
        moved = 0.0
        for one, other in zip(live.fills, tested.fills, strict=False):
            moved += self._fill(number, one, other)
        self.figures(number, at, "pnl", live.pnl, tested.pnl, {GRID: moved})
        self.figures(
            number, at, "fees", live.fees, tested.fees, {DIGITS: _HALF_DIGIT * len(live.fills)}
        )
        self.figures(
            number, at, "funding", live.funding, tested.funding,
            {DIGITS: _HALF_DIGIT * len(live.payments)},
        )  # fmt: skip

    def _fill(self, number: int, live: Fill, tested: Fill) -> float:
        """Compare two fills; the money that the grid may have moved, quote."""
        at = tested.candle
        self.differ(number, at, "candle of a fill", live.candle, tested.candle)
        self.differ(number, at, "order of a fill", live.tag, tested.tag)
        self.figures(number, at, "size", live.size, tested.size)
        room = self.price_room(live, tested)
        self.figures(number, at, "price", live.price, tested.price, {GRID: room})
        off = abs(live.price - tested.price)
        return abs(tested.size) * off * (1.0 + 1e-9) if off <= room else 0.0

    # -- the account -----------------------------------------------------------------------------

    def equity(self, live: dict[int, float], tested: dict[int, float]) -> None:
        """Compare equity at every close; of figures that no rule explains the first is noted."""
        self.differ(0, max(tested, default=0), "candles", len(live), len(tested))
        before = len(self.found)
        for candle in sorted(live.keys() & tested.keys()):
            # Wallet and open profit are rounded each, and their sum.
            allowed = {DIGITS: 3.0 * _HALF_DIGIT}
            self.figures(0, candle, "equity", live[candle], tested[candle], allowed)
        rows = self.found[before:]
        wrong = [row for row in rows if not row.rule]
        self.found[before:] = [row for row in rows if row.rule]
        if wrong:
            first = wrong[0]
            what = f"equity (and on {len(wrong) - 1} candles more)" if wrong[1:] else "equity"
            self.found.append(Difference(0, first.candle, what, first.live, first.backtest))


def compare(plan: Plan, live: Outcome, tested: Outcome) -> Comparison:
    """Every difference between the live path's outcome and the backtest's."""
    comparing = _Comparing(plan)
    here, there = (trades_of(o.fills, o.payments) for o in (live, tested))
    for number, (one, other) in enumerate(_pairs(here, there), 1):
        if one is not None and other is not None:
            comparing.trade(number, one, other)
        elif one is not None:
            comparing.differ(number, one.entry_candle, "trade", one.side, None)
        elif other is not None:
            comparing.differ(number, other.entry_candle, "trade", None, other.side)
    comparing.equity(live.equity, tested.equity)
    comparing.differ(
        0, plan.start_ms, "liquidations", live.liquidations, tested.liquidations
    )
    return Comparison(comparing.found, here, there, len(tested.equity), comparing.largest)


def _pairs(
    live: list[Trade], tested: list[Trade]
) -> Iterator[tuple[Trade | None, Trade | None]]:
    """Trades that began with the same candle belong together; the others stand alone."""
    one, other = 0, 0
    while one < len(live) or other < len(tested):
        here = live[one] if one < len(live) else None
        there = tested[other] if other < len(tested) else None
        if here is not None and there is not None:
            if here.entry_candle < there.entry_candle:
                there = None
            elif there.entry_candle < here.entry_candle:
                here = None
        one, other = one + (here is not None), other + (there is not None)
        yield here, there
