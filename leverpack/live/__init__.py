"""Live trading through ccxt: store, leverage guard, feed, journal and broker."""
