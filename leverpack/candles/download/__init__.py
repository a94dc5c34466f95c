"""Candles, mark candles, funding and tier tables from an exchange into the project's own files."""
