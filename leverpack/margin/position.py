"""What a fill, a payment or a liquidation does to one position: scalar functions, no objects.

Sizes are signed base units (long > 0), prices and money are in quote currency. Every function
compiles with ``numba.njit`` unchanged; the account, and whatever sweeps parameter sets, call
the same ones.
"""

from __future__ import annotations

DUST = 1e-12  # a remainder smaller than this share of the fill is rounding, not a position


def position_after_fill(
    size: float, entry: float, fill: float, price: float
) -> tuple[float, float, float, float]:
    """Size, average entry, closed part and opened part after a signed ``fill`` at ``price``.

    ``closed`` and ``opened`` carry the sign of the fill; a fill that crosses zero closes the
    old position and opens the rest at ``price``. A reduction leaves the entry as it was.

    >>> position_after_fill(2.0, 100.0, -3.0, 110.0)
    (-1.0, 110.0, -2.0, -1.0)
    """
    after = size + fill
    if abs(after) <= DUST * abs(fill):
        return 0.0, 0.0, -size, 0.0
    if size == 0.0:
        return after, price, 0.0, fill
    if (size > 0.0) == (fill > 0.0):
        return after, (entry * size + fill * price) / after, 0.0, fill
    if (after > 0.0) == (size > 0.0):
        return after, entry, fill, 0.0
    return after, price, -size, after


def realised_pnl(closed: float, entry: float, price: float) -> float:
    """Profit in quote currency of closing ``closed`` (sign of the fill) at ``price``.

    >>> realised_pnl(-2.0, 100.0, 110.0)
    20.0
    """
    return -closed * (price - entry)


def unrealised_pnl(size: float, entry: float, price: float) -> float:
    """Open profit in quote currency of a signed ``size`` at ``price``."""
    return size * (price - entry)


def initial_margin_required(opened: float, price: float, leverage: float) -> float:
    """Margin in quote currency that opening ``opened`` base units locks: notional / leverage."""
    return abs(opened) * price / leverage


def margin_after_fill(
    margin: float, size: float, closed: float, opened: float, price: float, leverage: float
) -> float:
    """Isolated margin (quote) after a fill: the closed share is released, the opened share added.

    ``size`` is the signed size before the fill.
    """
    kept = margin
    if closed != 0.0:
        left = abs(size) - abs(closed)
        kept = margin * left / abs(size) if left > 0.0 else 0.0
    return kept + initial_margin_required(opened, price, leverage)


def money_noise(wallet: float) -> float:
    """How much money (quote) may be missing from a ``wallet`` by rounding alone."""
    return 1e-9 * max(1.0, abs(wallet))


def insurance_needed(collateral: float, pnl: float, fee: float) -> float:
    """What insurance adds (quote) so that a liquidation takes ``collateral`` at most."""
    left = collateral + pnl - fee
    return -left if left < 0.0 else 0.0
