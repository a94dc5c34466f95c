"""Funding of perpetual contracts, as scalar functions that compile with ``numba.njit``."""

from __future__ import annotations

import math
from collections.abc import Sequence

BINANCE_GRACE_S = 15.0  # a position opened less than this after a settlement still takes part


def funding_cash(side: float, size: float, mark: float, rate: float) -> float:
    """Cash (quote) of one settlement: -side*size*mark*rate; a positive rate is paid by longs.

    ``rate`` is a fraction of the notional at the mark price. nan when the mark is missing (nan):
    the caller decides between an error and a stated fall-back, never zero.

    >>> funding_cash(1.0, 1.0, 1_000.0, 0.001)
    -1.0
    """
    return -side * size * mark * rate


def funding_is_due(settlement_s: float, open_s: float, close_s: float, grace_s: float) -> bool:
    """Whether a position held from ``open_s`` to ``close_s`` takes part in a settlement.

    Times are epoch seconds. Both ends are included; a position opened less than ``grace_s``
    after the settlement still takes part (Binance 15 s, others 0).
    """
    return settlement_s <= close_s and (settlement_s >= open_s or open_s - settlement_s < grace_s)


def funding_between(
    side: float,
    size: float,
    times_s: Sequence[float],
    marks: Sequence[float],
    rates: Sequence[float],
    open_s: float,
    close_s: float,
    grace_s: float,
) -> float:
    """Cash (quote) of all settlements that a position of constant size takes part in.

    ``times_s``, ``marks`` and ``rates`` are columns of one length; nan when a mark that is
    needed is missing.
    """
    total = 0.0
    for i in range(len(times_s)):
        if funding_is_due(times_s[i], open_s, close_s, grace_s):
            total += funding_cash(side, size, marks[i], rates[i])
    return total


def continuous_funding_cash(
    side: float, size: float, mark: float, rate: float, held_share: float
) -> float:
    """Cash (quote) where funding accrues with time: the settlement's cash times the share held.

    ``held_share`` is the fraction (0..1) of the funding interval that the position was open
    (Kraken Futures). nan outside 0..1.
    """
    if held_share < 0.0 or held_share > 1.0:
        return math.nan
    return funding_cash(side, size, mark, rate) * held_share
