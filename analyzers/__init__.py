"""Backtrader analyzers of the pack."""

from __future__ import annotations

from analyzers.margin import MarginAnalyzer

__all__ = ["MarginAnalyzer"]
