"""CCXTPaperBroker: a venue's live candles and rules, with the margin broker filling."""

from __future__ import annotations

import logging
from typing import Any

from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.commission import MarginCommission
from leverpack.backtest.market import Market
from leverpack.errors import SettingError, VenueError
from leverpack.live.feed import CCXTDataFeed
from leverpack.live.guard import LeverageGuard
from leverpack.live.store import CCXTStore
from leverpack.margin.profiles import BINANCE_USDM, PROFILES
from leverpack.margin.tiers import TierTable

logger = logging.getLogger("leverpack.live")

NOT_CHARGED = "funding is not charged, and liquidation is tested on the trade candles"


class CCXTPaperBroker(MarginBroker):
    """Fills orders on the candles of CCXTDataFeed as a backtest would; nothing is sent anywhere.

    ``store`` is only read from now on, without keys, whatever ``sandbox`` says: the candles are
    the real market's. What is not given comes from the venue: rules of liquidation, fees,
    step, tick and least notional of each symbol, and its tiers where they are public (Binance
    tells them to key holders alone; then the built-in table holds). ``leverage`` and
    ``margin_mode`` None are those of the store's config, then of the settings. ``cash`` is also
    taken as ``startingcash``. All else is MarginBroker's.

    An order sent at one candle's close fills in the next candle, and is booked when that one has
    closed. Every run starts flat with ``cash``: nothing is kept from the run before. Funding is
    not charged, and liquidation is tested on the trade candles, whose wicks go further than the
    mark's.
    """

    params: Any = (
        ("store", None),
        ("startingcash", None),
        ("venue", None),
        ("leverage", None),
        ("margin_mode", None),
    )

    def __init__(self, **unknown: Any) -> None:
        p = self.p
        if not isinstance(p.store, CCXTStore):
            raise SettingError("CCXTPaperBroker needs store: a CCXTStore")
        self.store: CCXTStore = p.store
        self.store.only_read()
        p.venue = p.venue or PROFILES.get(self.store.exchange, BINANCE_USDM)
        p.leverage = p.leverage or self.store.leverage or 1.0
        p.margin_mode = p.margin_mode or self.store.margin_mode or self.store.settings.margin_mode
        if p.startingcash is not None:
            p.cash = float(p.startingcash)
        self._given_fees = p.maker, p.taker
        self._guard = LeverageGuard(self.store, margin_mode=p.margin_mode)
        super().__init__(**unknown)

    def start(self) -> None:
        """Connect: Backtrader calls it before a run."""
        self._opened_store = not self.store.is_open
        self.store.open()
        self._grids: dict[Any, tuple[float, float, float]] = {}
        self._tables: dict[str, TierTable] = {}
        super().start()

    def stop(self) -> None:
        """Let go of the store where this broker has opened it."""
        if self._opened_store:
            self.store.close()

    def end_run(self) -> None:
        """End the run at the next turn of the loop; may be called from a signal handler."""
        self.cerebro.runstop()

    def settable_leverage(self, data: Any, leverage: float) -> float:
        """``leverage`` as the venue could take it, rounded down to its step."""
        return max(1.0, self._guard.settable(leverage))

    def size_step(self, data: Any) -> float:
        """The step of sizes of one feed, base units."""
        return self.grid(data)[0]

    def grid(self, data: Any) -> tuple[float, float, float]:
        """Step (base), tick and least notional (quote) of one feed: the venue's, else those set."""
        self.market(data)
        return self._grids.get(data) or super().grid(data)

    def _new_market(self, data: Any) -> Market:
        if isinstance(data, CCXTDataFeed) and data not in self._grids:
            self._take_rules(data)
        return super()._new_market(data)

    def _take_rules(self, data: CCXTDataFeed) -> None:
        info, own = self.store.market(data.symbol), super().grid(data)
        precision, limits = info.get("precision") or {}, info.get("limits") or {}
        theirs = (
            float(precision.get("amount") or 0.0) * float(info.get("contractSize") or 1.0),
            float(precision.get("price") or 0.0),
            float((limits.get("cost") or {}).get("min") or 0.0),
        )
        step, tick, least = (mine or found for mine, found in zip(own, theirs, strict=True))
        self._grids[data] = step, tick, least
        maker, taker = self._given_fees
        self.comminfo[data._name] = MarginCommission(
            maker=float(info.get("maker") or self.p.maker) if maker is None else maker,
            taker=float(info.get("taker") or self.p.taker) if taker is None else taker,
        )
        if self.p.tiers == "builtin":
            try:
                self._tables[data.symbol] = self._guard.tiers(data.symbol)
            except VenueError as fault:
                logger.info("%s: the built-in tier table holds: %s", data.symbol, fault)

    def _tier_book_of(self, key: str) -> Any:
        return None if key in self._tables else super()._tier_book_of(key)

    def _assumed_table(self, key: str) -> TierTable:
        return self._tables.get(key) or super()._assumed_table(key)
