"""Each client that can be built here; at the end one line says which were."""

from pathlib import Path
from typing import Final

import pytest

from tests.clients.language import LANGUAGES, Language
from tests.support.golden import ROOT

HERE: Final = Path(__file__).parent.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session", params=LANGUAGES, ids=str)
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    if found.missing:
        pytest.skip(f"the client in {found} needs {found.missing}")
    return found


@pytest.fixture(scope="session")
def built(language: Language) -> Language:
    """The same, once it is built."""
    build = language.build()
    assert build.is_well, build.complained
    return language


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    if any(getattr(report, "nodeid", "").startswith(HERE) for report in reports):
        run = [one.name for one in LANGUAGES if not one.missing]
        not_run = [f"; {one} not, for want of {one.missing}" for one in LANGUAGES if one.missing]
        terminalreporter.write_line(f"clients run: {', '.join(run)}{''.join(not_run)}")
