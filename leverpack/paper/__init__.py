"""A local exchange on replayed candles that unmodified exchange clients can trade on."""
