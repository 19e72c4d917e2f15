"""Chains what is committed, as a worker would."""

from datetime import timedelta
from typing import Final

from adapters.postgres.chain import PostgresChainer
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.system.signer import Ed25519Signer
from app.worker.book_chainer import BookChainer
from tests.support.platform import Platform

SIGNER: Final = Ed25519Signer(bytes(range(32)))


async def chain_books(platform: Platform) -> None:
    """Give every committed entry its place, and sign a checkpoint over it."""
    await chain_database(platform.settings.work_database_url)


async def chain_database(work_database_url: str) -> None:
    """Do the same in a database on which nobody else works."""
    engine = make_engine(work_database_url, pool_size=2)
    try:
        leases = PostgresLeases(engine)
        lease = await leases.acquire("chainer", lease_for=timedelta(minutes=5))
        assert lease is not None
        chainer = BookChainer(PostgresChainer(engine), SIGNER, timedelta(0))
        while await chainer(lease):
            pass
        await leases.renew(lease, lease_for=timedelta(0))
    finally:
        await engine.dispose()
