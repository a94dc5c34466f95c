"""A rehearsal: the live path on a paper exchange in lock-step, beside the backtest."""
