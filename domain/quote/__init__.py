"""Firm quotes and how they are priced."""
