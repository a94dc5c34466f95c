"""One backtest from files to result: what the command line and the examples call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import backtrader as bt

from analyzers import MarginAnalyzer
from leverpack.backtest.assemble import assemble, feed_findings
from leverpack.backtest.broker import MarginBroker
from leverpack.backtest.cerebro import Cerebro
from leverpack.backtest.settings import BacktestSettings
from leverpack.backtest.stress import find_survival
from leverpack.backtest.userfile import load_strategy
from leverpack.candles.check import refuse_warnings
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
    feed = feed_for(settings)
    result, broker = _run(settings, strategy, feed, started, progress)
    if settings.survival:
        result.survival = find_survival(
            result,
            lambda leverage: _run(
                at_leverage(settings, result, leverage), strategy, feed_again(feed),
                time.perf_counter(), None,
            )[0],
            broker.tier_table(feed).max_leverages[0],
            _survival_note(result),
        )  # fmt: skip
    return result


def feed_for(settings: BacktestSettings) -> CandleFeed:
    """The candles of the settings with mark and funding, read and checked."""
    feed = CandleFeed(
        dataname=settings.data,
        mark=settings.mark,
        funding=settings.funding,
        symbol=settings.symbol,
        fromdate=settings.start,
        todate=settings.end,
        on_fault=settings.on_fault,
        fill=settings.fill,
    )
    if settings.strict:
        refuse_warnings(feed_findings(feed))
    return feed


def feed_again(feed: CandleFeed) -> CandleFeed:
    """A feed for another run over what was read: standard input comes only once."""
    twin = CandleFeed(dataname=feed.candles, symbol=feed.symbol)
    twin.mark, twin.funding, twin.loaded = feed.mark, feed.funding, feed.loaded
    return twin


def at_leverage(
    settings: BacktestSettings, ran: BacktestResult, leverage: float
) -> BacktestSettings:
    """The settings of ``ran`` with another leverage; what a leverage model starts from moves along.

    ``max_leverage`` is only ever raised: it is a cap, and no leverage that is asked for.
    """
    known, factor = ran.run["params"], leverage / ran.run["leverage"]
    scaled: dict[str, Any] = {"leverage": leverage} if "leverage" in known else {}
    if known.get("base_leverage"):
        scaled["base_leverage"] = known["base_leverage"] * factor
    if known.get("max_leverage"):
        scaled["max_leverage"] = known["max_leverage"] * max(1.0, factor)
    return replace(
        settings, leverage=leverage, params={**settings.params, **scaled}, survival=False
    )


def _survival_note(ran: BacktestResult) -> str:
    known = ran.run["params"]
    if "leverage" not in known:
        return "The leverage that was changed is the broker's."
    if known.get("base_leverage") or "models" in known or known.get("leverage_model"):
        return (
            "The leverage that was changed is the one that the strategy is asked for; what its "
            "model starts from and its cap were raised with it, and the model decides as before."
        )
    return "The leverage that was changed is the one that the strategy is asked for."


def _run(
    settings: BacktestSettings, strategy: type, feed: CandleFeed, started: float,
    progress: Progress | None,
) -> tuple[BacktestResult, MarginBroker]:  # fmt: skip
    params = all_params(strategy, settings)
    broker = broker_for(settings, strategy, params)
    cerebro = Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(feed)
    cerebro.addstrategy(strategy, **params)
    cerebro.addanalyzer(MarginAnalyzer, _name="margin")
    if progress is not None:
        cerebro.addanalyzer(_ProgressAnalyzer, tell=progress, total=len(feed.candles))
    loaded = time.perf_counter()
    ran = cerebro.run()[0]
    result = assemble(
        cerebro=cerebro,
        strategy=ran,
        broker=broker,
        analyzer=ran.analyzers.margin,
        feeds=[feed],
        run={
            "strategy": strategy.__name__,
            "params": dict(ran.params._getkwargs()),
            "cash": settings.cash,
            "leverage": float(getattr(ran.p, "leverage", None) or broker.p.leverage),
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
    return result, broker


def broker_for(
    settings: BacktestSettings, strategy: type, params: dict[str, Any]
) -> MarginBroker:
    """The broker of one run; without --leverage it starts with the strategy's."""
    return MarginBroker(
        venue=settings.venue,
        cash=settings.cash,
        leverage=settings.leverage or params.get("leverage") or _own_leverage(strategy),
        margin_mode=settings.margin_mode,
        tiers=read_tiers(settings.tiers) if settings.tiers else "builtin",
        maker=settings.maker,
        taker=settings.taker,
        slippage=settings.slippage,
        interest_hourly=settings.interest_hourly,
        intrabar=settings.intrabar,
    )


def all_params(strategy: type, settings: BacktestSettings) -> dict[str, Any]:
    """What the strategy is called with: settings that it knows, then --leverage, then --param."""
    known = strategy.params._getkeys()  # type: ignore[attr-defined]
    params = {k: v for k, v in settings.from_settings.items() if k in known}
    if settings.leverage is not None and "leverage" in known:
        params["leverage"] = settings.leverage
    return params | parse_params(strategy, settings.params)


def _own_leverage(strategy: type) -> float:
    return float(dict(strategy.params._getitems()).get("leverage") or 1.0)  # type: ignore[attr-defined]


def find_strategy(name: str) -> type:
    """The pack's strategy of that short or class name, or the one in a file; SettingError else."""
    by_name = {**STRATEGIES, **{c.__name__: c for c in STRATEGIES.values()}}
    if name in by_name:
        return by_name[name]
    if ".py" in name:
        return load_strategy(name)
    hint = nearest(name, by_name, f"there are: {', '.join(STRATEGIES)}, or a file.py of your own")
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
    if not isinstance(text, str) or isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text.lower() in ("true", "yes", "1", "on"):
            return True
        if text.lower() in ("false", "no", "0", "off"):
            return False
        raise SettingError(f"--param {name}={text}: expected true or false")
    if isinstance(default, tuple):
        return _pairs(name, text)
    kind = int if isinstance(default, int) else float
    try:
        return kind(text)
    except ValueError:
        if default is None:
            return text
        word = "a whole number" if kind is int else "a number"
        raise SettingError(f"--param {name}={text}: expected {word}") from None


def _pairs(name: str, text: str) -> tuple[tuple[float, float], ...]:
    """``0.06:0.3,0.10:0.7`` as pairs of numbers; empty text is none."""
    try:
        parts = [part.split(":") for part in text.split(",") if part.strip()]
        return tuple((float(one), float(other)) for one, other in parts)
    except ValueError:
        raise SettingError(
            f"--param {name}={text}: write pairs such as 0.06:0.3,0.10:0.7"
        ) from None
