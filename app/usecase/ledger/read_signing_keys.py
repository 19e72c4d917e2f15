"""Reading the keys that checkpoints are signed with."""

from collections.abc import Sequence
from dataclasses import dataclass

from ports.chain import PublicKey, SigningKeys


@dataclass(frozen=True, slots=True)
class ReadSigningKeys:
    """They are for everybody."""

    signing_keys: SigningKeys

    async def __call__(self) -> Sequence[PublicKey]:
        return await self.signing_keys.all()
