"""One feed as the live broker sees it, and one order on its way at the venue."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from backtrader.position import Position

from leverpack.live.fills import FillCursor
from leverpack.live.requests import OrderRequest
from leverpack.margin.books import MarginPosition
from leverpack.margin.ratios import liquidation_distance


@dataclass(slots=True)
class Working:
    """An order that has been sent: its ids, what it has filled, what is still to be done.

    ``order`` is None for one that an earlier run has sent. ``fate_known`` is False as long as the
    venue may or may not have it.
    """

    client_id: str
    request: OrderRequest
    order: Any = None
    venue_id: str = ""
    child_id: str = ""  # what a conditional order has become when it was triggered
    filled: float = 0.0  # base units that fills have been booked for
    fate_known: bool = True
    sent: float = field(default_factory=time.monotonic)
    sends: int = 1
    turned_away: bool = False  # certainly not at the venue; an order that protects goes out again
    cancel_wanted: bool = False
    done: bool = False
    replaced: bool = False  # by another request for the same order: nobody is told of its end
    expired: bool = False  # cancelled because of ``valid``
    best: float = 0.0  # the best price since a trailing stop was sent, as far as candles tell

    @property
    def trails(self) -> float:
        """How far a trailing stop lies behind, a fraction; 0.0 for all other orders."""
        return float(self.request.params.get("trailingPercent", 0.0)) / 100.0


class LiveMarket:
    """What the broker keeps for one symbol; ``key`` is ccxt's name of it."""

    def __init__(
        self, data: Any, key: str, state: MarginPosition, fills: FillCursor
    ) -> None:
        self.data = data
        self.key = key
        self.state = state  # as the venue has it, for our own computation
        self.position = Position()  # Backtrader's, from the fills
        self.mark = (0.0, 0.0, 0.0, 0.0)  # open, high, low, close of the last candle
        self.liquidation: float | None = None
        self.candle_nearest: float | None = None
        self.venue: dict[str, Any] = {}  # the position as ccxt has it; empty: flat
        self.decided = state.leverage
        self.bars = 0
        self.fills = fills
        self.differs_since = 0.0  # fills and the venue's position; 0.0: they agree
        self.owner: Any = None
        self.was_covered = False  # stops have rested for all of the position that is open
        self.bare_since = 0.0  # a part of it has none since then; 0.0: all is covered
        self.bare_named = False

    def use_table(self) -> None:
        """Nothing: the tiers are the venue's of today."""

    def take_candle(self) -> bool:
        """Whether the feed has a new candle; notes its prices and how near it came."""
        if len(self.data) == self.bars:
            return False
        self.bars = len(self.data)
        d = self.data
        self.mark = (d.open[0], d.high[0], d.low[0], d.close[0])
        self.candle_nearest = None
        if self.state.size and self.liquidation is not None:
            worst = self.mark[2] if self.state.size > 0.0 else self.mark[1]
            self.candle_nearest = liquidation_distance(self.state.side, worst, self.liquidation)
        return True
