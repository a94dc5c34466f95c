"""The Binance USD-M futures protocol over the paper exchange's engine."""
