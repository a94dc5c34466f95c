"""What a strategy earned and what it risked for it: the guide's metrics, on any broker."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

import backtrader as bt
import numpy as np

from analyzers.figures import daily_profits, finite, return_figures, trade_figures
from analyzers.readings import Rows, epoch_ms, epoch_times
from leverpack.candles.timeframes import DAY_MS, infer_timeframe
from leverpack.result import Floats, Ints, TradeRecord

if TYPE_CHECKING:
    import pandas as pd

_NAN = math.nan
_COLUMNS = ("equity", "notional", "leverage", "decided")


class PerformanceAnalyzer(bt.Analyzer):
    """Win rate, average profit, drawdown, Sharpe, daily profit, size, leverage and risk.

    Works with any strategy, in ``bt.Cerebro`` and leverpack's, on the margin broker and on
    Backtrader's own. With a broker that keeps records of its trades (``trade_records()``) a
    trade's profit is after fees, funding, interest and liquidation; with another it is
    Backtrader's, after commission. What the broker cannot say is None.

    ``get_analysis()``: all of ``analyzers.figures.return_figures`` and ``trade_figures`` by
    name (fractions and quote currency; the returns are those of UTC days, 365 a year), and

    - ``daily_profit``: ``average``, ``best``, ``worst`` of the UTC days with a candle, quote;
    - ``position_size``: ``average`` and ``largest`` notional of a trade at entry, quote;
    - ``leverage_used``: ``average`` (while in a position) and ``highest`` notional over equity,
      ``highest_set``: the highest that the broker had set for an open position; x;
    - ``risk_per_trade``: ``average``, ``highest``: loss at the first stop over the equity before
      the entry, fraction, costs left out; of the ``known`` trades that had a stop;
    - ``daily_risk``: the same summed over the entries of a UTC day, over that day's first equity.
    """

    def start(self) -> None:
        """Start with empty columns."""
        self._broker = self.strategy.broker
        # Backtrader's own has a get_leverage() too, which says something else.
        self._knows_leverage = hasattr(self._broker, "set_leverage")
        self._when = array("d")
        self._rows = Rows(_COLUMNS)
        self._largest: dict[int, tuple[float, float]] = {}
        self._own_trades: list[TradeRecord] = []

    def next(self) -> None:
        """Take the readings of this candle."""
        broker, strategy = self._broker, self.strategy
        notional, decided = 0.0, _NAN
        for data in strategy.datas:
            size = broker.getposition(data).size
            if size:
                notional += abs(size) * data.close[0]
                if self._knows_leverage:
                    decided = max(broker.get_leverage(data), 0.0 if decided != decided else decided)
        equity = broker.getvalue()
        leverage = notional / equity if equity > 0.0 else math.inf if notional else 0.0
        self._when.append(strategy.lines.datetime[0])
        self._rows.put(self._rows.pack(equity, notional, leverage, decided))

    def notify_trade(self, trade: Any) -> None:
        """Note a trade of a broker that keeps no records of its own."""
        if hasattr(self._broker, "trade_records"):
            return
        size, _ = self._largest.get(trade.ref, (0.0, 0.0))
        if abs(trade.size) > abs(size):
            self._largest[trade.ref] = (trade.size, trade.price)
        if trade.isclosed and trade.ref in self._largest:
            self._own_trades.append(_record(trade, *self._largest.pop(trade.ref)))

    # -- what came out ---------------------------------------------------------------------------

    def trades(self) -> list[TradeRecord]:
        """The closed trades in order of their end; NaN and None where the broker cannot say."""
        records = getattr(self._broker, "trade_records", None)
        return list(self._own_trades) if records is None else list(records())

    def times(self) -> Ints:
        """Candle times, epoch ms UTC."""
        return epoch_times(self._when)

    def to_frame(self) -> pd.DataFrame:
        """The closed trades, one row each, columns as in TradeRecord, times in UTC."""
        import dataclasses

        import pandas as pd

        names = [f.name for f in dataclasses.fields(TradeRecord)]
        frame = pd.DataFrame(
            {name: [getattr(t, name) for t in self.trades()] for name in names}, columns=names
        )
        for name in ("entry_time", "exit_time"):
            frame[name] = pd.to_datetime(frame[name], unit="ms", utc=True)
        frame["duration"] = pd.to_timedelta(frame.pop("duration_ms"), unit="ms")
        return frame

    def daily_frame(self) -> pd.DataFrame:
        """The UTC days that have a candle: ``profit`` (quote) and ``change`` (fraction)."""
        import pandas as pd

        days, profits, before, _ = daily_profits(self.times(), self._equity(), self._deposit)
        index = pd.DatetimeIndex(pd.to_datetime(days * DAY_MS, unit="ms", utc=True), name="day")
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.where(before > 0.0, profits / before, np.nan)
        return pd.DataFrame({"profit": profits, "change": change}, index=index)

    def get_analysis(self) -> dict[str, Any]:
        """The figures described at the class; valid for a run without a single candle too."""
        trades, times, equity = self.trades(), self.times(), self._equity()
        _, profits, _, _ = daily_profits(times, equity, self._deposit)
        figures: dict[str, Any] = {
            **return_figures(times, equity, self._deposit, infer_timeframe(times)),
            **trade_figures([t.net for t in trades]),
        }
        figures["daily_profit"] = {
            "average": _of(np.mean, profits), "best": _of(np.max, profits),
            "worst": _of(np.min, profits),
        }  # fmt: skip
        figures["position_size"] = _spread([t.size * t.entry_price for t in trades], "largest")
        figures["leverage_used"] = self._leverage_used()
        figures.update(self._risks(trades, times, equity))
        return figures

    @property
    def _deposit(self) -> float:
        # A live broker knows it only when the run has begun, which is after start().
        return float(self._broker.startingcash)

    def _equity(self) -> Floats:
        return self._rows.columns()["equity"]

    def _leverage_used(self) -> dict[str, float | None]:
        columns = self._rows.columns()
        used = columns["leverage"][columns["notional"] > 0.0]
        used = used[np.isfinite(used)]
        decided = columns["decided"][~np.isnan(columns["decided"])]
        return {
            "average": _of(np.mean, used), "highest": _of(np.max, used),
            "highest_set": _of(np.max, decided),
        }  # fmt: skip

    def _risks(self, trades: list[TradeRecord], times: Ints, equity: Floats) -> dict[str, Any]:
        risks: list[float] = []
        by_day: dict[int, float] = {}
        for trade in trades:
            if trade.stop_price is None:
                continue
            at_risk = trade.size * abs(trade.entry_price - trade.stop_price)
            before = int(np.searchsorted(times, trade.entry_time, side="left")) - 1
            held = equity[before] if before >= 0 else self._deposit
            if held > 0.0:
                risks.append(at_risk / held)
            day = trade.entry_time // DAY_MS
            by_day[day] = by_day.get(day, 0.0) + at_risk
        first = np.searchsorted(times // DAY_MS, list(by_day), side="left")
        of_days = [
            risk / equity[at] for risk, at in zip(by_day.values(), first, strict=True)
            if equity[at] > 0.0
        ]  # fmt: skip
        return {
            "risk_per_trade": {**_spread(risks, "highest"), "known": len(risks)},
            "daily_risk": _spread(of_days, "highest"),
        }


def _of(pick: Any, values: Floats) -> float | None:
    return finite(pick(values)) if len(values) else None


def _spread(values: list[float], highest: str) -> dict[str, float | None]:
    numbers = np.array(values, dtype=np.float64)
    return {"average": _of(np.mean, numbers), highest: _of(np.max, numbers)}


def _record(trade: Any, size: float, price: float) -> TradeRecord:
    """A closed trade of Backtrader's as a record; what it does not know is NaN or None."""
    opened, closed = epoch_ms(trade.dtopen), epoch_ms(trade.dtclose)
    return TradeRecord(
        symbol=trade.getdataname() or "", side="long" if size > 0.0 else "short", size=abs(size),
        leverage=_NAN, entry_time=opened, entry_price=price, exit_time=closed,
        exit_price=price + trade.pnl / size, pnl=trade.pnl, fees=trade.commission, funding=0.0,
        interest=0.0, liquidation_fee=0.0, insurance=0.0, net=trade.pnlcomm, margin=_NAN,
        bars=trade.barlen, reason="", worst_margin_ratio=None, nearest_liquidation=None,
        exit_reason="", duration_ms=closed - opened,
    )  # fmt: skip
