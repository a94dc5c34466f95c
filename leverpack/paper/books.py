"""The books of the paper exchange: the margin account, and every trade and payment in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from leverpack.errors import InvariantError
from leverpack.margin.account import MarginAccount
from leverpack.margin.books import Liquidation, MarginPosition
from leverpack.margin.hedge import hedge_liquidation_range
from leverpack.margin.position import initial_margin_required
from leverpack.margin.profiles import venue_profile
from leverpack.margin.tiers import TierTable
from leverpack.paper.instrument import Instrument
from leverpack.paper.orders import (
    BOTH,
    LONG,
    SHORT,
    Income,
    Order,
    PaperSettings,
    Trade,
    position_key,
)

KEPT = 50_000  # trades and payments that can be asked for; the sums go back to the start
SIDES = (BOTH, LONG, SHORT)


class Books:
    """One account: its positions by symbol and leg, its trades, its payments.

    ``marks`` holds the mark price of every key; whoever moves the market sets it. ``incomes``
    add up to the wallet, and :meth:`check` says so.
    """

    def __init__(self, settings: PaperSettings) -> None:
        self.settings = settings
        self.account = MarginAccount(0.0, profile=venue_profile(settings.venue))
        self.marks: dict[str, float] = {}
        self.instruments: dict[str, Instrument] = {}
        self.trades: deque[Trade] = deque(maxlen=KEPT)
        self.incomes: deque[Income] = deque(maxlen=KEPT)
        self.trade_id = self.income_id = 0
        self.income_sum = self.income_moved = 0.0
        self.updated: dict[str, int] = {}  # key -> when its position changed last

    def add(self, instrument: Instrument, tiers: TierTable) -> None:
        """List a contract; its positions start with the settings' leverage and margin mode."""
        symbol, settings = instrument.symbol, self.settings
        self.instruments[symbol] = instrument
        leverage = min(float(settings.leverage), tiers.max_leverages[0])
        for key in self.keys(symbol):
            self.account.add_position(key, tiers, leverage=leverage, isolated=settings.isolated)
            self.updated[key] = 0

    def deposit(self, amount: float, time: int) -> None:
        """Pay in (or, negative, out)."""
        self.account.deposit(amount)
        self._income("", "TRANSFER", amount, time)

    # -- what is there ---------------------------------------------------------------------------

    @staticmethod
    def keys(symbol: str) -> tuple[str, ...]:
        """The three keys of a contract: one-way, long leg, short leg."""
        return tuple(position_key(symbol, side) for side in SIDES)

    def set_mark(self, symbol: str, price: float) -> None:
        """Set the mark price of a contract."""
        for key in self.keys(symbol):
            self.marks[key] = price

    def position(self, key: str) -> MarginPosition:
        """The margin account's position of a key."""
        return self.account.positions[key]

    def units(self, key: str) -> int:
        """Signed size of a position in steps of its contract."""
        size = self.position(key).size
        return self.instruments[key.partition(":")[0]].units(size) if size else 0

    def held(self, symbol: str) -> list[str]:
        """The keys of a contract that have an open position."""
        return [k for k in self.keys(symbol) if self.position(k).size != 0.0]

    def order_margin(self, symbol: str, orders: Iterable[Order]) -> float:
        """Initial margin (quote) that the open orders of a contract reserve.

        One-way: what the larger of all buys and all sells would add to the position; a leg of
        hedge mode: its opening orders. Orders that only reduce reserve nothing.
        """
        instrument = self.instruments[symbol]
        sums: dict[tuple[str, int], float] = {}
        for order in orders:
            if not order.reduces:
                place = (order.key, order.sign)
                sums[place] = sums.get(place, 0.0) + instrument.size(order.left) * order.price
        reserved = 0.0
        for key in {key for key, _ in sums}:
            position = self.position(key)
            bids, asks = sums.get((key, 1), 0.0), sums.get((key, -1), 0.0)
            notional = position.size * self.marks[key]
            largest = max(abs(notional + bids), abs(notional - asks))
            added = max(0.0, largest - abs(notional)) if key == symbol else bids + asks
            reserved += initial_margin_required(1.0, added, position.leverage)
        return reserved

    def liquidation_range(self, key: str) -> tuple[float, float]:
        """Mark prices at and below, and at and above, which a position is liquidated.

        (0.0, inf) where none does. The two legs of a hedged cross position share one range.
        """
        position = self.position(key)
        symbol, _, side = key.partition(":")
        other = position_key(symbol, SHORT if side == LONG else LONG)
        if side and not position.isolated and self.position(other).size != 0.0:
            return self._hedged_range(symbol)
        price = self.account.liquidation_price(key, self.marks)
        if price is None or not math.isfinite(price):
            return 0.0, math.inf
        return (price, math.inf) if position.size > 0.0 else (0.0, price)

    def _hedged_range(self, symbol: str) -> tuple[float, float]:
        legs = (position_key(symbol, LONG), position_key(symbol, SHORT))
        long, short = (self.position(k) for k in legs)
        maintenance = profit = 0.0
        for key, held in self.account.open_positions():
            if key not in legs and not held.isolated:
                maintenance += held.maintenance(self.marks[str(key)])
                profit += held.unrealised(self.marks[str(key)])
        table = long.tiers
        return hedge_liquidation_range(
            long.size, long.entry, -short.size, short.entry, self.account.cross_wallet(),
            table.caps, table.mmrs, table.cums, self.account.close_fee, maintenance, profit,
        )  # fmt: skip

    # -- what happens ----------------------------------------------------------------------------

    def fill(self, order: Order, units: int, price: float, *, maker: bool, time: int) -> Trade:
        """Book a fill of an order at ``price`` with its fee, and note it in the order."""
        instrument = self.instruments[order.symbol]
        size = instrument.size(units)
        fee = size * price * (self.settings.maker if maker else self.settings.taker)
        done = self.account.fill(order.key, order.sign * size, price, fee)
        order.filled += units
        order.quote += size * price
        order.updated = self.updated[order.key] = time
        order.status = "FILLED" if order.filled == order.units else "PARTIALLY_FILLED"
        trade = self._trade(order, units, price, fee, done.realised, maker, time)
        if done.realised:
            self._income(order.symbol, "REALIZED_PNL", done.realised, time, trade.id)
        self._income(order.symbol, "COMMISSION", -fee, time, trade.id)
        return trade

    def settle(self, key: str, mark: float, rate: float, time: int) -> float:
        """Book one funding settlement of an open position; the cash (paid < 0)."""
        cash = self.account.settle_funding(key, mark, rate)
        self.updated[key] = time
        self._income(key.partition(":")[0], "FUNDING_FEE", cash, time)
        return cash

    def liquidate(self, order: Order, price: float, time: int) -> tuple[Liquidation, Trade]:
        """Close the position that ``order`` works on by force at ``price``."""
        taken = self.account.liquidate(order.key, price, self.marks)
        order.filled = order.units
        order.quote = abs(taken.size) * price
        order.status, order.updated = "FILLED", time
        self.updated[order.key] = time
        fee = taken.fee - taken.shortfall
        trade = self._trade(order, order.units, price, fee, taken.realised, False, time)
        self._income(order.symbol, "REALIZED_PNL", taken.realised, time, trade.id)
        self._income(order.symbol, "INSURANCE_CLEAR", -fee, time, trade.id)
        return taken, trade

    def _trade(self, order: Order, units: int, price: float, fee: float, realised: float,
               maker: bool, time: int) -> Trade:  # fmt: skip
        self.trade_id += 1
        trade = Trade(
            self.trade_id, order.id, order.symbol, order.sign, order.position_side, units, price,
            fee, realised, maker, time,
        )  # fmt: skip
        self.trades.append(trade)
        return trade

    def _income(self, symbol: str, kind: str, amount: float, time: int, trade_id: int = 0) -> None:
        self.income_id += 1
        self.income_sum += amount
        self.income_moved += abs(amount)
        self.incomes.append(Income(self.income_id, symbol, kind, amount, time, trade_id))

    def check(self) -> None:
        """Raise InvariantError unless all payments add up to the wallet."""
        off = self.account.wallet - self.income_sum
        if not abs(off) <= 1e-9 * max(1.0, self.income_moved):
            raise InvariantError(f"the payments are off the wallet by {off!r}")
