"""The pack's strategies: one a file, the rule on top; read one, copy it, make it yours."""

from __future__ import annotations

from strategies.base import LeverageStrategy
from strategies.conservative import ConservativeLeverageStrategy

STRATEGIES: dict[str, type] = {
    "conservative": ConservativeLeverageStrategy,
}
"""Short names for the command line."""

__all__ = ["STRATEGIES", "ConservativeLeverageStrategy", "LeverageStrategy"]
