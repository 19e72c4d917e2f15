"""The operator's own book."""
