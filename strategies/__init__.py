"""The pack's strategies: one a file, the rule on top; read one, copy it, make it yours."""

from __future__ import annotations

from strategies.adaptive import AdaptiveLeverageStrategy
from strategies.base import LeverageStrategy
from strategies.confidence_ladder import ConfidenceLadderStrategy
from strategies.conservative import ConservativeLeverageStrategy
from strategies.margin_monitor import MarginMonitorStrategy
from strategies.micro_stake import MicroStakeStrategy

STRATEGIES: dict[str, type] = {
    "conservative": ConservativeLeverageStrategy,
    "adaptive": AdaptiveLeverageStrategy,
    "margin_monitor": MarginMonitorStrategy,
    "micro_stake": MicroStakeStrategy,
    "confidence_ladder": ConfidenceLadderStrategy,
}
"""Short names for the command line."""

__all__ = [
    "STRATEGIES",
    "AdaptiveLeverageStrategy",
    "ConfidenceLadderStrategy",
    "ConservativeLeverageStrategy",
    "LeverageStrategy",
    "MarginMonitorStrategy",
    "MicroStakeStrategy",
]
