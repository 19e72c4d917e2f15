"""Prices of exchanges by way of the ccxt library, to look at only; it comes with `reli[ccxt]`."""
