"""The records of the paper exchange: orders, conditional orders, trades, income, settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BOTH, LONG, SHORT = "BOTH", "LONG", "SHORT"
LIVE = ("NEW", "PARTIALLY_FILLED")
STOP_KINDS = ("STOP", "STOP_MARKET")
TARGET_KINDS = ("TAKE_PROFIT", "TAKE_PROFIT_MARKET")
TRAILING = "TRAILING_STOP_MARKET"
CONDITIONAL_KINDS = (*STOP_KINDS, *TARGET_KINDS, TRAILING)
MARKET_KINDS = ("STOP_MARKET", "TAKE_PROFIT_MARKET", TRAILING)


def position_key(symbol: str, side: str) -> str:
    """The margin account's key of a position: the symbol, and the leg in hedge mode."""
    return symbol if side == BOTH else f"{symbol}:{side}"


class _Sided:
    """What an order and a conditional order have in common."""

    __slots__ = ()
    symbol: str
    sign: int
    position_side: str
    reduce_only: bool
    close_position: bool

    @property
    def key(self) -> str:
        """The margin account's key of the position that it works on."""
        return position_key(self.symbol, self.position_side)

    @property
    def reduces(self) -> bool:
        """Whether it can only make a position smaller."""
        if self.position_side == BOTH:
            return self.reduce_only or self.close_position
        return (self.position_side == LONG) != (self.sign > 0)


@dataclass(slots=True)
class Order(_Sided):
    """One order in the book; sizes are counts of the contract's steps.

    ``sign`` is +1 (buy) or -1. ``price`` 0.0: market. ``quote`` is what was traded so far in
    quote currency. ``reason`` says why an order ended without a fill.
    """

    id: int
    client_id: str
    symbol: str
    sign: int
    kind: str
    units: int
    price: float = 0.0
    tif: str = "GTC"
    position_side: str = BOTH
    reduce_only: bool = False
    close_position: bool = False
    good_till: int = 0
    status: str = "NEW"
    filled: int = 0
    quote: float = 0.0
    created: int = 0
    updated: int = 0
    origin: str = ""  # the conditional kind that it came from
    algo_id: int = 0
    working: str = "CONTRACT_PRICE"
    reason: str = ""
    changes: int = 0

    @property
    def live(self) -> bool:
        """Whether it may still fill."""
        return self.status in LIVE

    @property
    def left(self) -> int:
        """What is still to be filled, steps."""
        return self.units - self.filled


@dataclass(slots=True)
class Algo(_Sided):
    """One conditional order: it waits for its trigger and then becomes an :class:`Order`.

    ``callback`` is the trailing distance as a fraction, ``extreme`` the best price since the
    ``activation`` price was met (0.0: not yet).
    """

    id: int
    client_id: str
    symbol: str
    sign: int
    kind: str
    units: int
    trigger: float = 0.0
    price: float = 0.0
    tif: str = "GTC"
    position_side: str = BOTH
    reduce_only: bool = False
    close_position: bool = False
    working: str = "CONTRACT_PRICE"
    price_protect: bool = False
    callback: float = 0.0
    activation: float = 0.0
    extreme: float = 0.0
    good_till: int = 0
    status: str = "NEW"
    created: int = 0
    updated: int = 0
    triggered: int = 0
    order_id: int = 0
    reason: str = ""

    @property
    def live(self) -> bool:
        """Whether it still waits for its trigger."""
        return self.status == "NEW"

    @property
    def rises(self) -> bool:
        """Whether a rising price triggers it: a buy stop or a sell target."""
        return (self.sign > 0) == (self.kind not in TARGET_KINDS)


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill: ``units`` steps at ``price``; fee and realised profit in quote currency."""

    id: int
    order_id: int
    symbol: str
    sign: int
    position_side: str
    units: int
    price: float
    fee: float
    realised: float
    maker: bool
    time: int


@dataclass(frozen=True, slots=True)
class Income:
    """One change of the wallet, quote currency; all of them and the deposits are the wallet."""

    id: int
    symbol: str
    kind: str  # TRANSFER, REALIZED_PNL, COMMISSION, FUNDING_FEE or INSURANCE_CLEAR
    amount: float
    time: int
    trade_id: int = 0


@dataclass(frozen=True, slots=True)
class Forced:
    """One liquidation: the order that the venue made of it, fee and what insurance bore."""

    order: Order
    fee: float
    shortfall: float
    time: int


@dataclass(slots=True)
class PaperSettings:
    """What the exchange is like; money in quote currency, rates as fractions.

    ``spread`` lies between bid and ask, ``slippage`` worsens every fill that takes. ``depth`` is
    the share of a candle's volume that stands in the book on each side, and of its volume so far
    that a resting order can get; 0.0 is a book without end. ``leverage`` and ``isolated`` are
    what every contract starts with, as at the venue. ``weight_limit`` is per minute, the order
    limits per minute and per ten seconds; 0 switches a limit off. ``venue`` is whose liquidation
    rule holds: "binanceusdm" or "bybit". A trailing stop follows each candle's "extreme", or, with
    ``trail_by`` "close", its close alone, as the margin broker's does. ``key_withdraws`` and
    ``key_trades`` are what the API key may do, as the venue tells of it.
    """

    venue: str = "binanceusdm"
    deposit: float = 10_000.0
    api_key: str = "paper"
    secret: str = "paper"
    maker: float = 0.0002
    taker: float = 0.0005
    spread: float = 0.0
    slippage: float = 0.0
    depth: float = 0.0
    leverage: int = 20
    isolated: bool = False
    hedged: bool = False
    intrabar: str = "worst"
    trail_by: str = "extreme"
    key_withdraws: bool = False
    key_trades: bool = True
    seed: int = 1
    weight_limit: int = 2400
    order_limit_minute: int = 1200
    order_limit_10s: int = 300


@dataclass(slots=True)
class Event:
    """Something that the account's owner is told: ``kind`` and what it is about.

    Kinds: "order" (with ``execution`` NEW, TRADE, CANCELED, EXPIRED, AMENDMENT, CALCULATED),
    "algo", "account" (``reason``), "leverage", "call".
    """

    kind: str
    subject: Any = None
    execution: str = ""
    trade: Trade | None = None
    reason: str = ""
    keys: tuple[str, ...] = field(default=())
