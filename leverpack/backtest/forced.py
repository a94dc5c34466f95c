"""Liquidation in a backtest: when the mark reaches the price, and what is closed there."""

from __future__ import annotations

from typing import Any

from backtrader.order import BuyOrder, Order, SellOrder

from leverpack.backtest.market import Market
from leverpack.margin.inside import first_breach
from leverpack.margin.ratios import is_nearer, liquidation_distance
from leverpack.result import LiquidationRecord


class ForcedClosing:
    """Mixin of MarginBroker: keeps the liquidation prices and closes what they catch."""

    account: Any
    markets: dict[Any, Market]
    marks: dict[str, float]
    pending: Any
    cross_count: int = 0

    # -- prices ----------------------------------------------------------------------------------

    def _position_changed(self, m: Market) -> None:
        """Work out anew what the change of one position or of its margin moved."""
        cross = [x for x in self.markets.values() if x.state.size and not x.state.isolated]
        self.cross_count = len(cross)
        if m.state.isolated or not m.state.size:
            self._reprice(m)
        for x in cross:
            self._reprice(x)

    def _reprice(self, m: Market) -> None:
        m.liquidation = self.account.liquidation_price(m.key, self.marks) if m.state.size else None

    def _reprice_cross(self) -> None:
        for m in self.markets.values():
            if m.state.size and not m.state.isolated:
                self._reprice(m)

    # -- tests -----------------------------------------------------------------------------------

    def _liquidate_at_open(self, m: Market) -> None:
        price, mark_open = m.liquidation, m.mark[0]
        if price is None:
            return
        if mark_open <= price if m.state.size > 0.0 else mark_open >= price:
            self._liquidate(m, mark_open, at_open=True)

    def _liquidation_inside(self, m: Market) -> float | None:
        """The liquidation price if the mark candle reaches it after the open."""
        price = m.liquidation
        if price is None:
            return None
        reached = m.mark[2] <= price if m.state.size > 0.0 else m.mark[1] >= price
        return price if reached else None

    def _liquidate_cross_together(self, fresh: list[Market]) -> None:
        """Test the cross account with all symbols falling together, then all rising together.

        Each symbol alone was tested on its own extreme; in a crash they move as one, and the
        account can fail where no single symbol would have brought it down.
        """
        for column in (2, 1):
            while self.cross_count > 1:
                start = dict(self.marks)
                end = start | {m.key: m.mark[column] for m in fresh}
                hit = first_breach(self.account.cross_balance, start, end)
                if hit is None:
                    break
                victim = max(
                    (m for m in self.markets.values() if m.state.size and not m.state.isolated),
                    key=lambda m: m.state.maintenance(hit[m.key]),
                )
                self.marks.update(hit)
                self._liquidate(victim, hit[victim.key], at_open=False)
                self.marks.update(start)

    def _seen(self, m: Market, price: float) -> None:
        """Note how near ``price`` is to the liquidation of the position that meets it."""
        broker: Any = self
        liquidation = m.liquidation
        if liquidation is None:
            return
        distance = liquidation_distance(m.state.side, price, liquidation)
        if m.candle_nearest is None or distance < m.candle_nearest:
            m.candle_nearest = distance
        if is_nearer(distance, m.nearest):
            m.nearest = distance
            ratio = self.account.margin_ratio({**self.marks, m.key: price}, m.key)
            broker.ledger.seen(m, distance, ratio)

    # -- the closing -----------------------------------------------------------------------------

    def _liquidate(self, m: Market, price: float, *, at_open: bool) -> None:
        """Close a position by force, cancel what rests for its symbol, and tell its strategy."""
        broker: Any = self
        entry = m.state.entry
        for r in tuple(m.resting):
            if r.order.alive():
                r.order.addinfo(reason="cancelled by liquidation")
                broker.cancel(r.order)
        taken = self.account.liquidate(m.key, price, self.marks)
        m.candle_nearest = 0.0
        broker.ledger.liquidated(m, taken.size, price)
        broker._mirror(m, price, 0.0, -taken.size)
        broker.liquidations.append(
            LiquidationRecord(
                time=m.time_ms(),
                symbol=m.key,
                side="long" if taken.size > 0.0 else "short",
                size=abs(taken.size),
                price=price,
                fee=taken.fee,
                shortfall=taken.shortfall,
                gap="open" if at_open else _mark_gap(m, price, taken.size),
            )
        )
        self._tell(m, taken, entry)
        self._position_changed(m)

    def _tell(self, m: Market, taken: Any, entry: float) -> None:
        """A completed order of the venue's own, so that notify_order and notify_trade hear of it.

        Its commission is what left the wallet beyond the price loss: the clearance fee less
        what the insurance fund covered; profits of all trades then add up to the wallet.
        """
        broker: Any = self
        if m.owner is None:
            return
        make = SellOrder if taken.size > 0.0 else BuyOrder
        order = make(
            owner=m.owner, data=m.data, size=abs(taken.size), price=taken.price,
            exectype=Order.Market, tradeid=m.tradeid, simulated=False,
        )  # fmt: skip
        order.addinfo(
            reason="liquidation", liquidation=True, fee=taken.fee, shortfall=taken.shortfall
        )
        info = broker.getcommissioninfo(m.data)
        order.submit(broker)
        order.accept(broker)
        order.execute(
            m.data.datetime[0], -taken.size, taken.price,
            -taken.size, taken.size * entry, taken.fee - taken.shortfall,
            0.0, 0.0, 0.0, info.margin, taken.realised, 0.0, 0.0,
        )  # fmt: skip
        order.addcomminfo(info)
        broker.notify(order)


def _mark_gap(m: Market, price: float, size: float) -> str:
    """"mark" where the mark reached a price that the trades of the candle did not."""
    reached = m.low <= price if size > 0.0 else m.high >= price
    return "" if reached else "mark"
