"""How close the account came: margin level, margin ratio, liquidation price by candle."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, overload

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from leverpack.errors import SettingError
from leverpack.result import MarginCallRecord

ACCOUNT_COLUMNS = (
    "equity", "margin_ratio", "worst_margin_ratio", "margin_level", "effective_leverage",
    "free_margin", "used_margin", "unrealised", "funding", "fees", "interest",
)  # fmt: skip
FEED_COLUMNS = (
    "current_price", "mark", "position", "liquidation_price", "liquidation_distance",
)  # fmt: skip
_FACE = ("margin_ratio", "margin_level", "liquidation_price", "nearest_liquidation", "costs")
_EPOCH_NUM = 719163.0
_MS_PER_DAY = 86_400_000.0
_NAN = math.nan
USUAL_CALL_RATIO = 0.8  # where the broker names none


class MarginHistory(Sequence[dict[str, Any]]):
    """The guide's list of dicts, made on access from arrays of eight bytes a value.

    Each item has ``datetime`` (UTC), every account column, and of the first feed its own;
    what does not exist at that candle (a ratio while flat) is None.
    """

    def __init__(self, when: array[float], columns: dict[str, array[float]]) -> None:
        self._when = when
        self._columns = columns

    def __len__(self) -> int:
        return len(self._when)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._row(i) for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self._row(i) for i in range(*index.indices(len(self)))]
        return self._row(range(len(self))[index])

    def _row(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"datetime": bt.num2date(self._when[index])}
        for name, column in self._columns.items():
            value = column[index]
            row[name] = None if math.isnan(value) else value
        return row


class MarginAnalyzer(bt.Analyzer):
    """Margin readings of every candle, margin calls as episodes, liquidations, costs to date.

    Works with any strategy and any broker that has leverpack's broker methods. ``call_ratio``:
    margin ratio (maintenance / margin balance) from which on the account counts as called; None
    is the venue's, by the leverage that is open.

    ``get_analysis()`` has the guide's keys ``margin_history``, ``min_margin_level`` (None when
    never in a position) and ``margin_calls`` (episodes, not candles), and beside them
    ``margin_call_episodes``, ``worst_margin_ratio``, ``nearest_liquidation`` (fraction of the
    mark) and ``nearest_liquidation_time``, ``max_effective_leverage``, ``liquidations`` and the
    costs (``fees``, ``funding`` as cash, ``interest``, ``liquidation_fees``, ``insurance``).
    """

    params = (("call_ratio", None),)

    def start(self) -> None:
        """Check the broker and start with empty columns."""
        self._broker = self.strategy.broker
        missing = [name for name in _FACE if not hasattr(self._broker, name)]
        if missing:
            raise SettingError(
                f"MarginAnalyzer needs a broker with leverage and margin; "
                f"{type(self._broker).__name__} has no {missing[0]}(); use leverpack.MarginBroker"
            )
        self._when = array("d")
        self._account = {name: array("d") for name in ACCOUNT_COLUMNS}
        self._feeds = [
            {name: array("d") for name in FEED_COLUMNS} for _ in self.strategy.datas
        ]
        self._calls: list[MarginCallRecord] = []
        self._nearest: float | None = None
        self._nearest_when: float | None = None
        self._liquidated = 0
        self._flat_rows = 0

    def next(self) -> None:
        """Take the readings of this candle."""
        broker, strategy = self._broker, self.strategy
        now = strategy.lines.datetime[0]
        self._when.append(now)
        held = False
        for data, columns in zip(strategy.datas, self._feeds, strict=True):
            held = self._read_feed(data, columns, now) or held
        worst = self._read_account(held)
        liquidations = len(getattr(broker, "liquidations", ()))
        if liquidations > self._liquidated:
            self._liquidated = liquidations
            self._account["worst_margin_ratio"][-1] = worst = max(worst or 0.0, 1.0)
            self._nearest, self._nearest_when = 0.0, now
        self._watch_calls(worst, now)

    def _read_feed(self, data: Any, columns: dict[str, array[float]], now: float) -> bool:
        if not len(data):
            for column in columns.values():
                column.append(_NAN)
            columns["position"][-1] = 0.0
            return False
        broker = self._broker
        size = broker.getposition(data).size
        nearest = broker.nearest_liquidation(data)
        if nearest is not None and (self._nearest is None or nearest < self._nearest):
            self._nearest, self._nearest_when = nearest, now
        close = data.close[0]
        columns["current_price"].append(close)
        columns["position"].append(size)
        if not size:
            columns["mark"].append(close)
            columns["liquidation_price"].append(_NAN)
            columns["liquidation_distance"].append(_NAN)
            return False
        mark = broker.mark_price(data)
        price = broker.liquidation_price(data)
        columns["mark"].append(mark)
        columns["liquidation_price"].append(_NAN if price is None else price)
        columns["liquidation_distance"].append(
            _NAN if price is None else abs(mark - price) / mark
        )
        return True

    def _read_account(self, held: bool) -> float | None:
        broker, columns = self._broker, self._account
        equity = broker.getvalue()
        costs = broker.costs()
        columns["equity"].append(equity)
        columns["funding"].append(costs.funding)
        columns["fees"].append(costs.fees)
        columns["interest"].append(costs.interest)
        if not held:
            for name in ("margin_ratio", "worst_margin_ratio", "margin_level"):
                columns[name].append(_NAN)
            for name in ("effective_leverage", "used_margin", "unrealised"):
                columns[name].append(0.0)
            columns["free_margin"].append(equity)
            return None
        ratio, worst, level = (
            broker.margin_ratio(), broker.worst_margin_ratio(), broker.margin_level()
        )  # fmt: skip
        columns["margin_ratio"].append(_NAN if ratio is None else ratio)
        columns["worst_margin_ratio"].append(_NAN if worst is None else worst)
        columns["margin_level"].append(_NAN if level is None else level)
        columns["effective_leverage"].append(broker.effective_leverage())
        columns["free_margin"].append(broker.free_margin())
        columns["used_margin"].append(broker.used_margin())
        columns["unrealised"].append(broker.unrealised())
        result: float | None = worst
        return result

    def _watch_calls(self, worst: float | None, now: float) -> None:
        last = self._calls[-1] if self._calls else None
        under_way = last is not None and last.end is None
        time = round((now - _EPOCH_NUM) * _MS_PER_DAY)
        if worst is not None and worst >= self._call_ratio():
            if under_way and last is not None:
                last.bars += 1
                last.worst_margin_ratio = max(last.worst_margin_ratio, worst)
            else:
                self._calls.append(MarginCallRecord(time, None, worst, 1))
        elif under_way and last is not None:
            last.end = time

    def _call_ratio(self) -> float:
        if self.p.call_ratio is not None:
            return float(self.p.call_ratio)
        ask = getattr(self._broker, "call_ratio", None)
        return USUAL_CALL_RATIO if ask is None else float(ask())

    # -- what came out ---------------------------------------------------------------------------

    @property
    def margin_calls(self) -> list[MarginCallRecord]:
        """The margin calls as episodes."""
        return self._calls

    def times(self) -> NDArray[np.int64]:
        """Candle times, epoch ms UTC, one a candle."""
        nums = np.array(self._when)
        return np.round((nums - _EPOCH_NUM) * _MS_PER_DAY).astype(np.int64)

    def series(self) -> dict[str, NDArray[np.float64]]:
        """The account columns as arrays, one value a candle, NaN where there is none."""
        return {k: np.array(v) for k, v in self._account.items()}

    def feed_series(self, index: int) -> dict[str, NDArray[np.float64]]:
        """The columns of one feed as arrays, one value a candle of the strategy."""
        return {k: np.array(v) for k, v in self._feeds[index].items()}

    def get_analysis(self) -> dict[str, Any]:
        """The summary described at the class; valid for a run without a single candle too."""
        first_feed = self._feeds[0] if self._feeds else {}
        costs = asdict(self._broker.costs())
        when = self._nearest_when
        return {
            "margin_history": MarginHistory(self._when, {**self._account, **first_feed}),
            "min_margin_level": _extreme(self._account["margin_level"], np.nanmin),
            "margin_calls": len(self._calls),
            "margin_call_episodes": list(self._calls),
            "worst_margin_ratio": max((c.worst_margin_ratio for c in self._calls), default=None)
            or _extreme(self._account["worst_margin_ratio"], np.nanmax),
            "nearest_liquidation": self._nearest,
            "nearest_liquidation_time": None if when is None else bt.num2date(when),
            "max_effective_leverage": _extreme(self._account["effective_leverage"], np.nanmax)
            or 0.0,
            "liquidations": list(getattr(self._broker, "liquidations", ())),
            **{k: v for k, v in costs.items() if k != "realised"},
        }


def _extreme(column: array[float], pick: Any) -> float | None:
    values = np.array(column)
    if not len(values) or np.isnan(values).all():
        return None
    return float(pick(values))
