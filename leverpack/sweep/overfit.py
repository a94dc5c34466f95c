"""How far the best of many sets is luck: deflated Sharpe ratio and probability of overfitting.

All Sharpe ratios here are those of daily returns, not annualised: mean over sample deviation.
Returns that do not move at all have none in the first measure and 0 in the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations, islice

import numpy as np

from analyzers.figures import simple_returns
from leverpack.result import Floats, Ints
from leverpack.sweep.outcome import LOWER_IS_BETTER, Outcome, by_calendar_day

BLOCKS = 16  # as the authors take: 12,870 ways to choose half of them
MOST_RATIOS = 200_000_000  # with more sets times splits, not every split is tried
FEWEST_DAYS = 4 * BLOCKS
_FLAT = 1e-12  # a deviation of returns below this is rounding
_BYTES = 64 * 2**20  # of the ratios that are worked on at a time


@dataclass(frozen=True)
class Deflated:
    """One chosen set's Sharpe ratio against the highest that luck gives to so many sets.

    ``sharpe`` and ``luck`` are of daily returns; ``probability`` is the deflated Sharpe ratio: the
    chance that the true ratio lies above ``luck``.
    """

    sharpe: float
    luck: float
    trials: int
    days: int
    probability: float


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best set on half of the days comes to on the other half.

    ``probability``: share of the ``splits`` in which the chosen set is no better than the median
    of all. ``loss``: share in which its Sharpe ratio there is negative.
    """

    probability: float
    loss: float
    splits: int
    sets: int


@dataclass(frozen=True)
class Verdict:
    """Both measures; None where there are too few sets or days, ``why`` says which."""

    deflated: Deflated | None
    overfitting: Overfitting | None
    why: str = ""


def probabilistic_sharpe(
    sharpe: float, days: int, skew: float, kurtosis: float, benchmark: float = 0.0
) -> float:
    """The chance that the true Sharpe ratio lies above ``benchmark``.

    ``kurtosis`` is 3 for the normal distribution. NaN where the formula is not defined. Source:
    Bailey, Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012.
    """
    from scipy.stats import norm

    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if days < 2 or not spread > 0.0:
        return math.nan
    return float(norm.cdf((sharpe - benchmark) * math.sqrt(days - 1) / math.sqrt(spread)))


def highest_by_luck(variance: float, trials: int) -> float:
    """The highest Sharpe ratio to expect of ``trials`` sets that are worth nothing.

    ``variance`` is that of the sets' Sharpe ratios; one trial gives 0. Source: Bailey, Lopez de
    Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014.
    """
    from scipy.stats import norm

    if trials < 2:
        return 0.0
    high, higher = norm.ppf([1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * math.e)])
    return math.sqrt(variance) * float((1.0 - np.euler_gamma) * high + np.euler_gamma * higher)


def deflated_sharpe(returns: Floats, variance: float, trials: int) -> Deflated | None:
    """The deflated Sharpe ratio of daily ``returns`` (fractions), chosen out of ``trials`` sets.

    None where the returns do not move or the formula is not defined. Source: as of
    ``highest_by_luck``. Sets that resemble each other count in full: it is strict.
    """
    from scipy.stats import kurtosis, skew

    found = sharpe_of(returns)
    if found is None:
        return None
    luck = highest_by_luck(variance, trials)
    chance = probabilistic_sharpe(
        found, len(returns), float(skew(returns)), float(kurtosis(returns, fisher=False)), luck
    )
    return None if math.isnan(chance) else Deflated(found, luck, trials, len(returns), chance)


def sharpe_of(returns: Floats) -> float | None:
    """Mean over sample deviation; None where the returns do not move."""
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation >= _FLAT else None


def block_sums(returns: Floats, blocks: int = BLOCKS) -> Floats:
    """Sum and sum of squares of the returns of each block, shape (2, ``blocks``).

    Blocks are of one length; days that do not fill one are left out, the oldest.
    """
    length = len(returns) // blocks
    cut = returns[len(returns) - length * blocks :].reshape(blocks, length)
    return np.array([cut.sum(axis=1), (cut**2).sum(axis=1)])


def overfitting(sums: Floats, length: int) -> Overfitting:
    """The probability of backtest overfitting by combinatorially symmetric cross-validation.

    ``sums`` has the shape (2, blocks, sets), as ``block_sums`` makes them of each set, the blocks
    even in number; ``length`` is the days in a block. Source: Bailey, Borwein, Lopez de Prado,
    Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance 20(4), 2017
    (first published 2015), with the Sharpe ratio as the measure; equal sets share their rank.
    Of very many sets (MOST_RATIOS) every k-th split is tried.
    """
    _, blocks, sets = sums.shape
    half = blocks // 2
    every = math.ceil(math.comb(blocks, half) * sets / MOST_RATIOS)
    splits = list(islice(combinations(range(blocks), half), 0, None, every))
    chosen = np.zeros((len(splits), blocks))
    np.put_along_axis(chosen, np.array(splits), 1.0, axis=1)
    no_better = losses = 0
    at_once = max(1, _BYTES // (8 * 8 * sets))
    for first in range(0, len(chosen), at_once):
        inside = chosen[first : first + at_once]
        best = _ratios(inside, sums, half * length).argmax(axis=1)
        outside = _ratios(1.0 - inside, sums, half * length)
        reached = np.take_along_axis(outside, best[:, None], axis=1)
        rank = (outside < reached).sum(axis=1) + ((outside == reached).sum(axis=1) + 1) / 2
        # The logit of rank / (sets + 1) is negative or zero.
        no_better += int((2.0 * rank <= sets + 1).sum())
        losses += int((reached < 0.0).sum())
    return Overfitting(no_better / len(chosen), losses / len(chosen), len(chosen), sets)


def _ratios(chosen: Floats, sums: Floats, days: int) -> Floats:
    """Sharpe ratios of every set over the chosen blocks, one row a choice."""
    mean = chosen @ sums[0] / days
    variance = (chosen @ sums[1] - days * mean**2) / (days - 1)
    deviation = np.sqrt(np.maximum(variance, 0.0))
    flat = deviation < 1e-8  # squares lose half of the digits
    ratios: Floats = np.where(flat, 0.0, mean / np.where(flat, 1.0, deviation))
    return ratios


@dataclass
class Trials:
    """Takes in the outcomes of a sweep one by one and judges the best; memory is small a set.

    ``days`` are the UTC days (since 1970) of the outcomes' ``daily``, ``cash`` the deposit;
    ``metric`` is what the best is chosen by.
    """

    days: Ints
    cash: float
    metric: str
    _sharpes: list[float] = field(default_factory=list)
    _sums: dict[int, Floats] = field(default_factory=dict)
    _best: tuple[float, int] = (math.inf, 0)
    _returns: Floats = field(default_factory=lambda: np.empty(0))

    def add(self, outcome: Outcome) -> None:
        """Take in one set; refused ones are no trial."""
        if outcome.refused:
            return
        returns = simple_returns(by_calendar_day(self.days, outcome.daily), self.cash)
        found = sharpe_of(returns)
        if found is not None:
            self._sharpes.append(found)
        if len(returns) >= FEWEST_DAYS:
            self._sums[outcome.number] = block_sums(returns)
        value = outcome.figure(self.metric)
        place = (value if self.metric in LOWER_IS_BETTER else -value, outcome.number)
        if not math.isnan(value) and place < self._best:
            self._best, self._returns = place, returns

    def verdict(self) -> Verdict:
        """Judge what has come so far; the order in which it came does not matter."""
        days = int(self.days[-1] - self.days[0]) + 1 if len(self.days) else 0
        if len(self._sharpes) < 2:
            return Verdict(None, None, "fewer than two sets traded")
        variance = float(np.var(np.sort(self._sharpes), ddof=1))
        deflated = deflated_sharpe(self._returns, variance, len(self._sharpes))
        if days < FEWEST_DAYS:
            return Verdict(deflated, None, f"there are fewer than {FEWEST_DAYS} days")
        sums = np.stack([self._sums[n] for n in sorted(self._sums)], axis=2)
        return Verdict(deflated, overfitting(sums, days // BLOCKS))
