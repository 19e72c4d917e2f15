"""Binance Convert: firm prices, executed and found again by the quote's id (docs/venues.md)."""
