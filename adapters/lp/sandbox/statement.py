"""The statements of a sandbox venue, as its public port tells them."""

import json
from typing import Final

import aiohttp

from adapters.lp.http import LpSessions
from adapters.lp.sandbox.config import SandboxLpConfig
from domain.reconciliation.statement import MAX_STATEMENT_BYTES, Source, SourceKind
from ports.liquidity import LpUnavailable
from ports.reconciliation import FetchedStatement, StatementFeed

_TIMEOUT: Final = aiohttp.ClientTimeout(10)


class SandboxStatements(StatementFeed):
    """What one venue says that it executed for us."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        self._source = Source(SourceKind.LP, config.name)
        self._url = config.url.rstrip("/")
        self._session = sessions.pooled

    @property
    def source(self) -> Source:
        return self._source

    async def fetch(self, after: str) -> FetchedStatement:
        try:
            content = await self._read(after)
            answer = json.loads(content)
            return FetchedStatement(content, bool(answer["trades"]), bool(answer["has_more"]))
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError) as error:
            raise LpUnavailable(
                f"no statement of {self._source.name}: {type(error).__name__}",
                lp=self._source.name,
            ) from error

    async def _read(self, after: str) -> bytes:
        """Return the answer, or of one that is too long as much as shows that it is."""
        content = bytearray()
        async with self._session.get(
            f"{self._url}/v1/statement",
            params={"after": after},
            allow_redirects=False,
            timeout=_TIMEOUT,
        ) as response:
            response.raise_for_status()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_STATEMENT_BYTES:
                    break
        return bytes(content)
