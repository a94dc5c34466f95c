"""Warm-up: candles of history fill the indicators, and no strategy's ``next`` sees them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

_PERIODS = "_periods_after_warmup"


def hold(strategies: Iterable[Any]) -> None:
    """Let the strategies see ``prenext`` only; no effect on those that are held already."""
    for strategy in strategies:
        if not hasattr(strategy, _PERIODS):
            setattr(strategy, _PERIODS, list(strategy._minperiods))
            # To the strategy the minimum period is not over yet.
            strategy._minperiods = [sys.maxsize] * len(strategy._minperiods)


def release(strategies: Iterable[Any]) -> None:
    """From the candle now on ``next`` runs, as soon as the indicators have their own periods."""
    for strategy in strategies:
        if hasattr(strategy, _PERIODS):
            strategy._minperiods = [
                max(period, len(data))
                for period, data in zip(getattr(strategy, _PERIODS), strategy.datas, strict=True)
            ]
            delattr(strategy, _PERIODS)
