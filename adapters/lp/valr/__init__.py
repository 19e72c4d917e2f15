"""VALR: an order book whose prices nobody holds, traded with limits (docs/venues.md)."""
