"""Trades: one accepted quote, its attempts and its settlement."""
