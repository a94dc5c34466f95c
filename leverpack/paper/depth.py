"""Bid, ask and the book around them, made from the last price and the candle's volume."""

from __future__ import annotations

import math
import random

from leverpack.paper.instrument import Instrument
from leverpack.paper.orders import PaperSettings

LEVELS = 20
_GAP = 0.0001  # between two levels, fraction of the price; at least one tick

Level = tuple[float, int]


class Depth:
    """The other side of every order of one contract.

    ``depth`` (settings) of the candle's volume stands on each side, thinner near the price; what
    an order takes is gone until the price moves on. A resting order gets at most the same share
    of the volume that a stretch of the candle traded. Depth 0.0: without end at the best price.
    """

    def __init__(self, instrument: Instrument, settings: PaperSettings) -> None:
        self.instrument = instrument
        self.settings = settings
        self.volume = 0.0
        self._shape: list[float] = []
        self._taken = {1: 0, -1: 0}
        self._share: float = math.inf
        self._fraction = 0.0  # of a step that small stretches have left over

    def new_candle(self, volume: float, at: int) -> None:
        """A candle with ``volume`` (base units) has opened at place ``at``."""
        self.volume = volume
        dice = random.Random(f"{self.settings.seed}:{self.instrument.symbol}:{at}")
        weights = [(1 + level) * dice.uniform(0.5, 1.5) for level in range(LEVELS)]
        whole = sum(weights)
        self._shape = [w / whole for w in weights]
        self.refresh(0.0)

    def refresh(self, traded: float) -> None:
        """The price has moved on, and ``traded`` base units changed hands on the way."""
        self._taken = {1: 0, -1: 0}
        depth = self.settings.depth
        if depth == 0.0:
            return
        share = self._fraction + depth * traded / float(self.instrument.step)
        self._share = int(share + 1e-9)
        self._fraction = max(0.0, share - self._share)

    def _units(self, size: float) -> int:
        return int(size / float(self.instrument.step) + 1e-9)

    def best(self, sign: int, last: float) -> float:
        """The price that an order of ``sign`` meets first: the ask for a buy."""
        half = 0.5 * self.settings.spread
        if sign > 0:
            return self.instrument.up_to_tick(last * (1.0 + half))
        return self.instrument.down_to_tick(last * (1.0 - half))

    def levels(self, sign: int, last: float, count: int = LEVELS) -> list[Level]:
        """Price and steps of what an order of ``sign`` can take, best first."""
        best = self.best(sign, last)
        gap = max(float(self.instrument.tick), _GAP * last)
        depth = self.settings.depth
        if depth == 0.0:
            shown = max(1, self._units(max(self.volume, float(self.instrument.step))))
            return [(self._level(best, sign, gap, i), shown * (i + 1)) for i in range(count)]
        taken, found = self._taken[sign], []
        for i, share in enumerate(self._shape[:count]):
            units = self._units(depth * self.volume * share)
            gone = min(units, taken)
            taken -= gone
            if units > gone:
                found.append((self._level(best, sign, gap, i), units - gone))
        return found

    def _level(self, best: float, sign: int, gap: float, i: int) -> float:
        if i == 0:
            return best
        price = best + sign * gap * i
        if sign > 0:
            return self.instrument.up_to_tick(price)
        return max(float(self.instrument.tick), self.instrument.down_to_tick(price))

    def reachable(self, sign: int, units: int, limit: float, last: float) -> int:
        """How many of ``units`` steps an order could take now; ``limit`` 0.0: any price."""
        if self.settings.depth == 0.0:
            return units if _within(self.best(sign, last), sign, limit) else 0
        there = sum(u for p, u in self.levels(sign, last) if _within(p, sign, limit))
        return min(units, there)

    def take(self, sign: int, units: int, limit: float, last: float) -> list[Level]:
        """Take liquidity: the fills, best price first, with the slippage in them."""
        if self.settings.depth == 0.0:
            best = self.best(sign, last)
            fills = [(best, units)] if _within(best, sign, limit) else []
        else:
            fills = []
            for price, there in self.levels(sign, last):
                if not units or not _within(price, sign, limit):
                    break
                part = min(units, there)
                fills.append((price, part))
                units -= part
            self._taken[sign] += sum(part for _, part in fills)
        return [(self._slipped(price, sign, limit), part) for price, part in fills]

    def _slipped(self, price: float, sign: int, limit: float) -> float:
        if not self.settings.slippage:
            return price
        moved = price * (1.0 + sign * self.settings.slippage)
        grid = self.instrument
        moved = grid.up_to_tick(moved) if sign > 0 else grid.down_to_tick(moved)
        return moved if _within(moved, sign, limit) else limit

    def used(self) -> list[float]:
        """What has been taken since the price moved, and what resting orders may still get."""
        share = -1.0 if self._share == math.inf else self._share
        return [self._taken[1], self._taken[-1], share, self._fraction]

    def use(self, used: list[float]) -> None:
        """Go back to what :meth:`used` told."""
        self._taken = {1: int(used[0]), -1: int(used[1])}
        self._share = math.inf if used[2] < 0.0 else used[2]
        self._fraction = used[3]

    def give(self, units: int) -> int:
        """How many of ``units`` steps a resting order gets from what has been traded."""
        part = units if self._share == math.inf else min(units, int(self._share))
        self._share -= part
        return part


def _within(price: float, sign: int, limit: float) -> bool:
    return limit == 0.0 or (price <= limit if sign > 0 else price >= limit)
