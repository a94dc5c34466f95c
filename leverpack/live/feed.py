"""CCXTDataFeed: an exchange's closed candles as a Backtrader feed, warm-up first, then live."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from leverpack.candles.timeframes import DAY_MS, bt_timeframe, timeframe_ms, timeframe_name
from leverpack.errors import SettingError, refuse_unknown
from leverpack.live import warmup
from leverpack.live.candles import Candle, CandleSource
from leverpack.live.store import CCXTStore

_UNIX_EPOCH_NUM = 719_163.0  # bt.date2num(1970-01-01)
_UNIT_MS = {
    bt.TimeFrame.Seconds: 1_000, bt.TimeFrame.Minutes: 60_000, bt.TimeFrame.Days: DAY_MS,
    bt.TimeFrame.Weeks: 7 * DAY_MS,
}  # fmt: skip
_CRACKTRADERS = {"ccxt_timeframe": "timeframe", "historical_limit": "history"}
_ALWAYS = ("live", "historical", "backfill", "stream")


class _Clone(bt.feed.DataClone):
    """What Backtrader puts beside a feed that is resampled, too."""

    def _check(self, forcedata: Any = None) -> None:
        """See :meth:`CCXTDataFeed._check`."""


class CCXTDataFeed(bt.feed.DataBase):
    """Candles of one market of a :class:`CCXTStore`, closed ones only, stamped at their open.

    ``symbol`` is ccxt's ("BTC/USDT:USDT"; "BTC/USDT" finds the exchange's perpetual);
    ``timeframe`` a name ("15m") or Backtrader's with ``compression``; ``history`` candles come
    first for warm-up, and no strategy's ``next`` sees them, whatever the broker. ``quiet_s``
    seconds of silence send it to REST. ``live`` is True from the first candle that closed after
    the start; ``stale`` while the stream is dead.

    Cracktrader's names are taken too: ``ccxt_timeframe``, ``historical_limit``, and ``live``,
    ``historical``, ``backfill``, ``stream``, all of which this feed does and none can be False.
    """

    params = (
        ("store", None),
        ("symbol", ""),
        ("timeframe", "1h"),
        ("compression", None),
        ("history", 500),
        ("quiet_s", 10.0),
        ("qcheck", 0.1),
    )

    def __init__(self, **unknown: Any) -> None:
        super().__init__()
        refuse_unknown(self, self._cracktraders(unknown))
        if not isinstance(self.p.store, CCXTStore):
            raise SettingError("CCXTDataFeed needs store: a CCXTStore")
        self.p.symbol = self.p.symbol or self.p.dataname
        if not self.p.symbol:
            raise SettingError("CCXTDataFeed needs symbol, such as BTC/USDT:USDT")
        if not int(self.p.history) >= 0:
            raise SettingError(f"history must not be negative, not {self.p.history!r}")
        self.length = self._length()
        self.length_ms = timeframe_ms(self.length)
        self.p.timeframe, self.p.compression = bt_timeframe(timeframe_ms(self.length))
        self._timeframe, self._compression = self.p.timeframe, self.p.compression
        self.symbol = str(self.p.symbol)
        self._name = self.p.name or self.symbol
        self.live = False
        self.source: CandleSource | None = None
        self.first_live_bar = 0
        self._bars_told = 0

    def _cracktraders(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take Cracktrader's names of parameters out of ``given``; the rest is unknown."""
        rest = dict(given)
        for theirs, ours in _CRACKTRADERS.items():
            if theirs in rest:
                setattr(self.p, ours, rest.pop(theirs))
        for name in _ALWAYS:
            if not rest.pop(name, True):
                raise SettingError(
                    f"CCXTDataFeed always has {name}=True: it reads history and goes on live; for "
                    "candles of the past alone use CandleFeed on files of `leverpack download`"
                )
        return rest

    def _length(self) -> str:
        given = self.p.timeframe
        if isinstance(given, str):
            timeframe_ms(given)
            return given.strip()
        if given not in _UNIT_MS:
            raise SettingError('timeframe must be a name such as "15m"')
        return timeframe_name(_UNIT_MS[given] * int(self.p.compression or 1))

    def islive(self) -> bool:
        """Backtrader then takes candle by candle."""
        return True

    def wake(self) -> None:
        """Let Backtrader's loop go round at once; may be called from any thread."""
        if self.source is not None:
            self.source.wake()

    def open_ms(self) -> int:
        """The open time of the candle now, epoch ms UTC."""
        return round((float(self.lines.datetime[0]) - _UNIX_EPOCH_NUM) * DAY_MS)

    @property
    def stale(self) -> bool:
        """Whether the stream is silent while candles close."""
        return self.source is not None and self.source.stale

    def haslivedata(self) -> bool:
        """Whether a candle is ready."""
        return self.source is not None and self.source.waiting

    def clone(self, **settings: Any) -> bt.feed.DataClone:
        """The feed once more: Backtrader asks when a feed that it has is resampled, too."""
        return _Clone(dataname=self, **settings)

    def _check(self, forcedata: Any = None) -> None:
        """Nothing: resampled and replayed bars end by the feed's own candles, as in a backtest.

        Backtrader asks here whether a bar is over by the machine's clock, or by the candle of
        another feed that happened to come first. Candles are stamped at their open and come after
        their end, so that bars would be closed without their last candles.
        """

    def start(self) -> None:
        """Begin: Backtrader calls it before a run."""
        super().start()
        store: CCXTStore = self.p.store
        store.open()
        self.symbol = perpetual(store, str(self.p.symbol))
        self.live = False
        self._bars_told = 0
        self.source = CandleSource(
            store, self.symbol, self.length, history=int(self.p.history),
            quiet_s=float(self.p.quiet_s),
        )  # fmt: skip
        self.put_notification(self.DELAYED)

    def get_notifications(self) -> Any:
        """Backtrader asks once a turn, when all feeds have moved and before broker and strategy."""
        fresh, self._bars_told = len(self) != self._bars_told, len(self)
        if self.live and fresh:
            warmup.release(self._strategies())
            for strategy in self._strategies():
                # Backtrader keeps a copy of every order's every state here, and never reads one.
                strategy._orders.clear()
        return super().get_notifications()

    def _strategies(self) -> list[Any]:
        return getattr(self._env, "runningstrats", [])

    def _load(self) -> bool | None:
        assert self.source is not None
        if not self.live:
            warmup.hold(self._strategies())
        candle = self.source.next(self._qcheck)
        if candle is None:
            return None
        if candle.live and not self.live:
            self.live = True
            self.first_live_bar = len(self)
        self.put_notification(self._status())
        self._put(candle)
        return True

    def _status(self) -> int:
        if not self.live:
            return int(self.DELAYED)
        return int(self.CONNBROKEN if self.stale else self.LIVE)

    def _put(self, candle: Candle) -> None:
        days, rest = divmod(candle.ts, DAY_MS)
        lines = self.lines
        lines.datetime[0] = days + _UNIX_EPOCH_NUM + rest / float(DAY_MS)
        lines.open[0], lines.high[0] = candle.open, candle.high
        lines.low[0], lines.close[0] = candle.low, candle.close
        lines.volume[0] = candle.volume
        lines.openinterest[0] = 0.0


def perpetual(store: CCXTStore, symbol: str) -> str:
    """The exchange's own name of a market: "BTC/USDT" where only BTC/USDT:USDT is traded."""
    try:
        return str(store.market(symbol)["symbol"])
    except SettingError:
        quote = symbol.partition("/")[2]
        if not quote or ":" in symbol:
            raise
        return str(store.market(f"{symbol}:{quote}")["symbol"])
