"""Candles, mark candles and funding: read, checked, aligned, and carried into Backtrader."""
