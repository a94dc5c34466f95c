"""The margin broker: Backtrader's own order handling over a margin account with liquidation.

It is a ``bt.brokers.BackBroker`` because Backtrader's order book (bracket children, OCO groups,
validity, trailing stops, slippage, partial fills) is what its users expect to the last detail;
replaced are the money (the margin account), the order of events inside a candle, and the checks
an exchange makes. It relies on these of BackBroker's inside: ``pending``, ``submitted``,
``_toactivate``, ``_take_children``, ``_ococheck``, ``_bracketize``, ``_try_exec_*``; a test
compares their source with what this was written against.
"""

from __future__ import annotations

import math
from typing import Any

import backtrader as bt

from leverpack.backtest.commission import MarginCommission
from leverpack.backtest.face import BrokerFace
from leverpack.backtest.forced import ForcedClosing
from leverpack.backtest.intake import Intake
from leverpack.backtest.ledger import Ledger
from leverpack.backtest.market import Market
from leverpack.backtest.matching import Matching
from leverpack.backtest.resting import LIMIT, STOP_LIMIT, Resting
from leverpack.errors import SettingError, refuse_unknown
from leverpack.margin.account import MarginAccount
from leverpack.margin.position import position_after_fill
from leverpack.margin.profiles import VenueProfile, venue_profile
from leverpack.margin.tiers import TierBook, TierTable, builtin_tiers
from leverpack.result import LiquidationRecord
from leverpack.risk.sizing import round_down, round_to_tick

ASSUMED_MMR = 0.01  # for a symbol that no tier table lists; stated in the result
ASSUMED_MAX_LEVERAGE = 50.0
ASSUMED_LIQUIDATION_FEE = 0.0125
_ROUNDING = 1e-9  # part of an order that is a float's noise, not something left to fill


class MarginBroker(Matching, ForcedClosing, BrokerFace, Intake):
    """Backtest broker with leverage, isolated or cross margin, funding and liquidation.

    Parameters (money in quote currency, rates as fractions):

    ``venue`` a name of ``leverpack.margin.profiles.PROFILES`` or a ``VenueProfile``: it decides
    the liquidation rule, funding or interest, the leverage cap, and what is None below.
    ``cash`` deposit; ``leverage`` and ``margin_mode`` ("isolated" or "cross") for every feed
    until ``set_leverage``/``set_margin_mode`` says otherwise; ``tiers`` "builtin", a
    ``TierBook``, one ``TierTable`` for all, or None (no maintenance margin, no cap); ``maker``
    and ``taker`` fees on notional; ``slippage`` of the price; ``interest_hourly`` on what is
    borrowed; ``liquidation_fee`` instead of the venue's or the table's; ``min_notional``,
    ``step``, ``tick`` of the venue (0: none; exits are never blocked by ``min_notional``);
    ``intrabar`` "worst", "ohlc" or "olhc"; ``close_fee`` True where the venue's liquidation price
    contains it. At a spot margin venue only the largest leverages of ``tiers`` count, where a
    table is given.

    A strategy with a method ``notify_fill(order)`` is called inside the candle at the moment of
    a fill, as a live account's user stream would, so that its protective orders rest at once.
    """

    params = (
        ("venue", "binanceusdm"),
        ("leverage", 1.0),
        ("margin_mode", "isolated"),
        ("tiers", "builtin"),
        ("maker", None),
        ("taker", None),
        ("slippage", 0.0),
        ("interest_hourly", None),
        ("liquidation_fee", None),
        ("min_notional", 0.0),
        ("step", 0.0),
        ("tick", 0.0),
        ("intrabar", "worst"),
        ("close_fee", None),
    )

    def __init__(self, **unknown: Any) -> None:
        refuse_unknown(self, unknown)
        self._take_venue()
        super().__init__()
        self._check_settings()
        if self.p.slippage:
            self.set_slippage_perc(self.p.slippage, slip_open=True)
        self.comminfo[None] = MarginCommission(maker=self.p.maker, taker=self.p.taker)

    def _take_venue(self) -> None:
        """Put the venue's figures where none was given."""
        p = self.p
        self.profile = p.venue if isinstance(p.venue, VenueProfile) else venue_profile(p.venue)
        for name in ("maker", "taker", "interest_hourly", "close_fee"):
            if getattr(p, name) is None:
                setattr(p, name, getattr(self.profile, name))
        self._fitted_tables: dict[int, tuple[TierTable, TierTable]] = {}

    def _check_settings(self) -> None:
        p, profile = self.p, self.profile
        if not p.cash > 0.0:
            raise SettingError(f"cash must be positive, not {p.cash:g}")
        if p.margin_mode not in ("isolated", "cross"):
            raise SettingError(f"margin_mode must be isolated or cross, not {p.margin_mode!r}")
        if p.intrabar not in ("worst", "ohlc", "olhc"):
            raise SettingError(f"intrabar must be worst, ohlc or olhc, not {p.intrabar!r}")
        if not p.leverage > 0.0:
            raise SettingError(f"leverage must be positive, not {p.leverage:g}")
        if not (profile.pair_may_exceed and isinstance(p.tiers, (TierTable, TierBook))):
            profile.check_leverage(p.leverage)
        if p.close_fee and not profile.takes_close_fee:
            raise SettingError(
                f"close_fee does not apply to {profile.title}: {profile.rule_said}; leave it out"
            )
        for name in ("slippage", "interest_hourly", "min_notional", "step", "tick"):
            if getattr(p, name) < 0.0:
                raise SettingError(f"{name} must not be negative, not {getattr(p, name):g}")

    def init(self) -> None:
        """Start a run with empty books (Backtrader calls it)."""
        self.idle = True
        self._met = False  # whether the feeds that go on live have a market
        super().init()
        self.account = MarginAccount(
            self.p.cash,
            close_fee=self.p.taker if self.p.close_fee else 0.0,
            profile=self.profile,
        )
        self.markets: dict[Any, Market] = {}
        self.liquidations: list[LiquidationRecord] = []
        self.rejections: list[dict[str, Any]] = []
        self.ledger = Ledger()
        self.fallback_settlements = 0
        self.marks: dict[str, float] = {}
        self._resting_of: dict[int, Resting] = {}
        self._fill_moment: tuple[float, bool] | None = None  # start price, at the open?
        self._inside: tuple[float, bool] | None = None  # fill price, at the open? in notify_fill
        self.cross_count = 0
        self._tier_book: TierBook | None = None
        if self.p.tiers == "builtin":
            self._tier_book = builtin_tiers()
        elif isinstance(self.p.tiers, TierBook):
            self._tier_book = self.p.tiers

    # -- markets ---------------------------------------------------------------------------------

    def market(self, data: Any) -> Market:
        """The broker's record of one feed, made on first use."""
        market = self.markets.get(data)
        if market is None:
            market = self.markets[data] = self._new_market(data)
        return market

    def _meet_live_feeds(self) -> None:
        """Know the feeds that go on live from their first candle on.

        Between two of their candles Backtrader's loop goes round too: a market that the strategy
        makes by its first order would take the candle that the strategy has acted on as a new one.
        """
        self._met = True
        for data in self.cerebro.datas:
            if data.islive():
                self.market(data)

    def _new_market(self, data: Any) -> Market:
        key = self._unique_key(data)
        market = Market(data, key, self._tier_book_of(key), self._assumed_table(key), self._fitted)
        if market.funding is not None and not self.profile.funding:
            raise SettingError(
                f"{key} has a funding series, and {self.profile.title} is {self.profile.kind} "
                "without funding; leave the funding out or choose a perpetual venue"
            )
        leverage = self._default_leverage(data)
        table = market.state.tiers
        if market.book is not None:
            table = market.book.at(key, market.today()) if len(data) else market.book.at(key)
        isolated = self.p.margin_mode == "isolated"
        market.state = self.account.add_position(
            key, self._fitted(table), leverage=leverage, isolated=isolated
        )
        market.position = self.positions[data]
        return market

    def _unique_key(self, data: Any) -> str:
        name = getattr(data, "symbol", "") or data._name or f"data{data._id}"
        taken = {m.key for m in self.markets.values()}
        key, count = str(name), 1
        while key in taken:
            count += 1
            key = f"{name}#{count}"
        return key

    def _tier_book_of(self, key: str) -> TierBook | None:
        """The book to look ``key`` up in; the built-in one is Binance's and not every venue's."""
        if self.p.tiers == "builtin" and self.profile.own_table(key) is not None:
            return None
        return self._tier_book

    def _assumed_table(self, key: str) -> TierTable:
        if isinstance(self.p.tiers, TierTable):
            return self.p.tiers
        own = self.profile.own_table(key)
        if own is not None:
            return own
        if self.p.tiers is None:
            return TierTable.flat(key, 0.0, float("inf"), 0.0)
        return TierTable.flat(key, ASSUMED_MMR, ASSUMED_MAX_LEVERAGE, ASSUMED_LIQUIDATION_FEE)

    def _fitted(self, table: TierTable) -> TierTable:
        """``table`` as the venue reads it, with the clearance fee of the settings or the venue."""
        known = self._fitted_tables.get(id(table))
        if known is not None:
            return known[1]
        fitted = self.profile.fit(table)
        fee = self.p.liquidation_fee
        if fee is None:
            fee = self.profile.liquidation_fee
        if fee is not None and fee != fitted.liquidation_fee:
            fitted = fitted.with_liquidation_fee(fee)
        self._fitted_tables[id(table)] = table, fitted  # held, so that the id stays its own
        return fitted

    def _default_leverage(self, data: Any) -> float:
        info = self.getcommissioninfo(data)
        own = float(info.p.leverage)
        return own if own != 1.0 else float(self.p.leverage)

    def setcommission(  # type: ignore[no-untyped-def]
        self, commission=0.0, margin=None, mult=1.0, commtype=None, percabs=True,
        stocklike=False, interest=0.0, interest_long=False, leverage=1.0, automargin=False,
        name=None,
    ) -> None:  # fmt: skip
        """Backtrader's call: ``commission`` becomes maker and taker fee, ``leverage`` holds."""
        odd = {"margin": margin, "interest": interest, "automargin": automargin}
        wrong = [k for k, v in odd.items() if v]
        if mult != 1.0 or commtype == bt.CommInfoBase.COMM_FIXED:
            wrong.append("mult" if mult != 1.0 else "commtype")
        if wrong:
            raise SettingError(
                f"setcommission({wrong[0]}=...) does not apply to a margin broker; "
                "margin comes from leverage and tiers, interest from interest_hourly"
            )
        rate = commission if percabs else commission / 100.0
        self.comminfo[name] = MarginCommission(maker=rate, taker=rate, leverage=leverage)

    # -- orders in -------------------------------------------------------------------------------

    def buy(self, owner: Any, data: Any, size: float, price: Any = None, plimit: Any = None,
            **kwargs: Any) -> Any:  # fmt: skip
        """As Backtrader's, with size and prices on the venue's grid; takes ``reduce_only=True``."""
        size, price, plimit = self._on_grid(data, size, price, plimit)
        return super().buy(owner, data, size, price, plimit, **kwargs)

    def sell(self, owner: Any, data: Any, size: float, price: Any = None, plimit: Any = None,
             **kwargs: Any) -> Any:  # fmt: skip
        """As Backtrader's, with size and prices on the venue's grid; takes ``reduce_only=True``."""
        size, price, plimit = self._on_grid(data, size, price, plimit)
        return super().sell(owner, data, size, price, plimit, **kwargs)

    def _on_grid(self, data: Any, size: float, price: Any, plimit: Any) -> tuple[Any, Any, Any]:
        step, tick, _ = self.grid(data)
        if step:
            # A size under one step stays as it is and is refused with the reason.
            size = round_down(abs(size), step) or size
        if tick:
            price = round_to_tick(price, tick) if price else price
            plimit = round_to_tick(plimit, tick) if plimit else plimit
        return size, price, plimit

    def grid(self, data: Any) -> tuple[float, float, float]:
        """Step of sizes (base), tick of prices and least notional (quote) of one feed; 0: none."""
        return self.p.step, self.p.tick, self.p.min_notional

    def transmit(self, order: Any, check: bool = True) -> Any:
        """Put an order on its way (Backtrader calls it)."""
        self.idle = False
        return super().transmit(order, check)

    def add_cash(self, cash: float) -> None:
        """Deposit or, negative, withdraw at the next candle."""
        self.idle = False
        super().add_cash(cash)

    def add_order_history(self, orders: Any, notify: bool = True) -> None:
        """Backtrader's replay of recorded orders."""
        self.idle = False
        super().add_order_history(orders, notify)

    def notify(self, order: Any) -> None:
        """Queue a notification for the strategy."""
        self.idle = False
        super().notify(order)

    # -- executions ------------------------------------------------------------------------------

    def _execute(self, order: Any, ago: Any = None, price: Any = None, cash: Any = None,
                 position: Any = None, dtcoc: Any = None) -> Any:  # fmt: skip
        """Fill an order (Backtrader's matching calls it) through the margin account."""
        if ago is None or price is None:
            return
        market = self.market(order.data)
        size = order.executed.remsize
        if self.p.filler is not None:
            part = self.p.filler(order, price, ago)
            # Backtrader subtracts part by part: 0.3 filled by thirds would leave 3e-17 alive.
            if part < abs(size) - _ROUNDING * abs(order.created.size):
                size = math.copysign(part, size)
        state = market.state
        if order.info.get("reduce_only"):
            size = self._only_reducing(order, state.size, size)
        if size == 0.0:
            return
        if state.size == 0.0:
            market.use_table()
        _, _, closed, opened = position_after_fill(state.size, state.entry, size, price)
        refusal = self._opening_objection(order, market, size, opened, price) if opened else None
        if refusal is not None:
            size, opened = closed, 0.0
        if size:
            self._book_fill(order, market, size, closed, opened, price, dtcoc, ago)
        if refusal is not None:
            self._refuse(order, refusal[1], margin=refusal[0])
            self._bracketize(order, cancel=True)

    def _only_reducing(self, order: Any, held: float, size: float) -> float:
        """The part of ``size`` that reduces the position; none left cancels the order, said why."""
        if held * size >= 0.0:
            order.addinfo(reason="reduce-only, and there is nothing left to reduce")
            order.cancel()
            self.notify(order)
            self._ococheck(order)
            return 0.0
        return size if abs(size) <= abs(held) else -held

    def _opening_objection(
        self, order: Any, market: Market, size: float, opened: float, price: float
    ) -> tuple[bool, str] | None:
        held = market.state.size if market.state.size * size > 0.0 else 0.0
        reason = self._leverage_objection(market, held, opened, price)
        if reason:
            return False, reason
        fee = abs(size) * price * self._fee_rate(order)
        lacking = self.account.margin_shortfall(market.key, size, price, fee, self._known_marks())
        if lacking > self._noise():
            return True, self._margin_reason(lacking)
        return None

    def _fee_rate(self, order: Any) -> float:
        resting = self._resting_of.get(order.ref)
        is_resting = (
            resting is not None
            and (resting.kind == LIMIT or (resting.kind == STOP_LIMIT and order.triggered))
            # A limit order that its first open has already passed took liquidity.
            and not (
                resting.market.bar == resting.since_bar
                and resting.passed_at(resting.market.open)
            )
        )
        if resting is not None and resting.kind == LIMIT and resting.made_inside is not None:
            is_resting = True
        return float(self.getcommissioninfo(order.data).fee_rate(is_resting))

    def _book_fill(
        self, order: Any, market: Market, size: float, closed: float, opened: float,
        price: float, dtcoc: Any, ago: int,
    ) -> None:  # fmt: skip
        rate = self._fee_rate(order)
        fee = abs(size) * price * rate
        before = market.state.entry
        was_flat = market.state.size == 0.0
        if closed:
            self._seen(market, price)
        fill = self.account.fill(market.key, size, price, fee)
        tag = order.info.get("tag") or "signal"
        resting = self._resting_of.get(order.ref)
        self.ledger.fill(market, closed, opened, price, fee, tag, resting)
        self._mirror(market, price, opened, closed)
        info = self.getcommissioninfo(order.data)
        order.execute(
            dtcoc or order.data.datetime[ago], size, price,
            closed, -closed * before, abs(closed) * price * rate,
            opened, opened * price, abs(opened) * price * rate,
            info.margin, fill.realised, market.state.size, market.state.entry,
        )  # fmt: skip
        order.addcomminfo(info)
        if opened:
            market.owner, market.tradeid = order.owner, order.tradeid
            if was_flat or closed:
                market.start_position()
                if self._fill_moment is not None and not self._fill_moment[1]:
                    market.inside_from = price
                self._start_rollover(market)
            self._charge_opening(market, opened)
        self.notify(order)
        self._ococheck(order)
        self._position_changed(market)
        tell = getattr(order.owner, "notify_fill", None)
        if tell is not None and self._fill_moment is not None:
            self._inside = (price, self._fill_moment[1])
            tell(order)
            self.check_submitted()
            self._inside = None

    def _mirror(self, market: Market, price: float, opened: float, closed: float) -> None:
        """Show the account's position in Backtrader's own Position object."""
        position, state = market.position, market.state
        position.price_orig = position.price
        position.size, position.price = state.size, state.entry
        position.upopened, position.upclosed = opened, closed
        position.adjbase = price
        position.datetime = market.data.datetime.datetime()
