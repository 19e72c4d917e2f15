import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "crash: plays some thousand runs with crashes; takes up to four minutes"
    )
