"""Chains what is committed and makes sheets of liabilities, as a worker would."""

from datetime import timedelta
from typing import Final

from adapters.postgres.chain import PostgresChainer
from adapters.postgres.engine import make_engine
from adapters.postgres.lease import PostgresLeases
from adapters.postgres.liability import PostgresLiabilityKeeper
from adapters.system.signer import Ed25519Signer
from app.worker.book_chainer import BookChainer
from app.worker.liability_sheets import LiabilitySheets
from tests.support.platform import SIGNING_KEY, Platform

SIGNER: Final = Ed25519Signer.from_text(SIGNING_KEY)


async def chain_books(platform: Platform) -> None:
    """Give every committed entry its place, sign a checkpoint over it, and make the sheets due."""
    await chain_database(platform.settings.work_database_url)


async def chain_database(work_database_url: str) -> None:
    """Do the same in a database on which nobody else works."""
    engine = make_engine(work_database_url, pool_size=2)
    try:
        leases = PostgresLeases(engine)
        for name, work in (
            ("chainer", BookChainer(PostgresChainer(engine), SIGNER, timedelta(0))),
            ("liabilities", LiabilitySheets(PostgresLiabilityKeeper(engine), SIGNER, timedelta(0))),
        ):
            lease = await leases.acquire(name, lease_for=timedelta(minutes=5))
            assert lease is not None
            while await work(lease):
                pass
            await leases.renew(lease, lease_for=timedelta(0))
    finally:
        await engine.dispose()
