"""Makes partitions before anybody needs them."""

from dataclasses import dataclass

from ports.partition import Partitions

MONTHS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class PartitionMaker:
    """Looks once in a while; three months ahead leave time to notice that it does not."""

    partitions: Partitions

    async def __call__(self) -> bool:
        await self.partitions.make(months_ahead=MONTHS_AHEAD)
        return False
