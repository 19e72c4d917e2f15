"""Daily closes from outside."""

import json
from base64 import b64decode, b64encode
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson, ParseDict

from app.ledger import verify_books
from app.ledger.command import print_close
from domain.ids import TenantId
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import statement_service_pb2 as pb
from tests.support.closes import DAYS, close_days
from tests.support.platform import Platform, amount, refusal_of


def told_of(answer: str, jwks: Path) -> str:
    """Return what the verifier says of a file."""
    file = jwks.with_name("close.json")
    file.write_text(answer)
    try:
        return verify_books.check(file, jwks, "")
    except verify_books.BROKEN as error:
        return str(error)


def changed(answer: str, word: str, other: str) -> str:
    """Return an answer of which one word of the content is another."""
    close = json.loads(answer)["close"]
    content = b64decode(close["content"]).replace(word.encode(), other.encode())
    return json.dumps({"close": {**close, "content": b64encode(content).decode()}})


async def today(platform: Platform) -> date:
    day: date = await platform.owner.fetchval("SELECT (core.now() AT TIME ZONE 'UTC')::date")
    return day


async def test_a_tenant_reads_what_its_day_came_to(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    customer = await platform.a_funded_customer(client, "5000000.00")
    await client.accept((await client.quote(customer, "0.01")).id)
    day = await today(platform)
    await platform.work_container.close_books().close(TenantId.parse(tenant_id), day)

    answer = await client.statements.GetDailyClose(pb.GetDailyCloseRequest(day=str(day)))

    close = answer.close
    assert (close.day, close.accounts > 0, close.transfers > 0) == (str(day), True, True)
    assert sha256(close.content).digest() == close.digest
    assert close.fees == [amount("3006.00", "NGN")]
    assert close.markups == [amount("7515.00", "NGN")]
    assert ledger_pb2.ACCOUNT_KIND_LP in {one.kind for one in close.positions}
    naira: Any = [one for one in close.trial_balance if one.closing.asset == "NGN"]
    assert sum(Decimal(one.closing.value) for one in naira) == 0
    assert all(one.opening.value == "0.00" for one in naira)


async def test_the_operator_reads_the_same_by_the_tenants_name(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    await close_days(platform, tenant_id)
    admin = platform.operator.statement_admin

    own = await client.statements.ListDailyCloses(pb.ListDailyClosesRequest())
    named = await admin.ListTenantDailyCloses(pb.ListTenantDailyClosesRequest(tenant_id=tenant_id))
    one = await admin.GetTenantDailyClose(
        pb.GetTenantDailyCloseRequest(tenant_id=tenant_id, day=str(DAYS[0]))
    )

    assert [close.day for close in own.closes] == [str(day) for day in reversed(DAYS)]
    assert list(named.closes) == list(own.closes)
    assert one.close == own.closes[1]


async def test_a_day_that_is_not_over_has_no_close(platform: Platform) -> None:
    _, client = await platform.a_tenant()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.statements.GetDailyClose(
            pb.GetDailyCloseRequest(day=str(await today(platform)))
        )

    assert refusal_of(caught.value).reason == "DAILY_CLOSE_NOT_FOUND"


async def test_the_command_prints_what_the_verifier_checks(
    platform: Platform, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tenant_id, client = await platform.a_tenant()
    await close_days(platform, tenant_id)
    request = pb.GetDailyCloseRequest(day=str(DAYS[0]))
    answer = await client.statements.GetDailyClose(request)
    jwks = tmp_path / "jwks.json"
    keys = await platform.container.signing_key_servicer().GetSigningKeys(
        chain_pb.GetSigningKeysRequest(), None
    )
    jwks.write_text(MessageToJson(keys, preserving_proto_field_name=True))

    wrong = await print_close(platform.settings, tenant_id, str(DAYS[0]))

    assert wrong == ""
    printed = capsys.readouterr().out
    assert ParseDict(json.loads(printed), pb.GetDailyCloseResponse()) == answer
    assert told_of(printed, jwks) == f"what is signed is: {answer.close.content.decode()}"
    assert "not over its text" in told_of(changed(printed, "transfers", "accounts"), jwks)
    assert "day is another" in told_of(printed.replace('"2026-03-02"', '"2026-03-03"'), jwks)
    assert await print_close(platform.settings, tenant_id, "2026-03-01") == "no close of that day"
    assert "date" in await print_close(platform.settings, tenant_id, "yesterday")
    assert await print_close(platform.settings, "x", str(DAYS[0]))
