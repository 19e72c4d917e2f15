"""Pages of the documentation, whose blocks of code are run as a reader would paste them."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from tests.support.golden import ROOT

NOT_RUN: Final = "not-run"
"""In the info string of a block that starts the stack or runs these very tests."""

_BLOCK: Final = re.compile(r"^```(.*)\n((?:.*\n)*?)```\n", re.MULTILINE)
_LINK: Final = re.compile(r"\]\((?!http)([^)#]+)\)")
_BETWEEN_BLOCKS: Final = "\x1e"


@dataclass(frozen=True)
class Block:
    """Code and, where a `text` block follows at once, what it prints."""

    language: str
    code: str
    output: str | None


@dataclass(frozen=True)
class Page:
    """A page by its path from the root of the repository."""

    path: str

    @property
    def text(self) -> str:
        return (ROOT / self.path).read_text(encoding="utf-8")

    @property
    def dead_links(self) -> list[str]:
        """Links to files that are not there."""
        here = (ROOT / self.path).parent
        return [link for link in self.links if not (here / link).exists()]

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.text)

    def blocks(self) -> Iterator[Block]:
        found = list(_BLOCK.finditer(self.text))
        for match, follower in zip_longest(found, found[1:]):
            output = None
            if follower and follower.start() == match.end() and follower[1] == "text":
                output = follower[2]
            yield Block(language=match[1], code=match[2], output=output)

    def blocks_in(self, language: str) -> list[Block]:
        return [block for block in self.blocks() if block.language == language]


def assert_printed_in_bash(
    blocks: list[Block], directory: Path, env: Mapping[str, str] | None = None
) -> None:
    """Paste the blocks into one shell; each must print what the page says."""
    script = f"printf '{_BETWEEN_BLOCKS}'\n".join(block.code for block in blocks)

    printed = run(["bash", "-euo", "pipefail"], script, directory, env)

    outputs = printed.split(_BETWEEN_BLOCKS)
    assert len(outputs) == len(blocks)
    for block, output in zip(blocks, outputs, strict=True):
        assert block.output in (None, output)


def run(argv: list[str], script: str, directory: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what the script prints."""
    result = subprocess.run(
        argv,
        input=script,
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
