"""The Bybit v5 protocol (linear contracts, REST) over the paper exchange's engine."""
