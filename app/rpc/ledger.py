"""Services of the ledger, for tenants, the operator and everybody: decode, call, encode."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from adapters.wire.amount import (
    amount_message,
    read_amount,
    read_asset,
    read_optional_time,
    time_message,
)
from adapters.wire.checkpoint import (
    checkpoint_message,
    inclusion_proof_message,
    json_web_key_message,
)
from adapters.wire.close import daily_close_message
from adapters.wire.ledger import (
    account_message,
    entry_message,
    held_for_message,
    posting_message,
    read_account_kind,
    read_posting_order,
    read_transfer,
)
from adapters.wire.liability import liability_proof_message
from adapters.wire.statement import read_statement_format, statement_messages
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.errors import status_of
from app.rpc.request import (
    call_of,
    call_without_id,
    money_call_of,
    named_tenant,
    next_token,
    optional_text_of,
    page_of,
)
from app.usecase.ledger.close_books import ReadCloses
from app.usecase.ledger.create_entries import CreateEntries, EntryResult
from app.usecase.ledger.create_entry import CreateEntry
from app.usecase.ledger.export_books import ExportBooks
from app.usecase.ledger.load_entries import LoadEntries
from app.usecase.ledger.open_account import OpenAccount
from app.usecase.ledger.prove_liability import ProveLiability
from app.usecase.ledger.read_chain import ReadChain
from app.usecase.ledger.read_ledger import ReadLedger
from app.usecase.ledger.read_signing_keys import ReadSigningKeys
from app.usecase.ledger.read_statement import ReadStatement
from app.usecase.ledger.reverse_entry import ReverseEntry
from app.usecase.ledger.set_overdraft_limit import SetOverdraftLimit
from domain.amount import AmountNotPositive
from domain.asset import Asset
from domain.errors import DomainError
from domain.ids import AccountId, CustomerId, EntryId, TenantId
from domain.ledger.account import AccountKey
from domain.ledger.close import read_day
from domain.ledger.entry import NewEntry
from domain.ledger.statement import Period
from ports.journal import BREATH
from ports.ledger import RecordedEntry
from ports.market import Market
from reli.ledger.v1 import checkpoint_service_pb2 as chain_pb
from reli.ledger.v1 import ledger_pb2, statement_pb2
from reli.ledger.v1 import ledger_service_pb2 as pb
from reli.ledger.v1 import statement_service_pb2 as statement_pb
from reli.ledger.v1.checkpoint_service_pb2_grpc import (
    CheckpointAdminServiceServicer,
    CheckpointServiceServicer,
    SigningKeyServiceServicer,
)
from reli.ledger.v1.ledger_service_pb2_grpc import (
    LedgerAdminServiceServicer,
    LedgerServiceServicer,
)
from reli.ledger.v1.statement_service_pb2_grpc import (
    StatementAdminServiceServicer,
    StatementServiceServicer,
)

MAX_DESCRIPTION = 200
MAX_OWNER = 64

_COMMITTED: Final = pb.EntryResult(outcome=pb.ENTRY_OUTCOME_COMMITTED)
_REPLAYED: Final = pb.EntryResult(outcome=pb.ENTRY_OUTCOME_REPLAYED)


class LedgerServicer(LedgerServiceServicer):
    def __init__(self, *, read_ledger: ReadLedger) -> None:
        self._read_ledger = read_ledger

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, context: Context
    ) -> pb.ListAccountsResponse:
        page = await self._read_ledger.accounts(current_caller().tenant_id, page_of(request))
        return pb.ListAccountsResponse(
            accounts=[account_message(account) for account in page.items],
            next_page_token=next_token(page),
        )

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        account, holds = await self._read_ledger.account(
            current_caller().tenant_id, AccountId.parse(request.account_id, field="account_id")
        )
        return pb.GetAccountResponse(
            account=account_message(account),
            holds=[held_for_message(account, held) for held in holds],
        )

    async def GetBalance(
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        balance = await self._read_ledger.balance_at(
            current_caller().tenant_id,
            AccountId.parse(request.account_id, field="account_id"),
            effective_at=read_optional_time(request, "effective_time"),
            recorded_by=read_optional_time(request, "record_time"),
        )
        return pb.GetBalanceResponse(
            posted=amount_message(balance.posted),
            effective_time=time_message(balance.effective_at),
            record_time=time_message(balance.recorded_by),
        )

    async def ListPostings(
        self, request: pb.ListPostingsRequest, context: Context
    ) -> pb.ListPostingsResponse:
        page = await self._read_ledger.postings(
            current_caller().tenant_id,
            AccountId.parse(request.account_id, field="account_id"),
            page_of(request, by=int),
            read_posting_order(request.order),
        )
        return pb.ListPostingsResponse(
            postings=[posting_message(posting) for posting in page.items],
            next_page_token=next_token(page),
        )

    async def ListBalances(
        self, request: pb.ListBalancesRequest, context: Context
    ) -> pb.ListBalancesResponse:
        page = await self._read_ledger.balances(
            current_caller().tenant_id,
            CustomerId.parse(request.customer_id, field="customer_id"),
            page_of(request, by=int),
        )
        return pb.ListBalancesResponse(
            accounts=[account_message(account) for account in page.items],
            next_page_token=next_token(page),
        )


class LedgerAdminServicer(LedgerAdminServiceServicer):
    def __init__(
        self,
        *,
        create_entry: CreateEntry,
        create_entries: CreateEntries,
        load_entries: LoadEntries,
        reverse_entry: ReverseEntry,
        open_account: OpenAccount,
        set_overdraft_limit: SetOverdraftLimit,
        read_ledger: ReadLedger,
        market: Market,
    ) -> None:
        self._create_entry = create_entry
        self._create_entries = create_entries
        self._load_entries = load_entries
        self._reverse_entry = reverse_entry
        self._open_account = open_account
        self._set_overdraft_limit = set_overdraft_limit
        self._read_ledger = read_ledger
        self._market = market

    async def CreateEntry(
        self, request: pb.CreateEntryRequest, context: Context
    ) -> pb.CreateEntryResponse:
        assets = (await self._market.catalogue()).assets
        call = money_call_of(request).on(named_tenant(request))
        recorded = await self._create_entry(call, _new_entry(request, assets))
        return pb.CreateEntryResponse(entry=_recorded_message(recorded))

    async def CreateEntries(
        self, request: pb.CreateEntriesRequest, context: Context
    ) -> pb.CreateEntriesResponse:
        assets = (await self._market.catalogue()).assets
        results = await self._create_entries(
            call_without_id().on(named_tenant(request)),
            await _new_entries(request.entries, assets),
        )
        return pb.CreateEntriesResponse(results=map(_result_message, results))

    async def LoadEntries(
        self, requests: AsyncIterator[pb.LoadEntriesRequest], context: Context
    ) -> pb.LoadEntriesResponse:
        assets = (await self._market.catalogue()).assets
        loaded = await self._load_entries(
            (
                call_without_id().on(named_tenant(request)),
                await _new_entries(request.entries, assets),
            )
            async for request in requests
        )
        return pb.LoadEntriesResponse(
            committed=loaded.committed,
            replayed=loaded.replayed,
            refused=loaded.refused,
            refusals=[
                pb.RefusedEntry(position=position, refusal=status_of(refusal))
                for position, refusal in loaded.refusals
            ],
        )

    async def ReverseEntry(
        self, request: pb.ReverseEntryRequest, context: Context
    ) -> pb.ReverseEntryResponse:
        recorded = await self._reverse_entry(
            money_call_of(request).on(named_tenant(request)),
            EntryId.parse(request.entry_id, field="entry_id"),
            description=_description(request),
            effective_at=read_optional_time(request, "effective_time"),
        )
        return pb.ReverseEntryResponse(entry=_recorded_message(recorded))

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        recorded = await self._read_ledger.entry(
            named_tenant(request), EntryId.parse(request.entry_id, field="entry_id")
        )
        return pb.GetEntryResponse(entry=_recorded_message(recorded))

    async def OpenAccount(
        self, request: pb.OpenAccountRequest, context: Context
    ) -> pb.OpenAccountResponse:
        assets = (await self._market.catalogue()).assets
        key = AccountKey(
            kind=read_account_kind(request.kind),
            asset=read_asset(request.asset, assets, field="asset"),
            owner=optional_text_of(request.owner, field="owner", maximum=MAX_OWNER),
        )
        account = await self._open_account(call_without_id().on(named_tenant(request)), key)
        return pb.OpenAccountResponse(account=account_message(account))

    async def SetOverdraftLimit(
        self, request: pb.SetOverdraftLimitRequest, context: Context
    ) -> pb.SetOverdraftLimitResponse:
        assets = (await self._market.catalogue()).assets
        limit = read_amount(request.overdraft_limit, assets, field="overdraft_limit")
        if limit.units < 0:
            raise AmountNotPositive(
                "overdraft_limit must be zero or more", field="overdraft_limit.value"
            )
        account = await self._set_overdraft_limit(
            call_of(request).on(named_tenant(request)),
            AccountId.parse(request.account_id, field="account_id"),
            limit,
        )
        return pb.SetOverdraftLimitResponse(account=account_message(account))


class CheckpointServicer(CheckpointServiceServicer):
    def __init__(
        self,
        *,
        read_chain: ReadChain,
        export_books: ExportBooks,
        prove_liability: ProveLiability,
        market: Market,
    ) -> None:
        self._read_chain = read_chain
        self._export_books = export_books
        self._prove_liability = prove_liability
        self._market = market

    async def ListCheckpoints(
        self, request: chain_pb.ListCheckpointsRequest, context: Context
    ) -> chain_pb.ListCheckpointsResponse:
        page = await self._read_chain.checkpoints(
            current_caller().tenant_id, page_of(request, by=int)
        )
        return chain_pb.ListCheckpointsResponse(
            checkpoints=map(checkpoint_message, page.items), next_page_token=next_token(page)
        )

    async def GetInclusionProof(
        self, request: chain_pb.GetInclusionProofRequest, context: Context
    ) -> chain_pb.GetInclusionProofResponse:
        proof = await self._read_chain.inclusion_proof(
            current_caller().tenant_id, EntryId.parse(request.entry_id, field="entry_id")
        )
        return chain_pb.GetInclusionProofResponse(proof=inclusion_proof_message(proof))

    async def GetLiabilityProof(
        self, request: chain_pb.GetLiabilityProofRequest, context: Context
    ) -> chain_pb.GetLiabilityProofResponse:
        assets = (await self._market.catalogue()).assets
        proof = await self._prove_liability(
            current_caller().tenant_id,
            CustomerId.parse(request.customer_id, field="customer_id"),
            read_asset(request.asset, assets, field="asset"),
        )
        return chain_pb.GetLiabilityProofResponse(proof=liability_proof_message(proof))

    async def ExportBooks(
        self, request: chain_pb.ExportBooksRequest, context: Context
    ) -> AsyncIterator[chain_pb.ExportBooksResponse]:
        async for chunk in self._export_books(current_caller().tenant_id):
            yield chain_pb.ExportBooksResponse(chunk=chunk)


class CheckpointAdminServicer(CheckpointAdminServiceServicer):
    def __init__(
        self,
        *,
        read_chain: ReadChain,
        export_books: ExportBooks,
        prove_liability: ProveLiability,
        market: Market,
    ) -> None:
        self._read_chain = read_chain
        self._export_books = export_books
        self._prove_liability = prove_liability
        self._market = market

    async def ListTenantCheckpoints(
        self, request: chain_pb.ListTenantCheckpointsRequest, context: Context
    ) -> chain_pb.ListTenantCheckpointsResponse:
        page = await self._read_chain.checkpoints(named_tenant(request), page_of(request, by=int))
        return chain_pb.ListTenantCheckpointsResponse(
            checkpoints=map(checkpoint_message, page.items), next_page_token=next_token(page)
        )

    async def GetTenantInclusionProof(
        self, request: chain_pb.GetTenantInclusionProofRequest, context: Context
    ) -> chain_pb.GetTenantInclusionProofResponse:
        proof = await self._read_chain.inclusion_proof(
            named_tenant(request), EntryId.parse(request.entry_id, field="entry_id")
        )
        return chain_pb.GetTenantInclusionProofResponse(proof=inclusion_proof_message(proof))

    async def GetTenantLiabilityProof(
        self, request: chain_pb.GetTenantLiabilityProofRequest, context: Context
    ) -> chain_pb.GetTenantLiabilityProofResponse:
        assets = (await self._market.catalogue()).assets
        proof = await self._prove_liability(
            named_tenant(request),
            CustomerId.parse(request.customer_id, field="customer_id"),
            read_asset(request.asset, assets, field="asset"),
        )
        return chain_pb.GetTenantLiabilityProofResponse(proof=liability_proof_message(proof))

    async def ExportTenantBooks(
        self, request: chain_pb.ExportTenantBooksRequest, context: Context
    ) -> AsyncIterator[chain_pb.ExportTenantBooksResponse]:
        async for chunk in self._export_books(named_tenant(request)):
            yield chain_pb.ExportTenantBooksResponse(chunk=chunk)


class SigningKeyServicer(SigningKeyServiceServicer):
    def __init__(self, *, read_signing_keys: ReadSigningKeys) -> None:
        self._read_signing_keys = read_signing_keys

    async def GetSigningKeys(
        self, request: chain_pb.GetSigningKeysRequest, context: Context
    ) -> chain_pb.GetSigningKeysResponse:
        keys = await self._read_signing_keys()
        return chain_pb.GetSigningKeysResponse(keys=map(json_web_key_message, keys))


class StatementServicer(StatementServiceServicer):
    def __init__(self, *, read_statement: ReadStatement, read_closes: ReadCloses) -> None:
        self._read_statement = read_statement
        self._read_closes = read_closes

    async def GetStatement(
        self, request: statement_pb.GetStatementRequest, context: Context
    ) -> AsyncIterator[statement_pb.GetStatementResponse]:
        tenant_id = current_caller().tenant_id
        async for part in _statement(self._read_statement, tenant_id, request):
            yield statement_pb.GetStatementResponse(part=part)

    async def GetDailyClose(
        self, request: statement_pb.GetDailyCloseRequest, context: Context
    ) -> statement_pb.GetDailyCloseResponse:
        close = await self._read_closes.get(current_caller().tenant_id, read_day(request.day))
        return statement_pb.GetDailyCloseResponse(close=daily_close_message(close))

    async def ListDailyCloses(
        self, request: statement_pb.ListDailyClosesRequest, context: Context
    ) -> statement_pb.ListDailyClosesResponse:
        page = await self._read_closes.list(current_caller().tenant_id, page_of(request, by=int))
        return statement_pb.ListDailyClosesResponse(
            closes=map(daily_close_message, page.items), next_page_token=next_token(page)
        )


class StatementAdminServicer(StatementAdminServiceServicer):
    def __init__(self, *, read_statement: ReadStatement, read_closes: ReadCloses) -> None:
        self._read_statement = read_statement
        self._read_closes = read_closes

    async def GetTenantStatement(
        self, request: statement_pb.GetTenantStatementRequest, context: Context
    ) -> AsyncIterator[statement_pb.GetTenantStatementResponse]:
        async for part in _statement(self._read_statement, named_tenant(request), request):
            yield statement_pb.GetTenantStatementResponse(part=part)

    async def GetTenantDailyClose(
        self, request: statement_pb.GetTenantDailyCloseRequest, context: Context
    ) -> statement_pb.GetTenantDailyCloseResponse:
        close = await self._read_closes.get(named_tenant(request), read_day(request.day))
        return statement_pb.GetTenantDailyCloseResponse(close=daily_close_message(close))

    async def ListTenantDailyCloses(
        self, request: statement_pb.ListTenantDailyClosesRequest, context: Context
    ) -> statement_pb.ListTenantDailyClosesResponse:
        page = await self._read_closes.list(named_tenant(request), page_of(request, by=int))
        return statement_pb.ListTenantDailyClosesResponse(
            closes=map(daily_close_message, page.items), next_page_token=next_token(page)
        )


def _new_entry(
    request: pb.CreateEntryRequest | pb.NewEntry, assets: Mapping[str, Asset]
) -> NewEntry:
    return NewEntry(
        id=EntryId.parse(request.entry_id, field="entry_id"),
        transfers=tuple([read_transfer(transfer, assets) for transfer in request.transfers]),
        description=_description(request),
        effective_at=read_optional_time(request, "effective_time"),
    )


def _description(request: Any) -> str:
    return optional_text_of(request.description, field="description", maximum=MAX_DESCRIPTION)


def _recorded_message(recorded: RecordedEntry) -> ledger_pb2.Entry:
    return entry_message(
        recorded.entry, recorded_at=recorded.recorded_at, reversed_by=recorded.reversed_by
    )


async def _new_entries(
    messages: Sequence[pb.NewEntry], assets: Mapping[str, Asset]
) -> list[NewEntry | DomainError]:
    entries: list[NewEntry | DomainError] = []
    for entry in messages:
        entries.append(_new_entry_or_refusal(entry, assets))
        if len(entries) % BREATH == 0:
            await asyncio.sleep(0)
    return entries


def _new_entry_or_refusal(
    entry: pb.NewEntry, assets: Mapping[str, Asset]
) -> NewEntry | DomainError:
    try:
        return _new_entry(entry, assets)
    except DomainError as refusal:
        return refusal


def _result_message(result: EntryResult) -> pb.EntryResult:
    if isinstance(result, DomainError):
        return pb.EntryResult(outcome=pb.ENTRY_OUTCOME_REFUSED, refusal=status_of(result))
    return _REPLAYED if result.is_replay else _COMMITTED


def _statement(
    read_statement: ReadStatement, tenant_id: TenantId, request: Any
) -> AsyncIterator[statement_pb2.StatementPart]:
    parts = read_statement(
        tenant_id,
        AccountId.parse(request.account_id, field="account_id"),
        Period.between(
            read_optional_time(request, "start_time"), read_optional_time(request, "end_time")
        ),
        recorded_by=read_optional_time(request, "record_time"),
    )
    return statement_messages(parts, read_statement_format(request.format))
