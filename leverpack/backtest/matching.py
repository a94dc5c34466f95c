"""The order of events inside one candle: carrying costs, open, inside, close."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.backtest.market import Market, epoch_ms
from leverpack.backtest.resting import (
    CLOSE,
    HISTORICAL,
    LIMIT,
    MARKET,
    STOP,
    Resting,
)
from leverpack.margin.inside import first_event, walks_down_first
from leverpack.margin.interest import (
    KRAKEN_PERIOD_HOURS,
    binance_interest,
    kraken_opening_fee,
    kraken_rollover,
    rollover_periods,
)
from leverpack.margin.profiles import VenueProfile

_LIVE = (bt.Order.Created, bt.Order.Submitted, bt.Order.Partial, bt.Order.Accepted)
_MS_PER_HOUR = 3_600_000


class Matching:
    """Mixin of MarginBroker: ``next`` and what it does with each new candle."""

    # Set by MarginBroker; named here for the type checker.
    account: Any
    markets: dict[Any, Market]
    marks: dict[str, float]
    pending: Any
    p: Any
    profile: VenueProfile
    idle: bool

    def next(self) -> None:
        """Take in the candles that the feeds deliver now (Backtrader calls it once a step).

        The order is SEMANTICS for leverage: funding and interest due at the open; market orders;
        liquidation where the mark opens beyond its price; stops and limits that the open has
        passed; then what the candle meets first on its way, liquidation included; the close.
        """
        broker: Any = self
        if not broker._met:
            broker._meet_live_feeds()
        while broker._toactivate:
            broker._toactivate.popleft().activate()
        if broker.submitted:
            broker.check_submitted()
        if broker._cash_addition:
            self._take_deposits()
        if broker._userhist:
            broker._process_order_history()
        fresh = [m for m in self.markets.values() if m.refresh()]
        if fresh:
            calm = all(m.is_quiet() for m in fresh)
            if not calm or broker.cross_count > 1 or self.p.interest_hourly:
                self._walk_through(fresh)
            marks = self.marks
            for m in fresh:
                mark = m.mark
                marks[m.key] = mark[3]
                if m.liquidation is not None:
                    broker._seen(m, mark[2] if m.state.size > 0.0 else mark[1])
        self._revalue()

    def _walk_through(self, fresh: list[Market]) -> None:
        """Everything that can happen in a step of candles, in order of time."""
        broker: Any = self
        for m in fresh:
            self.marks[m.key] = m.mark[0]
        if broker.cross_count > 1:
            broker._reprice_cross()
        self._settle_carrying(fresh)
        self._at_open(fresh)
        for m in fresh:
            if m.resting or m.liquidation is not None:
                self._inside_candle(m)
        self._at_close(fresh)

    def _take_deposits(self) -> None:
        broker: Any = self
        while broker._cash_addition:
            cash = broker._cash_addition.popleft()
            if broker._fundval > 0.0:
                broker._fundshares += cash / broker._fundval
            else:  # everything was lost: the old shares are worth nothing, new ones are issued
                broker._fundshares = cash / broker.p.fundstartval
            self.account.deposit(cash)

    def _revalue(self) -> None:
        """Equity at the last closes; and whether anything is left to do at the next candle."""
        broker: Any = self
        value = self.account.wallet
        held = False
        for m in self.markets.values():
            size = m.state.size
            if size:
                held = True
                value += size * (m.close - m.state.entry)
        broker._value = value
        broker._fundval = value / broker._fundshares if broker._fundshares else 0.0
        self.idle = not (
            held or self.pending or broker.submitted or broker._toactivate or broker._userhist
        )

    # -- carrying costs --------------------------------------------------------------------------

    def _settle_carrying(self, fresh: list[Market]) -> None:
        hourly = self.p.interest_hourly
        for m in fresh:
            if not m.state.size:
                continue
            bars, at = m.funding_bars, m.funding_at
            while at < len(bars) and bars[at] < m.bar:
                self._settle_funding(m, at)
                at += 1
                m.funding_at = at
            if hourly:
                self._interest_since_last_candle(m)
            if m.rollover_at is not None and m.state.size:
                self._roll_over(m, m.rollover_at)

    def _settle_funding(self, m: Market, at: int) -> None:
        broker: Any = self
        if m.state.size:
            broker.fallback_settlements += bool(m.funding.fallback[at])
            price, rate = float(m.funding.price[at]), float(m.funding.rate[at])
            self.account.settle_funding(m.key, price, rate)
            broker._position_changed(m)

    def _interest_since_last_candle(self, m: Market) -> None:
        broker: Any = self
        now = epoch_ms(m.data.datetime[0])
        before = epoch_ms(m.data.datetime[-1]) if m.bar > 1 else now
        hours = now // _MS_PER_HOUR - before // _MS_PER_HOUR
        if hours > 0:
            self._charge_interest(m, m.state.size, hours)
            broker._position_changed(m)

    def _charge_interest(self, m: Market, size: float, hours: int) -> None:
        interest = binance_interest(self._borrowed(m, size), self.p.interest_hourly, hours)
        self.account.charge_interest(m.key, interest)

    def _borrowed(self, m: Market, size: float) -> float:
        """What ``size`` borrows, quote; a spot margin short's coins at the mark of the moment."""
        price = m.close if m.bar else m.state.entry
        if self.profile.is_spot_margin:
            price = self.marks.get(m.key, price)
        return m.state.borrowed(size, price)

    def _charge_opening(self, m: Market, opened: float) -> None:
        """What borrowing costs at once: the first hour's interest, or the opening fee."""
        if self.p.interest_hourly:
            self._charge_interest(m, opened, 1)
        if self.profile.opening_fee:
            fee = kraken_opening_fee(self._borrowed(m, opened), self.profile.opening_fee)
            self.account.charge_interest(m.key, fee)

    def _start_rollover(self, m: Market) -> None:
        if self.profile.rollover_fee:
            m.rollover_at = m.time_ms() + self._rollover_ms()

    def _rollover_ms(self) -> int:
        return round(self.profile.rollover_hours * _MS_PER_HOUR)

    def _roll_over(self, m: Market, due: int) -> None:
        """Charge the rollover fees due (first at ``due``, epoch ms) by this candle's open.

        The opening fee covers the first period, and a fee falls due as each one ends. The clock
        is that of the position's opening; what is added later joins it.
        """
        broker: Any = self
        step = self._rollover_ms()
        hours = (m.time_ms() - due + step) / _MS_PER_HOUR
        periods = rollover_periods(hours, self.profile.rollover_hours, False)
        if periods:
            m.rollover_at = due + periods * step
            borrowed = self._borrowed(m, m.state.size)
            whole_hours = periods * KRAKEN_PERIOD_HOURS
            fee = kraken_rollover(borrowed, self.profile.rollover_fee, whole_hours, False)
            self.account.charge_interest(m.key, fee)
            broker._position_changed(m)

    # -- the open --------------------------------------------------------------------------------

    def _at_open(self, fresh: list[Market]) -> None:
        broker: Any = self
        waiting = [r for m in fresh for r in m.resting]
        if waiting:
            self._expire(waiting)
            if len(fresh) > 1:
                waiting.sort(key=lambda r: r.order.ref)
            for r in waiting:
                if r.kind in (MARKET, HISTORICAL) and self._may_fill(r):
                    self._fill(r, r.market.open, at_open=True)
        for m in fresh:
            if m.liquidation is not None:
                broker._liquidate_at_open(m)
        for r in waiting:
            if r.passed_at(r.market.open) and self._may_fill(r) and not self._as_sent(r.market):
                self._fill(r, r.market.open, at_open=True)

    def _expire(self, waiting: list[Resting]) -> None:
        broker: Any = self
        for r in waiting:
            if r.valid and r.order.status in _LIVE and r.order.expire():
                self._forget(r)
                broker.notify(r.order)
                broker._ococheck(r.order)
                broker._bracketize(r.order, cancel=True)

    @staticmethod
    def _may_fill(r: Resting) -> bool:
        bar = r.market.bar
        return (
            r.order.status in _LIVE
            and r.order._active
            and r.tried_bar != bar
            and r.from_bar <= bar
        )

    def _as_sent(self, m: Market) -> bool:
        """Whether this candle's orders are met in the order they were sent, as Backtrader does it.

        Without leverage the fills are to be Backtrader's own to the last one. With leverage, or
        where liquidation comes into it, they follow time and the ``intrabar`` rule.
        """
        broker: Any = self
        return (
            m.state.leverage == 1.0
            and self.p.intrabar == "worst"
            and broker._liquidation_inside(m) is None
        )

    # -- inside ----------------------------------------------------------------------------------

    def _inside_candle(self, m: Market) -> None:
        broker: Any = self
        down_first: bool | None = None
        while True:
            touched: list[tuple[float, Resting]] = []
            for r in m.resting:
                if r.kind in (LIMIT, STOP) or r.kind not in (MARKET, CLOSE, HISTORICAL):
                    price = r.touch(r.start_at(m.open), m.high, m.low)
                    if price is not None and self._may_fill(r):
                        touched.append((price, r))
            forced = broker._liquidation_inside(m)
            if not touched and forced is None:
                return
            prices = [price for price, _ in touched]
            at_risk = [] if forced is None else [forced]
            chosen = 0
            if len(prices) + len(at_risk) > 1 and m.state.size and not self._as_sent(m):
                if down_first is None:
                    down_first = walks_down_first(self.p.intrabar, m.state.size)
                start = m.open if m.inside_from is None else m.inside_from
                chosen = first_event(prices, at_risk, start, down_first)
            if chosen == len(touched):
                broker._liquidate(m, forced, at_open=False)
            else:
                r = touched[chosen][1]
                self._fill(r, r.start_at(m.open), at_open=False)

    # -- the close -------------------------------------------------------------------------------

    def _at_close(self, fresh: list[Market]) -> None:
        broker: Any = self
        if broker.cross_count > 1:
            broker._liquidate_cross_together(fresh)
        for m in fresh:
            for r in tuple(m.resting):
                if not self._may_fill(r):
                    continue
                if r.kind == CLOSE:
                    self._fill(r, m.open, at_open=False)
                elif r.trailing and not r.order.triggered:
                    r.order.trailadjust(m.close)
            m.resting = [r for r in m.resting if r.order.status in _LIVE]

    # -- one order -------------------------------------------------------------------------------

    def _forget(self, r: Resting) -> None:
        broker: Any = self
        broker._resting_of.pop(r.order.ref, None)
        if r.order in self.pending:
            self.pending.remove(r.order)

    def _fill(self, r: Resting, start: float, *, at_open: bool) -> None:
        """Hand one order to Backtrader's matching, with the candle starting at ``start``."""
        broker: Any = self
        order, m = r.order, r.market
        r.tried_bar = m.bar
        # Backtrader's own loop takes an order out of the queue while it fills: its OCO check
        # would otherwise cancel the order that is just being filled.
        place = self.pending.index(order)
        del self.pending[place]
        broker._fill_moment = (start, at_open)
        try:
            self._match(r, start)
        finally:
            broker._fill_moment = None
        partial = order.status == bt.Order.Partial
        if partial and order.info.get("reduce_only") and not m.state.size:
            # It was larger than the position, be it by rounding: the rest has nothing to reduce.
            order.addinfo(reason="reduce-only, and there is nothing left to reduce")
            order.cancel()
            broker.notify(order)
            broker._ococheck(order)
        if order.status in _LIVE:
            self.pending.insert(min(place, len(self.pending)), order)
            return
        broker._resting_of.pop(order.ref, None)
        if order.status == bt.Order.Completed:
            broker._bracketize(order)

    def _match(self, r: Resting, start: float) -> None:
        broker: Any = self
        order, m = r.order, r.market
        kind, created = r.kind, r.created
        if kind == MARKET:
            broker._try_exec_market(order, start, m.high, m.low)
        elif kind == HISTORICAL:
            broker._try_exec_historical(order)
        elif kind == CLOSE:
            broker._try_exec_close(order, m.close)
        elif kind == LIMIT:
            broker._try_exec_limit(order, start, m.high, m.low, created.price)
        elif kind == STOP:
            broker._try_exec_stop(order, start, m.high, m.low, created.price, m.close)
        elif order.triggered:
            broker._try_exec_limit(order, start, m.high, m.low, created.pricelimit)
        else:
            broker._try_exec_stoplimit(
                order, start, m.high, m.low, m.close, created.price, created.pricelimit
            )
