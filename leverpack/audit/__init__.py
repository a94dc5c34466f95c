"""The audit: what leverage an account really has, symbol by symbol, and how to mend it."""
