"""Creating an API key."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.usecase.announce import Announce
from app.usecase.audit_trail import Change
from app.usecase.call import Call
from app.usecase.once import Once
from app.usecase.tenant.giving import require_may_give
from domain.errors import InvalidArgument
from domain.ids import ApiKeyId
from domain.tenant.api_key import TENANT_SCOPES, ApiKey, Scope, hint_of, require_future
from domain.tenant.ip_range import IpRange
from ports.ids import IdSource
from ports.secrets import SecretSource
from ports.tenant import TenantDirectory
from ports.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key with its secret, or without it when the request was a replay."""

    api_key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """The secret leaves with the answer and is kept nowhere."""

    once: Once
    ids: IdSource
    announce: Announce
    secrets: SecretSource
    directory: TenantDirectory

    async def __call__(
        self,
        call: Call,
        *,
        name: str,
        scopes: tuple[Scope, ...],
        expires_at: datetime | None,
        allowed_ip_ranges: tuple[IpRange, ...],
        methods: tuple[str, ...] = (),
    ) -> NewApiKey:
        """Create a key of the tenant of `call`; no scopes means all that it may have, and methods
        make it a service token.

        Raises `ScopeMissing` for a scope that the calling key cannot give.
        """
        if Scope.OPERATOR in scopes and call.tenant_id != self.directory.house_id:
            raise InvalidArgument("only keys of the house can operate", field="scopes")
        if methods and call.tenant_id != self.directory.house_id:
            raise InvalidArgument("only the house has service tokens", field="methods")
        require_may_give(call, scopes)
        if not scopes:
            is_house = call.tenant_id == self.directory.house_id
            scopes = tuple(Scope) if is_house else TENANT_SCOPES
        api_key_id = self.ids.new(ApiKeyId)
        secret = self.secrets.new_secret()

        async def effect(uow: UnitOfWork) -> Change[NewApiKey]:
            await uow.tenants.get()
            now = await uow.now()
            require_future(expires_at, now=now)
            api_key = ApiKey(
                id=api_key_id,
                tenant_id=call.tenant_id,
                name=name,
                hint=hint_of(secret),
                scopes=scopes,
                created_at=now,
                expires_at=expires_at,
                allowed_ip_ranges=allowed_ip_ranges,
                methods=methods,
            )
            await uow.api_keys.add(api_key, secret_hash=self.secrets.hash(secret))
            await self.announce(
                uow, "api_key.created", api_key, correlation_id=call.correlation_id, now=now
            )
            return Change(NewApiKey(api_key, secret), after=api_key)

        async def replay(uow: UnitOfWork, id: UUID) -> NewApiKey:
            return NewApiKey(await uow.api_keys.get(ApiKeyId(id)), "")

        return await self.once(call, api_key_id, effect, replay)
