"""Receipts: made once of every trade that ended, read by its tenant, and true ever after."""

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToJson

from adapters.postgres.consumer import PostgresEventFeed
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.outbox import PostgresSequencer
from adapters.system.signer import is_signed
from app.ledger import verify_books
from app.ledger.command import verify
from app.usecase.trade.make_receipts import CONSUMER
from app.worker.dead_letter_replay import DeadLetterReplay
from app.worker.event_follower import MAX_FAILURES, EventFollower
from domain.canonical import canonical_json
from domain.trade.receipt import receipt_content
from domain.trade.trade import Trade
from ports.errors import DatabaseBusy
from reli.event.v1 import event_service_pb2 as event_pb
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from reli.trade.v1 import receipt_pb2, trade_pb2
from reli.trade.v1 import trade_service_pb2 as pb
from tests.support.audit import uuid_of
from tests.support.chain import SIGNER
from tests.support.platform import SELL, Client, Platform, new_request_id, refusal_of

REJECTED_BY_BOTH = "0.00007722"
LOST_BY_ALPHA = "0.00007761"


@dataclass
class Desk:
    """A platform and what makes its receipts."""

    platform: Platform
    follower: EventFollower
    leases: PostgresLeases
    sequencer: PostgresSequencer

    async def catch_up(self) -> None:
        lease = await self.leases.acquire("sequencer", lease_for=timedelta(seconds=30))
        assert lease is not None
        while await self.sequencer.stamp(lease, limit=1_000):
            pass
        await self.leases.renew(lease, lease_for=timedelta(0))
        while await self.follower():
            pass


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    engine = make_engine(platform.settings.work_database_url, pool_size=4)
    container = platform.work_container
    follower = EventFollower(
        CONSUMER, PostgresEventFeed(engine), container.make_receipts(), container.bury_event()
    )
    yield Desk(platform, follower, PostgresLeases(engine), PostgresSequencer(engine))
    await engine.dispose()


async def receipt_of(client: Client, trade_id: str) -> receipt_pb2.TradeReceipt:
    answer = await client.trades.GetTradeReceipt(pb.GetTradeReceiptRequest(trade_id=trade_id))
    receipt: receipt_pb2.TradeReceipt = answer.receipt
    said = json.loads(receipt.content)
    assert canonical_json(said) == receipt.content
    assert said["key_id"] == receipt.key_id == SIGNER.key_id
    assert is_signed(SIGNER.public_key, receipt.content, receipt.signature)
    return receipt


async def test_a_settled_trade_has_a_receipt_that_names_its_evidence(desk: Desk) -> None:
    tenant_id, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    quote = await client.quote(customer_id)
    trade = await client.accept(quote.id)
    request = pb.GetTradeEvidenceRequest(trade_id=trade.id)
    gathered = await client.trades.GetTradeEvidence(request)
    await desk.catch_up()

    receipt = await receipt_of(client, trade.id)

    assert (receipt.trade_id, receipt.quote_id) == (trade.id, quote.id)
    assert (receipt.customer_id, receipt.instrument) == (customer_id, "BTC-NGN")
    assert (receipt.base_amount, receipt.quote_amount) == (quote.base_amount, quote.quote_amount)
    assert (receipt.quote_time, receipt.expire_time) == (quote.create_time, quote.expire_time)
    assert (receipt.accept_time, receipt.end_time) == (trade.accept_time, trade.end_time)
    assert receipt.state == trade_pb2.TRADE_STATE_SETTLED
    assert receipt.paid_amount == trade.quote_amount
    assert receipt.received_amount == trade.base_amount
    assert receipt.final_entry_id == trade.settlement_entry_id
    assert b"alpha" not in receipt.content, "who executed is for the evidence to say"
    kept = await client.trades.GetTradeEvidence(request)
    assert kept == gathered
    assert sha256(kept.evidence.content).digest() == receipt.evidence_digest
    named = await desk.platform.operator.trade_admin.GetTenantTradeReceipt(
        pb.GetTenantTradeReceiptRequest(tenant_id=tenant_id, trade_id=trade.id)
    )
    assert named.receipt == receipt


async def test_a_seller_pays_the_base_and_receives_the_quote_amount(desk: Desk) -> None:
    _, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client, "1.00000000", "BTC")
    trade = await client.accept((await client.quote(customer_id, side=SELL)).id)
    await desk.catch_up()

    receipt = await receipt_of(client, trade.id)

    assert receipt.paid_amount == trade.base_amount
    assert receipt.received_amount == trade.quote_amount


async def test_a_rejected_trade_has_a_receipt_by_which_nothing_was_paid(desk: Desk) -> None:
    _, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id, REJECTED_BY_BOTH)).id)
    await desk.catch_up()

    receipt = await receipt_of(client, trade.id)

    assert receipt.state == trade_pb2.TRADE_STATE_REJECTED
    assert receipt.rejection_reason == trade.rejection_reason != ""
    assert not receipt.HasField("paid_amount")
    assert not receipt.HasField("received_amount")
    assert receipt.final_entry_id not in ("", receipt.hold_entry_id)


async def test_until_a_trade_has_ended_its_receipt_is_to_be_waited_for(desk: Desk) -> None:
    _, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id, LOST_BY_ALPHA)).id)
    await desk.catch_up()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await receipt_of(client, trade.id)

    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.retry) == ("RECEIPT_PENDING", "later")
    assert refusal.metadata["state"] in ("outcome_unknown", "pending")


async def test_each_trade_has_one_receipt_however_often_its_end_is_heard_of(desk: Desk) -> None:
    tenant_id, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    trades = [await client.accept((await client.quote(customer_id)).id) for _ in range(3)]
    await desk.catch_up()
    first = [await receipt_of(client, trade.id) for trade in trades]

    await desk.platform.owner.execute(
        "UPDATE core.consumer_positions SET sequence = 0 "
        "WHERE consumer = $1 AND source_tenant_id = $2",
        CONSUMER,
        uuid_of(tenant_id),
    )
    await desk.catch_up()

    assert [await receipt_of(client, trade.id) for trade in trades] == first


async def test_a_receipt_and_its_position_are_written_together_or_not_at_all(desk: Desk) -> None:
    tenant_id, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id)).id)
    await desk.platform.owner.execute(
        "CREATE FUNCTION core.refuse_receipt() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE lock_not_available; END $$;"
        "CREATE TRIGGER refuse AFTER INSERT ON core.receipts "
        "FOR EACH ROW EXECUTE FUNCTION core.refuse_receipt()"
    )
    try:
        with pytest.raises(DatabaseBusy):
            await desk.catch_up()
        before = await desk.platform.owner.fetchval(
            "SELECT sequence FROM core.consumer_positions "
            "WHERE consumer = $1 AND source_tenant_id = $2",
            CONSUMER,
            uuid_of(tenant_id),
        )
    finally:
        await desk.platform.owner.execute(
            "DROP TRIGGER refuse ON core.receipts; DROP FUNCTION core.refuse_receipt()"
        )
    await desk.catch_up()

    assert not before
    assert (await receipt_of(client, trade.id)).trade_id == trade.id


async def test_what_could_not_be_made_is_made_once_an_operator_has_it_replayed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    await desk.catch_up()
    broken = await client.accept((await client.quote(customer_id)).id)
    after = await client.accept((await client.quote(customer_id)).id)

    def fails(trade: Trade, *others: Any, **named: Any) -> bytes:
        if str(trade.id) == broken.id:
            raise ArithmeticError("a bug")
        return receipt_content(trade, *others, **named)

    monkeypatch.setattr("app.usecase.trade.make_receipts.receipt_content", fails)
    for _ in range(MAX_FAILURES):
        await desk.catch_up()
    monkeypatch.undo()
    letters = await desk.platform.operator.event_admin.ListDeadLetters(
        event_pb.ListDeadLettersRequest(tenant_id=tenant_id)
    )
    (letter,) = letters.dead_letters
    with pytest.raises(grpc.aio.AioRpcError):
        await receipt_of(client, broken.id)
    assert (await receipt_of(client, after.id)).trade_id == after.id

    await desk.platform.operator.event_admin.ReplayDeadLetter(
        event_pb.ReplayDeadLetterRequest(
            tenant_id=tenant_id, dead_letter_id=letter.id, request_id=new_request_id()
        )
    )
    await DeadLetterReplay(desk.platform.work_container.receipt_replays())()

    assert (letter.consumer, letter.event_type) == (CONSUMER, "trade.settled")
    assert (await receipt_of(client, broken.id)).trade_id == broken.id


async def test_the_verifier_finds_every_change(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, client = await desk.platform.a_tenant()
    customer_id = await desk.platform.a_funded_customer(client)
    trade = await client.accept((await client.quote(customer_id)).id)
    other = await client.accept((await client.quote(customer_id)).id)
    await desk.catch_up()
    jwks = tmp_path / "jwks.json"
    keys = await desk.platform.container.signing_key_servicer().GetSigningKeys(
        chain_pb.GetSigningKeysRequest(), None
    )
    jwks.write_text(MessageToJson(keys, preserving_proto_field_name=True))
    request = pb.GetTradeReceiptRequest(trade_id=trade.id)
    answer = await client.trades.GetTradeReceipt(request)
    receipt = json.loads(MessageToJson(answer, preserving_proto_field_name=True))
    evidence = [await _evidence(client, one.id) for one in (trade, other)]

    def told(said: Any) -> str:
        file = tmp_path / "receipt.json"
        file.write_text(json.dumps(said))
        try:
            return verify_books.check(file, jwks, "")
        except verify_books.BROKEN as error:
            return str(error)

    content = b64decode(receipt["receipt"]["content"])
    assert told(receipt) == f"what is signed is: {content.decode()}"
    assert told(receipt | evidence[0]) == told(receipt)
    assert "evidence_digest is another" in told(receipt | evidence[1])
    for place in range(0, len(content), 97):
        changed = bytearray(content)
        changed[place] ^= 1
        text = b64encode(changed).decode()
        assert not told({"receipt": receipt["receipt"] | {"content": text}}).startswith("what is")
    assert "trade_id is another" in told({"receipt": receipt["receipt"] | {"trade_id": other.id}})
    assert verify(tmp_path / "receipt.json", jwks, "") == 1
    told(receipt)
    assert verify(tmp_path / "receipt.json", jwks, "") == 0
    assert "what is signed is" in capsys.readouterr().out


async def _evidence(client: Client, trade_id: str) -> Any:
    answer = await client.trades.GetTradeEvidence(pb.GetTradeEvidenceRequest(trade_id=trade_id))
    return json.loads(MessageToJson(answer, preserving_proto_field_name=True))
