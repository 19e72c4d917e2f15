"""What the front door shows to everybody: the documents, and the page that people read."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import pytest

from adapters.envoy.descriptor import commented_set_path
from adapters.openapi.document import openapi_document
from adapters.openapi.examples import CUSTOMER, EXAMPLES
from app.stack.stack import ReadyStack
from tests.fuzz.world import FILLS, Rest, a_quote, a_tenant

COMMENTED_SET: Final = commented_set_path().read_bytes()
CHROMIUM: Final = shutil.which("chromium")
PAGES: Final = {
    "/docs": "text/html; charset=utf-8",
    "/docs/docs.js": "text/javascript; charset=utf-8",
    "/docs/docs.css": "text/css; charset=utf-8",
    "/docs/viewer.js": "text/javascript; charset=utf-8",
    "/openapi.json": "application/json",
    "/openapi.operator.json": "application/json",
}


@pytest.mark.parametrize(
    ("path", "for_operators"), [("/openapi.json", False), ("/openapi.operator.json", True)]
)
async def test_the_documents_are_there_for_everybody(
    running_stack: ReadyStack, path: str, for_operators: bool
) -> None:
    async with (
        aiohttp.ClientSession(running_stack.rest_url) as session,
        session.get(path) as response,
    ):
        document = await response.json()

    assert document == openapi_document(COMMENTED_SET, for_operators=for_operators)


@pytest.mark.parametrize(("path", "media_type"), PAGES.items())
async def test_a_page_says_what_it_is_and_runs_nobody_elses_scripts(
    running_stack: ReadyStack, path: str, media_type: str
) -> None:
    async with (
        aiohttp.ClientSession(running_stack.rest_url) as session,
        session.get(path) as response,
    ):
        content = await response.read()

    policy = {
        name: sources
        for name, _, sources in (
            part.strip().partition(" ")
            for part in response.headers["content-security-policy"].split(";")
        )
    }
    assert response.status == 200
    assert len(content) == int(response.headers["content-length"]) > 0
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert not re.search(r"https?:|\*", " ".join(policy.values()))


def examples_in(document: Any) -> Iterator[tuple[str, str, str, Any]]:
    """Yield path, verb, operation and body of each example."""
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "example" in content.get("application/json", {}):
                example = content["application/json"]["example"]
                yield path, verb.upper(), operation["operationId"], example


def test_every_example_of_a_body_is_accepted_as_it_stands(running_stack: ReadyStack) -> None:
    tenant = a_tenant(running_stack)
    partner, operator = (
        Rest(running_stack, key) for key in (tenant.key, running_stack.operator_key)
    )
    customer, another, *_ = tenant.known["customer_id"]
    sent = []
    for name, caller in {"openapi.json": partner, "openapi.operator.json": operator}.items():
        for path, verb, operation, example in examples_in(caller.send("GET", f"/{name}")):
            body = json.loads(json.dumps(example).replace(CUSTOMER, customer))
            if operation == "CreateTenant":  # whose name is unique
                body["slug"] += f"-{uuid4().hex[:12]}"
            ids = {"tenant_id": tenant.id, "customer_id": another}
            if "{quote_id}" in path:
                ids["quote_id"] = a_quote(partner, customer, FILLS)
            caller.send(verb, path.format(**ids), body)
            sent.append(operation)

    assert sorted(sent) == sorted(EXAMPLES)


async def test_a_page_is_read_and_nothing_else(running_stack: ReadyStack) -> None:
    async with (
        aiohttp.ClientSession(running_stack.rest_url) as session,
        session.post("/docs", json={}) as response,
    ):
        assert response.status == 404
        assert (await response.json())["details"][0]["reason"] == "ROUTE_NOT_FOUND"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_a_browser_without_a_network_shows_the_contract_and_complains_of_nothing(
    running_stack: ReadyStack, tmp_path: Path
) -> None:
    assert CHROMIUM
    browser = subprocess.run(
        [
            *[CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"],
            *[
                f"--user-data-dir={tmp_path}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
            *["--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom"],
            f"{running_stack.rest_url}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    said = re.findall(r"CONSOLE(?::\d+|\(\d+\))\] \"(.*?)\", source", browser.stderr)
    assert [line for line in said if not line.startswith("@scalar/api-reference@")] == []
    for words in ("Create api key", "Partners", "Idempotency"):
        assert words in browser.stdout
