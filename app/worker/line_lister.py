"""Lists the lines of accounts."""

from dataclasses import dataclass

from ports.ledger import Lines


@dataclass(frozen=True, slots=True)
class LineLister:
    """Who reads lists what is missing; that it is never much is what this is for."""

    lines: Lines

    async def __call__(self) -> bool:
        return await self.lines.list_waiting()
