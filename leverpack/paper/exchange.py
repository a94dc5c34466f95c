"""The paper exchange itself: contracts, clock, desk and books, without any protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from leverpack.errors import SettingError
from leverpack.margin.position import money_noise
from leverpack.margin.tiers import TierBook, TierTable, builtin_tiers
from leverpack.paper.books import Books
from leverpack.paper.depth import Depth
from leverpack.paper.desk import Desk
from leverpack.paper.orders import BOTH, Algo, Event, Forced, Order, PaperSettings
from leverpack.paper.tape import Tape
from leverpack.paper.walk import Walk

ASSUMED_MMR, ASSUMED_MAX_LEVERAGE = 0.01, 50.0
KEPT_LIQUIDATIONS = 10_000
VENUES = ("binanceusdm", "bybit")

Listener = Callable[[Event], None]
MarketListener = Callable[[Tape, str], None]


class Exchange:
    """One account trading on replayed candles; all times are epoch ms UTC of the replay.

    The replay stands at the open of a candle, with its funding settled, until :meth:`step` plays
    the candle and opens the next: whoever trades now trades at the open's price. :meth:`advance`
    plays a part of it instead, and :meth:`pieces` stops at everything that befalls the account on
    the way, with ``paused`` the last price there. ``listeners`` hear of what happens to the
    account, ``market_listeners`` of candles: "opened", "moved", "closed".
    """

    def __init__(
        self, settings: PaperSettings, tapes: Iterable[Tape], tiers: TierBook | None = None
    ) -> None:
        self.settings = settings
        self.hedged = settings.hedged
        self.tapes = {tape.instrument.symbol: tape for tape in tapes}
        _check(settings, list(self.tapes.values()))
        self.tiers = tiers if tiers is not None else builtin_tiers()
        self.books = Books(settings)
        self.depths: dict[str, Depth] = {}
        self.desk = Desk(self)
        self.walk = Walk(self)
        self.listeners: list[Listener] = []
        self.market_listeners: list[MarketListener] = []
        self.forced: deque[Forced] = deque(maxlen=KEPT_LIQUIDATIONS)
        self.called = False  # a margin call is out
        self.fill_share: float | None = None  # a fault: only this part of the next order fills
        self.changed_tiers: set[str] = set()
        self.finished = False
        self.paused: dict[str, float] = {}  # symbol -> last price, inside a candle in pieces
        self.between = False  # a candle is over in pieces, and the next has not opened
        first = min(tape.next_ts or 0 for tape in self.tapes.values())
        self.now = self.started = first
        for tape in self.tapes.values():
            self.books.add(tape.instrument, self._table(tape.instrument.symbol, first))
            self.books.set_mark(tape.instrument.symbol, tape.mark)
            self.depths[tape.instrument.symbol] = Depth(tape.instrument, settings)
        self.books.deposit(settings.deposit, first)
        self._open_candles()

    def _table(self, symbol: str, when: int) -> TierTable:
        if symbol in self.tiers:
            table = self.tiers.at(symbol, datetime.fromtimestamp(when / 1000, UTC).date())
        else:
            table = TierTable.flat(symbol, ASSUMED_MMR, ASSUMED_MAX_LEVERAGE)
        return self.books.account.profile.fit(table)

    # -- the clock -------------------------------------------------------------------------------

    @property
    def next_open(self) -> int | None:
        """When the next candle of any contract opens; None after the last."""
        times = [tape.next_ts for tape in self.tapes.values() if tape.next_ts is not None]
        return min(times, default=None)

    def step(self, candles: int = 1) -> int:
        """Play candles in one go each and open the next; how many there were left to play."""
        for done in range(candles):
            if self.finished:
                return done
            self._play_to_end()
            self._open_candles()
        return candles

    def pieces(self) -> Iterator[str]:
        """Play on piece by piece, for a client that is to answer in between.

        Says "event" after each thing that befell the account inside a candle, "closed" when it
        is over, and "opened" when the next has opened. What is sent between these two waits for
        the open, after its funding, as the backtest's orders do.
        """
        while not self.finished:
            playing = [t for t in self.tapes.values() if t.at >= 0 and t.progress < 1.0]
            for _ in self.walk.pieces(playing, 1.0):
                yield "event"
            for tape in playing:
                self._market(tape, "closed")
            self._after()
            self.between = True
            yield "closed"
            self.between = False
            self._open_candles()
            self.desk.take_waiting()
            if not self.finished:
                yield "opened"

    def advance(self, to: int) -> None:
        """Play on to a moment, epoch ms UTC; candles that end on the way are closed."""
        while not self.finished:
            boundary = self.next_open
            end = boundary if boundary is not None else max(t.end_ts for t in self.tapes.values())
            if to < end:
                break
            self._play_to_end()
            self._open_candles()
        if self.finished or to <= self.now:
            return
        playing = [t for t in self.tapes.values() if t.progress < 1.0]
        for tape in playing:
            share = min(1.0, (to - tape.open_ts) / tape.step_ms)
            if share > tape.progress:
                self.walk.play([tape], share)
                self._market(tape, "moved" if share < 1.0 else "closed")
        self.now = max(self.now, to)
        self._after()

    def _play_to_end(self) -> None:
        playing = [t for t in self.tapes.values() if t.at >= 0 and t.progress < 1.0]
        if playing:
            self.walk.play(playing, 1.0)
            for tape in playing:
                self._market(tape, "closed")
        self._after()

    def _open_candles(self) -> None:
        opens = self.next_open
        if opens is None:
            self.now = max(t.end_ts for t in self.tapes.values())
            self.finished = True
            return
        self.now = opens
        fresh = [t for t in self.tapes.values() if t.next_ts == opens]
        due = [(tape, tape.open_next()) for tape in fresh]
        for tape in fresh:
            symbol = tape.instrument.symbol
            self.books.set_mark(symbol, tape.mark)
            self.depths[symbol].new_candle(tape.volume, tape.at)
            self._use_table(symbol)
        for tape, settlements in due:
            for settlement in settlements:
                self._settle(tape.instrument.symbol, settlement.price, settlement.rate)
        for tape in fresh:
            self._market(tape, "opened")
        self._after()

    def _use_table(self, symbol: str) -> None:
        """The tier table of the date, for flat positions, as the margin broker does it."""
        if symbol not in self.tiers or self.books.held(symbol):
            return
        table = self._table(symbol, self.now)
        for key in self.books.keys(symbol):
            self.books.position(key).tiers = table

    def change_tiers(self, table: TierTable) -> None:
        """The venue announces other tiers for a contract, for open positions too."""
        self.tiers = TierBook(
            [t for s in self.tiers.symbols if s != table.symbol for t in self.tiers.tables(s)]
            + [table]
        )
        self.changed_tiers.add(table.symbol)
        fitted = self.books.account.profile.fit(table)
        for key in self.books.keys(table.symbol):
            self.books.position(key).tiers = fitted

    # -- what is known now -----------------------------------------------------------------------

    def last(self, symbol: str) -> float:
        """The last price of a contract."""
        paused = self.paused.get(symbol)
        return self.tapes[symbol].last if paused is None else paused

    def working_price(self, algo: Algo) -> float:
        """The price that a conditional order watches: the last one or the mark."""
        if algo.working == "MARK_PRICE":
            return self.books.marks[algo.symbol]
        return self.last(algo.symbol)

    @property
    def noise(self) -> float:
        """What rounding may make of the wallet, quote: no reason to refuse an order."""
        return money_noise(self.books.account.wallet)

    def reserved(self) -> float:
        """Initial margin of all open orders, quote."""
        orders = self.desk.orders
        return sum(self.books.order_margin(s, orders.of(s)) for s, o in orders.open.items() if o)

    def available(self) -> float:
        """What is left to open with, quote."""
        return self.books.account.free_margin(self.books.marks) - self.reserved()

    def held_back(self, order: Order) -> int:
        """How much of an order may fill now: all that is left, unless a fault holds some back."""
        if self.fill_share is None or order.left < 2:
            return order.left
        part = max(1, int(order.left * self.fill_share))
        self.fill_share = None
        return part

    # -- what happens ----------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Tell the listeners."""
        for listener in self.listeners:
            listener(event)

    def _market(self, tape: Tape, what: str) -> None:
        for listener in self.market_listeners:
            listener(tape, what)

    def position_changed(self, key: str, reason: str = "ORDER") -> None:
        """Tell of a changed position; orders that could only reduce a closed one are ended."""
        self.tell(Event("account", reason=reason, keys=(key,)))
        if self.books.position(key).size == 0.0:
            for order in self.desk.orders.of(key.partition(":")[0]):
                if order.key == key and order.reduces and order.live:
                    self.desk.end(order, "EXPIRED", "the position it reduces is closed")

    def _settle(self, symbol: str, mark: float, rate: float) -> None:
        for key in self.books.held(symbol):
            self.books.settle(key, mark, rate, self.now)
            self.tell(Event("account", reason="FUNDING_FEE", keys=(key,)))

    def liquidate(self, key: str, price: float) -> None:
        """Close a position by force: its contract's orders are cancelled first."""
        position = self.books.position(key)
        symbol, _, side = key.partition(":")
        self.books.set_mark(symbol, price)  # the other leg of a hedge is worth what it is there
        for order in self.desk.orders.of(symbol):
            self.desk.end(order, "EXPIRED", "cancelled by liquidation")
        for algo in self.desk.algos.of(symbol):
            self.desk.cancel_algo(algo, "EXPIRED", "cancelled by liquidation")
        order = Order(
            self.desk.orders.new_id(), f"autoclose-{self.now}{self.books.trade_id}", symbol,
            -1 if position.size > 0.0 else 1, "LIMIT", abs(self.books.units(key)), price, "IOC",
            side or BOTH, origin="LIQUIDATION", created=self.now, updated=self.now,
        )  # fmt: skip
        taken, trade = self.books.liquidate(order, price, self.now)
        self.desk.orders.add(order)
        self.forced.append(Forced(order, taken.fee, taken.shortfall, self.now))
        self.tell(Event("order", order, "CALCULATED", trade))
        self.tell(Event("account", reason="ORDER", keys=(key,)))

    def close_elsewhere(self, symbol: str, sign: str = "web_") -> int:
        """Somebody else closes the account's positions of a contract; how many there were.

        ``sign`` begins the client id of the order, by which it can be known who that was.
        """
        held = self.books.held(symbol)
        for key in held:
            side = key.partition(":")[2] or BOTH
            units = self.books.units(key)
            order = Order(
                self.desk.orders.new_id(), f"{sign}{self.now}{self.books.trade_id}", symbol,
                -1 if units > 0 else 1, "MARKET", abs(units), position_side=side,
                reduce_only=side == BOTH,
            )  # fmt: skip
            self.desk.place(order)
        return len(held)

    def _after(self) -> None:
        """What is looked at whenever the price has moved: good-till dates and the margin call."""
        for order in self.desk.orders.all_open():
            if order.good_till and order.good_till <= self.now:
                self.desk.end(order, "EXPIRED", "good till date")
        for algo in self.desk.algos.all_open():
            if algo.good_till and algo.good_till <= self.now:
                self.desk.cancel_algo(algo, "EXPIRED", "good till date")
        account = self.books.account
        ratio = account.margin_ratio(self.books.marks)
        calls = ratio is not None and ratio >= account.profile.call_ratio(1.0)
        if calls and not self.called:
            keys = tuple(str(k) for k, _ in account.open_positions())
            self.tell(Event("call", ratio, keys=keys))
        self.called = calls

    # -- settings of the account -----------------------------------------------------------------

    def has_orders(self, symbol: str) -> bool:
        """Whether an order or conditional order of a contract is open."""
        return bool(self.desk.orders.count(symbol) or self.desk.algos.count(symbol))

    def set_leverage(self, symbol: str, leverage: float) -> None:
        """Change the leverage of a contract, all its legs; SettingError where it may not be."""
        account, done = self.books.account, []
        old = self.books.position(symbol).leverage
        try:
            for key in self.books.keys(symbol):
                account.set_leverage(key, leverage, self.books.marks)
                done.append(key)
        except SettingError:
            for key in done:
                self.books.position(key).leverage = old
            raise
        if self.available() < -self.noise and leverage < old:
            for key in done:
                self.books.position(key).leverage = old
            raise SettingError(f"leverage {leverage:g} needs more margin than {symbol} has left")
        self.tell(Event("leverage", symbol))


def _check(settings: PaperSettings, tapes: list[Tape]) -> None:
    if not tapes:
        raise SettingError("a paper exchange needs the candles of one symbol at least")
    if len({tape.step_ms for tape in tapes}) > 1:
        raise SettingError("the candles of all symbols must have one length; resample the others")
    if len({tape.instrument.quote for tape in tapes}) > 1:
        raise SettingError("all symbols must have one quote currency: the account has one wallet")
    if settings.trail_by not in ("extreme", "close"):
        raise SettingError(f"trail_by must be extreme or close, not {settings.trail_by!r}")
    if settings.venue not in VENUES:
        raise SettingError(f"venue must be one of {', '.join(VENUES)}, not {settings.venue!r}")
    for name in ("spread", "slippage", "depth", "maker", "taker"):
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise SettingError(f"{name} must be a fraction from 0 to below 1")
    if not settings.deposit > 0.0:
        raise SettingError(f"deposit must be positive, not {settings.deposit:g}")
    if settings.leverage < 1:
        raise SettingError(f"leverage must be 1 or more, not {settings.leverage}")
