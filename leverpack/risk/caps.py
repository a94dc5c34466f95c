"""How large one trade may be under the limits: a scalar rule that compiles with numba."""

from __future__ import annotations

NO_LIMIT, RISK, STAKE, TRADE, SYMBOL, GROSS, PORTFOLIO = range(7)


def allowed_size(
    size: float,
    price: float,
    stop_distance: float,
    leverage: float,
    equity: float,
    symbol_notional: float,
    gross_notional: float,
    max_risk: float,
    max_stake: float,
    max_trade: float,
    max_symbol: float,
    max_gross: float,
    max_portfolio: float,
) -> tuple[float, int]:
    """``size`` (base units) cut to the tightest limit, and which one cut it (0: none did).

    A limit of 0.0 is none. ``max_risk``: loss at the stop as a fraction of equity; ``max_stake``:
    initial margin; ``max_trade``, ``max_symbol`` (with what the symbol holds), ``max_gross``
    (with all that is open): notional; all in quote currency. ``max_portfolio``: gross notional
    over equity. The codes are RISK, STAKE, TRADE, SYMBOL, GROSS, PORTFOLIO.

    >>> allowed_size(1.0, 100.0, 3.0, 5.0, 1_000.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0)
    (0.5, 2)
    """
    best, code = size, NO_LIMIT
    if max_risk > 0.0 and stop_distance > 0.0:
        room = max(0.0, max_risk * equity / stop_distance)
        if room < best:
            best, code = room, RISK
    if max_stake > 0.0 and max_stake * leverage / price < best:
        best, code = max_stake * leverage / price, STAKE
    if max_trade > 0.0 and max_trade / price < best:
        best, code = max_trade / price, TRADE
    if max_symbol > 0.0:
        room = max(0.0, max_symbol - symbol_notional) / price
        if room < best:
            best, code = room, SYMBOL
    if max_gross > 0.0:
        room = max(0.0, max_gross - gross_notional) / price
        if room < best:
            best, code = room, GROSS
    if max_portfolio > 0.0:
        room = max(0.0, max_portfolio * equity - gross_notional) / price
        if room < best:
            best, code = room, PORTFOLIO
    return best, code
