"""Liquidity providers: how they stand, and whether they are to be asked."""
