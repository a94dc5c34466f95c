"""Cost and margin rows of a vector file: what each type is computed from, and by what."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from leverpack.errors import DataError
from leverpack.margin.brackets import next_maintenance_amount
from leverpack.margin.funding import (
    BINANCE_GRACE_S,
    continuous_funding_cash,
    funding_between,
    funding_cash,
)
from leverpack.margin.interest import (
    binance_interest,
    borrowed_amount,
    kraken_opening_fee,
    kraken_rollover,
    round_up_to_step,
    started_hours,
)
from leverpack.margin.ratios import (
    available_margin,
    close_fee_reserve,
    initial_margin,
    initial_margin_at_rate,
    initial_margin_with_close_fee,
    liquidation_buffer_price,
    maintenance_margin_at_rate,
    margin_level,
    margin_ratio,
    margin_trade_profit,
    min_collateral,
    return_on_margin,
)
from leverpack.margin.vectorrow import (
    DIFFERS_BY_DESIGN,
    NO_INPUTS,
    NOT_SUPPORTED,
    Finding,
    Outcome,
    Row,
)

BYBIT_TAKER_FEE = 0.0006  # of the sample position that gives a position margin but no fee

Evaluator = Callable[[Row], Outcome]


def cost_outcome(row: Row) -> Outcome:
    """The figures of a row whose ``type`` names what they are."""
    evaluate = _EVALUATORS.get(row.text("type"))
    if evaluate is None:
        return Outcome((), NOT_SUPPORTED, f"no rule is known for type {row.text('type')!r}")
    return evaluate(row)


def _single(row: Row, computed: float, note: str = "") -> Outcome:
    finding = Finding(row.text("type"), row.number("expected"), computed)
    return Outcome((finding,), note=note or row.text("note", ""))


def _interest(row: Row, borrowed: float, rate: float, hours: float) -> float:
    """Interest in the unit of ``borrowed`` by the venue's rule: Binance daily, Kraken 4-hourly."""
    if row.text("exchange") == "kraken":
        return kraken_opening_fee(borrowed, rate) + kraken_rollover(borrowed, rate, hours, True)
    if row.text("exchange") != "binance":
        raise DataError("exchange must be 'binance' or 'kraken' for interest", source=row.place)
    hourly = rate if row.text("rate_period", "day") == "hour" else rate / 24.0
    return binance_interest(borrowed, hourly, started_hours(hours))


def _spot_margin_interest(row: Row) -> Outcome:
    borrowed, findings = row.number("borrowed"), []
    if row.has("side", "size", "entry_price", "leverage"):
        stated = borrowed
        borrowed = _borrowed(row)
        findings.append(Finding("borrowed", stated, borrowed))
    interest = _interest(row, borrowed, row.number("rate"), row.number("hours"))
    if row.text("formula", "").startswith("ceil to 8 dp"):
        interest = round_up_to_step(interest, 1e-8)
    findings.insert(0, Finding("interest", row.number("expected"), interest))
    return Outcome(tuple(findings), note=row.text("note", ""))


def _borrowed(row: Row) -> float:
    return borrowed_amount(
        row.side(), row.number("size"), row.number("entry_price"), row.number("leverage")
    )


def _trade_pnl(row: Row) -> Outcome:
    side, size, entry = row.side(), row.number("size"), row.number("entry_price")
    fee_open, leverage = row.number("fee_open"), row.number("leverage")
    interest = 0.0
    if row.text("mode") == "margin":
        rate, hours = row.number("interest_rate"), row.number("hours_held")
        interest = _interest(row, _borrowed(row), rate, hours)
    profit = margin_trade_profit(
        side, size, entry, row.number("exit_price"), fee_open, row.number("fee_close"),
        interest, row.number("funding_cashflow", 0.0),
    )  # fmt: skip
    findings = [Finding("profit", row.number("expected"), profit)]
    if row.has("expected_ratio"):
        # The stake of the published ratio is the opening value after its fee.
        ratio = return_on_margin(profit, size, entry * (1.0 + side * fee_open), leverage)
        findings.append(Finding("ratio", row.number("expected_ratio"), ratio))
    return Outcome(tuple(findings), note=row.text("note", ""))


def _funding_window(row: Row) -> Outcome:
    events = row.rows("events")
    times = [_seconds(e, "time") for e in events]
    marks = [e.number("mark_open") for e in events]
    rates = [e.number("rate") for e in events]
    window = (_seconds(row, "open_time"), _seconds(row, "close_time"))
    grace = BINANCE_GRACE_S if row.text("exchange") == "binance" else 0.0
    findings = tuple(
        Finding(
            name,
            row.number(f"expected_cashflow_{name}"),
            funding_between(side, row.number("size"), times, marks, rates, *window, grace),
        )
        for name, side in (("long", 1.0), ("short", -1.0))
    )
    return Outcome(findings, note=row.text("rule", ""))


def _seconds(row: Row, name: str) -> float:
    try:
        when = datetime.fromisoformat(row.text(name))
    except ValueError as error:
        raise DataError(f"{name} is not an ISO time", source=row.place) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _funding_payment(row: Row) -> Outcome:
    size, rate = row.number("size"), row.number("rate")
    mark = row.number("mark_price") if row.has("mark_price") else math.nan
    findings = []
    for name, side in (("long", 1.0), ("short", -1.0)):
        if row.has(f"expected_cashflow_{name}"):
            expected = row.number(f"expected_cashflow_{name}")
            findings.append(Finding(name, expected, funding_cash(side, size, mark, rate)))
    if row.has("expected"):
        side = row.side() if row.has("side") else 1.0  # no side: a flat position
        cash = funding_cash(side, size, mark, rate)
        findings.append(Finding("cash", row.number("expected"), cash))
        if row.has("wallet_before", "wallet_after"):
            wallet = row.number("wallet_before") + cash
            findings.append(Finding("wallet_after", row.number("wallet_after"), wallet))
    if row.has("kraken_time_in_ratio", "kraken_expected"):
        # The row states the cash of the side that receives.
        share = row.number("kraken_time_in_ratio")
        cash = continuous_funding_cash(-1.0, size, mark, rate, share)
        findings.append(Finding("kraken", row.number("kraken_expected"), cash))
    if math.isnan(mark):
        reason = "a missing mark price is an error or a stated fall-back here, never a silent zero"
        return Outcome(tuple(findings), DIFFERS_BY_DESIGN, reason)
    return Outcome(tuple(findings), note=row.text("note", ""))


def _funding_history_sum(row: Row) -> Outcome:
    amounts = row.content.get("amounts")
    if not isinstance(amounts, list):
        raise DataError("amounts must be a list of numbers", source=row.place)
    cells = [Row({"amount": a}, f"{row.place}, amount {n}") for n, a in enumerate(amounts, 1)]
    return _single(row, math.fsum(cell.number("amount") for cell in cells))


def _funding_history_real(row: Row) -> Outcome:
    reason = "only the sign is shown (paid is negative): the row gives no size, mark or rate"
    return _single(row, row.number("amount"), reason)


def _notional(row: Row) -> float:
    """Notional as stated; or size times price; or, of inverse contracts, their value in quote."""
    if row.has("notional"):
        return row.number("notional")
    units = row.number("size") * row.number("contract_size", 1.0)
    if row.has("contract_size") and not row.has("entry_price"):
        return units
    return units * row.number("entry_price")


def _closing_inputs(row: Row) -> tuple[float, float, float, float]:
    return row.side(), row.number("size"), row.number("entry_price"), row.number("leverage")


def _initial_margin(row: Row) -> Outcome:
    if row.has("margin_rate"):
        notional = _notional(row) / _model_leverage(row)
        return _single(row, initial_margin_at_rate(notional, row.number("margin_rate")))
    if row.has("taker_fee"):
        fee = row.number("taker_fee")
        return _single(row, initial_margin_with_close_fee(*_closing_inputs(row), fee))
    return _single(row, initial_margin(_notional(row), row.number("leverage")))


def _maintenance_margin(row: Row) -> Outcome:
    cum = row.number("maintenance_amount", 0.0)
    if row.has("margin_rate"):
        # One framework divides maintenance by leverage; no venue does, and neither does the room.
        notional = _notional(row) / _model_leverage(row)
        margin = maintenance_margin_at_rate(notional, row.number("margin_rate"), cum, 0.0)
        return _single(row, margin)
    close_fee = row.number("close_fee", 0.0)
    if row.has("taker_fee"):
        close_fee = close_fee_reserve(*_closing_inputs(row), row.number("taker_fee"))
    margin = maintenance_margin_at_rate(_notional(row), row.number("mmr"), cum, close_fee)
    return _single(row, margin)


def _model_leverage(row: Row) -> float:
    """What a framework's margin model divides the notional by: 1 in its standard model."""
    if row.text("model", "") == "StandardMarginModel":
        return 1.0
    return row.number("leverage", 1.0)


def _position_margin(row: Row) -> Outcome:
    fee, note = row.number("taker_fee", BYBIT_TAKER_FEE), row.text("note", "")
    if not row.has("taker_fee"):
        note = f"the row gives no fee; the venue's taker fee of {fee:g} is assumed. {note}".strip()
    return _single(row, initial_margin_with_close_fee(*_closing_inputs(row), fee), note)


def _close_fee_reserve(row: Row) -> Outcome:
    side = row.side() if row.has("side") else 1.0
    size, entry, leverage = row.number("size"), row.number("entry_price"), row.number("leverage")
    return _single(row, close_fee_reserve(side, size, entry, leverage, row.number("taker_fee")))


def _margin_ratio(row: Row) -> Outcome:
    if not row.has("maintenance_margin", "margin_balance"):
        reason = "the row states a result without the maintenance_margin and margin_balance for it"
        return Outcome((), NO_INPUTS, reason, row.number("expected"))
    ratio = margin_ratio(row.number("maintenance_margin"), row.number("margin_balance"))
    return _single(row, ratio)


def _margin_level(row: Row) -> Outcome:
    return _single(row, margin_level(row.number("equity"), row.number("used_margin")))


def _available_margin(row: Row) -> Outcome:
    wallet, locked = row.number("wallet_balance"), row.number("open_order_notional")
    return _single(row, available_margin(wallet, locked, row.number("leverage")))


def _roi_pct(row: Row) -> Outcome:
    size, entry, leverage = row.number("size"), row.number("entry_price"), row.number("leverage")
    side = row.side() if row.has("side") else 1.0
    pnl = margin_trade_profit(side, size, entry, row.number("exit_price"), 0.0, 0.0, 0.0, 0.0)
    roi = 100.0 * return_on_margin(pnl, size, entry, leverage)
    findings = [Finding("roi_pct", row.number("expected"), roi)]
    if row.has("pnl"):
        findings.append(Finding("pnl", row.number("pnl"), pnl))
    return Outcome(tuple(findings), note=row.text("note", ""))


def _liquidation_buffer(row: Row) -> Outcome:
    entry, price = row.number("entry_price"), row.number("liquidation_price")
    return _single(row, liquidation_buffer_price(entry, price, row.number("buffer")))


def _min_collateral(row: Row) -> Outcome:
    return _single(row, min_collateral(row.number("min_notional"), row.number("leverage")))


_EVALUATORS: Mapping[str, Evaluator] = MappingProxyType(
    {
        "spot_margin_interest": _spot_margin_interest,
        "trade_pnl": _trade_pnl,
        "funding_window": _funding_window,
        "funding_payment": _funding_payment,
        "funding_history_sum": _funding_history_sum,
        "funding_history_real": _funding_history_real,
        "initial_margin": _initial_margin,
        "maintenance_margin": _maintenance_margin,
        "position_margin": _position_margin,
        "close_fee_reserve": _close_fee_reserve,
        "margin_ratio": _margin_ratio,
        "margin_level": _margin_level,
        "available_margin": _available_margin,
        "roi_pct": _roi_pct,
        "liquidation_buffer": _liquidation_buffer,
        "min_collateral_for_min_notional": _min_collateral,
    }
)


def cum_from_text(row: Row) -> Outcome:
    """The maintenance amount of a worked example that stands in the row's ``source`` as text."""
    number = r"([\d,.]+)"
    found = re.search(rf"{number}\*\({number}%-{number}%\)\+{number}", row.text("source"))
    if found is None:
        reason = "the source has no formula of the form floor*(mmr%-mmr%)+cum"
        return Outcome((), NO_INPUTS, reason, row.number("expected"))
    floor, mmr, below, cum = (float(g.replace(",", "")) for g in found.groups())
    computed = next_maintenance_amount(cum, floor, below / 100.0, mmr / 100.0)
    return Outcome((Finding("cum", row.number("expected"), computed),))
