"""Prometheus metrics of live runs and rehearsals, out of what the run tells on its bus."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from leverpack.files import put_text
from leverpack.live.bus import Bus
from leverpack.margin.ratios import liquidation_distance
from leverpack.monitor.reasons import reason_of

_LEVERAGES = (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 125)
_LAGS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ACCOUNT, _SYMBOL = ("exchange",), ("exchange", "symbol")
_NONE = math.nan  # there is no such reading now; comparisons with it are false


class LiveMetrics:
    """All metrics of one run in a registry of its own; ``exchange`` is a label of each.

    ``LiveMetrics(bus, "binanceusdm")`` listens from then on; it reads the broker in the run's
    thread only, when the run says that it has looked at its account. Money is in quote currency,
    ratios are plain (1.0 is 100 %), times seconds. What exists only with a position is NaN
    without one. ``close()`` ends listening.
    """

    def __init__(self, bus: Bus, exchange: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.exchange = exchange
        self._candles: dict[str, float] = {}  # symbol: monotonic time of the last one
        self._heard = time.monotonic()
        self._make_account()
        self._make_symbols()
        self._make_counters()
        self.close = bus.subscribe(self._listen)

    # -- what there is ---------------------------------------------------------------------------

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = _ACCOUNT) -> Gauge:
        return Gauge(f"leverpack_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"leverpack_{name}", text, labels, registry=self.registry)

    def _make_account(self) -> None:
        gauge = self._gauge
        self.equity = gauge("equity_quote", "Equity at the venue, open profit included.")
        self.wallet = gauge("wallet_quote", "Wallet balance, without open profit.")
        self.free = gauge("free_margin_quote", "What the venue lets be opened with.")
        self.level = gauge("margin_level_ratio", "Equity over used margin; NaN when flat.")
        self.account_leverage = gauge(
            "account_leverage_ratio", "Notional of all positions over equity."
        )
        self.day_profit = gauge("daily_profit_quote", "Equity less the first of the UTC day.")
        self.day_limit = gauge("daily_loss_limit_quote", "Loss that ends the day; 0: no limit.")
        self.halted = gauge(
            "halt_level", "Kill switch: 0 trading, 1 no entries, 2 entries cancelled, 3 all closed."
        )
        self.venue_up = gauge("venue_up", "Whether the venue answered at the last look.")
        silence = gauge("run_silence_seconds", "Since the run's loop last went round.")
        silence.labels(self.exchange).set_function(lambda: time.monotonic() - self._heard)

    def _make_symbols(self) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return self._gauge(name, text, _SYMBOL)

        self.position = gauge("position_base", "Position, negative for short.")
        self.notional = gauge("position_notional_quote", "Size of the position at mark.")
        self.margin_ratio = gauge(
            "margin_ratio", "Maintenance margin over margin balance; 1 is liquidation."
        )
        self.distance = gauge(
            "liquidation_distance_ratio", "Mark to liquidation price, a part of the mark."
        )
        self.leverage = gauge("effective_leverage_ratio", "Notional of the position over equity.")
        self.leverages = Histogram(
            "leverpack_effective_leverage_seen_ratio",
            "Effective leverage at each look at an open position.",
            _SYMBOL, buckets=_LEVERAGES, registry=self.registry,
        )  # fmt: skip
        self.decided = gauge(
            "decided_leverage_ratio", "Leverage that was decided; NaN: by an earlier run."
        )
        self.venue_leverage = gauge("venue_leverage_ratio", "Leverage read back from the venue.")
        self.fees = gauge("fees_quote", "Fees paid since the start, less rebates.")
        self.funding = gauge("funding_quote", "Funding paid since the start, less received.")
        self.stale = gauge("stream_stale", "1 while the candle stream is silent.")
        self.length = gauge("candle_length_seconds", "Length of a candle.")
        self.age = gauge("candle_age_seconds", "Since the last closed candle was taken.")
        self.lag = Histogram(
            "leverpack_stream_lag_seconds",
            "From a candle's end by the venue's clock until it was taken; not for replays.",
            _SYMBOL, buckets=_LAGS_S, registry=self.registry,
        )  # fmt: skip

    def _make_counters(self) -> None:
        self.orders = self._counter("orders_total", "Orders by state reached.", *_SYMBOL, "state")
        self.fills = self._counter("fills_total", "Fills.", *_SYMBOL, "side")
        self.rejections = self._counter(
            "rejections_total", "What was not opened, or cut, and why.", *_SYMBOL, "reason"
        )
        self.retries = self._counter(
            "retries_total", "Reads asked again.", "exchange", "method", "fault"
        )
        self.breaks = self._counter(
            "stream_breaks_total", "Streams that broke.", "exchange", "method", "fault"
        )
        self.alerts = self._counter("alerts_total", "Alerts, each once an episode.",
                                    "exchange", "kind")  # fmt: skip
        self.messages = self._counter(
            "alert_messages_total", "Messages to alert channels.", "exchange", "outcome"
        )

    # -- what happens ----------------------------------------------------------------------------

    def _listen(self, event: str, facts: dict[str, Any]) -> None:
        handle: Callable[..., None] | None = getattr(self, f"_on_{event}", None)
        if handle is not None:
            handle(**facts)

    def _on_order(self, symbol: str, state: str, **more: Any) -> None:
        self.orders.labels(self.exchange, symbol, state).inc()

    def _on_fill(self, symbol: str, side: str, fee: float, **more: Any) -> None:
        self.fills.labels(self.exchange, symbol, side).inc()
        self.fees.labels(self.exchange, symbol).inc(fee)

    def _on_funding(self, symbol: str, amount: float, **more: Any) -> None:
        self.funding.labels(self.exchange, symbol).dec(amount)

    def _on_rejection(self, symbol: str, reason: str, kind: str = "", **more: Any) -> None:
        self.rejections.labels(self.exchange, symbol, reason_of(reason, kind)).inc()

    def _on_retry(self, method: str, fault: str, **more: Any) -> None:
        self.retries.labels(self.exchange, method, fault).inc()

    def _on_stream_break(self, method: str, fault: str, **more: Any) -> None:
        self.breaks.labels(self.exchange, method, fault).inc()

    def _on_alert(self, kind: str, **more: Any) -> None:
        self.alerts.labels(self.exchange, kind).inc()

    def _on_message(self, outcome: str, **more: Any) -> None:
        self.messages.labels(self.exchange, outcome).inc()

    def _on_leverage(self, symbol: str, leverage: float, **more: Any) -> None:
        self.venue_leverage.labels(self.exchange, symbol).set(leverage)

    def _on_stream(self, symbol: str, stale: bool, **more: Any) -> None:
        self.stale.labels(self.exchange, symbol).set(stale)

    def _on_halt(self, level: int, **more: Any) -> None:
        self.halted.labels(self.exchange).set(level)

    def _on_turn(self, **more: Any) -> None:
        self._heard = time.monotonic()

    def _on_candle(
        self, symbol: str, length_s: float, lag_s: float | None = None, **more: Any
    ) -> None:
        known = symbol in self._candles
        self._candles[symbol] = time.monotonic()
        if not known:
            self.length.labels(self.exchange, symbol).set(length_s)
            self.age.labels(self.exchange, symbol).set_function(
                lambda: time.monotonic() - self._candles[symbol]
            )
        if lag_s is not None:
            self.lag.labels(self.exchange, symbol).observe(max(0.0, lag_s))

    def _on_looked(self, broker: Any, **more: Any) -> None:
        """Take the account as it is, and each feed's position."""
        at = self.exchange
        away = bool(getattr(broker, "away", ""))
        self.venue_up.labels(at).set(not away)
        self.halted.labels(at).set(getattr(broker, "halted", 0))
        self.day_limit.labels(at).set(broker.daily_loss_limit)
        if away:
            return  # what is known of the account is old
        equity = broker.getvalue()
        self.equity.labels(at).set(equity)
        self.wallet.labels(at).set(broker.account.wallet)
        self.free.labels(at).set(broker.free_margin())
        level = broker.margin_level()
        self.level.labels(at).set(_NONE if level is None else level)
        self.account_leverage.labels(at).set(broker.effective_leverage())
        self.day_profit.labels(at).set(broker.daily_profit)
        for market in broker.markets.values():
            self._take_market(broker, market, equity)

    def _take_market(self, broker: Any, market: Any, equity: float) -> None:
        names, size = (self.exchange, market.key), market.state.size
        mark = broker.mark_price(market.data) if size else 0.0
        notional = abs(size) * mark
        effective = notional / equity if equity > 0.0 else (math.inf if size else 0.0)
        ratio = broker.margin_ratio(market.data) if size else None
        price = broker.liquidation_price(market.data) if size else None
        decided = broker.decided_leverage(market.data)
        self.position.labels(*names).set(size)
        self.notional.labels(*names).set(notional)
        self.leverage.labels(*names).set(effective)
        if size:
            self.leverages.labels(*names).observe(effective)
        self.margin_ratio.labels(*names).set(_NONE if ratio is None else ratio)
        away = liquidation_distance(market.state.side, mark, price) if price else _NONE
        self.distance.labels(*names).set(away)
        self.decided.labels(*names).set(_NONE if decided is None else decided)

    # -- out -------------------------------------------------------------------------------------

    def text(self) -> str:
        """All metrics in Prometheus' text format."""
        return metrics_text(self.registry)


def metrics_text(registry: CollectorRegistry) -> str:
    """A registry in Prometheus' text format."""
    return generate_latest(registry).decode()


def put_metrics(path: Path, registry: CollectorRegistry) -> Path:
    """Write a registry to ``path`` for node-exporter's textfile collector, whole or not at all."""
    return put_text(path, metrics_text(registry))
