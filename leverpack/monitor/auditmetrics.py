"""Metrics of one audit for node-exporter's textfile collector, so that cron can watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Gauge

from leverpack.monitor.metrics import put_metrics


class Row(Protocol):
    """What is taken of an audit's row: leverages in x, notional in quote, distance a fraction."""

    @property
    def symbol(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def leverage(self) -> float | None: ...
    @property
    def decided(self) -> float: ...
    @property
    def notional(self) -> float: ...
    @property
    def effective_leverage(self) -> float | None: ...
    @property
    def liquidation_distance(self) -> float | None: ...


class AuditMetrics:
    """The figures of one audit in a registry of its own; ``statuses`` are all that there are."""

    def __init__(
        self, exchange: str, time_ms: int, rows: Iterable[Row], *, equity: float | None,
        in_bounds: bool, statuses: Sequence[str],
    ) -> None:  # fmt: skip
        self.registry = CollectorRegistry()
        self._exchange = exchange
        listed = list(rows)
        self._account("run_timestamp_seconds", "When the audit was made.", time_ms / 1000.0)
        self._account("in_bounds", "Whether every symbol is OK and no limit passed.", in_bounds)
        self._account("equity_quote", "Equity of the account.", equity)
        counts = self._gauge("symbols", "Symbols by status.", "exchange", "status")
        for status in statuses:
            counts.labels(exchange, status).set(sum(r.status == status for r in listed))
        self._by_symbol(listed)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"leverpack_audit_{name}", text, labels, registry=self.registry)

    def _account(self, name: str, text: str, value: float | None) -> None:
        gauge = self._gauge(name, text, "exchange")
        if value is not None:
            gauge.labels(self._exchange).set(value)

    def _by_symbol(self, rows: list[Row]) -> None:
        columns: dict[str, tuple[str, str]] = {
            "venue_leverage_ratio": ("leverage", "Leverage set at the venue."),
            "decided_leverage_ratio": ("decided", "Leverage that it should be."),
            "notional_quote": ("notional", "Notional of the open position at mark."),
            "effective_leverage_ratio": ("effective_leverage", "Notional over its equity."),
            "liquidation_distance_ratio": ("liquidation_distance", "Mark to liquidation price."),
        }
        for name, (column, text) in columns.items():
            gauge = self._gauge(name, text, "exchange", "symbol")
            for row in rows:
                value: Any = getattr(row, column)
                if value is not None:
                    gauge.labels(self._exchange, row.symbol).set(value)

    def put(self, path: Path) -> Path:
        """Write them to ``path``, whole or not at all."""
        return put_metrics(path, self.registry)
