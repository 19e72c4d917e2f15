"""The statements of a sandbox venue, as its public port tells them."""

import json
from urllib.parse import urlencode

from adapters.lp.http import OK, Call, Connection, LpSessions, NoAnswer, NotConnected
from adapters.lp.sandbox.config import SandboxLpConfig
from domain.reconciliation.statement import MAX_STATEMENT_BYTES, Source, SourceKind
from ports.liquidity import LpUnavailable
from ports.reconciliation import FetchedStatement, StatementFeed


class SandboxStatements(StatementFeed):
    """What one venue says that it executed for us."""

    def __init__(self, config: SandboxLpConfig, sessions: LpSessions) -> None:
        self._source = Source(SourceKind.LP, config.name)
        self._connection = Connection(config, sessions)

    @property
    def source(self) -> Source:
        return self._source

    async def fetch(self, after: str) -> FetchedStatement:
        try:
            content = await self._read(after)
            answer = json.loads(content)
            return FetchedStatement(content, bool(answer["trades"]), bool(answer["has_more"]))
        except (NotConnected, NoAnswer, ValueError, LookupError, TypeError) as error:
            raise LpUnavailable(
                f"no statement of {self._source.name}: {type(error).__name__}",
                lp=self._source.name,
            ) from error

    async def _read(self, after: str) -> bytes:
        call = Call("GET", f"/v1/statement?{urlencode({'after': after})}")
        answer = await self._connection.listing(call, most=MAX_STATEMENT_BYTES)
        if answer.status != OK:
            raise ValueError(f"HTTP {answer.status}")
        return answer.body
