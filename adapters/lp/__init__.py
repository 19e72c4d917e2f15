"""Liquidity providers, one folder per venue."""
