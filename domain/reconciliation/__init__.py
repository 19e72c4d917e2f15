"""Differences between our books and theirs."""
