"""The same request has its effect once, and its replays hear what became of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from app.usecase.audit_trail import AuditTrail, Change
from app.usecase.call import Call
from domain.errors import DomainError, Kind, all_errors
from domain.ids import TypedId
from ports.request import Refusal, RequestIdReused, RequestRecord
from ports.unit_of_work import UnitOfWork, UnitOfWorkFactory

Result = TypeVar("Result")

FINAL: Final = frozenset({Kind.REFUSED, Kind.EXISTS})
"""Refusals that are the outcome of a request. The others decide nothing: the request may come
again, mended, later, or once what it names exists."""


@dataclass(frozen=True, slots=True)
class Once:
    """Runs an effect in one unit of work, at most once for each request id.

    The request row is written first and in the effect's own transaction, so a second request of
    the same id waits for the first and then finds its outcome. Who did what to which thing is
    recorded in the same transaction, a final refusal in the one that keeps it.
    """

    units_of_work: UnitOfWorkFactory
    audit_trail: AuditTrail

    async def __call__(
        self,
        call: Call,
        resource_id: TypedId,
        effect: Callable[[UnitOfWork], Awaitable[Change[Result]]],
        replay: Callable[[UnitOfWork, UUID], Awaitable[Result]],
        on_refusal: Callable[[UnitOfWork, DomainError], Awaitable[None]] | None = None,
        *,
        in_company: bool = False,
    ) -> Result:
        """Return what `effect` made, or what `replay` finds of the first request.

        `on_refusal` writes what a final refusal leaves behind, beside the request row. With
        `in_company` the effect keeps to what `UnitOfWorkFactory.run` asks of it.
        """

        async def work(uow: UnitOfWork) -> Result:
            if call.key is not None:
                known = await uow.requests.claim(call.key, resource_id.uuid)
                if known is not None:
                    return await _outcome(uow, known, replay)
            change = await effect(uow)
            if change.after is not None:
                await uow.audit_log.add(self.audit_trail.record(call, change.after, change.before))
            return change.result

        try:
            if in_company:
                return await self.units_of_work.run(call.tenant_id, work)
            async with self.units_of_work.begin(call.tenant_id) as uow:
                return await work(uow)
        except DomainError as refusal:
            is_final = refusal.kind in FINAL and not isinstance(refusal, RequestIdReused)
            if not is_final or (call.key is None and on_refusal is None):
                raise
            async with self.units_of_work.begin(call.tenant_id) as uow:
                if call.key is not None:
                    first = await uow.requests.refuse(call.key, _stored(refusal))
                    if first is not None:
                        return await _outcome(uow, first, replay)
                if on_refusal is not None:
                    await on_refusal(uow, refusal)
                await uow.audit_log.add(self.audit_trail.refusal(call, refusal))
            raise


async def _outcome(
    uow: UnitOfWork, record: RequestRecord, replay: Callable[[UnitOfWork, UUID], Awaitable[Result]]
) -> Result:
    if record.refusal is not None:
        raise _restored(record.refusal)
    assert record.resource_id is not None
    return await replay(uow, record.resource_id)


def _stored(refusal: DomainError) -> Refusal:
    return Refusal(
        kind=refusal.kind,
        reason=refusal.reason,
        message=refusal.message,
        metadata=refusal.metadata,
    )


def _restored(refusal: Refusal) -> DomainError:
    kinds = {error.reason: error for error in all_errors()}
    return kinds[refusal.reason](refusal.message, **refusal.metadata)
