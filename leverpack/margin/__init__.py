"""Margin arithmetic: tiers, liquidation, funding, interest and the account; no Backtrader here."""
