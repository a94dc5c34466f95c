"""The trade table: for each column its words, and the number by which it sorts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leverpack.report import words
from leverpack.report.pack import pack_text
from leverpack.result import TradeRecord

MOST_TRADES = 20_000  # beyond it a page gets heavy; trades.csv has all
FIRST_ROWS = 200  # in the page before its script runs; the rest is packed


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``text`` is shown, ``key`` sorts (None comes last), ``css`` are classes."""

    name: str
    text: Callable[[TradeRecord], str]
    key: Callable[[TradeRecord], Any]
    css: str = ""


def _text(value: Any, how: Callable[[Any], str]) -> str:
    return "" if value is None else how(value)


COLUMNS = (
    Column("symbol", lambda t: t.symbol, lambda t: t.symbol, "l"),
    Column("side", lambda t: t.side, lambda t: t.side, "l"),
    Column("entry", lambda t: words.moment(t.entry_time), lambda t: t.entry_time, "l"),
    Column("at", lambda t: words.price(t.entry_price), lambda t: t.entry_price),
    Column("exit", lambda t: words.moment(t.exit_time), lambda t: t.exit_time, "l"),
    Column("at", lambda t: _text(t.exit_price, words.price), lambda t: t.exit_price),
    Column("profit", lambda t: words.money(t.net, sign=True), lambda t: t.net, "signed"),
    Column("on margin", lambda t: _text(t.profit_on_margin, lambda v: words.percent(v, sign=True)),
           lambda t: t.profit_on_margin, "signed"),
    Column("by", lambda t: t.reason, lambda t: t.reason, "l"),
    Column("size", lambda t: words.size(t.size), lambda t: t.size),
    Column("leverage", lambda t: f"{t.leverage:g}x", lambda t: t.leverage),
    Column("fees", lambda t: words.money(t.fees), lambda t: t.fees),
    Column("funding", lambda t: words.money(t.funding, sign=True), lambda t: t.funding),
    Column("held", lambda t: words.duration(t.entry_time, t.exit_time), lambda t: t.duration_ms),
    Column("worst margin ratio", lambda t: _text(t.worst_margin_ratio, words.percent),
           lambda t: t.worst_margin_ratio),
    Column("nearest liquidation", lambda t: _text(t.nearest_liquidation, words.percent),
           lambda t: t.nearest_liquidation),
)  # fmt: skip


def trade_rows(trades: list[TradeRecord], last: int | None) -> list[dict[str, Any]]:
    """One dict a trade: cells (text), keys (JSON values), symbol, when ([ms, ms]).

    ``last`` is the time of the last candle, the end of a trade that is still open.
    """
    from leverpack.report.tables import plain

    return [
        {
            "cells": [c.text(t) for c in COLUMNS],
            "keys": [plain(c.key(t)) for c in COLUMNS],
            "symbol": t.symbol,
            "when": [t.entry_time, last if t.exit_time is None else t.exit_time],
        }
        for t in trades[:MOST_TRADES]
    ]


def packed(rows: list[dict[str, Any]]) -> str:
    """All rows for the page's script."""
    return pack_text(json.dumps(rows, allow_nan=False))
