"""Chaos has a mark of its own: `-m 'not chaos'` leaves it out."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: real processes that are killed under load")
