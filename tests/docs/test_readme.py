"""The README does not lie: what it shows is run, what it lists is compared with the code."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from adapters.lp.sandbox.behavior import MAGIC_DIGITS
from app.__main__ import cli
from app.settings import Settings
from app.stack.stack import ReadyStack
from domain.errors import Retry
from tests.support.golden import ROOT
from tests.support.pages import NOT_RUN, Page, assert_printed_in_bash, run

PAGE = Page("README.md")
README = PAGE.text


@pytest.fixture
def beside_the_stack(running_stack: ReadyStack, tmp_path: Path) -> Path:
    """A directory as it is after `reli up --ready-file ready.json`."""
    (tmp_path / "ready.json").write_text(running_stack.to_json())
    return tmp_path


def test_only_what_starts_the_stack_is_not_run() -> None:
    skipped = "".join(block.code for block in PAGE.blocks_in(f"bash {NOT_RUN}"))

    assert re.findall(r"make \w+", skipped) == ["make demo", "make test", "make setup"]
    assert {block.language for block in PAGE.blocks()} == {
        *("bash", f"bash {NOT_RUN}", "python", "json", "text"),
    }


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walk-through is told with curl")
def test_the_curl_walk_through_works_as_pasted(beside_the_stack: Path) -> None:
    blocks = PAGE.blocks_in("bash")

    assert len(blocks) > 5
    assert_printed_in_bash(blocks, beside_the_stack)


def test_the_python_walk_through_works_as_pasted(beside_the_stack: Path) -> None:
    (block,) = PAGE.blocks_in("python")

    printed = run([sys.executable, "-i", "-q"], block.code, beside_the_stack)

    assert block.output == printed


def test_every_link_leads_somewhere() -> None:
    assert len(PAGE.links) > 5
    assert PAGE.dead_links == []


def test_the_map_shows_every_folder_that_there_is() -> None:
    lines = next(block.code for block in PAGE.blocks_in("text") if "domain/" in block.code)
    drawn = {line.split()[0].partition("<")[0].strip("/") for line in lines.splitlines()}
    packages = {
        str(init.parent.relative_to(ROOT))
        for floor in ("adapters", "app")
        for init in ROOT.glob(f"{floor}/*/__init__.py")
    }

    assert [path for path in drawn if not (ROOT / path).is_dir()] == []
    assert packages - drawn == set()


def test_every_variable_is_in_the_configuration_table() -> None:
    names = {f"RELI_{name.upper()}" for name in Settings.model_fields}

    assert names == set(re.findall(r"`(RELI_[A-Z_]+)`", README))


def test_every_command_and_option_is_in_the_table() -> None:
    commands = dict(_commands(typer.main.get_command(cli)))
    rows = dict(re.findall(r"^\| `reli ([a-z -]+)` \| (.*) \|$", README, re.MULTILINE))

    assert set(rows) == set(commands)
    for name, row in rows.items():
        if options := re.findall(r"--[a-z-]+", row):
            known = {
                opt for param in commands[name].params for opt in param.opts if opt.startswith("--")
            }
            assert set(options) == known


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by its name, those of a group after the group's."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_the_magic_digits_are_those_of_the_venue() -> None:
    assert set(re.findall(r"^\| ([0-9]) \|", README, re.MULTILINE)) == set(MAGIC_DIGITS)


def test_the_retry_classes_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `([a-z_]+)` \| ", README, re.MULTILINE) == list(Retry)
