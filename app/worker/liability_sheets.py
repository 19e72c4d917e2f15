"""Makes signed sheets of what tenants owe their customers."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ports.chain import Signer
from ports.lease import Lease
from ports.liability import LiabilityKeeper

KEEP: Final = 3
"""Sheets of a tenant and asset that stay; proofs are of the latest."""

TENANTS: Final = 100
"""Whose sheets are made before it is asked again who is due: to ask looks at every tenant."""


@dataclass(frozen=True, slots=True)
class LiabilitySheets:
    """Without a signer none is made."""

    keeper: LiabilityKeeper
    signer: Signer | None
    every: timedelta

    async def __call__(self, lease: Lease) -> bool:
        return self.signer is not None and await self.keeper.make_sheets(
            lease, self.signer, at_least_every=self.every, keep=KEEP, limit=TENANTS
        )
