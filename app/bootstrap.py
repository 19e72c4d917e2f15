"""The first operator key: made once, where nobody could have asked for it by an API."""

import os
from pathlib import Path

from adapters.postgres.engine import make_engine
from adapters.postgres.environment import read_environment
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from adapters.system.ids import RandomIds
from adapters.system.secrets import SystemSecrets
from app.settings import Settings
from domain.ids import ApiKeyId
from domain.tenant.api_key import ApiKey, Scope, hint_of

KEY_NAME = "first operator"


async def ensure_operator_key(settings: Settings, key_file: Path) -> str:
    """Return the operator key in `key_file`, making key and file if there is no such file."""
    if key_file.exists():
        return key_file.read_text(encoding="ascii").strip()
    engine = make_engine(settings.app_database_url, pool_size=1, name="reli bootstrap")
    try:
        environment = await read_environment(engine)
        clock, secrets = SystemClock(), SystemSecrets()
        market = PostgresMarket(engine, clock)
        secret = secrets.new_secret()
        _write_private(key_file, secret)
        units_of_work = PostgresUnitOfWorkFactory(engine, market, AccountIdCache())
        async with units_of_work.begin(environment.house_id) as uow:
            await uow.api_keys.add(
                ApiKey(
                    id=RandomIds(clock).new(ApiKeyId),
                    tenant_id=environment.house_id,
                    name=KEY_NAME,
                    hint=hint_of(secret),
                    scopes=tuple(Scope),
                    created_at=await uow.now(),
                ),
                secret_hash=secrets.hash(secret),
            )
        return secret
    finally:
        await engine.dispose()


def _write_private(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
