"""Zero Hash liquidity: firm prices for a participant, executed by their id (docs/venues.md)."""
