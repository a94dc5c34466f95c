"""Fills and funding of either run, and the trades from flat to flat that they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from leverpack.margin.position import position_after_fill, realised_pnl


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill: ``candle`` is the open time of its candle, epoch ms UTC; ``fee`` quote.

    ``size`` is signed base units (bought > 0); ``tag`` is the order's own, "liquidation" for the
    venue's. ``fee`` of a liquidation is what left the wallet beyond the loss.
    """

    candle: int
    size: float
    price: float
    fee: float
    tag: str


@dataclass(frozen=True, slots=True)
class Payment:
    """Funding at the open of ``candle`` (epoch ms UTC): cash in quote currency, paid < 0."""

    candle: int
    cash: float


@dataclass(slots=True)
class Trade:
    """One position from flat to flat; ``exit_candle`` None while it is open. Money is quote."""

    fills: list[Fill] = field(default_factory=list)
    opened: float = 0.0  # base units, signed
    opened_value: float = 0.0
    closed: float = 0.0
    closed_value: float = 0.0
    pnl: float = 0.0
    exit_candle: int | None = None
    payments: list[Payment] = field(default_factory=list)

    @property
    def side(self) -> str:
        """"long" or "short"."""
        return "long" if self.fills[0].size > 0.0 else "short"

    @property
    def entry_candle(self) -> int:
        """Open time of the candle of the first fill, epoch ms UTC."""
        return self.fills[0].candle

    @property
    def size(self) -> float:
        """Base units that were opened, parts added later included."""
        return abs(self.opened)

    @property
    def entry_price(self) -> float:
        """Average price of what was opened."""
        return self.opened_value / self.opened

    @property
    def exit_price(self) -> float | None:
        """Average price of what was closed; None where nothing was."""
        return self.closed_value / self.closed if self.closed else None

    @property
    def fees(self) -> float:
        """All fees, of a liquidation too."""
        return sum(f.fee for f in self.fills)

    @property
    def funding(self) -> float:
        """Cash of all settlements, paid < 0."""
        return sum(p.cash for p in self.payments)

    @property
    def net(self) -> float:
        """What it brought after fees and funding."""
        return self.pnl - self.fees + self.funding

    @property
    def reason(self) -> str:
        """The tag of the fill that made it flat; "open" before that."""
        return self.fills[-1].tag if self.exit_candle is not None else "open"


def trades_of(fills: Iterable[Fill], payments: Sequence[Payment]) -> list[Trade]:
    """The trades that fills of one symbol make, in order, each with its funding.

    A settlement at the open of a candle belongs to the position that was held before it.
    """
    found: list[Trade] = []
    size = entry = 0.0
    for fill in fills:
        after, new_entry, closed, opened = position_after_fill(size, entry, fill.size, fill.price)
        if closed:
            _close(found[-1], _part(fill, closed), realised_pnl(closed, entry, fill.price))
            if after == 0.0 or opened:
                found[-1].exit_candle = fill.candle
        if opened:
            if size == 0.0 or closed:
                found.append(Trade())
            _open(found[-1], _part(fill, opened))
        size, entry = after, new_entry
    for trade in found:
        trade.payments = [
            p for p in payments if trade.entry_candle < p.candle
            and (trade.exit_candle is None or p.candle <= trade.exit_candle)
        ]  # fmt: skip
    return found


def _part(fill: Fill, size: float) -> Fill:
    """The closing or the opening part of a fill, with its share of the fee."""
    return replace(fill, size=size, fee=fill.fee * size / fill.size)


def _close(trade: Trade, part: Fill, pnl: float) -> None:
    trade.fills.append(part)
    trade.closed += part.size
    trade.closed_value += part.size * part.price
    trade.pnl += pnl


def _open(trade: Trade, part: Fill) -> None:
    trade.fills.append(part)
    trade.opened += part.size
    trade.opened_value += part.size * part.price
