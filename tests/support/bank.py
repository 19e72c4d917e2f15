"""A tenant whose book mirrors a bank account, and the bank that tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.ids import EntryId, TransferId
from reli.auth.v1 import access_pb2
from reli.ledger.v1 import ledger_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.reconciliation.v1 import break_pb2, statement_pb2
from reli.reconciliation.v1 import reconciliation_service_pb2 as pb
from tests.support.platform import Client, Platform, amount, new_request_id
from tests.support.statements import csv_statement

RAIL = "first-bank"


@dataclass(frozen=True)
class Bank:
    """Attributes:
    starts_at, ends_at: the period of its first statement; what is booked now lies in it.
    """

    platform: Platform
    tenant_id: str
    external: str
    treasury: str
    starts_at: datetime
    ends_at: datetime
    second_operator: Client

    @property
    def noon(self) -> datetime:
        """When a line of the bank is of that the book has now."""
        return self.ends_at - timedelta(hours=1)

    @property
    def operator(self) -> Client:
        return self.platform.operator

    async def book(
        self, value: str, description: str = "", *, effective_at: datetime | None = None
    ) -> str:
        """Enter an amount that came from the bank, or went there; return the entry's id."""
        came = not value.startswith("-")
        request = ledger_pb.CreateEntryRequest(
            tenant_id=self.tenant_id,
            entry_id=str(self.platform.ids.new(EntryId)),
            transfers=[
                ledger_pb2.Transfer(
                    id=str(self.platform.ids.new(TransferId)),
                    debit_account_id=self.external if came else self.treasury,
                    credit_account_id=self.treasury if came else self.external,
                    amount=amount(value.removeprefix("-"), "NGN"),
                )
            ],
            description=description,
            request_id=new_request_id(),
        )
        if effective_at is not None:
            request.effective_time.FromDatetime(effective_at)
        made = await self.operator.ledger_admin.CreateEntry(request)
        return str(made.entry.id)

    async def tell(
        self,
        *lines: tuple[str, str],
        opening: str = "",
        closing: str = "",
        shift: timedelta = timedelta(),
        orders: Sequence[str] = (),
    ) -> statement_pb2.Statement:
        """Import a CSV of lines of `(reference, amount)`."""
        at = self.noon + shift
        named = [*orders, *[""] * (len(lines) - len(orders))]
        content = csv_statement(
            self.starts_at + shift,
            self.ends_at + shift,
            [
                (reference, order, at, "NGN", value)
                for (reference, value), order in zip(lines, named, strict=True)
            ],
            opening=opening,
            closing=closing,
        )
        return await self.bring(content)

    async def bring(
        self, content: bytes, format: Any = statement_pb2.STATEMENT_FORMAT_CSV
    ) -> statement_pb2.Statement:
        imported = await self.operator.reconciliation_admin.ImportStatement(
            self.request(content, format)
        )
        statement: statement_pb2.Statement = imported.statement
        return statement

    def request(
        self, content: bytes, format: Any = statement_pb2.STATEMENT_FORMAT_CSV
    ) -> pb.ImportStatementRequest:
        return pb.ImportStatementRequest(
            tenant_id=self.tenant_id,
            source=statement_pb2.Source(kind=statement_pb2.SOURCE_KIND_RAIL, name=RAIL),
            format=format,
            content=content,
        )

    async def breaks(self) -> list[break_pb2.Break]:
        """Return every break, the oldest first."""
        listed = await self.operator.reconciliation_admin.ListBreaks(
            pb.ListBreaksRequest(tenant_id=self.tenant_id, page_size=200)
        )
        return list(reversed(listed.breaks))

    async def open_breaks(self) -> list[break_pb2.Break]:
        return [one for one in await self.breaks() if one.state == break_pb2.BREAK_STATE_OPEN]

    async def resolve(self, found: break_pb2.Break, **explanation: str) -> break_pb2.Break:
        resolved = await self.operator.reconciliation_admin.ResolveBreak(
            pb.ResolveBreakRequest(
                tenant_id=self.tenant_id,
                break_id=found.id,
                note="as the bank told by telephone",
                request_id=new_request_id(),
                **explanation,
            )
        )
        result: break_pb2.Break = resolved.reconciliation_break
        return result

    async def approve(
        self, proposed: break_pb2.Break, *, by: Client | None = None, request_id: str = ""
    ) -> break_pb2.Break:
        approved = await (by or self.second_operator).reconciliation_admin.ApproveBreakResolution(
            pb.ApproveBreakResolutionRequest(
                tenant_id=self.tenant_id,
                break_id=proposed.id,
                break_resolution_id=proposed.resolution.id,
                request_id=request_id or new_request_id(),
            )
        )
        result: break_pb2.Break = approved.reconciliation_break
        return result


async def a_bank(platform: Platform) -> Bank:
    tenant_id, _ = await platform.a_tenant()

    async def opened(kind: str, owner: str = "") -> str:
        made = await platform.operator.ledger_admin.OpenAccount(
            ledger_pb.OpenAccountRequest(
                tenant_id=tenant_id, kind=f"ACCOUNT_KIND_{kind}", owner=owner, asset="NGN"
            )
        )
        return str(made.account.id)

    external, treasury = await opened("EXTERNAL", RAIL), await opened("TREASURY")
    await platform.operator.ledger_admin.SetOverdraftLimit(
        ledger_pb.SetOverdraftLimitRequest(
            tenant_id=tenant_id,
            account_id=treasury,
            overdraft_limit=amount("1000000.00", "NGN"),
        )
    )
    now = datetime.now(UTC)
    house = str(platform.environment.house_id)
    return Bank(
        platform=platform,
        tenant_id=tenant_id,
        external=external,
        treasury=treasury,
        starts_at=now - timedelta(hours=23),
        ends_at=now + timedelta(hours=1),
        second_operator=await platform.a_client(house, [access_pb2.SCOPE_OPERATOR]),
    )
