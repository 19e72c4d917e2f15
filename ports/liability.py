"""Sheets of what is owed to customers: made and signed by workers, and proved from."""

from datetime import timedelta
from typing import Protocol

from domain.ids import CustomerId
from domain.ledger.liability import KeptLeaf
from ports.chain import Signer
from ports.lease import Lease


class LiabilityKeeper(Protocol):
    """Makes the sheets of all tenants."""

    async def make_sheets(
        self, lease: Lease, signer: Signer, *, at_least_every: timedelta, keep: int, limit: int
    ) -> bool:
        """Make the sheets of `limit` tenants that are due; return whether there may be more.

        Due is a tenant whose books have a checkpoint that was not there when it was looked at
        last, `at_least_every` ago. There is one sheet for each asset in which a customer's account
        moved since the sheet before; the latest `keep` sheets of an asset stay. Returns False when
        the lease is not ours.
        """
        ...


class LiabilityStore(Protocol):
    """The sheets of one tenant, to prove from."""

    async def find(self, customer_id: CustomerId, asset: str) -> KeptLeaf | None:
        """Return what the latest sheet of the asset has where the customer belongs.

        None if there is no sheet, or if the customer comes before all of it.
        """
        ...
