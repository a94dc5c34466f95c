"""What the live page shows, from a journal: plain values, worked out here and only drawn there."""

from __future__ import annotations

import math
import time

from leverpack.live.reading import JournalReader, Row
from leverpack.live.switch import LEVELS, kill_file_of, level_in
from leverpack.margin.ratios import liquidation_distance
from leverpack.report.tables import plain
from leverpack.risk.halts import drawdown_of

CHART_CANDLES = 500
ALERTS = 30
# Where a position is no longer calm: distance to liquidation, and share of the call ratio.
TIGHT, NEAR = 0.05, 0.02
TIGHT_SHARE = 0.6
USUAL_CALL = 0.8
_KEPT = (
    "run", "live", "away", "ended", "halted", "halt_reason", "equity", "wallet", "free_margin",
    "used_margin", "unrealised", "margin_ratio", "call_ratio", "effective_leverage", "fees",
    "funding", "day_profit", "feeds", "time_ms",
)  # fmt: skip


def page_state(journal: JournalReader) -> Row:
    """The run as it stands: account, positions with their distances, orders, limits, alerts."""
    with journal.at_one_moment():
        now, told = journal.state("now"), journal.described()
        limits, alerts = journal.state("limits"), journal.alerts(ALERTS)
    orders = sorted(now.get("orders") or [], key=lambda o: (o["symbol"], not o["reduce_only"]))
    call = float(now.get("call_ratio") or USUAL_CALL)
    positions = [_position(p, orders, call) for p in now.get("positions") or []]
    positions.sort(key=lambda p: math.inf if p["distance"] is None else p["distance"])
    state: Row = plain({
        **{name: now.get(name) for name in _KEPT},
        "known": bool(now),
        "title": told.get("strategy") or journal.path.name,
        "symbols": told.get("symbols") or [],
        "timeframe": told.get("timeframe") or "",
        "venue": told.get("venue") or "",
        "real_money": bool(told.get("real_money")),
        "quote": told.get("quote") or "",
        "journal": journal.path.name,
        "asked": level_in(kill_file_of(journal.path)),
        "levels": {str(k): v for k, v in LEVELS.items()},
        "positions": positions,
        "orders": orders,
        "limits": _limits(told.get("params") or {}, limits, now, positions),
        "stopped": limits.get("stopped") or "",
        "alerts": alerts[::-1],
    })  # fmt: skip
    return state


def chart_state(journal: JournalReader) -> Row:
    """Equity and margin ratio of the last candles: [time, equity, worst margin ratio] each."""
    rows = journal.rows("account", last=CHART_CANDLES)
    state: Row = plain({
        "rows": [[r["time_ms"], r["equity"], r["worst_margin_ratio"]] for r in rows],
        "call_ratio": rows[-1]["call_ratio"] if rows else USUAL_CALL,
    })  # fmt: skip
    return state


def age_of(state: Row) -> float | None:
    """Seconds since the run has said how it stands; None where it never did."""
    if not state.get("time_ms"):
        return None
    return max(0.0, time.time() - float(state["time_ms"]) / 1000.0)


def _position(held: Row, orders: list[Row], call: float) -> Row:
    size, mark, liquidation = float(held["size"]), float(held["mark"]), held["liquidation"]
    side = 1.0 if size > 0.0 else -1.0
    distance = None
    if liquidation and mark:
        distance = liquidation_distance(side, mark, float(liquidation))
    stops = [o for o in orders if o["symbol"] == held["symbol"] and o["reduce_only"]
             and o["conditional"]]  # fmt: skip
    prices = [float(o["trigger"]) for o in stops if o["trigger"]]
    stop = (max if side > 0.0 else min)(prices, default=None)
    protected = sum(float(o["amount"]) - float(o["filled"]) for o in stops)
    return {
        **held,
        "side": "long" if side > 0.0 else "short",
        "notional": abs(size) * mark,
        "distance": distance,
        "stop": stop,
        # How far from liquidation the mark would be at the stop, over the mark now.
        "stop_left": None if stop is None or not liquidation
        else side * (stop - float(liquidation)) / mark,
        "protected": min(1.0, protected / abs(size)),
        "mood": _mood(distance, held["margin_ratio"], call),
    }


def _mood(distance: float | None, ratio: float | None, call: float) -> str:
    """"calm", "tight" or "near": the worse of distance and margin ratio says it."""
    far = math.inf if distance is None else distance
    ratio = ratio or 0.0
    if far < NEAR or ratio >= call:
        return "near"
    return "tight" if far < TIGHT or ratio >= TIGHT_SHARE * call else "calm"


def _limits(params: Row, kept: Row, now: Row, positions: list[Row]) -> list[Row]:
    """Each limit that is set beside how much of it is used; fractions, quote, or counts."""
    equity = float(now.get("equity") or 0.0)
    gross = sum(float(p["notional"]) for p in positions)
    start = float(kept.get("day_equity") or 0.0)
    lost = start - equity if start else -float(now.get("day_profit") or 0.0)
    used = {
        "max_daily_loss": (max(0.0, lost), "money"),
        "max_drawdown": (drawdown_of(equity, float(kept.get("peak") or equity)), "percent"),
        "max_daily_trades": (int(kept.get("trades") or 0), "count"),
        "max_positions": (len(positions), "count"),
        "max_gross_exposure": (gross, "money"),
        "max_portfolio_leverage": (float(now.get("effective_leverage") or 0.0), "times"),
        "max_notional_per_symbol": (
            max((float(p["notional"]) for p in positions), default=0.0), "money"
        ),
    }  # fmt: skip
    return [
        {"name": name, "used": value, "limit": params[name], "unit": unit,
         "share": value / float(params[name])}
        for name, (value, unit) in used.items()
        if params.get(name)
    ]  # fmt: skip
