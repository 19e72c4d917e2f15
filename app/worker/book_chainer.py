"""Gives committed entries their place in the chain, and signs where it ends."""

from dataclasses import dataclass
from datetime import timedelta

from ports.chain import Chainer, Signer
from ports.lease import Lease

ENTRIES = 4_096
CHECKPOINTS = 200


@dataclass(frozen=True, slots=True)
class BookChainer:
    """Without a signer the chain is made, and none of it is signed."""

    chainer: Chainer
    signer: Signer | None
    checkpoint_every: timedelta

    async def __call__(self, lease: Lease) -> bool:
        chained = await self.chainer.chain(lease, limit=ENTRIES)
        signed = 0
        if self.signer is not None:
            signed = await self.chainer.checkpoint(
                lease, self.signer, at_least_every=self.checkpoint_every, limit=CHECKPOINTS
            )
        return chained >= ENTRIES or signed == CHECKPOINTS
