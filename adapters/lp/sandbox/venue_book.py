"""The book of a sandbox venue, read over its admin port; no real venue has such a port."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import aiohttp

from adapters.lp.sandbox.rates import ASSETS
from domain.amount import Amount
from domain.errors import DomainError
from domain.side import Side
from ports.audit import AuditImpossible, Execution, VenueBook


class SandboxVenueBook(VenueBook):
    """What the venue says; the audit compares it with what we say."""

    def __init__(self, name: str, admin_url: str, session: aiohttp.ClientSession) -> None:
        self._name = name
        self._admin_url = admin_url.rstrip("/")
        self._session = session

    @property
    def name(self) -> str:
        return self._name

    async def now(self) -> datetime:
        # Every answer carries the venue's clock; this is the smallest one.
        return datetime.fromisoformat((await self._get("/v1/deduplication"))["time"])

    async def executions(self) -> Sequence[Execution]:
        book = await self._get("/v1/book")
        try:
            return [_execution(fields) for fields in book["executions"]]
        except (KeyError, TypeError, ValueError, DomainError) as error:
            raise AuditImpossible(f"the book of {self._name} makes no sense: {error!r}") from error

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            async with self._session.get(self._admin_url + path) as response:
                response.raise_for_status()
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise AuditImpossible(f"the book of {self._name} cannot be read: {error}") from error
        if not isinstance(answer, dict) or "time" not in answer:
            raise AuditImpossible(f"{self._admin_url} is no admin port of a sandbox venue")
        return answer


def _execution(fields: dict[str, Any]) -> Execution:
    return Execution(
        order_id=fields["order_id"],
        client_order_id=fields["client_order_id"],
        side=Side(fields["side"]),
        base=Amount.parse(fields["base_amount"], ASSETS[fields["base_asset"]]),
        quote=Amount.parse(fields["quote_amount"], ASSETS[fields["quote_asset"]]),
        executed_at=datetime.fromisoformat(fields["execute_time"]),
    )
