"""Statements from outside: as messages, as CSV, and as camt.053 that its schema accepts."""

import asyncio
import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.statement_out.camt_053 import NAMESPACE
from adapters.statement_out.csv_file import COLUMNS
from adapters.statement_out.file import CHUNK_BYTES
from app.usecase.ledger import read_statement
from domain.ids import EntryId, TransferId
from reli.ledger.v1 import ledger_pb2, statement_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.ledger.v1 import statement_service_pb2 as pb
from tests.support.camt_053 import assert_valid
from tests.support.platform import Client, Platform, amount, refusal_of


@dataclass(frozen=True)
class Book:
    """A tenant's book with an external account and a customer's."""

    platform: Platform
    client: Client
    tenant_id: str
    external: str
    ada: str
    now: datetime

    async def enter(
        self,
        value: str,
        *,
        pays: bool = False,
        days: int | None = None,
        description: str = "",
        entries: int = 1,
    ) -> None:
        """Give to the customer, or take from her, to count so many days from now."""
        debit, credit = (self.ada, self.external) if pays else (self.external, self.ada)
        ids = self.platform.ids
        made = [
            pb_entry(
                ids.new(EntryId),
                ledger_pb2.Transfer(
                    id=str(ids.new(TransferId)),
                    debit_account_id=debit,
                    credit_account_id=credit,
                    amount=amount(value, "NGN"),
                ),
                description,
                None if days is None else stamp(self.now + timedelta(days=days)),
            )
            for _ in range(entries)
        ]
        answer = await self.platform.operator.ledger_admin.CreateEntries(
            ledger_pb.CreateEntriesRequest(tenant_id=self.tenant_id, entries=made)
        )
        assert {one.outcome for one in answer.results} == {ledger_pb.ENTRY_OUTCOME_COMMITTED}

    def request(self, format: str = "JSON", **changes: Any) -> pb.GetStatementRequest:
        fields: dict[str, Any] = {
            "account_id": self.ada,
            "start_time": stamp(self.now - timedelta(days=10)),
            "end_time": stamp(self.now + timedelta(days=10)),
            "format": f"STATEMENT_FORMAT_{format}",
        }
        return pb.GetStatementRequest(**fields | changes)

    async def parts(
        self, format: str = "JSON", **changes: Any
    ) -> list[statement_pb2.StatementPart]:
        call = self.client.statements.GetStatement(self.request(format, **changes))
        return [response.part async for response in call]

    async def file(self, format: str, **changes: Any) -> bytes:
        parts = await self.parts(format, **changes)
        assert all(len(part.chunk) == CHUNK_BYTES for part in parts[:-1])
        return b"".join(part.chunk for part in parts)


def pb_entry(id: EntryId, transfer: Any, description: str, at: Timestamp | None) -> Any:
    return ledger_pb.NewEntry(
        entry_id=str(id), transfers=[transfer], description=description, effective_time=at
    )


def stamp(instant: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(instant)
    return made


@pytest.fixture
async def book(platform: Platform) -> Book:
    tenant_id, client = await platform.a_tenant()
    customer = await client.create_customer()
    ledger = platform.operator.ledger_admin
    external = await ledger.OpenAccount(
        ledger_pb.OpenAccountRequest(
            tenant_id=tenant_id, kind="ACCOUNT_KIND_EXTERNAL", owner="bank", asset="NGN"
        )
    )
    ada = await ledger.OpenAccount(
        ledger_pb.OpenAccountRequest(
            tenant_id=tenant_id, kind="ACCOUNT_KIND_CUSTOMER", owner=customer.id, asset="NGN"
        )
    )
    now = await platform.owner.fetchval("SELECT core.now()")
    return Book(platform, client, tenant_id, external.account.id, ada.account.id, now)


async def a_month(book: Book) -> None:
    """What counts before, in, and after the period of the requests."""
    await book.enter("1000.00", days=-20)
    await book.enter("250.50", description='Rent, "March"\u2028 & <more>')
    await book.enter("100.25", pays=True, days=-5, description="=1+1")
    await book.enter("7.00", days=20)


async def test_a_statement_is_its_opening_lines_and_closing(book: Book) -> None:
    await a_month(book)

    opening, lines, closing = await book.parts()

    assert opening.opening.account_id == book.ada
    assert opening.opening.kind == ledger_pb2.ACCOUNT_KIND_CUSTOMER
    assert opening.opening.balance == amount("1000.00", "NGN")
    assert [(one.change.value, one.balance.value) for one in lines.lines.lines] == [
        ("-100.25", "899.75"),
        ("250.50", "1150.25"),
    ]
    assert lines.lines.lines[1].description == 'Rent, "March"\u2028 & <more>'
    assert closing.closing == statement_pb2.StatementClosing(
        balance=amount("1150.25", "NGN"),
        credits=amount("250.50", "NGN"),
        debits=amount("100.25", "NGN"),
        credit_lines=1,
        debit_lines=1,
    )


async def test_a_period_in_which_nothing_moved_has_no_lines(book: Book) -> None:
    opening, closing = await book.parts()

    assert opening.opening.balance == closing.closing.balance == amount("0.00", "NGN")


@pytest.mark.parametrize("format", ["JSON", "CSV", "CAMT_053"])
async def test_asked_again_with_its_instant_every_byte_is_the_same(book: Book, format: str) -> None:
    await a_month(book)
    recorded = (await book.parts())[0].opening.record_time

    async def answer(**changes: Any) -> bytes:
        return b"".join(part.SerializeToString() for part in await book.parts(format, **changes))

    first = await answer(record_time=recorded)
    for days in (-9, None, 9):
        await book.enter("3.00", days=days)
        assert await answer(record_time=recorded) == first
    assert len(await answer()) > len(first)


async def test_a_statement_of_many_lines_comes_in_parts(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_statement, "LINES", 10)
    await book.enter("1.00", entries=95)
    await book.enter("1.00", entries=12, days=-3)

    _, *pages, closing = await book.parts()
    lines = [line for page in pages for line in page.lines.lines]

    assert len(pages) >= 10
    assert all(1 <= len(page.lines.lines) <= 20 for page in pages)
    assert [line.balance.value for line in lines] == [f"{n}.00" for n in range(1, 108)]
    assert closing.closing.credit_lines == 107


async def test_a_csv_file_has_a_row_for_each_balance_and_line(book: Book) -> None:
    await a_month(book)

    text = (await book.file("CSV")).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""))

    assert tuple(header) == COLUMNS
    assert text.endswith("\r\n")
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    assert [(row["row"], row["change"], row["balance"]) for row in found] == [
        ("opening", "", "1000.00"),
        ("line", "-100.25", "899.75"),
        ("line", "250.50", "1150.25"),
        ("closing", "", "1150.25"),
    ]
    assert {row["asset"] for row in found} == {"NGN"}
    assert found[2]["description"] == 'Rent, "March"\u2028 & <more>'
    assert found[2]["counter_account_id"] == book.external


async def test_a_long_file_comes_in_chunks_of_one_size(book: Book) -> None:
    await book.enter("1.00", entries=1_500, description="x" * 100)

    text = await book.file("CSV")

    assert len(text) > 2 * CHUNK_BYTES
    assert len(text.splitlines()) == 1_503


def texts(document: Any, path: str) -> list[str]:
    steps = "/".join(f"c:{step}" for step in path.split("/"))
    return [one.text for one in document.iterfind(f".//{steps}", {"c": NAMESPACE})]


async def test_a_camt_053_file_is_accepted_by_its_schema(book: Book) -> None:
    await a_month(book)

    document = assert_valid(await book.file("CAMT_053"))

    assert texts(document, "Acct/Id/Othr/Id") == [book.ada]
    assert texts(document, "Bal/Tp/CdOrPrtry/Cd") == ["OPBD", "CLBD"]
    assert texts(document, "Bal/Amt") == ["1000.00", "1150.25"]
    assert texts(document, "Ntry/Amt") == ["100.25", "250.50"]
    assert texts(document, "Ntry/CdtDbtInd") == ["DBIT", "CRDT"]
    assert texts(document, "Ntry/AddtlNtryInf") == ["=1+1", 'Rent, "March"\u2028 & <more>']
    assert texts(document, "CdtrAcct/Id/Othr/Id") == [book.external]
    assert len(texts(document, "Ntry/NtryRef")) == 2


async def test_a_camt_053_file_without_entries_is_accepted_too(book: Book) -> None:
    document = assert_valid(await book.file("CAMT_053"))

    assert texts(document, "Bal/Amt") == ["0.00", "0.00"]
    assert texts(document, "Bal/CdtDbtInd") == ["CRDT", "CRDT"]


async def test_bitcoin_has_no_camt_053(book: Book) -> None:
    opened = await book.platform.operator.ledger_admin.OpenAccount(
        ledger_pb.OpenAccountRequest(
            tenant_id=book.tenant_id, kind="ACCOUNT_KIND_TREASURY", asset="BTC"
        )
    )

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await book.parts("CAMT_053", account_id=opened.account.id)

    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.metadata["asset"]) == ("STATEMENT_NOT_EXPRESSIBLE", "BTC")


async def test_the_operator_reads_any_tenants_statement_by_its_name(book: Book) -> None:
    await a_month(book)
    own = await book.parts()
    asked = book.request(record_time=own[0].opening.record_time)
    request = pb.GetTenantStatementRequest(
        tenant_id=book.tenant_id,
        account_id=asked.account_id,
        start_time=asked.start_time,
        end_time=asked.end_time,
        record_time=asked.record_time,
    )

    call = book.platform.operator.statement_admin.GetTenantStatement(request)

    assert [response.part async for response in call] == own


async def test_who_hangs_up_in_the_middle_leaves_nothing_running(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_statement, "LINES", 1)
    await book.enter("1.00", entries=300)
    call = book.client.statements.GetStatement(book.request())
    stream = aiter(call)
    for _ in range(3):
        await anext(stream)

    call.cancel()
    await asyncio.wait_for(book.platform.container.interceptor().drain(), 5)

    assert call.cancelled()
    assert len(await book.parts()) == 302


async def test_a_statement_ends_at_its_deadline(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_statement, "LINES", 1)
    await book.enter("1.00", entries=2_000)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in book.client.statements.GetStatement(book.request(), timeout=0.5):
            pass

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
