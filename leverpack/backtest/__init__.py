"""Cerebro, the margin broker, and one run from files to result."""
