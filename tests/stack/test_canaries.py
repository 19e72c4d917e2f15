"""Secrets stay where they are kept: no log, answer, event or table ever has one, whatever fails.

The stack's secrets are sent where they do not belong, everything behind the servers dies under
load, and then all that was written is searched.
"""

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import grpc
import pytest

from app.database_url import APP_ROLE, WORK_ROLE, role_url
from app.stack.ports import LOOPBACK, Ports
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.tenant.v1 import tenant_service_pb2_grpc as tenant_grpc
from tests.chaos.stack import NATS, POSTGRES
from tests.support.stage import SERVE, Stage, StagedStack, open_stage
from tests.support.webhooks import until

LP_CREDENTIALS: Final = {
    name: f"reli-canary-of-the-{name.replace('_', '-')}"
    for name in ("api_key", "passphrase", "secret")
}
KEPT_IN: Final = ("secrets", "tls", "nats/nats.conf")
"""Where secrets lie, readable by us alone."""

BUS_IS_GONE: Final = b"BUS_UNAVAILABLE"


class WithAnLpOfItsOwn(StagedStack):
    """Beside the sandbox's venues there is one that wants credentials, and is never there."""

    def _start_app(self, env: dict[str, str]) -> tuple[int, ...]:
        away = {
            "adapter": "okx",
            "name": "away",
            "url": f"http://{LOOPBACK}:{Ports(None).take()}",
            "status_is_authoritative": True,
            "visibility_window_ms": 500,
            "quote_safety_margin_ms": 250,
        }
        lps = [*json.loads(env["RELI_LPS"]), away | LP_CREDENTIALS]
        return super()._start_app(env | {"RELI_LPS": json.dumps(lps)})


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(workers=1, make=WithAnLpOfItsOwn) as stage:
        yield stage


@pytest.fixture(scope="module")
def home(stage: Stage) -> Path:
    return Path(stage.ready.tls_certificate).parents[1]


@pytest.fixture(scope="module")
async def shared_secret(stage: Stage) -> str:
    """A secret that the tenant signs its requests with."""
    body = {"name": "canary", "algorithm": "SIGNATURE_ALGORITHM_HMAC_SHA256"}
    status, made = await stage.send("/v1/requestSigningKeys", stage.key, body, "canary")
    assert status == 200, made
    return str(made["secret"]).removeprefix("reqsec_")


@pytest.fixture(scope="module")
def secrets(stage: Stage, home: Path, shared_secret: str) -> Mapping[str, str]:
    ready = stage.ready
    passwords = {
        "database owner's password": ready.database_url,
        "app role's password": role_url(ready.database_url, APP_ROLE),
        "work role's password": role_url(ready.database_url, WORK_ROLE),
        "bus's password": ready.nats_url,
    }
    found = {name: str(urlsplit(url).password) for name, url in passwords.items()}
    found |= {f"LP's {name}": value for name, value in LP_CREDENTIALS.items()}
    found |= {"tenant's key": stage.key, "operator's key": ready.operator_key}
    found["shared secret"] = shared_secret
    found["sealing key"] = (home / "secrets" / "sealing").read_text().strip()
    found["signing seed"] = (home / "secrets" / "signing").read_text().strip()
    assert all(len(value) > 16 for value in found.values())
    return found


def forms_of(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written down."""
    yield secret.encode()
    yield quote(secret, safe="").encode()
    for before in range(3):  # in base64 it looks different at each place in a group of three
        encoded = base64.b64encode(b"\0" * before + secret.encode())
        yield encoded[4 if before else 0 : len(encoded) - 4]


def told_in(content: bytes, secrets: Mapping[str, str]) -> set[str]:
    return {name for name, value in secrets.items() if any(f in content for f in forms_of(value))}


async def test_no_secret_is_ever_told(stage: Stage, home: Path, secrets: Mapping[str, str]) -> None:
    answers = [answer async for answer in misplaced(stage, secrets)]
    await everything_fails(stage, home)

    assert len(answers) > 50
    for answer in answers:
        assert not told_in(answer, secrets), answer
    leaks = {
        (str(file.relative_to(home)), secret)
        for file in home.rglob("*")
        if file.is_file() and not str(file.relative_to(home)).startswith(KEPT_IN)
        for secret in told_in(file.read_bytes(), secrets)
    }
    assert leaks == set()
    for argv in command_lines(stage):
        assert not told_in(argv, secrets), argv
    # The search sees what there is to see.
    logged = logs_of(home)
    assert BUS_IS_GONE in logged
    assert b"/v1/customers" in logged
    assert told_in(secrets["signing seed"].encode() + logged, secrets) == {"signing seed"}


def test_where_secrets_are_kept_is_closed_to_others(home: Path, secrets: Mapping[str, str]) -> None:
    assert (home / "secrets").stat().st_mode & 0o077 == 0
    for file in (home / "tls" / "key.pem", home / "nats" / "nats.conf"):
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"RELI_LPS": json.dumps([{"adapter": "okx", "name": "A wrong name"} | LP_CREDENTIALS])},
        {"RELI_LPS": json.dumps([LP_CREDENTIALS["secret"], LP_CREDENTIALS])[:-1]},
        {"RELI_APP_DATABASE_URL": f"mysql://{LP_CREDENTIALS['secret']}@a"},
        {"RELI_NATS_URL": f"http://{LP_CREDENTIALS['secret']}@a"},
        {"RELI_SIGNING_KEY": LP_CREDENTIALS["secret"]},
    ],
)
def test_a_wrong_setting_is_named_and_not_shown(wrong: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "app", "work"],
        env={"PATH": "/usr/bin"} | wrong,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert b"RELI_" in ended.stderr or b"lps" in ended.stderr
    assert not told_in(ended.stdout + ended.stderr, LP_CREDENTIALS)


async def misplaced(stage: Stage, secrets: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Yield what is answered, headers and all, to each secret at each place for something else."""
    rest = stage.ready.rest_url
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {stage.key}"}) as session:
        for secret in secrets.values():
            quoted = quote(secret, safe="")
            for method, path, body, headers in (
                ("GET", "/v1/customers", None, {"authorization": f"Bearer {secret}x"}),
                ("GET", "/v1/customers", None, {"authorization": f"Basic {secret}"}),
                ("GET", "/v1/customers", None, {"x-request-id": secret, "traceparent": secret}),
                ("GET", "/v1/customers", None, {"user-agent": secret, "cookie": f"a={secret}"}),
                ("GET", f"/v1/customers?page_token={quoted}", None, {}),
                ("GET", "/v1/customers", None, {"referer": f"http://a/{secret}"}),
                ("POST", "/v1/customers", {"external_id": 7, "request_id": secret}, {}),
                ("POST", "/v1/customers", {"external_id": {"key": secret}}, {}),
                ("POST", "/v1/quotes", {"customer_id": secret, "side": "SIDE_BUY"}, {}),
            ):
                async with session.request(
                    method, rest + path, json=body, headers=headers
                ) as response:
                    said = {**response.headers}
                    yield f"{response.status} {said}".encode() + await response.read()
            # Envoy quotes to its sender what it cannot read, and to nobody else.
            async with session.post(f"{rest}/v1/quotes", json={"side": secret}) as response:
                assert response.status == 400
        async with grpc.aio.insecure_channel(stage.ready.grpc_target) as channel:
            stub: Any = tenant_grpc.CustomerServiceStub(channel)
            for secret in secrets.values():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.CreateCustomer(
                        tenant_pb.CreateCustomerRequest(request_id=secret),
                        metadata=(("authorization", f"Bearer {secret}x"), ("x-a", secret)),
                    )
                yield f"{caught.value!r} {caught.value.trailing_metadata()!r}".encode()


async def everything_fails(stage: Stage, home: Path) -> None:
    """Trade while the database, the bus and the server die."""
    client = await stage.new_client()
    calls = [
        asyncio.create_task(_trade(stage, client.key, client.id, number)) for number in range(4)
    ]
    for part in (POSTGRES, NATS, SERVE):
        await asyncio.sleep(0.5)
        stage.kill(part)
        if part == NATS:  # it may be back before anybody misses it
            await until(lambda: BUS_IS_GONE in logs_of(home), within_s=20)
        await asyncio.sleep(0.5)
        stage.restart(part)
        await stage.until_ready(part)
    await asyncio.sleep(1.5)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


def logs_of(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (home / "logs").iterdir())


async def _trade(stage: Stage, key: str, customer_id: str, number: int) -> None:
    body = {
        "customer_id": customer_id,
        "side": "SIDE_BUY",
        "base_asset": "BTC",
        "quote_asset": "NGN",
        "base_amount": {"value": "0.001", "asset": "BTC"},
    }
    for attempt in range(10_000):
        with suppress(aiohttp.ClientError, TimeoutError, ValueError):
            request_id = f"canary-{number}-{attempt}"
            status, made = await stage.send("/v1/quotes", key, body, request_id)
            if status == 200:
                await stage.send(f"/v1/quotes/{made['quote']['id']}:accept", key, {}, request_id)
        await asyncio.sleep(0.02)


def command_lines(stage: Stage) -> Iterator[bytes]:
    for name in stage.parts.names:
        if stage.parts.is_running(name):
            yield Path(f"/proc/{stage.parts.pid(name)}/cmdline").read_bytes()
