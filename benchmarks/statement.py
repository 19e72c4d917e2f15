"""What a statement of a busy account takes: time, bytes, and the peak memory of both its ends.

Entries are loaded into two accounts, a small and a large one; some of them count on the day before
they are recorded. Then each account's statement is read in each format over gRPC, by a process of
its own that keeps nothing of it. Constant memory means: the large account's peaks are the small
one's.
"""

import argparse
import asyncio
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from app.stack.stack import ReadyStack
from benchmarks import machine
from benchmarks.ground import Broken, run, running_stack
from domain.ids import EntryId, TransferId
from reli.ledger.v1 import ledger_pb2, statement_pb2
from reli.ledger.v1 import ledger_service_pb2 as ledger_pb
from reli.ledger.v1 import ledger_service_pb2_grpc as ledger_grpc
from reli.ledger.v1 import statement_service_pb2 as pb
from reli.ledger.v1 import statement_service_pb2_grpc as statement_grpc
from reli.tenant.v1 import tenant_service_pb2 as tenant_pb
from reli.tenant.v1 import tenant_service_pb2_grpc as tenant_grpc
from reli.type.v1 import amount_pb2

SMALL: Final = 10_000
LARGE: Final = 1_000_000
BATCH: Final = 8_190
DATED_EVERY: Final = 1_000
DAY_S: Final = 86_400
FORMATS: Final = ("JSON", "CSV", "CAMT_053")
TIMEOUT_S: Final = 3_600

# Generated stubs of services carry no types.
_STATEMENTS: Final[Any] = statement_grpc
_TENANTS: Final[Any] = tenant_grpc
_LEDGER: Final[Any] = ledger_grpc


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with running_stack() as stack:
        tenant_id, accounts = asyncio.run(_load(stack, (options.small, options.large)))
        reads = [
            {"lines": lines, "format": format} | _read_apart(stack, tenant_id, account, format)
            for lines, account in accounts.items()
            for format in FORMATS
        ]
    for read in reads:
        if read["format"] == "JSON" and read["told"] != read["lines"]:
            raise Broken(f"{read['told']} lines of {read['lines']} were told")
    return {"reads": reads}


@dataclass(frozen=True, slots=True)
class _Reading:
    target: str
    key: str
    tenant_id: str
    account_id: str
    format: str


def _read_apart(stack: ReadyStack, tenant_id: str, account: str, format: str) -> dict[str, Any]:
    """Read a statement in a process of its own, and return its figures and the server's peak."""
    what = _Reading(stack.serve_targets[0], stack.operator_key, tenant_id, account, format)
    machine.forget_peaks()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        read = pool.apply(_read, (what,))
    return {**read, "server_peak_mb": round(machine.peak("serve") / 1e6, 1)}


def _read(what: _Reading) -> dict[str, Any]:
    now = int(time.time())
    request = pb.GetTenantStatementRequest(
        tenant_id=what.tenant_id,
        account_id=what.account_id,
        start_time=Timestamp(seconds=now - 300 * DAY_S),
        end_time=Timestamp(seconds=now + DAY_S),
        format=f"STATEMENT_FORMAT_{what.format}",
    )
    told = size = 0
    began = time.perf_counter()
    with grpc.insecure_channel(what.target) as channel:
        stub = _STATEMENTS.StatementAdminServiceStub(channel)
        answers = stub.GetTenantStatement(request, metadata=_key(what.key), timeout=TIMEOUT_S)
        first_s = 0.0
        for answer in answers:
            first_s = first_s or time.perf_counter() - began
            part: statement_pb2.StatementPart = answer.part
            size += part.ByteSize()
            told += len(part.lines.lines)
    return {
        "told": told,
        "seconds": round(time.perf_counter() - began, 2),
        "first_s": round(first_s, 3),
        "megabytes": round(size / 1e6, 1),
        "client_peak_mb": round(machine.own_peak() / 1e6, 1),
    }


async def _load(stack: ReadyStack, sizes: tuple[int, ...]) -> tuple[str, dict[int, str]]:
    """Make a tenant, and an account of each size."""
    key: Any = _key(stack.operator_key)
    async with grpc.aio.insecure_channel(stack.serve_targets[0]) as channel:
        tenants = _TENANTS.TenantAdminServiceStub(channel)
        ledger = _LEDGER.LedgerAdminServiceStub(channel)
        made = await tenants.CreateTenant(
            tenant_pb.CreateTenantRequest(slug="busy", display_name="Busy"), metadata=key
        )
        tenant_id = str(made.tenant.id)

        async def opened(kind: str, owner: str) -> str:
            answer = await ledger.OpenAccount(
                ledger_pb.OpenAccountRequest(
                    tenant_id=tenant_id,
                    kind=f"ACCOUNT_KIND_{kind}",
                    owner=owner,
                    asset="NGN",
                ),
                metadata=key,
            )
            return str(answer.account.id)

        other = await opened("EXTERNAL", "bank")
        accounts = {lines: await opened("LP", f"lp-{lines}") for lines in sizes}
        for lines, account in accounts.items():
            loaded = await ledger.LoadEntries(
                _batches(tenant_id, other, account, lines), metadata=key, timeout=TIMEOUT_S
            )
            if loaded.committed != lines:
                raise Broken(f"{loaded.committed} of {lines} entries were committed")
    return tenant_id, accounts


def _batches(
    tenant_id: str, debit: str, credit: str, lines: int
) -> Iterator[ledger_pb.LoadEntriesRequest]:
    ids = RandomIds(SystemClock())
    amount = amount_pb2.Amount(value="12.34", asset="NGN")
    yesterday = Timestamp(seconds=int(time.time()) - DAY_S)
    for first in range(0, lines, BATCH):
        yield ledger_pb.LoadEntriesRequest(
            tenant_id=tenant_id,
            entries=[
                ledger_pb.NewEntry(
                    entry_id=str(ids.new(EntryId)),
                    transfers=[
                        ledger_pb2.Transfer(
                            id=str(ids.new(TransferId)),
                            debit_account_id=debit,
                            credit_account_id=credit,
                            amount=amount,
                            purpose="a_purpose",
                        )
                    ],
                    description="what it was for",
                    effective_time=None if number % DATED_EVERY else yesterday,
                )
                for number in range(first, min(first + BATCH, lines))
            ],
        )


def _key(secret: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {secret}")]


def report(result: dict[str, Any]) -> str:
    """Return the figures as a table."""
    head = f"{'lines':>9}  {'format':<9}{'s':>7}{'first s':>9}{'MB':>8}"
    lines = [
        f"{read['lines']:>9}  {read['format']:<9}{read['seconds']:>7.1f}{read['first_s']:>9.3f}"
        f"{read['megabytes']:>8.1f}{read['server_peak_mb']:>12.1f}{read['client_peak_mb']:>12.1f}"
        for read in result["reads"]
    ]
    return "\n".join([f"{head}{'server peak':>12}{'client peak':>12}  (RSS, MB)", *lines])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.statement", description=__doc__)
    parser.add_argument("--small", type=int, default=SMALL, help="lines of the small account")
    parser.add_argument("--large", type=int, default=LARGE, help="lines of the large account")
    return parser


def main() -> int:
    return 0 if run(_parser(), measure, report) else 1


if __name__ == "__main__":
    sys.exit(main())
