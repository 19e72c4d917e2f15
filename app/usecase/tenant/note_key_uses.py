"""Noting when keys were used last."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from domain.ids import ApiKeyId, TenantId
from ports.clock import Clock
from ports.tenant import Credential
from ports.unit_of_work import UnitOfWorkFactory

NOTED_FOR: Final = timedelta(minutes=1)
"""How long a use that was noted stands for those that follow."""

_MAX_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class NoteKeyUses:
    """Remembers who called, and writes it down apart from the calls.

    What it remembers is lost with the process; more than ten thousand keys wait their turn.
    """

    units_of_work: UnitOfWorkFactory
    clock: Clock
    _used: dict[ApiKeyId, TenantId] = field(default_factory=dict)
    _noted_at: dict[ApiKeyId, float] = field(default_factory=dict)

    def remember(self, credential: Credential) -> None:
        """Remember that a key was used; this is on the path of each call."""
        if len(self._used) < _MAX_KEYS:
            self._used[credential.api_key_id] = credential.tenant_id

    async def __call__(self) -> bool:
        """Write down what is not noted yet; return whether there is more to do, which is never."""
        now = self.clock.monotonic()
        standing_from = now - NOTED_FOR.total_seconds()
        for api_key_id in [id for id, at in self._noted_at.items() if at <= standing_from]:
            del self._noted_at[api_key_id]
        used_by: dict[TenantId, list[ApiKeyId]] = {}
        for api_key_id, tenant_id in self._used.items():
            if api_key_id not in self._noted_at:
                used_by.setdefault(tenant_id, []).append(api_key_id)
        self._used.clear()
        for tenant_id, api_key_ids in used_by.items():
            async with self.units_of_work.begin(tenant_id) as uow:
                await uow.api_keys.note_uses(api_key_ids)
            self._noted_at.update(dict.fromkeys(api_key_ids, now))
        return False
