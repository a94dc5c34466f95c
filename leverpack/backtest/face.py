"""The broker's public methods about leverage and margin, the same ones that a live broker has."""

from __future__ import annotations

from typing import Any

from leverpack.backtest.market import Market
from leverpack.margin.account import MarginAccount
from leverpack.margin.books import Costs
from leverpack.margin.profiles import VenueProfile
from leverpack.margin.ratios import effective_leverage
from leverpack.margin.shock import liquidating_move
from leverpack.result import TradeRecord


class BrokerFace:
    """Mixin of MarginBroker; strategies and analyzers use these and Backtrader's own, no others."""

    account: MarginAccount
    profile: VenueProfile
    markets: dict[Any, Market]
    marks: dict[str, float]

    def market(self, data: Any) -> Market:  # pragma: no cover - MarginBroker has the real one
        """The broker's record of one feed."""
        raise NotImplementedError

    def _position_changed(self, m: Market) -> None:  # pragma: no cover - see ForcedClosing
        raise NotImplementedError

    # -- leverage --------------------------------------------------------------------------------

    def set_leverage(self, data: Any, leverage: float) -> float:
        """Set one feed's leverage; returns what is now set. SettingError if refused."""
        market = self.market(data)
        self.account.set_leverage(market.key, leverage, self._known_marks())
        self._position_changed(market)
        return market.state.leverage

    def get_leverage(self, data: Any = None) -> float:
        """The leverage set for ``data``; without it the effective leverage: notional / equity."""
        if data is not None:
            return self.market(data).state.leverage
        return self.effective_leverage()

    def effective_leverage(self) -> float:
        """Notional of all positions at mark over equity; 0 when flat, inf without equity."""
        notional = sum(abs(p.size) * self.marks[str(k)] for k, p in self.account.open_positions())
        return effective_leverage(notional, self.account.equity(self._known_marks()))

    def set_margin_mode(self, data: Any, mode: str) -> None:
        """"isolated" or "cross" for one feed; refused while its position is open."""
        from leverpack.errors import SettingError

        if mode not in ("isolated", "cross"):
            raise SettingError(f"margin mode must be isolated or cross, not {mode!r}")
        self.account.set_isolated(self.market(data).key, mode == "isolated")

    def get_margin_mode(self, data: Any) -> str:
        """"isolated" or "cross"."""
        return "isolated" if self.market(data).state.isolated else "cross"

    def add_margin(self, data: Any, amount: float) -> None:
        """Move ``amount`` (quote; negative: take out) into an open isolated position's margin."""
        market = self.market(data)
        self.account.add_margin(market.key, amount, self._known_marks())
        self._position_changed(market)

    def tier_table(self, data: Any) -> Any:
        """The maintenance tiers that hold for this feed now: caps, mmrs, cums, max_leverages."""
        market = self.market(data)
        if not market.state.size:  # a flat one is valued by the table of the candle's date
            market.use_table()
        return market.state.tiers

    def liquidation_price_if(
        self, data: Any, size: float, entry: float, leverage: float
    ) -> float:
        """Where an isolated position of signed ``size`` (base) would be liquidated; quote."""
        self.tier_table(data)
        return self.account.liquidation_price_if(self.market(data).key, size, entry, leverage)

    def snapshot(self) -> tuple[MarginAccount, dict[str, float]]:
        """A copy of the margin account and of the marks now: what a stress test is done on."""
        return self.account.copy(), dict(self.marks)

    def trade_records(self) -> list[TradeRecord]:
        """The closed positions so far, from flat to flat, with all costs of each."""
        broker: Any = self
        return list(broker.ledger.trades)

    # -- readings --------------------------------------------------------------------------------

    def _known_marks(self) -> Any:
        return self.marks

    def mark_price(self, data: Any) -> float:
        """The mark at the last candle's close; the trade close where no mark series was given."""
        return self.marks.get(self.market(data).key, 0.0) or float(data.close[0])

    def liquidation_price(self, data: Any) -> float | None:
        """Mark price that liquidates the position; None when flat, 0.0 if no price does."""
        return self.market(data).liquidation

    def margin_ratio(self, data: Any = None) -> float | None:
        """Maintenance margin / margin balance, 1.0 is liquidation; of all the worst; None flat.

        Spot margin venues: the liquidation level over the venue's own level.
        """
        key = None if data is None else self.market(data).key
        return self.account.margin_ratio(self._known_marks(), key)

    def call_ratio(self, data: Any = None) -> float:
        """The margin ratio from which the venue calls, at the leverage of ``data`` or the lowest.

        Kraken: level 80 %, Binance spot margin: 130 % or 116 %, each as liquidation level over
        call level. Perpetual venues send no call; there it is the usual 0.8.
        """
        broker: Any = self
        if data is not None:
            return self.profile.call_ratio(self.market(data).state.leverage)
        held = {p.leverage for _, p in self.account.open_positions()}
        held = held or {p.leverage for p in self.account.positions.values()}
        held = held or {float(broker.p.leverage)}
        return min(self.profile.call_ratio(leverage) for leverage in held)

    def worst_margin_ratio(self) -> float | None:
        """The margin ratio at the last candle's worst mark for each position; None when flat."""
        ratios = []
        for m in self.markets.values():
            if m.state.size and m.state.isolated:
                worst = m.mark[2] if m.state.size > 0.0 else m.mark[1]
                ratios.append(self.account.margin_ratio({m.key: worst}, m.key))
        for column in (2, 1):  # all cross positions at their lows, then at their highs
            worst_marks = {m.key: m.mark[column] for m in self.markets.values()}
            ratios.append(self.account.cross_ratio({**self._known_marks(), **worst_marks}))
        return max((r for r in ratios if r is not None), default=None)

    def nearest_liquidation(self, data: Any) -> float | None:
        """How near the last candle came: |mark - liquidation price| / mark; None: no position."""
        return self.market(data).candle_nearest

    def liquidating_move(self) -> float | None:
        """The smallest instant move of all marks together that liquidates a position.

        Signed fraction; None when flat, or when no such move does.
        """
        return liquidating_move(self.account, self._known_marks())

    def unrealised(self) -> float:
        """Open profit of all positions at mark, quote."""
        return self.account.unrealised(self._known_marks())

    def margin_level(self) -> float | None:
        """Equity / used margin, at a spot margin venue its own level; None when flat."""
        return self.account.margin_level(self._known_marks())

    def free_margin(self) -> float:
        """Quote currency left to open positions with."""
        return self.account.free_margin(self._known_marks())

    def used_margin(self) -> float:
        """Quote currency that the open positions lock."""
        return self.account.used_margin(self._known_marks())

    def costs(self, data: Any = None) -> Costs:
        """Fees, funding, interest and liquidation costs to date, of one feed or of the account."""
        return self.account.costs if data is None else self.market(data).state.costs

    # -- Backtrader's own ------------------------------------------------------------------------

    def get_cash(self) -> float:
        """Free margin: what is left to open positions with, quote."""
        return self.free_margin()

    getcash = get_cash

    def get_value(self, datas: Any = None, mkt: bool = False, lever: bool = False) -> float:
        """Equity at the last closes; with ``datas`` the signed notional of those positions."""
        broker: Any = self
        if datas is None:
            return float(broker._value)
        return float(sum(broker.positions[d].size * d.close[0] for d in datas))

    getvalue = get_value

    def getposition(self, data: Any) -> Any:
        """Backtrader's Position of one feed, kept equal to the margin account's."""
        return self.market(data).position
