"""What every pack strategy shares: sizing, leverage that is really set, stops that rest at once."""

from __future__ import annotations

import logging
from typing import Any

import backtrader as bt

from leverpack.errors import SettingError, refuse_unknown
from leverpack.risk.sizing import affordable_size, guide_size, risk_size

logger = logging.getLogger("leverpack.strategy")


class _StrictParams(type(bt.Strategy)):  # type: ignore[misc]
    """Backtrader accepts unknown strategy parameters in silence; here they are an error."""

    def donew(cls, *args: Any, **kwargs: Any) -> Any:
        refuse_unknown(cls, [name for name in kwargs if name not in cls.params._getkeys()])
        return super().donew(*args, **kwargs)


class LeverageStrategy(bt.Strategy, metaclass=_StrictParams):
    """Base of the pack: call :meth:`enter` in ``next``; stop and target follow the fill.

    ``leverage`` is set at the broker and read back before every opening order; ``sizing`` "risk"
    loses ``risk_per_trade`` of equity at the stop whatever the leverage, "guide" divides that
    size by the leverage once more, as the Cracktrader guide prints it. ``stop_loss_pct`` and
    ``take_profit_pct`` are fractions of the executed price (0: none). ``max_positions`` counts
    positions over all feeds, by fills.

    Runs with any Backtrader broker. With one that calls ``notify_fill`` the protective orders
    rest from the moment of the fill, else from the next candle.
    """

    params: Any = (
        ("leverage", 2.0),
        ("risk_per_trade", 0.01),
        ("max_positions", 3),
        ("stop_loss_pct", 0.03),
        ("take_profit_pct", 0.06),
        ("sizing", "risk"),
    )

    def __init__(self) -> None:
        self._check_params()
        self._entries: dict[int, Any] = {}  # order.ref -> entry order that is still alive
        self._protected: dict[int, float] = {}  # order.ref -> base units that have their stop

    def _check_params(self) -> None:
        p = self.p
        if p.sizing not in ("risk", "guide"):
            raise SettingError(f"sizing must be risk or guide, not {p.sizing!r}")
        if not p.leverage > 0:
            raise SettingError(f"leverage must be positive, not {p.leverage!r}")
        if not 0 < p.risk_per_trade < 1:
            raise SettingError(
                f"risk_per_trade is a fraction between 0 and 1, not {p.risk_per_trade!r}"
            )
        if not 0 < p.stop_loss_pct < 1:
            raise SettingError(
                f"stop_loss_pct is a fraction between 0 and 1, not {p.stop_loss_pct!r}"
            )
        if not p.take_profit_pct >= 0:
            raise SettingError(f"take_profit_pct must not be negative, not {p.take_profit_pct!r}")
        if p.max_positions < 1:
            raise SettingError(f"max_positions must be at least 1, not {p.max_positions!r}")

    def log(self, message: str, level: int = logging.INFO) -> None:
        """Log with the candle's time; shown with ``logging.basicConfig(level="INFO")``."""
        if logger.isEnabledFor(level):
            when = self.datetime.datetime() if len(self) else ""
            logger.log(level, "%s %s", when, message)

    # -- entering --------------------------------------------------------------------------------

    def open_count(self) -> int:
        """Positions over all feeds, entries under way included."""
        held = {id(d) for d in self.datas if self.getposition(d).size}
        return len(held | {id(o.data) for o in self._entries.values()})

    def is_flat(self, data: Any) -> bool:
        """Neither a position nor an entry under way on this feed."""
        if self._entries and any(o.data is data for o in self._entries.values()):
            return False
        return not self.getposition(data).size

    def enter(self, data: Any, side: int) -> Any:
        """Send a market entry (``side`` +1 long, -1 short) sized by the rules, or None."""
        if self.open_count() >= self.p.max_positions:
            return None
        leverage = self.set_leverage(data, self.p.leverage)
        if leverage is None:
            return None
        size = self.entry_size(data, leverage)
        if size <= 0.0:
            self.log("no entry: there is no free margin", logging.WARNING)
            return None
        send = self.buy if side > 0 else self.sell
        order = send(data=data, size=size, tag="entry")
        if order is not None:
            self._entries[order.ref] = order
        return order

    def entry_size(self, data: Any, leverage: float) -> float:
        """Base units to enter with: by risk and stop distance, capped by the margin there is."""
        price = data.close[0]
        equity = self.broker.getvalue()
        if self.p.sizing == "guide":
            size = guide_size(
                equity, self.p.risk_per_trade, price, self.p.stop_loss_pct, leverage
            )
        else:
            size = risk_size(equity, self.p.risk_per_trade, price, self.p.stop_loss_pct)
        fee = self.broker.getcommissioninfo(data).getcommission(1.0, price) / price
        return min(size, affordable_size(self.broker.getcash(), price, leverage, fee))

    def set_leverage(self, data: Any, leverage: float) -> float | None:
        """Set, read back, compare; None (and no order) when the broker has another leverage.

        A broker that knows no leverage (Backtrader's own) counts as 1x.
        """
        broker = self.broker
        if not hasattr(broker, "set_leverage"):
            return 1.0
        if broker.get_leverage(data) != leverage:
            broker.set_leverage(data, leverage)
            real = broker.get_leverage(data)
            if real != leverage:
                self.log(
                    f"no entry: the broker has {real:g}x where {leverage:g}x was set",
                    logging.ERROR,
                )
                return None
        return leverage

    # -- protecting ------------------------------------------------------------------------------

    def notify_fill(self, order: Any) -> None:
        """An order has just filled, wholly or in part: an entry gets its stop and target now."""
        if order.ref in self._entries:
            self.protect(order)

    def protect(self, order: Any) -> None:
        """Rest a reduce-only stop and target for what ``order`` filled, at the executed price."""
        filled = abs(order.executed.size)
        fresh = filled - self._protected.get(order.ref, 0.0)
        if fresh <= 0.0:
            return
        self._protected[order.ref] = filled
        side = 1.0 if order.isbuy() else -1.0
        price = order.executed.price
        leave = self.sell if side > 0 else self.buy
        stop = leave(
            data=order.data, size=fresh, exectype=bt.Order.Stop, reduce_only=True, tag="stop",
            price=price * (1.0 - side * self.p.stop_loss_pct),
        )  # fmt: skip
        if self.p.take_profit_pct:
            leave(
                data=order.data, size=fresh, exectype=bt.Order.Limit, reduce_only=True,
                tag="target", price=price * (1.0 + side * self.p.take_profit_pct), oco=stop,
            )  # fmt: skip

    def notify_order(self, order: Any) -> None:
        """Track entries by what became of them; say what was refused and why."""
        if order.status in (order.Submitted, order.Accepted):
            return
        if order.status in (order.Margin, order.Rejected):
            self.log(
                f"{order.getstatusname()}: {order.info.get('reason') or 'no reason given'}",
                logging.WARNING,
            )
        if order.ref in self._entries:
            if order.executed.size:
                self.protect(order)
            if not order.alive():
                del self._entries[order.ref]
                self._protected.pop(order.ref, None)

    def notify_trade(self, trade: Any) -> None:
        """Log what a closed trade brought."""
        if trade.isclosed and logger.isEnabledFor(logging.INFO):
            self.log(f"{trade.getdataname()} closed: {trade.pnlcomm:+,.2f} after fees")
