"""OKX Convert: prices for a fixed size, held for some seconds (docs/venues.md)."""
