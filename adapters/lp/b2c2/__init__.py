"""B2C2: firm prices of an amount of the base, executed as orders at them (docs/venues.md)."""
