"""One backtest from files to result: what the command line and the examples call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import backtrader as bt

from analyzers import MarginAnalyzer
from leverpack.backtest.assemble import assemble
from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.backtest.settings import BacktestSettings
from leverpack.candles.feed import CandleFeed
from leverpack.errors import SettingError, nearest
from leverpack.margin.tiers import read_tiers
from leverpack.result import BacktestResult
from strategies import STRATEGIES

Progress = Callable[[int, int], None]
_PROGRESS_STEPS = 200


class _ProgressAnalyzer(bt.Analyzer):
    """Tells a callback how many candles are done, some two hundred times a run."""

    params = (("tell", None), ("total", 0))

    def start(self) -> None:
        self._every = max(1, self.p.total // _PROGRESS_STEPS)
        self._done = 0

    def next(self) -> None:
        self._done += 1
        if self._done % self._every == 0 or self._done == self.p.total:
            self.p.tell(self._done, self.p.total)


def run_backtest(
    settings: BacktestSettings, *, progress: Progress | None = None
) -> BacktestResult:
    """Read the candles, run the strategy over them on the margin broker, gather what happened.

    ``progress(done, total)`` is called in candles. Raises DataError and SettingError, whose one
    sentence names the file and line or the setting.
    """
    settings.validate()
    started = time.perf_counter()
    strategy = find_strategy(settings.strategy)
    params = parse_params(strategy, settings.params)
    broker = MarginBroker(
        venue=settings.venue,
        cash=settings.cash,
        leverage=settings.leverage,
        margin_mode=settings.margin_mode,
        tiers=read_tiers(settings.tiers) if settings.tiers else "builtin",
        maker=settings.maker,
        taker=settings.taker,
        slippage=settings.slippage,
        interest_hourly=settings.interest_hourly,
        intrabar=settings.intrabar,
    )
    feed = CandleFeed(
        dataname=settings.data,
        mark=settings.mark,
        funding=settings.funding,
        symbol=settings.symbol,
        fromdate=settings.start,
        todate=settings.end,
        on_fault=settings.on_fault,
    )
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    if "leverage" in strategy.params._getkeys():  # type: ignore[attr-defined]
        params.setdefault("leverage", settings.leverage)
    cerebro.addstrategy(strategy, **params)
    leverage = float(params.get("leverage") or settings.leverage)
    calls: dict[str, float] = {}
    if broker.profile.call_levels:
        calls["call_ratio"] = broker.profile.call_ratio(leverage)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin", **calls)
    if progress is not None:
        cerebro.addanalyzer(_ProgressAnalyzer, tell=progress, total=len(feed.candles))
    loaded = time.perf_counter()
    ran = cerebro.run()[0]
    return assemble(
        cerebro=cerebro,
        strategy=ran,
        broker=broker,
        analyzer=ran.analyzers.margin,
        feeds=[feed],
        run={
            "strategy": strategy.__name__,
            "params": dict(ran.params._getkwargs()),
            "cash": settings.cash,
            "leverage": leverage,
            "venue": broker.profile.name,
            "margin_mode": settings.margin_mode,
            "intrabar": settings.intrabar,
            "maker": broker.p.maker,
            "taker": broker.p.taker,
            "slippage": settings.slippage,
            "interest_hourly": broker.p.interest_hourly,
            "load_s": loaded - started,
            "elapsed_s": time.perf_counter() - started,
        },
    )


def find_strategy(name: str) -> type:
    """The pack's strategy of that short or class name; SettingError with the nearest otherwise."""
    by_name = {**STRATEGIES, **{c.__name__: c for c in STRATEGIES.values()}}
    if name in by_name:
        return by_name[name]
    hint = nearest(name, by_name, f"there are: {', '.join(STRATEGIES)}")
    raise SettingError(f"--strategy: no strategy is called {name!r}; {hint}")


def parse_params(strategy: type, given: dict[str, Any]) -> dict[str, Any]:
    """Turn ``--param name=text`` into values of each parameter's own type."""
    defaults = dict(strategy.params._getitems())  # type: ignore[attr-defined]
    parsed: dict[str, Any] = {}
    for name, text in given.items():
        if name not in defaults:
            hint = nearest(name, defaults, f"it has {', '.join(defaults)}")
            raise SettingError(
                f"--param {name}: {strategy.__name__} has no such parameter; {hint}"
            )
        parsed[name] = _convert(name, text, defaults[name])
    return parsed


def _convert(name: str, text: Any, default: Any) -> Any:
    if not isinstance(text, str) or isinstance(default, str) or default is None:
        return text
    if isinstance(default, bool):
        if text.lower() in ("true", "yes", "1", "on"):
            return True
        if text.lower() in ("false", "no", "0", "off"):
            return False
        raise SettingError(f"--param {name}={text}: expected true or false")
    kind = int if isinstance(default, int) else float
    try:
        return kind(text)
    except ValueError:
        word = "a whole number" if kind is int else "a number"
        raise SettingError(f"--param {name}={text}: expected {word}") from None
