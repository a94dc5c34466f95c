"""How close the account came: margin level, margin ratio, liquidation price by candle."""

from __future__ import annotations

import logging
import math
from array import array
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from analyzers.calls import CallEpisodes
from analyzers.plain import PlainFace
from analyzers.readings import MarginHistory, Rows, epoch_ms, epoch_times
from analyzers.venue import VENUE_COLUMNS, differences
from leverpack.margin.account import MarginAccount
from leverpack.margin.shock import move_to
from leverpack.result import Floats, MarginCallRecord

if TYPE_CHECKING:
    import pandas as pd

Snapshot = tuple[int, MarginAccount, dict[str, float]]

ACCOUNT_COLUMNS = (
    "equity", "margin_ratio", "worst_margin_ratio", "margin_level", "effective_leverage",
    "free_margin", "used_margin", "unrealised", "funding", "fees", "interest", "call_ratio",
    "liquidating_move",
)  # fmt: skip
FEED_COLUMNS = (
    "current_price", "mark", "position", "liquidation_price", "liquidation_distance", "leverage",
)  # fmt: skip
_FACE = ("margin_ratio", "margin_level", "liquidation_price", "nearest_liquidation", "costs")
_NAN = math.nan
logger = logging.getLogger("leverpack.analyzer")
USUAL_CALL_RATIO = 0.8  # where the broker names none


class MarginAnalyzer(bt.Analyzer):
    """Margin readings of every candle, margin calls as episodes, liquidations, costs to date.

    Works with any strategy and any broker that has leverpack's broker methods. Of another, such
    as Backtrader's own, it reads position, equity and effective leverage, warns once, and leaves
    the rest None: also ``margin_calls``, which nobody has watched. ``call_ratio``:
    margin ratio (maintenance / margin balance) from which on the account counts as called; None
    is the venue's, by the leverage that is open.

    ``get_analysis()`` has the guide's keys ``margin_history``, ``min_margin_level`` (None when
    never in a position) and ``margin_calls`` (episodes, not candles), and beside them
    ``margin_call_episodes``, ``worst_margin_ratio``, ``nearest_liquidation`` (fraction of the
    mark) and ``nearest_liquidation_time``, ``max_effective_leverage``, ``liquidations`` and the
    costs (``fees``, ``funding`` as cash, ``interest``, ``liquidation_fees``, ``insurance``);
    ``venue``: live, how far the venue's own readings lie from ours (``venue_differences``).
    """

    params = (("call_ratio", None),)

    def start(self) -> None:
        """Look at the broker and start with empty columns."""
        self._broker = self.strategy.broker
        missing = [name for name in _FACE if not hasattr(self._broker, name)]
        self._knows_margin = not missing
        if missing:
            logger.warning(
                "%s has no %s(): margin calls and liquidation are not watched; leverpack's brokers "
                "have them", type(self._broker).__name__, missing[0],
            )  # fmt: skip
            self._broker = PlainFace(self._broker, self.strategy.datas)
        self._when = array("d")
        self._account = Rows(ACCOUNT_COLUMNS)
        self._feeds = [Rows(FEED_COLUMNS) for _ in self.strategy.datas]
        self._calls = CallEpisodes()
        # A live broker says what the venue itself thinks.
        self._venue = [Rows(VENUE_COLUMNS) for _ in self.strategy.datas] \
            if hasattr(self._broker, "venue_liquidation_price") else []
        self._nearest: float | None = None
        self._nearest_when: float | None = None
        self._liquidated = 0
        fixed, ask = self.p.call_ratio, getattr(self._broker, "call_ratio", None)
        if fixed is not None or ask is None:
            ratio = USUAL_CALL_RATIO if fixed is None else float(fixed)
            ask = lambda: ratio  # noqa: E731
        self._call_ratio = ask
        self._only = (0.0, _NAN, _NAN)  # size, liquidation price and mark of the last held feed
        self._call_level: float | None = None  # of this candle; None while flat
        self._most_leverage = 0.0
        self._most_exposed: Snapshot | None = None
        self._ask_move = getattr(self._broker, "liquidating_move", None)
        self._snapshot = getattr(self._broker, "snapshot", None)

    def next(self) -> None:
        """Take the readings of this candle."""
        broker, strategy = self._broker, self.strategy
        now = strategy.lines.datetime[0]
        self._when.append(now)
        held = 0
        for data, rows in zip(strategy.datas, self._feeds, strict=True):
            held += self._read_feed(data, rows, now)
        if self._venue:
            for data, rows in zip(strategy.datas, self._venue, strict=True):
                self._read_venue(data, rows)
        worst = self._read_account(held, now)
        liquidations = len(getattr(broker, "liquidations", ()))
        if liquidations > self._liquidated:
            self._liquidated = liquidations
            worst = max(worst or 0.0, 1.0)
            self._account.mend_last("worst_margin_ratio", worst)
            self._nearest, self._nearest_when = 0.0, now
        self._watch_calls(worst, now)

    def _read_feed(self, data: Any, rows: Rows, now: float) -> bool:
        if not len(data):
            rows.put(rows.pack(_NAN, _NAN, 0.0, _NAN, _NAN, _NAN))
            return False
        broker = self._broker
        size = broker.getposition(data).size
        nearest = broker.nearest_liquidation(data)
        if nearest is not None and (self._nearest is None or nearest < self._nearest):
            self._nearest, self._nearest_when = nearest, now
        close = data.close[0]
        if not size:
            rows.put(rows.pack(close, close, size, _NAN, _NAN, _NAN))
            return False
        mark = broker.mark_price(data)
        price = _nan(broker.liquidation_price(data))
        distance = abs(mark - price) / mark
        rows.put(rows.pack(close, mark, size, price, distance, broker.get_leverage(data)))
        self._only = (size, price, mark)
        return True

    def _read_venue(self, data: Any, rows: Rows) -> None:
        broker = self._broker
        if not len(data) or not broker.getposition(data).size:
            rows.put(rows.pack(_NAN, _NAN, _NAN, _NAN))
            return
        rows.put(rows.pack(
            _nan(broker.margin_ratio(data)), _nan(broker.venue_margin_ratio(data)),
            _nan(broker.liquidation_price(data)), _nan(broker.venue_liquidation_price(data)),
        ))  # fmt: skip

    def _read_account(self, held: int, now: float) -> float | None:
        broker, rows = self._broker, self._account
        equity = broker.getvalue()
        costs = broker.costs()
        funding, fees, interest = costs.funding, costs.fees, costs.interest
        if not held:
            self._call_level = None
            rows.put(rows.pack(
                equity, _NAN, _NAN, _NAN, 0.0, equity, 0.0, 0.0, funding, fees, interest,
                _NAN, _NAN,
            ))  # fmt: skip
            return None
        worst: float | None = broker.worst_margin_ratio()
        leverage = broker.effective_leverage()
        if leverage > self._most_leverage:
            self._remember(leverage, now)
        self._call_level = level = self._call_ratio()
        # Of one position alone the move follows from its liquidation price, which is known.
        move = move_to(*self._only) if held == 1 else self._move_of_all()
        rows.put(rows.pack(
            equity, _nan(broker.margin_ratio()), _nan(worst), _nan(broker.margin_level()),
            leverage, broker.free_margin(), broker.used_margin(), broker.unrealised(),
            funding, fees, interest, level, move,
        ))  # fmt: skip
        return worst

    def _remember(self, leverage: float, now: float) -> None:
        """Keep the moment of the highest leverage in effect so far, for the stress test."""
        if leverage < math.inf:
            self._most_leverage = leverage
            if self._snapshot is not None:
                self._most_exposed = (epoch_ms(now), *self._snapshot())

    def _move_of_all(self) -> float:
        return _nan(None if self._ask_move is None else self._ask_move())

    def _watch_calls(self, worst: float | None, now: float) -> None:
        # A position that was liquidated leaves the account flat, and is a call all the same.
        level = self._call_ratio() if self._call_level is None and worst else self._call_level
        self._calls.take(epoch_ms(now), worst, level)

    # -- what came out ---------------------------------------------------------------------------

    @property
    def margin_calls(self) -> list[MarginCallRecord]:
        """The margin calls as episodes."""
        return self._calls.found

    @property
    def most_exposed(self) -> Snapshot | None:
        """Time (epoch ms UTC), account and marks at the close with the highest leverage in effect.

        None when nothing was ever held, or when the broker gives no copy of its account.
        """
        return self._most_exposed

    def times(self) -> NDArray[np.int64]:
        """Candle times, epoch ms UTC, one a candle."""
        return epoch_times(self._when)

    def series(self) -> dict[str, NDArray[np.float64]]:
        """The account columns as arrays, one value a candle, NaN where there is none.

        Beside them ``decided_leverage``: notional of all positions over the initial margin that
        their leverage asks for it, x; NaN while flat.
        """
        columns = self._account.columns()
        feeds = [self.feed_series(i) for i in range(len(self._feeds))]
        columns["decided_leverage"] = _decided(feeds, len(self._when))
        return columns

    def feed_series(self, index: int) -> dict[str, NDArray[np.float64]]:
        """The columns of one feed as arrays, one value a candle of the strategy."""
        return self._feeds[index].columns()

    def venue_differences(self) -> dict[str, dict[str, Any]]:
        """Live, by feed: the venue's readings less ours, as ``analyzers.venue.differences``.

        Empty in a backtest, whose venue is our own computation.
        """
        return {
            str(data._name): differences(rows.columns())
            for data, rows in zip(self.strategy.datas, self._venue, strict=False)
        }

    def to_frame(self, feed: int = 0) -> pd.DataFrame:
        """The columns of ``margin_history`` as a DataFrame, one row a candle, times in UTC.

        The account's columns, then those of feed number ``feed``; NaN where there is none.
        """
        import pandas as pd

        index = pd.DatetimeIndex(pd.to_datetime(self.times(), unit="ms", utc=True), name="datetime")
        return pd.DataFrame({**self.series(), **self.feed_series(feed)}, index=index)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Backtrader's ``print`` without the history, which has a row for every candle."""
        shown = {k: v for k, v in self.get_analysis().items() if k != "margin_history"}
        writer = bt.WriterFile(*args, **kwargs)
        writer.start()
        writer.writedict({type(self).__name__: shown})
        writer.stop()

    def get_analysis(self) -> dict[str, Any]:
        """The summary described at the class; valid for a run without a single candle too."""
        account, calls = self._account.columns(), self._calls.found
        first_feed = self._feeds[0].columns() if self._feeds else {}
        costs = asdict(self._broker.costs())
        when = self._nearest_when
        return {
            "margin_history": MarginHistory(self._when, {**account, **first_feed}),
            "min_margin_level": _extreme(account["margin_level"], np.nanmin),
            "margin_calls": len(calls) if self._knows_margin else None,
            "margin_call_episodes": list(calls),
            "worst_margin_ratio": max((c.worst_margin_ratio for c in calls), default=None)
            or _extreme(account["worst_margin_ratio"], np.nanmax),
            "nearest_liquidation": self._nearest,
            "nearest_liquidation_time": None if when is None else bt.num2date(when),
            "max_effective_leverage": _extreme(account["effective_leverage"], np.nanmax)
            or 0.0,
            "venue": self.venue_differences(),
            "liquidations": list(getattr(self._broker, "liquidations", ())),
            **{k: v if self._knows_margin else None for k, v in costs.items() if k != "realised"},
        }


def _decided(feeds: list[dict[str, Floats]], count: int) -> Floats:
    notional, margin = np.zeros(count), np.zeros(count)
    for feed in feeds:
        held = feed["position"] != 0.0
        value = np.abs(np.where(held, feed["position"] * feed["mark"], 0.0))
        notional += value
        margin += np.where(held, value / feed["leverage"], 0.0)
    with np.errstate(invalid="ignore"):
        decided: Floats = np.where(margin > 0.0, notional / margin, np.nan)
    return decided


def _nan(value: float | None) -> float:
    return _NAN if value is None else value


def _extreme(values: Floats, pick: Any) -> float | None:
    if not len(values) or np.isnan(values).all():
        return None
    return float(pick(values))
