"""The audit log over REST, numbered by the worker of the real stack."""

import asyncio

import aiohttp
import grpc

from app.stack.stack import ReadyStack
from reli.tenant.v1 import tenant_service_pb2 as pb
from tests.support.platform import Client, new_request_id


async def test_a_tenant_reads_who_made_it_and_soon_in_which_place(
    running_stack: ReadyStack,
) -> None:
    async with grpc.aio.insecure_channel(running_stack.grpc_target) as channel:
        admin = Client(channel, running_stack.operator_key).tenant_admin
        made = await admin.CreateTenant(
            pb.CreateTenantRequest(slug=f"t-{new_request_id()}", display_name="Savanna Pay")
        )
        key = await admin.CreateTenantApiKey(
            pb.CreateTenantApiKeyRequest(tenant_id=made.tenant.id, name="backend")
        )
    headers = {"authorization": f"Bearer {key.secret}"}
    url = f"{running_stack.rest_url}/v1/auditRecords"

    async with asyncio.timeout(10), aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(url) as response:
                assert response.status == 200
                records = (await response.json())["audit_records"]
            if all(record["sequence"] != "0" for record in records):
                break
            await asyncio.sleep(0.1)

    assert [(one["sequence"], one["subject"], one["is_operator"]) for one in records] == [
        ("2", key.api_key.id, True),
        ("1", made.tenant.id, True),
    ]
