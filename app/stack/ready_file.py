"""The file that tells a waiting script that the stack answers, and where."""

import os
from pathlib import Path
from typing import Self


class ReadyFile:
    """A context in which the file exists only while what it says is true."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._remove()  # a killed stack could not
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def write(self, text: str) -> None:
        """Write it in one step: whoever sees the file sees all of it."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)  # it holds the operator's key
        fresh.write_text(text + "\n")
        fresh.replace(self._path)

    def _remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
