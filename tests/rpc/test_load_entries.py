"""Loads of any length: a stream of batches, each committed for itself."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import pytest

from adapters.system.clock import SystemClock
from app.rpc import interceptor
from app.usecase.ledger.load_entries import LoadEntries
from domain.ids import EntryId, TransferId
from domain.ledger.posting import Decision
from ports.errors import DatabaseBusy
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as pb
from tests.support.platform import Platform, amount, refusal_in, refusal_of

Ledger = Any


@pytest.fixture
async def book(platform: Platform) -> "Book":
    return await a_book(platform)


class Book:
    """A tenant's book with an external account and a customer's."""

    def __init__(self, platform: Platform, tenant_id: str, external: str, ada: str) -> None:
        self.platform = platform
        self.tenant_id = tenant_id
        self.external = external
        self.ada = ada

    def entry(self, value: str = "1.00", *, pays: bool = False) -> pb.NewEntry:
        """Return an entry that gives to the customer, or takes from her."""
        debit, credit = (self.ada, self.external) if pays else (self.external, self.ada)
        transfer = ledger_pb2.Transfer(
            id=str(self.platform.ids.new(TransferId)),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=amount(value, "NGN"),
        )
        return pb.NewEntry(entry_id=str(self.platform.ids.new(EntryId)), transfers=[transfer])

    def batch(self, entries: Iterable[pb.NewEntry]) -> pb.LoadEntriesRequest:
        return pb.LoadEntriesRequest(tenant_id=self.tenant_id, entries=entries)

    async def load(self, batches: Any) -> pb.LoadEntriesResponse:
        answer: pb.LoadEntriesResponse = await self.ledger.LoadEntries(batches)
        return answer

    @property
    def ledger(self) -> Ledger:
        return self.platform.operator.ledger_admin

    async def balance(self) -> str:
        opened = await self.ledger.OpenAccount(_name("EXTERNAL", self.tenant_id, owner="bank"))
        return str(opened.account.balance.posted.value)


async def a_book(platform: Platform) -> Book:
    tenant_id, client = await platform.a_tenant()
    customer = await client.create_customer()
    ledger = platform.operator.ledger_admin
    external = await ledger.OpenAccount(_name("EXTERNAL", tenant_id, owner="bank"))
    ada = await ledger.OpenAccount(_name("CUSTOMER", tenant_id, owner=customer.id))
    return Book(platform, tenant_id, external.account.id, ada.account.id)


def _name(kind: str, tenant_id: str, *, owner: str) -> pb.OpenAccountRequest:
    return pb.OpenAccountRequest(
        tenant_id=tenant_id, kind=f"ACCOUNT_KIND_{kind}", owner=owner, asset="NGN"
    )


async def test_batches_are_committed_in_order_and_all_is_told_at_the_end(book: Book) -> None:
    """The second pays out what the first brought."""
    answer = await book.load(
        [
            book.batch([book.entry("1.00") for _ in range(50)]),
            book.batch([book.entry("50.00", pays=True)]),
            book.batch([book.entry("2.00")]),
        ]
    )

    assert (answer.committed, answer.replayed, answer.refused) == (52, 0, 0)
    assert await book.balance() == "-2.00"


async def test_a_stream_that_comes_again_is_replays(book: Book) -> None:
    batches = [book.batch([book.entry() for _ in range(3)]) for _ in range(4)]
    await book.load(batches[:2])

    answer = await book.load(batches)
    again = await book.load(batches)

    assert (answer.committed, answer.replayed) == (6, 6)
    assert (again.committed, again.replayed) == (0, 12)
    assert await book.balance() == "-12.00"


async def test_who_is_refused_is_named_by_his_place_in_the_stream(book: Book) -> None:
    wrong = book.entry("3.00", pays=True)
    unreadable = book.entry()
    unreadable.transfers[0].id = "no id"
    answer = await book.load(
        [
            book.batch([book.entry(), book.entry()]),
            book.batch([book.entry("0.50"), wrong, book.entry("0.50")]),
            book.batch([unreadable, book.entry()]),
        ]
    )

    assert (answer.committed, answer.refused) == (5, 2)
    told = {one.position: refusal_in(one.refusal).reason for one in answer.refusals}
    assert told == {3: "INSUFFICIENT_FUNDS", 5: "INVALID_ID"}


async def test_a_thousand_refusals_are_told_and_all_are_counted(book: Book) -> None:
    wrong = [book.entry("1.00", pays=True) for _ in range(1_100)]

    answer = await book.load([book.batch(wrong[:600]), book.batch(wrong[600:])])

    assert (answer.committed, answer.refused) == (0, 1_100)
    assert [one.position for one in answer.refusals] == list(range(1_000))


async def test_a_stream_of_nothing_is_nothing(book: Book) -> None:
    assert await book.load([]) == pb.LoadEntriesResponse()


async def test_what_is_wrong_with_a_batch_ends_the_stream_and_says_which(book: Book) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await book.load([book.batch([book.entry()]), book.batch([]), book.batch([book.entry()])])

    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.metadata["batch"]) == ("EMPTY_BATCH", "1")
    assert await book.balance() == "-1.00"


async def test_bytes_that_are_no_batch_end_the_stream_after_what_came_before(book: Book) -> None:
    channel: Any = book.platform.channel
    load = channel.stream_unary("/reli.ledger.v1.LedgerAdminService/LoadEntries")
    batch = book.batch([book.entry()]).SerializeToString()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await load([batch, b"\xff\xff"], metadata=tuple(book.platform.operator.metadata))

    assert refusal_of(caught.value).reason == "MALFORMED_REQUEST"
    assert await book.balance() == "-1.00"


async def test_who_falls_silent_is_told_so(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interceptor, "SILENT_AT_MOST_S", 0.2)

    async def batches() -> AsyncIterator[pb.LoadEntriesRequest]:
        yield book.batch([book.entry()])
        await asyncio.sleep(5)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await book.load(batches())

    assert refusal_of(caught.value).reason == "DEADLINE_EXCEEDED"
    assert await book.balance() == "-1.00"


async def test_a_stream_that_breaks_leaves_whole_batches(book: Book) -> None:
    sent = asyncio.Event()

    async def batches() -> AsyncIterator[pb.LoadEntriesRequest]:
        for _ in range(20):
            yield book.batch([book.entry("0.50"), book.entry("0.50")])
        sent.set()
        await asyncio.sleep(60)

    call = book.ledger.LoadEntries(batches())
    await asyncio.wait_for(sent.wait(), 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await book.platform.container.interceptor().drain()

    assert float(await book.balance()) in {-float(batches) for batches in range(21)}


async def test_what_passes_by_itself_is_waited_for(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are cut while the stream is read."""

    async def cut() -> None:
        for _ in range(8):
            await asyncio.sleep(0.03)
            await book.platform.owner.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reli_app'"
            )

    cutting = asyncio.create_task(cut())
    answer = await book.load([book.batch([book.entry() for _ in range(100)]) for _ in range(20)])
    await cutting

    assert answer.committed + answer.replayed == 2_000
    assert await book.balance() == "-2000.00"


async def test_what_does_not_pass_ends_the_stream_and_says_which_batch_it_was() -> None:
    """Each try of the second batch finds the database busy."""
    waited: list[float] = []
    tried = 0

    async def create(_call: Any, _entries: Any) -> list[Decision]:
        nonlocal tried
        tried += 1
        if tried > 1:
            raise DatabaseBusy("busy")
        return []

    class Waiting(SystemClock):
        async def sleep(self, seconds: float) -> None:
            waited.append(seconds)

    async def batches() -> AsyncIterator[Any]:
        for _ in range(2):
            yield None, []

    untyped: Any = create
    with pytest.raises(DatabaseBusy) as caught:
        await LoadEntries(untyped, Waiting())(batches())

    assert caught.value.metadata["batch"] == "1"
    assert waited == [0.1, 0.2, 0.4, 0.8]


async def test_only_the_operator_loads(book: Book, platform: Platform) -> None:
    _, tenant = await platform.a_tenant()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tenant.ledger_admin.LoadEntries([book.batch([book.entry()])])

    assert refusal_of(caught.value).reason == "OPERATOR_ONLY"
