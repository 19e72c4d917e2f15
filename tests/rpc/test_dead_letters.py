"""What a consumer could not deal with, operators see and have replayed."""

import grpc
import pytest

from reli.event.v1 import dead_letter_pb2
from reli.event.v1 import event_service_pb2 as pb
from tests.support.dead_letters import a_dead_letter
from tests.support.platform import Client, Platform, new_request_id, refusal_of

BURIED = dead_letter_pb2.DEAD_LETTER_STATE_BURIED
REQUESTED = dead_letter_pb2.DEAD_LETTER_STATE_REPLAY_REQUESTED


async def replay(
    client: Client, tenant_id: str, letter_id: str, request_id: str = ""
) -> dead_letter_pb2.DeadLetter:
    answer = await client.event_admin.ReplayDeadLetter(
        pb.ReplayDeadLetterRequest(
            tenant_id=tenant_id,
            dead_letter_id=letter_id,
            request_id=request_id or new_request_id(),
        )
    )
    letter: dead_letter_pb2.DeadLetter = answer.dead_letter
    return letter


async def test_a_letter_says_whose_event_it_is_and_what_the_consumer_failed_of(
    platform: Platform,
) -> None:
    tenant_id, _ = await platform.a_tenant()
    letter_id = await a_dead_letter(platform.owner, tenant_id, reason="a bug")

    listed = await platform.operator.event_admin.ListDeadLetters(
        pb.ListDeadLettersRequest(tenant_id=tenant_id)
    )

    (letter,) = listed.dead_letters
    assert (letter.id, letter.tenant_id, letter.state) == (letter_id, tenant_id, BURIED)
    assert (letter.consumer, letter.event_type) == ("house_book", "tenant.created")
    assert (letter.subject, letter.reason) == (tenant_id, "a bug")
    assert letter.event_id.startswith("event_")
    assert letter.HasField("bury_time")
    assert not letter.HasField("replay_time")


async def test_letters_of_all_tenants_are_listed_by_page_the_newest_first(
    platform: Platform,
) -> None:
    tenant_ids = [(await platform.a_tenant())[0] for _ in range(2)]
    buried = [await a_dead_letter(platform.owner, tenant_id) for tenant_id in tenant_ids]
    found: list[str] = []
    token = ""
    while True:
        page = await platform.operator.event_admin.ListDeadLetters(
            pb.ListDeadLettersRequest(page_size=2, page_token=token)
        )
        found += [letter.id for letter in page.dead_letters]
        token = page.next_page_token
        if not token:
            break

    assert found == sorted(set(found), reverse=True)
    assert set(buried) <= set(found)


async def test_the_same_request_is_heard_once(platform: Platform) -> None:
    tenant_id, _ = await platform.a_tenant()
    letter_id = await a_dead_letter(platform.owner, tenant_id)
    request_id = new_request_id()

    first = await replay(platform.operator, tenant_id, letter_id, request_id)

    assert first.state == REQUESTED
    assert first.replay_requested_by.startswith("apikey_")
    assert first.HasField("replay_request_time")
    assert await replay(platform.operator, tenant_id, letter_id, request_id) == first
    assert await replay(platform.operator, tenant_id, letter_id) == first
    other_tenant_id, _ = await platform.a_tenant()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await replay(platform.operator, other_tenant_id, letter_id, request_id)
    assert refusal_of(refused.value).reason == "REQUEST_ID_REUSED"


async def test_a_letter_is_replayed_for_the_tenant_whose_event_it_is(platform: Platform) -> None:
    tenant_id, _ = await platform.a_tenant()
    other_tenant_id, _ = await platform.a_tenant()
    letter_id = await a_dead_letter(platform.owner, tenant_id)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await replay(platform.operator, other_tenant_id, letter_id)

    assert refusal_of(refused.value).reason == "DEAD_LETTER_NOT_FOUND"


async def test_a_tenants_key_neither_sees_nor_replays_its_own_letters(platform: Platform) -> None:
    tenant_id, client = await platform.a_tenant()
    letter_id = await a_dead_letter(platform.owner, tenant_id)

    for call in (
        client.event_admin.ListDeadLetters(pb.ListDeadLettersRequest(tenant_id=tenant_id)),
        replay(client, tenant_id, letter_id),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert refusal_of(refused.value).reason == "OPERATOR_ONLY"
