"""Backtrader analyzers and observers of the pack."""

from __future__ import annotations

from analyzers.margin import MarginAnalyzer
from analyzers.performance import PerformanceAnalyzer

__all__ = ["MarginAnalyzer", "PerformanceAnalyzer"]
