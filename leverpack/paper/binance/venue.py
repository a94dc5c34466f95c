"""What the Binance protocol keeps beside the exchange: keys of streams, countdowns, clocks."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable

from leverpack.paper.binance.limits import Limits
from leverpack.paper.binance.params import Params
from leverpack.paper.binance.shapes import Shapes
from leverpack.paper.binance.signing import wall_ms
from leverpack.paper.exchange import Exchange
from leverpack.paper.instrument import Instrument
from leverpack.paper.orders import BOTH, LONG, SHORT
from leverpack.paper.refusal import Refusal
from leverpack.paper.tape import Tape

LISTEN_KEY_S = 3600.0
_MOST_SHOWN = 4_000


class Venue:
    """The protocol's own state around one exchange.

    ``lock_step``: countdowns run by the replay's clock, else by the machine's.
    ``skew_ms`` moves the clock that request times are checked by (a fault).
    """

    def __init__(self, exchange: Exchange, *, lock_step: bool = True) -> None:
        self.exchange = exchange
        self.shapes = Shapes(exchange)
        self.limits = Limits(exchange.settings)
        self.lock_step = lock_step
        self.skew_ms = 0
        # A fault: so many leverage changes of a contract ("": of any) are confirmed and not made.
        self.leverage_stays: Counter[str] = Counter()
        self.listen_key: str | None = None
        self._key_until = 0.0
        self._key_count = 0
        self.countdowns: dict[str, int] = {}
        self.book_ids: dict[str, int] = {}  # the last update of each depth stream
        self.shown: dict[str, tuple[dict[str, str], dict[str, str]]] = {}  # levels clients know
        self.margin_changes: list[dict[str, object]] = []
        self.on_key_gone: Callable[[str], None] = lambda key: None

    # -- clocks ----------------------------------------------------------------------------------

    def clocks(self) -> tuple[int, int]:
        """The clocks that a request may be stamped by: the machine's and the replay's."""
        return wall_ms() + self.skew_ms, self.exchange.now + self.skew_ms

    def countdown_ms(self) -> int:
        """The clock that countdowns run by."""
        return self.exchange.now if self.lock_step else time.monotonic_ns() // 1_000_000

    def run_countdowns(self) -> None:
        """Cancel all orders of the contracts whose countdown is over."""
        now = self.countdown_ms()
        for symbol in [s for s, due in self.countdowns.items() if due <= now]:
            del self.countdowns[symbol]
            self.exchange.desk.cancel_all(symbol)
            for algo in self.exchange.desk.algos.of(symbol):
                self.exchange.desk.cancel_algo(algo)

    def show(self, symbol: str, bids: list[list[str]], asks: list[list[str]]) -> None:
        """Note the levels of a snapshot: the next depth update must take back what is gone."""
        known = self.shown.setdefault(symbol, ({}, {}))
        if sum(map(len, known)) > _MOST_SHOWN:  # nobody listens to updates, which would tidy up
            known = self.shown[symbol] = ({}, {})
        for levels, side in zip(known, (bids, asks), strict=True):
            for price, qty in side:
                if levels.get(price) != qty:
                    levels[price] = ""  # streams and snapshot differ: it is sent again

    # -- the user stream's key -------------------------------------------------------------------

    def new_listen_key(self) -> str:
        """The key of the user stream; asking again prolongs the one there is."""
        self._expire_key()
        if self.listen_key is None:
            self._key_count += 1
            seed = f"{self.exchange.settings.seed}:{self._key_count}"
            self.listen_key = hashlib.sha256(seed.encode()).hexdigest()
        self._key_until = time.monotonic() + LISTEN_KEY_S
        return self.listen_key

    def keep_listen_key(self) -> None:
        """Prolong the key; -1125 where there is none."""
        self._expire_key()
        if self.listen_key is None:
            raise Refusal(-1125)
        self._key_until = time.monotonic() + LISTEN_KEY_S

    def drop_listen_key(self) -> None:
        """Close the user stream."""
        if self.listen_key is not None:
            gone, self.listen_key = self.listen_key, None
            self.on_key_gone(gone)

    def _expire_key(self) -> None:
        if self.listen_key is not None and time.monotonic() > self._key_until:
            self.drop_listen_key()

    def keeps_leverage(self, symbol: str) -> bool:
        """Whether this leverage change is one of those that are confirmed and not made."""
        name = next((n for n in (symbol, "") if self.leverage_stays[n]), None)
        if name is None:
            return False
        self.leverage_stays[name] -= 1
        return True

    # -- what requests name ----------------------------------------------------------------------

    def tape(self, params: Params) -> Tape:
        """The tape of the request's ``symbol``, else -1121."""
        tape = self.exchange.tapes.get(params.text("symbol").upper())
        if tape is None:
            raise Refusal(-1121)
        return tape

    def instrument(self, params: Params) -> Instrument:
        """The contract of the request's ``symbol``."""
        return self.tape(params).instrument

    def symbols(self, params: Params) -> list[str]:
        """The request's ``symbol``, or all of them where it names none."""
        return [self.instrument(params).symbol] if "symbol" in params else list(self.exchange.tapes)

    def side(self, params: Params) -> str:
        """The request's ``positionSide``."""
        return params.one_of("positionSide", (BOTH, LONG, SHORT), -4061, BOTH)
