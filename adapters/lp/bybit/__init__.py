"""Bybit Convert: firm prices of an amount that is given (docs/venues.md)."""
