"""The `reli` command as a partner runs it: a process, with a home of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

RELI: Final = str(Path(sys.executable).parent / "reli")
_TIMEOUT_S: Final = 60


def _hear_ctrl_c() -> None:
    # Who runs the tests in the background of a shell has it ignored, and so have all they start.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        """The status on the last line of standard error."""
        return json.loads(self.err.splitlines()[-1])


@dataclass(slots=True)
class Command:
    """Runs commands, none of which may ever show a secret.

    Attributes:
        home: where the profiles are.
        secrets: what must be in no output.
    """

    home: Path
    secrets: set[str] = field(default_factory=set)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def profiles(self) -> Path:
        return self.home / "reli" / "profiles.json"

    @property
    def env(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key[:5] != "RELI_"}
        return {**inherited, "XDG_CONFIG_HOME": str(self.home), **self.variables}

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Ended:
        process = subprocess.run(
            [RELI, *arguments],
            input=stdin,
            env=self.env | variables,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        ended = Ended(code=process.returncode, out=process.stdout, err=process.stderr)
        assert "Traceback" not in ended.err, ended.err
        assert not [one for one in self._all_secrets() if one in ended.out + ended.err]
        return ended

    def done(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that has to succeed, and return what it prints."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.code == 0, ended
        return ended.out

    def document(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command that goes on until it is told to end."""
        return subprocess.Popen(
            [RELI, *arguments],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hear_ctrl_c,
            **options,
        )

    def _all_secrets(self) -> set[str]:
        """Return those that were told, and those that the command keeps."""
        if not self.profiles.exists():
            return self.secrets
        kept = json.loads(self.profiles.read_text())["profiles"]
        seeds = {one["signing_key"]["seed"] for one in kept if one["signing_key"]}
        return self.secrets | {one["api_key"] for one in kept} | seeds
