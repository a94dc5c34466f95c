"""What an account is exposed to: notional by symbol, gross and net, and the limits it passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leverpack.margin.ratios import effective_leverage
from leverpack.risk.limits import Limits
from leverpack.risk.sizing import stake_size


@dataclass(frozen=True, slots=True)
class Exposure:
    """Notional of all positions of one account, quote currency; shorts count as positive.

    ``net`` is longs less shorts, ``positions`` how many are open, ``largest`` the symbol with the
    most notional ("" when flat) and ``largest_notional`` its own; ``leverage`` is gross over
    equity (0.0 flat, inf without equity, None where the equity is not known).
    """

    longs: float
    shorts: float
    positions: int
    largest: str
    largest_notional: float
    leverage: float | None

    @property
    def gross(self) -> float:
        """Longs and shorts added up."""
        return self.longs + self.shorts

    @property
    def net(self) -> float:
        """Longs less shorts."""
        return self.longs - self.shorts


def exposure_of(
    notionals: Mapping[str, Iterable[float]], equity: float | None = None
) -> Exposure:
    """The exposure of positions by symbol: signed notionals (short < 0), one for each leg held.

    A long and a short leg of one symbol (hedge mode) do not cancel out in the gross sum.

    >>> found = exposure_of({"BTC": [600.0, -100.0], "ETH": [-300.0]}, equity=200.0)
    >>> found.gross, found.net, found.positions, found.largest, found.leverage
    (1000.0, 200.0, 3, 'BTC', 5.0)
    """
    legs = {symbol: [n for n in held if n] for symbol, held in notionals.items()}
    longs = sum(n for held in legs.values() for n in held if n > 0.0)
    shorts = -sum(n for held in legs.values() for n in held if n < 0.0)
    sums = {symbol: sum(map(abs, held)) for symbol, held in legs.items() if held}
    largest = max(sums, key=sums.__getitem__, default="")
    return Exposure(
        float(longs), float(shorts), sum(map(len, legs.values())), largest,
        sums.get(largest, 0.0),
        None if equity is None else effective_leverage(longs + shorts, equity),
    )  # fmt: skip


def staked_notional(stakes: Iterable[tuple[float, float]]) -> float:
    """Notional (quote) of positions given by their initial margin (quote) and leverage (x).

    The same 150 positions of 6 USDT are twice the exposure at twice the leverage:

    >>> [staked_notional([(6.0, leverage)] * 150) for leverage in (10.0, 20.0)]
    [9000.0, 18000.0]
    """
    return sum(stake_size(margin, leverage, 1.0) for margin, leverage in stakes)


def breaches(exposure: Exposure, limits: Limits) -> list[str]:
    """A sentence for each limit on open positions that the account has passed.

    ``max_gross_exposure``, ``max_portfolio_leverage``, ``max_notional_per_symbol`` and
    ``max_positions``; 0 is no limit.
    """
    found = []
    if 0.0 < limits.max_gross_exposure < exposure.gross:
        found.append(
            f"max_gross_exposure: {exposure.gross:,.2f} open, {limits.max_gross_exposure:,.2f} "
            "allowed"
        )
    leverage = exposure.leverage
    if leverage is not None and 0.0 < limits.max_portfolio_leverage < leverage:
        found.append(
            f"max_portfolio_leverage: {leverage:.2f}x, {limits.max_portfolio_leverage:g}x allowed"
        )
    if 0.0 < limits.max_notional_per_symbol < exposure.largest_notional:
        found.append(
            f"max_notional_per_symbol: {exposure.largest_notional:,.2f} in {exposure.largest}, "
            f"{limits.max_notional_per_symbol:,.2f} allowed"
        )
    if 0 < limits.max_positions < exposure.positions:
        found.append(
            f"max_positions: {exposure.positions} open, {limits.max_positions} allowed"
        )
    return found
