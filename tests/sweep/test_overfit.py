"""Luck: the authors' own example, the definition written out again, and cases with one answer."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from leverpack.sweep import SweepEngine, run_sweep
from leverpack.sweep.overfit import (
    Trials,
    block_sums,
    deflated_sharpe,
    highest_by_luck,
    overfitting,
    probabilistic_sharpe,
    sharpe_of,
)
from tests.sweep.test_runner import GRID


def test_the_worked_example_of_the_deflated_sharpe_ratio() -> None:
    """The figures of Bailey, Lopez de Prado (2014), with 250 days a year."""
    sharpe, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert highest_by_luck(variance, 100) == pytest.approx(0.1132, abs=5e-5)

    def deflated(trials: int, skew: float, kurtosis: float) -> float:
        luck = highest_by_luck(variance, trials)
        return probabilistic_sharpe(sharpe, 1250, skew, kurtosis, luck)

    assert deflated(100, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(46, -3.0, 10.0) == pytest.approx(0.9505, abs=5e-5)
    assert deflated(88, 0.0, 3.0) == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize("trials", [10, 100, 2_000])
def test_the_luckiest_of_many_is_what_the_normal_distribution_says(trials: int) -> None:
    def density(x: float) -> float:
        below = float(stats.norm.cdf(x))
        return x * trials * below ** (trials - 1) * float(stats.norm.pdf(x))

    exact, _ = integrate.quad(density, -10.0, 10.0)
    assert highest_by_luck(1.0, trials) == pytest.approx(exact, rel=0.03)
    assert highest_by_luck(4.0, trials) == pytest.approx(2.0 * highest_by_luck(1.0, trials))
    assert highest_by_luck(1.0, 1) == 0.0


def test_the_chance_is_the_share_of_samples() -> None:
    """Of normal returns with a true ratio of 0.1, the share of samples with a lower one."""
    rng = np.random.default_rng(4)
    samples = rng.normal(0.001, 0.01, (20_000, 250))
    ratios = samples.mean(axis=1) / samples.std(axis=1, ddof=1)
    found = probabilistic_sharpe(0.15, 250, 0.0, 3.0, benchmark=0.1)
    assert found == pytest.approx(float((ratios < 0.15).mean()), abs=0.012)


def test_what_is_not_defined() -> None:
    assert sharpe_of(np.full(10, 0.01)) is None
    assert sharpe_of(np.array([0.01])) is None
    assert deflated_sharpe(np.zeros(100), 0.1, 10) is None
    assert math.isnan(probabilistic_sharpe(1.0, 100, 5.0, 3.0))


# --- probability of backtest overfitting ----------------------------------------------------------


def as_defined(returns: Any, blocks: int) -> tuple[float, float]:
    """The authors' algorithm step by step, on all days themselves; ``returns[day, set]``."""
    parts = np.split(returns, blocks)
    logits, losses = [], 0
    for picked in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[k] for k in picked])
        outside = np.concatenate([parts[k] for k in range(blocks) if k not in picked])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        reached = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        share = stats.rankdata(reached)[best] / (returns.shape[1] + 1)
        logits.append(math.log(share / (1.0 - share)))
        losses += int(reached[best] < 0.0)
    return float(np.mean(np.array(logits) <= 0.0)), losses / len(logits)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sets", [2, 7])
def test_overfitting_is_as_defined(seed: int, sets: int) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.0005, 0.01, (96, sets))
    sums = np.stack([block_sums(r, 8) for r in returns.T], axis=2)
    found = overfitting(sums, 12)
    assert (found.splits, found.sets) == (70, sets)
    assert (found.probability, found.loss) == pytest.approx(as_defined(returns, 8), abs=1e-12)


def test_one_good_set_is_no_overfitting_and_noise_is() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, 0.01, (40, 640))
    worthless = overfitting(np.stack([block_sums(r) for r in noise], axis=2), 40)
    assert worthless.splits == 12_870
    assert 0.25 < worthless.probability < 0.8
    noise[3] += 0.01
    good = overfitting(np.stack([block_sums(r) for r in noise], axis=2), 40)
    assert (good.probability, good.loss) == (0.0, 0.0)


def test_flat_sets_count_as_cash_and_days_too_many_are_the_oldest() -> None:
    returns = np.concatenate([[9.0] * 3, np.tile([0.01, -0.02], 40)])
    assert block_sums(returns, 8).sum(axis=1) == pytest.approx([-0.4, 40 * 0.0005])
    flat = np.zeros_like(block_sums(returns, 8))
    losing_and_flat = np.stack([block_sums(returns, 8), flat], axis=2)
    found = overfitting(losing_and_flat, 10)
    assert (found.probability, found.loss) == (0.0, 0.0)  # flat is always the better one


def test_very_many_sets_try_fewer_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    sums = np.stack([block_sums(r, 8) for r in rng.normal(0.0, 0.01, (10, 80))], axis=2)
    monkeypatch.setattr("leverpack.sweep.overfit.MOST_RATIOS", 350)
    assert overfitting(sums, 10).splits == 35


def test_the_verdict_on_a_sweep(made: SweepEngine) -> None:
    outcomes = list(run_sweep(made.settings, GRID, engine=made, workers=1))
    one, other = (Trials(made.days, made.settings.cash, "calmar") for _ in range(2))
    for outcome in outcomes:
        one.add(outcome)
    for outcome in reversed(outcomes):
        other.add(outcome)
    found = one.verdict()
    assert found == other.verdict()
    assert found.deflated is not None and found.overfitting is not None
    assert found.deflated.days == 365
    best = max(outcomes, key=lambda o: o.figure("calmar"))
    assert found.deflated.sharpe * math.sqrt(365) == pytest.approx(best.figure("sharpe"))
    ratios = [o.figure("sharpe") / math.sqrt(365) for o in outcomes]
    luck = highest_by_luck(float(np.var(ratios, ddof=1)), len(ratios))
    assert found.deflated.luck == pytest.approx(luck)


def test_too_little_to_judge() -> None:
    few = Trials(np.arange(30), 100.0, "calmar").verdict()
    assert few.deflated is None and few.why == "fewer than two sets traded"
