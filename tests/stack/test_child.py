"""A child process obeys its parent and does not survive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.stack.process import Child, StackFailure, wait_until_ready

FOREVER = [sys.executable, "-c", "import time; print('alive', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('alive', flush=True); time.sleep(600)",
]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def says_alive(child: Child) -> bool:
    return "alive" in child.log.read_text()


@pytest.mark.parametrize(
    ("argv", "exit_code"), [(FOREVER, -signal.SIGTERM), (STUBBORN, -signal.SIGKILL)]
)
def test_a_stopped_child_is_gone(tmp_path: Path, argv: list[str], exit_code: int) -> None:
    child = Child(name="child", argv=argv, log=tmp_path / "log", grace_s=0.2)
    child.start()
    wait_until_ready(child, lambda: says_alive(child))

    child.stop()

    assert child.exit_code == exit_code
    assert not is_running(child.pid)


def test_a_child_that_ends_while_starting_is_named_with_its_last_words(tmp_path: Path) -> None:
    child = Child(
        name="venue-alpha",
        argv=[sys.executable, "-c", "print('no such disk'); raise SystemExit(3)"],
        log=tmp_path / "log",
    )
    child.start()

    with pytest.raises(StackFailure, match=r"venue-alpha ended with exit code 3.*\n  no such disk"):
        wait_until_ready(child, lambda: False)


def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from app.stack.process import Child\n"
            f"child = Child(name='child', argv={STUBBORN!r}, log=Path(sys.argv[1]))\n"
            "child.start()\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)\n",
            str(tmp_path / "log"),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        os.kill(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        child = Child(
            name="child", argv=[sys.executable, "-c", f"print('{word}')"], log=tmp_path / "log"
        )
        child.start()
        child.wait(10)

    assert (tmp_path / "log").read_text() == "second\n"
    assert (tmp_path / "log.1").read_text() == "first\n"
