"""A live run's journal as the same result that a backtest gives, for the same page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leverpack.candles.timeframes import timeframe_ms
from leverpack.live.reading import JournalReader, Row
from leverpack.report import words
from leverpack.report.statistics import daily_records, statistics
from leverpack.result import (
    BacktestResult,
    Floats,
    Ints,
    LiquidationRecord,
    MarginCallRecord,
    SymbolSeries,
)

LIVE = "live"  # what ``run["loop"]`` says of a live run
_SERIES = (
    "equity", "margin_ratio", "worst_margin_ratio", "margin_level", "effective_leverage",
    "free_margin", "used_margin", "unrealised", "decided_leverage", "call_ratio",
    "liquidating_move",
)  # fmt: skip


def read_journal(path: Path) -> BacktestResult:
    """All runs of a journal as one result; read-only, and while a run writes it too.

    Trades, fees and funding are the venue's fills and payments; equity and margin are the
    readings at each candle's close. DataError where the file is no journal.
    """
    from leverpack.backtest.assemble import totals
    from leverpack.live.trades import replayed

    with JournalReader(path) as journal, journal.at_one_moment():
        told = _told(journal)
        accounts = journal.rows("account")
        candles, snapshots = journal.rows("candles"), journal.rows("snapshots")
        rejections = journal.rows("rejections")
        fills, funding = journal.rows("fills"), journal.rows("funding")
        findings = _findings(e for e in journal.rows("events") if e["level"] == "alert")
        found = replayed(journal)
    ts = np.array([a["time_ms"] for a in accounts], dtype=np.int64)
    step = timeframe_ms(told["timeframe"]) if told.get("timeframe") else 0
    series = _series(ts, accounts, fills, funding, found.liquidations, step)
    cash = float(told.get("cash") or (series["equity"][0] if len(ts) else 0.0) or 1.0)
    names = list(told.get("symbols") or dict.fromkeys(c["symbol"] for c in candles))
    symbols = {name: _symbol(name, ts, candles, snapshots) for name in names}
    trades = [*found.closed, *found.open]
    calls = _calls(ts, series, found.liquidations)
    nearest, nearest_when = _nearest(accounts, found.liquidations)
    params = dict(told.get("params") or {})
    return BacktestResult(
        run={
            **_run(told, ts), "params": params, "cash": cash, "symbols": names,
            "journal": str(path),
        },
        assumptions=_assumptions(told),
        findings=findings,
        totals=totals(
            found.costs, trades, series["equity"], cash,
            liquidations=len(found.liquidations), margin_calls=len(calls),
            rejected_orders=len(rejections), nearest_liquidation=nearest,
            nearest_liquidation_time=nearest_when,
            max_effective_leverage=float(np.nanmax(series["effective_leverage"], initial=0.0)),
        ),
        series=series,
        symbols=symbols,
        trades=trades,
        liquidations=found.liquidations,
        margin_calls=calls,
        rejections=[
            {"time": r["time_ms"], **{k: r[k] for k in ("symbol", "side", "size", "reason")}}
            for r in rejections
        ],
        statistics=partial(statistics, series, symbols, trades, cash, step),
        daily=daily_records(series, trades, cash, float(params.get("max_daily_loss") or 0.0)),
    )  # fmt: skip


def _run(told: Row, ts: Ints) -> dict[str, Any]:
    """What a result says of its run, as far as the run itself has told."""
    from leverpack.backtest.assemble import iso

    return {
        "strategy": told.get("strategy") or "unknown strategy",
        "leverage": float(told.get("leverage") or 1.0),
        "venue": told.get("venue"),
        "margin_mode": told.get("margin_mode") or "",
        "timeframe": told.get("timeframe") or "",
        "first": iso(int(ts[0])) if len(ts) else None,
        "last": iso(int(ts[-1])) if len(ts) else None,
        "bars": len(ts),
        "loop": LIVE,
        "account": told.get("store"),
        "elapsed_s": None,
        "bars_per_s": None,
    }


def _told(journal: JournalReader) -> Row:
    """What the newest run said of itself, with the deposit that the first one began with."""
    import json

    said = [json.loads(r["what"]) for r in journal.rows("runs") if r["what"]]
    return {**said[-1], "cash": said[0].get("cash")} if said else {}


def _series(
    ts: Ints, accounts: list[Row], fills: list[Row], funding: list[Row],
    liquidations: Sequence[LiquidationRecord], step: int,
) -> dict[str, Any]:  # fmt: skip
    series: dict[str, Any] = {"ts": ts}
    for name in _SERIES:
        series[name] = _column(accounts, name)
    forced = {(x.symbol, x.time) for x in liquidations}
    plain = [f for f in fills if (f["symbol"], f["time_ms"]) not in forced]
    series["fees"] = _to_date(ts + step, plain, "fee")
    series["funding"] = _to_date(ts + step, funding, "amount")
    series["interest"] = np.zeros(len(ts))
    return series


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([np.nan if r.get(name) is None else r[name] for r in rows], dtype=np.float64)


def _to_date(ends: Ints, rows: list[Row], name: str) -> Floats:
    """What rows add up to before each candle's end: what has its time belongs to the next."""
    rows = sorted(rows, key=lambda r: int(r["time_ms"]))
    times = np.array([r["time_ms"] for r in rows], dtype=np.int64)
    sums = np.concatenate([[0.0], np.cumsum(_column(rows, name))])
    found: Floats = sums[np.searchsorted(times, ends, side="left")]
    return found


def _symbol(name: str, ts: Ints, candles: list[Row], snapshots: list[Row]) -> SymbolSeries:
    """One symbol on the account's times: its last candle by then, and its readings."""
    own = sorted((c for c in candles if c["symbol"] == name), key=lambda c: int(c["time_ms"]))
    opens = np.array([c["time_ms"] for c in own], dtype=np.int64)
    at = np.searchsorted(opens, ts, side="right") - 1
    prices = {
        part: np.where(at >= 0, np.append(_column(own, part), np.nan)[at], np.nan)
        for part in ("open", "high", "low", "close")
    }
    by_time = {int(s["time_ms"]): s for s in snapshots if s["symbol"] == name}
    rows = [by_time.get(int(t), {}) for t in ts]
    mark, liquidation = _column(rows, "mark"), _column(rows, "liquidation")
    size = np.nan_to_num(_column(rows, "size"))
    return SymbolSeries(
        ts=ts,
        **prices,
        mark=np.where(np.isfinite(mark), mark, prices["close"]),
        position=size,
        liquidation_price=liquidation,
        liquidation_distance=np.abs(mark - liquidation) / mark,
        leverage=np.where(size == 0.0, np.nan, _column(rows, "leverage")),
        margin_ratio=_column(rows, "margin_ratio"),
        venue_margin_ratio=_column(rows, "venue_margin_ratio"),
        venue_liquidation_price=_column(rows, "venue_liquidation"),
    )


def _calls(
    ts: Ints, series: dict[str, Any], liquidations: Sequence[LiquidationRecord]
) -> list[MarginCallRecord]:
    from analyzers.calls import CallEpisodes

    worst = series["worst_margin_ratio"].copy()
    for x in liquidations:
        at = int(np.searchsorted(ts, x.time, side="right")) - 1
        if at >= 0:
            worst[at] = np.fmax(worst[at], 1.0)
    episodes = CallEpisodes()
    for time, ratio, level in zip(ts.tolist(), worst, series["call_ratio"], strict=True):
        known = bool(np.isfinite(level))
        episodes.take(time, None if np.isnan(ratio) else float(ratio), level if known else None)
    return episodes.found


def _nearest(
    accounts: list[Row], liquidations: Sequence[LiquidationRecord]
) -> tuple[float | None, int | None]:
    if liquidations:
        return 0.0, liquidations[0].time
    known = [(float(a["nearest"]), int(a["time_ms"])) for a in accounts
             if a.get("nearest") is not None]  # fmt: skip
    return min(known, default=(None, None))


def _findings(alerts: Iterable[Row]) -> list[dict[str, Any]]:
    """The alerts as what the page remarks on; the same words once, with their number."""
    found: dict[str, dict[str, Any]] = {}
    for row in alerts:
        known = found.get(row["text"])
        if known is not None:
            known["count"] += 1
            continue
        found[row["text"]] = {
            "severity": "warning", "code": row.get("kind") or "alert", "message": row["text"],
            "line": None, "count": 1, "treatment": "", "source": words.moment(row["time_ms"]),
        }  # fmt: skip
    return list(found.values())


def _assumptions(told: Row) -> list[str]:
    where = told.get("store") or "an exchange account"
    return [
        f"This is a live run at {where}: trades, fees and funding are the venue's fills and "
        "payments, as the journal has them.",
        "Equity is the venue's at each candle's close; money paid in or out of the account "
        "meanwhile counts as profit or loss.",
        "Margin ratio and liquidation price are computed here from the venue's balances, positions "
        "and tiers; what the venue itself said stands beside them.",
        "Candles of the times at which no run was under way are missing.",
    ]
