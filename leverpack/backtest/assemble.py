"""From what ran to the plain result that reports and callers read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from analyzers.figures import drawdowns
from leverpack.backtest.stress import stress
from leverpack.candles.series import Finding
from leverpack.candles.timeframes import timeframe_name
from leverpack.margin.books import Costs
from leverpack.report.statistics import daily_records, statistics
from leverpack.result import BacktestResult, Floats, SymbolSeries, TradeRecord


def assemble(
    *, cerebro: Any, strategy: Any, broker: Any, analyzer: Any, feeds: list[Any],
    run: dict[str, Any],
) -> BacktestResult:  # fmt: skip
    """Gather one finished run; ``run`` holds the settings to be repeated in the result."""
    markets = list(broker.markets.values())
    trades = [*broker.ledger.trades, *broker.ledger.still_open(markets)]
    series = analyzer.series()
    series["ts"] = analyzer.times()
    bars = len(series["ts"])
    first = feeds[0].candles
    run = {
        **run,
        "symbols": [broker.market(f).key for f in feeds],
        "timeframe": timeframe_name(first.timeframe_ms),
        "first": iso(int(series["ts"][0])) if bars else None,
        "last": iso(int(series["ts"][-1])) if bars else None,
        "bars": bars,
        "loop": getattr(cerebro, "loop", "backtrader"),
        "bars_per_s": bars / run["elapsed_s"] if run["elapsed_s"] else None,
    }
    symbols = {
        broker.market(f).key: symbol_series(f, analyzer.feed_series(i), series["ts"])
        for i, f in enumerate(feeds)
    }
    loss_limit = float(getattr(strategy.p, "max_daily_loss", 0.0) or 0.0)
    return BacktestResult(
        run=run,
        assumptions=assumptions(broker, feeds),
        files=loaded_files(feeds),
        findings=loader_findings(feeds),
        totals=totals(
            broker.costs(), trades, series["equity"], run["cash"], **_known(broker, analyzer)
        ),
        series=series,
        symbols=symbols,
        trades=trades,
        liquidations=list(broker.liquidations),
        margin_calls=list(analyzer.margin_calls),
        rejections=list(broker.rejections),
        statistics=partial(
            statistics, series, symbols, trades, run["cash"], first.timeframe_ms
        ),
        daily=daily_records(series, trades, run["cash"], loss_limit),
        stress=stress(analyzer.most_exposed),
        refusals=by_reason(getattr(strategy, "refusals", ())),
        alarms=by_reason(getattr(strategy, "alarms", ())),
    )


def by_reason(noted: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How often each reason was noted, the commonest first; figures after a colon left out."""
    counts = Counter(str(note["reason"]).split(":")[0] for note in noted)
    return dict(counts.most_common())


def iso(ms: int) -> str:
    """ISO 8601 in UTC of epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000.0, UTC).isoformat()


def symbol_series(feed: Any, read: dict[str, Any], ts: Any) -> SymbolSeries:
    """The columns of one feed on the candles that the strategy saw."""
    candles = feed.candles
    at = np.clip(np.searchsorted(candles.ts, ts, side="right") - 1, 0, len(candles.ts) - 1)
    return SymbolSeries(
        ts=ts,
        open=candles.open[at],
        high=candles.high[at],
        low=candles.low[at],
        close=candles.close[at],
        mark=read["mark"],
        position=read["position"],
        liquidation_price=read["liquidation_price"],
        liquidation_distance=read["liquidation_distance"],
        leverage=read["leverage"],
    )


def feed_findings(feed: Any) -> list[tuple[str, Finding]]:
    """What the loader saw in the files of a feed, each with the file's path."""
    parts = (("data", feed.candles), ("mark", feed.mark), ("funding", feed.funding))
    return [
        (str(feed.loaded[what]["source"]), finding)
        for what, part in parts
        if part is not None
        for finding in part.findings
    ]


def loader_findings(feeds: list[Any]) -> list[dict[str, Any]]:
    """What the loader saw in every file of every feed, as plain values with their ``source``."""
    return [
        {**finding.to_dict(), "source": finding.source or source}
        for feed in feeds
        for source, finding in feed_findings(feed)
    ]


def loaded_files(feeds: list[Any]) -> list[dict[str, Any]]:
    """What was read from each file, as its summary has it; the findings stand apart."""
    return [
        {"role": role, **{k: v for k, v in summary.items() if k != "findings"}}
        for feed in feeds
        for role, summary in feed.loaded.items()
    ]


def totals(
    costs: Costs, trades: list[TradeRecord], equity: Floats, cash: float, **known: Any
) -> dict[str, Any]:
    """The figures of :class:`leverpack.result.BacktestResult`.

    ``known`` are those that do not follow from costs, trades and equity: liquidations,
    margin_calls, rejected_orders, nearest_liquidation, nearest_liquidation_time,
    max_effective_leverage.
    """
    end = float(equity[-1]) if len(equity) else cash
    closed = [t for t in trades if t.exit_time is not None]
    ratios = [t.worst_margin_ratio for t in trades if t.worst_margin_ratio is not None]
    return {
        "start_equity": cash,
        "end_equity": end,
        "return": end / cash - 1.0,
        "max_drawdown": float(drawdowns(equity, cash).max()),
        "fees": costs.fees,
        "funding": costs.funding,
        "interest": costs.interest,
        "liquidation_fees": costs.liquidation_fees,
        "insurance": costs.insurance,
        "cost_of_leverage": costs.fees - costs.funding + costs.interest + costs.liquidation_fees
        - costs.insurance,
        "trades": len(closed),
        "wins": sum(t.net > 0.0 for t in closed),
        "worst_margin_ratio": max(ratios, default=None),
        **known,
    }


def _known(broker: Any, analyzer: Any) -> dict[str, Any]:
    """What the totals of a finished run take from its broker and its analyzer."""
    analysis = analyzer.get_analysis()
    when = analysis["nearest_liquidation_time"]
    return {
        "liquidations": len(broker.liquidations),
        "margin_calls": len(analyzer.margin_calls),
        "rejected_orders": len(broker.rejections),
        "nearest_liquidation": analysis["nearest_liquidation"],
        "nearest_liquidation_time": None
        if when is None
        else round(when.replace(tzinfo=UTC).timestamp() * 1000),
        "max_effective_leverage": analysis["max_effective_leverage"],
    }


def assumptions(broker: Any, feeds: list[Any]) -> list[str]:
    """In plain words what was taken for granted: tables, marks, funding, fees, candle inside."""
    profile = broker.profile
    said = [_venue_said(broker, [broker.market(feed).state.isolated for feed in feeds])]
    for feed in feeds:
        market = broker.market(feed)
        said.append(_tiers_said(broker, market, int(feed.candles.ts[0])))
        said.append(
            f"{market.key}: liquidation is tested on the mark candles ({feed.mark.note})"
            if feed.mark is not None
            else f"{market.key}: no mark series was given, so liquidation is tested on the trade "
            "candles, whose wicks go further than the mark's"
        )
        if not profile.funding:
            continue
        if feed.funding is None:
            said.append(f"{market.key}: no funding series was given, so none was charged")
        else:
            said.append(
                f"{market.key}: {len(feed.funding)} funding settlements, each charged at its own "
                "time on the mark price of that moment, where a position was open"
            )
    if broker.fallback_settlements:
        said.append(
            f"{broker.fallback_settlements} funding settlements were charged on the trade open, "
            "as no mark price is known there"
        )
    inside = {
        "worst": "of what a candle could have met, the worse comes first",
        "ohlc": "a candle goes from open to high to low to close",
        "olhc": "a candle goes from open to low to high to close",
    }[broker.p.intrabar]
    said.append(f"Inside a candle: {inside}")
    said.append(
        f"Fees: maker {broker.p.maker:.4%}, taker {broker.p.taker:.4%} of notional; "
        f"slippage {broker.p.slippage:.4%}"
    )
    if broker.p.interest_hourly:
        said.append(f"Interest: {broker.p.interest_hourly:.6%} an hour on what is borrowed")
    if profile.opening_fee or profile.rollover_fee:
        said.append(
            f"Margin fees: {profile.opening_fee:.4%} of what is borrowed at the opening, then "
            f"{profile.rollover_fee:.4%} every {profile.rollover_hours:g} hours; a short's coins "
            "at the mark; fees of pairs differ and move with demand"
        )
    return said


def _venue_said(broker: Any, isolated: list[bool]) -> str:
    """The venue, the rule of its liquidation price, and whose fees are charged."""
    profile = broker.profile
    rules = [profile.rule_said] if profile.is_spot_margin or any(isolated) else []
    if not all(isolated):
        rules.append(
            "cross positions share one balance by that rule"
            if profile.is_spot_margin
            else "cross positions by the general rule, maintenance margin of all at their marks"
            + (" with the fees of the close" if broker.account.close_fee else "")
        )
    own = (broker.p.maker, broker.p.taker) == (profile.maker, profile.taker)
    fees = f"maker {broker.p.maker:.4%}, taker {broker.p.taker:.4%}"
    return (
        f"Venue: {profile.title} ({profile.kind}): {'; '.join(rules)}; "
        f"fees {fees} ({'of the lowest volume there' if own else 'as set'})"
    )


def _tiers_said(broker: Any, market: Any, first_ms: int) -> str:
    table, profile = market.state.tiers, broker.profile
    if profile.is_spot_margin:
        return (
            f"{market.key}: {table.max_leverages[0]:g}x at most; liquidation fee "
            f"{table.liquidation_fee:.2%} of notional"
        )
    if market.book is None and profile.own_table(market.key) is not None:
        return (
            f"{market.key}: {table.mmrs[0]:.2%} maintenance margin, half the initial margin at "
            f"{table.max_leverages[0]:g}x, the largest leverage there; liquidation fee "
            f"{table.liquidation_fee:.3%} of notional"
        )
    if market.book is None:
        return (
            f"{market.key}: no tier table lists it; assumed are {table.mmrs[0]:.2%} maintenance "
            f"margin and {table.max_leverages[0]:g}x at most, whatever the size"
        )
    first = datetime.fromtimestamp(first_ms / 1000.0, UTC).date()
    early = "" if market.book.covers(market.key, first) else ", the earliest there is, is used"
    if broker.p.tiers == "builtin" and profile.name != "binanceusdm":
        early += ", which is Binance's"
    return (
        f"{market.key}: tier table of {table.valid_from.isoformat()}{early}; liquidation fee "
        f"{table.liquidation_fee:.2%} of notional"
    )
