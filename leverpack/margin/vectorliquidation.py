"""Liquidation rows of a vector file: the venue's rule applied to the row's own inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from leverpack.margin.hedge import hedge_liquidation_price
from leverpack.margin.liquidation import bankruptcy_price
from leverpack.margin.ratios import maintenance_margin_at_rate
from leverpack.margin.vectorrow import NOT_SUPPORTED, Finding, Outcome, Row
from leverpack.margin.venues import VenuePosition, venue_liquidation_price

_VENUE_OF_FORMULA: Mapping[str, str] = MappingProxyType(
    {
        "binance_linear": "binanceusdm",
        "binance_inverse": "binancecoinm",
        "gate_okx_linear": "okx",
        "okx_inverse": "okxinverse",
        "bybit_isolated": "bybit",
        "kucoin_isolated": "kucoinfutures",
        "kucoin_doc": "kucoinfutures",
        "htx": "htx",
        "hyperliquid": "hyperliquid",
        "kraken_level_price": "kraken",
    }
)


def liquidation_outcome(row: Row) -> Outcome:
    """The liquidation price by the rule that the row names, and its bankruptcy price if stated."""
    expected = row.number("expected_liquidation_price")
    note = row.text("note", "")
    venue = _VENUE_OF_FORMULA.get(row.text("formula"))
    if venue is None:
        reason = f"no rule is known for formula {row.text('formula')!r}"
        return Outcome((), NOT_SUPPORTED, reason, expected)
    position = _position(row)
    hedge = _opposite_leg(row) if venue == "binanceusdm" else None
    if hedge is None:
        price = venue_liquidation_price(venue, position)
    else:
        price = _hedge_price(row, position, hedge)
    findings = [Finding("liquidation_price", expected, price)]
    for name in ("bankruptcy_price", "bust_price"):
        if row.has(name):
            bust = bankruptcy_price(position.side, position.entry, position.leverage)
            findings.append(Finding(name, row.number(name), bust))
    return Outcome(tuple(findings), note=note)


def _position(row: Row) -> VenuePosition:
    others = [o for o in row.rows("other_positions") if not _is_opposite(row, o)]
    return VenuePosition(
        side=row.side(),
        size=row.number("size") * row.number("contract_size", 1.0),
        entry=row.number("entry_price"),
        leverage=row.number("leverage", 1.0),
        wallet=row.number("wallet_balance"),
        mmrs=(row.number("mmr", 0.0),),
        cums=(row.number("maintenance_amount", 0.0),),
        taker_fee=row.number("taker_fee", 0.0),
        mm_others=math.fsum(_other_maintenance(o) for o in others),
        upnl_others=math.fsum(_other_profit(o) for o in others),
        maintenance=_optional(row, "position_maint"),
        adjust_factor=_optional(row, "adjust_factor"),
        max_leverage=_optional(row, "max_leverage"),
        level=_optional(row, "level"),
    )


def _optional(row: Row, name: str) -> float | None:
    return row.number(name) if row.has(name) else None


def _other_maintenance(other: Row) -> float:
    notional = other.number("size") * other.number("mark_price")
    cum = other.number("maintenance_amount", 0.0)
    return maintenance_margin_at_rate(notional, other.number("mmr"), cum, 0.0)


def _other_profit(other: Row) -> float:
    move = other.number("mark_price") - other.number("entry_price")
    return other.side() * other.number("size") * move


def _is_opposite(row: Row, other: Row) -> bool:
    """Whether ``other`` is the other leg of a hedged position: same symbol, other side."""
    same = row.has("symbol") and other.content.get("symbol") == row.content["symbol"]
    return same and other.side() != row.side()


def _opposite_leg(row: Row) -> Row | None:
    return next((o for o in row.rows("other_positions") if _is_opposite(row, o)), None)


def _hedge_price(row: Row, p: VenuePosition, leg: Row) -> float:
    own = (p.size, p.entry, p.mmrs[0], p.cums[0])
    other = (
        leg.number("size"),
        leg.number("entry_price"),
        leg.number("mmr"),
        leg.number("maintenance_amount", 0.0),
    )
    long_leg, short_leg = (own, other) if row.side() > 0.0 else (other, own)
    return hedge_liquidation_price(
        long_leg[0], long_leg[1], short_leg[0], short_leg[1], p.wallet,
        long_leg[2], long_leg[3], short_leg[2], short_leg[3], p.mm_others, p.upnl_others,
    )  # fmt: skip
