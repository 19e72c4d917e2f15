"""The languages that Reli has a client in, and the programs that each of their folders has."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.stack.stack import ReadyStack
from tests.support.golden import ROOT
from tests.support.partner import a_partners_key

FOLDER: Final = ROOT / "clients"
STORY: Final = (FOLDER / "story.txt").read_text(encoding="utf-8")
"""What a story prints, whatever the language."""

PATIENCE_S: Final = 600.0
"""A first build downloads what it builds with."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended."""

    exit_code: int
    printed: str
    complained: str
    seconds: float

    @property
    def is_well(self) -> bool:
        return self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Language:
    """A language, and the programs without which its client cannot be built."""

    name: str
    tools: tuple[str, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def missing(self) -> str:
        """The programs that are not here; empty if the client can be built."""
        return " and ".join(tool for tool in self.tools if shutil.which(tool) is None)

    def build(self) -> Ran:
        return self._run("build")

    def test(self) -> Ran:
        return self._run("test")

    def tell(self, stack: ReadyStack) -> Ran:
        """Run the story as a partner who has just been given a key."""
        return self._run(
            "story",
            RELI_URL=stack.tls_url,
            RELI_CA=stack.tls_certificate,
            RELI_KEY=a_partners_key(stack),
        )

    def _run(self, program: str, **env: str) -> Ran:
        began = time.monotonic()
        with subprocess.Popen(
            [self.folder / program],
            env=_without_ours(os.environ) | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A session of its own, so that it can be ended with all that it started.
            start_new_session=True,
        ) as process:
            try:
                printed, complained = process.communicate(timeout=PATIENCE_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return Ran(process.returncode, printed, complained, time.monotonic() - began)


def _without_ours(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without what is meant for Reli or for this run of the tests."""
    return {name: env[name] for name in env if not name.startswith(("RELI_", "PYTEST_"))}


TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "go": ("go",),
    "java": ("javac", "mvn"),
    "python": (),
    "typescript": ("node", "npm"),
}

LANGUAGES: Final = [
    Language(build.parent.name, TOOLS[build.parent.name])
    for build in sorted(FOLDER.glob("*/build"))
]
