"""`reli up`: one command starts everything, and takes all of it along when it goes."""

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from app.stack.process import StackFailure
from app.stack.stack import ReadyStack, Stack, StackOptions
from reli.market.v1.market_service_pb2 import ListAssetsRequest
from reli.market.v1.market_service_pb2_grpc import MarketServiceStub
from tests.support.stack import reli_up, running, scratch_home, wait_until_up


def parents() -> Iterator[tuple[int, int]]:
    """Every living process and its parent."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            yield int(stat.parent.name), int(parent)


def descendants(pid: int) -> set[int]:
    children = {child for child, parent in parents() if parent == pid}
    return children.union(*(descendants(child) for child in children))


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def assert_all_soon_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 20
    while pids & {pid for pid, _ in parents()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_it_answers_over_rest_and_grpc(running_stack: ReadyStack) -> None:
    async with (
        aiohttp.ClientSession(
            running_stack.rest_url,
            headers={"authorization": f"Bearer {running_stack.operator_key}"},
        ) as rest,
        rest.get("/v1/assets") as response,
    ):
        assert response.status == 200
        assert (await response.json())["assets"]

    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        health = await HealthStub(channel).Check(HealthCheckRequest())
        assert health.status == HealthCheckResponse.SERVING


async def test_its_venues_may_be_of_any_wire_format() -> None:
    with (
        scratch_home() as home,
        running(reli_up(home, "--venue", "okx=okx", "--venue", "valr=valr")) as child,
    ):
        ready = wait_until_up(child, home)
        async with (
            aiohttp.ClientSession(
                ready.rest_url, headers={"authorization": f"Bearer {ready.operator_key}"}
            ) as rest,
            rest.get("/v1/lps") as response,
        ):
            lps = (await response.json())["lps"]

    assert [lp["name"] for lp in lps] == ["okx", "valr"]
    assert set(ready.venue_books) == {"okx", "valr"}


@pytest.mark.parametrize("venue", ["okx", "okx=", "okx=fix", "OKX=okx", "=okx"])
def test_a_venue_without_a_known_wire_format_is_refused(venue: str) -> None:
    with scratch_home() as home, running(reli_up(home, "--venue", venue)) as child:
        assert child.wait(30) == 2
        assert "FORMAT" in child.log.read_text() or "is none of" in child.log.read_text()


async def test_it_answers_encrypted_to_who_trusts_its_certificate(
    running_stack: ReadyStack,
) -> None:
    trusting = ssl.create_default_context(cafile=running_stack.tls_certificate)
    key = {"authorization": f"Bearer {running_stack.operator_key}"}
    async with (
        aiohttp.ClientSession(running_stack.tls_url, headers=key) as rest,
        rest.get("/v1/assets", ssl=trusting) as response,
    ):
        assert response.status == 200

    target = running_stack.tls_url.removeprefix("https://")
    credentials = grpc.ssl_channel_credentials(Path(running_stack.tls_certificate).read_bytes())
    async with grpc.aio.secure_channel(target, credentials) as channel:
        stub: Any = MarketServiceStub(channel)
        assets = await stub.ListAssets(ListAssetsRequest(), metadata=[*key.items()])
        assert assets.assets


@pytest.mark.parametrize(
    "origins", ['["javascript:alert(1)"]', '["*"]', '["https://app.example/path"]', "https://a"]
)
def test_only_origins_can_be_listed_for_browsers(origins: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "app", "up", "--home", str(tmp_path)],
        env={"PATH": "/usr/bin", "RELI_CORS_ORIGINS": origins},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert "cors_origins" in ended.stderr.lower()


def test_nothing_survives_it_and_nothing_is_lost() -> None:
    keys = []
    with scratch_home() as home:
        for end in (signal.SIGKILL, signal.SIGINT):
            with running(reli_up(home)) as child:
                keys.append(wait_until_up(child, home).operator_key)
                others = descendants(child.pid)
                assert len(others) >= 7  # postgres, nats, two venues, serve, work, envoy

                os.kill(child.pid, end)

                assert child.wait(60) == (0 if end == signal.SIGINT else -end)
                assert_all_soon_gone(others)
                assert (home / "ready.json").exists() == (end == signal.SIGKILL)

    assert keys[0] == keys[1]


def test_two_stacks_do_not_share_a_home(tmp_path: Path) -> None:
    options = StackOptions(home=tmp_path)

    with (
        Stack(options),
        pytest.raises(StackFailure, match="another `reli up` is running"),
        Stack(options),
    ):
        pass


def test_it_ends_when_one_part_does() -> None:
    with scratch_home() as home, running(reli_up(home)) as child:
        wait_until_up(child, home)
        others = descendants(child.pid)
        work = next(pid for pid in others if "work" in command_line(pid))

        os.kill(work, signal.SIGKILL)

        assert child.wait(60) == 1
        assert "work-1 ended unexpectedly with SIGKILL" in child.log.read_text()
        assert not others & {pid for pid, _ in parents()}
