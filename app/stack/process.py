"""A child process that is logged, stopped in order, and never outlives its parent."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec only a bare call is safe.
_libc = ctypes.CDLL(None, use_errno=True)


class StackFailure(Exception):
    """The stack cannot start or go on; the text is for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The system user that a child runs as when we are root."""

    uid: int
    gid: int


@dataclass(slots=True, kw_only=True)
class Child:
    """One process of the stack; describes it until `start`, controls it from then on."""

    name: str
    argv: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when we die without a chance to stop it ourselves."""
    grace_s: float = 10.0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def start(self) -> None:
        """Start it in a session of its own, where a Ctrl-C in our terminal does not reach it."""
        parent = os.getpid()

        def bind_to_parent() -> None:
            # Runs after the change of user, which would clear the request.
            _libc.prctl(_PR_SET_PDEATHSIG, int(self.death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(self.log.suffix + ".1"))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                start_new_session=True,
                preexec_fn=bind_to_parent,
            )

    def wait(self, timeout_s: float) -> int:
        """Wait for a child that ends by itself and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """Ask it to end, insist after the grace period, and return once it is gone."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(self.grace_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it as a power cut would, and return once it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def failure(self, what: str) -> StackFailure:
        """Build the failure `<name> <what>` with the last lines of the log."""
        return StackFailure(f"{self.name} {what}\n{self.log_tail()}\n(all of it: {self.log})")

    def log_tail(self, lines: int = 12) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def wait_until_ready(
    child: Child, is_ready: Callable[[], bool], *, timeout_s: float = 30.0
) -> None:
    """Return once `is_ready`, or raise `StackFailure` if the child ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        if child.exit_code is not None:
            raise child.failure(f"ended with {describe_exit(child.exit_code)} while starting")
        if time.monotonic() > deadline:
            raise child.failure(f"was not ready within {timeout_s:g} s")
        time.sleep(0.02)


def describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
