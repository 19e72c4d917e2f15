"""The guides are true: what they show is run as pasted, against the whole stack."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from adapters.envoy.config import Edge, bootstrap
from adapters.envoy.descriptor import descriptor_set_path
from app.rpc.stream import STREAMS_OF_A_TENANT
from app.stack.stack import ReadyStack
from domain.ledger.entry import MAX_TRANSFERS
from ports.page import MAX_PAGE_SIZE
from tests.support.golden import ROOT
from tests.support.pages import NOT_RUN, Page, assert_printed_in_bash, run
from tests.support.partner import a_partners_key

PAGES: Final = [
    Page(str(path.relative_to(ROOT)))
    for path in [
        *sorted((ROOT / "docs" / "guides").glob("*.md")),
        ROOT / "docs" / "versioning.md",
        ROOT / "docs" / "errors.md",
        ROOT / "clients" / "README.md",
        ROOT / "clients" / "python" / "README.md",
    ]
]
OTHER_LANGUAGES: Final = ("go", "java", "typescript")
IN_BASH: Final = [page for page in PAGES if page.blocks_in("bash")]
WITH_PYTHON: Final = [page for page in PAGES if page.blocks_in("python")]


def name(page: object) -> str:
    return page.path.removeprefix("docs/") if isinstance(page, Page) else str(page)


@pytest.fixture
def env(running_stack: ReadyStack, tmp_path: Path) -> Mapping[str, str]:
    """What a partner has been given: addresses, a key of a tenant of his own, and `reli`."""
    key = a_partners_key(running_stack)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": str(ROOT / "gen"),
        "REST": running_stack.rest_url,
        "GRPC": running_stack.grpc_target,
        "RELI_URL": running_stack.tls_url,
        "RELI_CA": running_stack.tls_certificate,
        "KEY": key,
        "RELI_KEY": key,
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_run_and_every_link_leads_somewhere(page: Page) -> None:
    run_or_shown = {"bash", f"bash {NOT_RUN}", "python", "text", *OTHER_LANGUAGES}

    assert {block.language for block in page.blocks()} <= run_or_shown
    assert page.dead_links == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="most of these are told with curl")
@pytest.mark.parametrize("page", IN_BASH, ids=name)
def test_a_guide_in_bash_works_as_pasted(
    page: Page, env: Mapping[str, str], tmp_path: Path
) -> None:
    assert_printed_in_bash(page.blocks_in("bash"), tmp_path, env)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_a_guide_in_python_works_as_pasted(
    page: Page, env: Mapping[str, str], tmp_path: Path
) -> None:
    blocks = page.blocks_in("python")

    printed = run([sys.executable, "-i", "-q"], "".join(b.code for b in blocks), tmp_path, env)

    assert printed == "".join(block.output or "" for block in blocks)


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_a_guide_shows_what_the_client_of_that_language_has(language: str) -> None:
    """What is told apart by a blank line is somewhere in the client, indented as it may be."""
    tracked = ["git", "ls-files", f"clients/{language}"]
    files = subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True, check=True)
    texts = [
        _unindented((ROOT / path).read_text(encoding="utf-8")) for path in files.stdout.split()
    ]
    shown = [block for page in PAGES for block in page.blocks_in(language)]

    parts = [part for block in shown for part in block.code.split("\n\n")]

    assert len(parts) > 2
    assert [part for part in parts if not any(_unindented(part) in text for text in texts)] == []


def _unindented(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().splitlines())


def test_the_limits_of_going_live_are_those_of_the_code() -> None:
    text = Page("docs/guides/going-live.md").text

    edge = Edge(
        rest_port=1,
        grpc_port=2,
        admin_port=3,
        upstream_ports=(4,),
        descriptor_set=descriptor_set_path().read_bytes(),
    )
    config = json.dumps(bootstrap(edge))

    for words in (
        f"| items on a page | {MAX_PAGE_SIZE} |",
        f"| live streams of a tenant at a server | {STREAMS_OF_A_TENANT} |",
        f"| transfers in an entry | {MAX_TRANSFERS} |",
    ):
        assert words in text
    [body] = set(re.findall(r'"max_request_bytes": (\d+)', config))
    [headers] = set(re.findall(r'"max_request_headers_kb": (\d+)', config))
    assert f"| body of a REST request | {int(body) // 1024} KiB |" in text
    assert f"| headers of a request | {headers} KiB |" in text
