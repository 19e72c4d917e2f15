"""What all statements of venues are: a listing, asked for page by page until it is whole."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from adapters.lp.config import LpConfig
from adapters.lp.http import NoAnswer, NotConnected
from adapters.lp.outcome import UNREACHABLE
from adapters.lp.reading import BadAnswer, unreadable
from domain.amount import Amount
from domain.ids import AttemptId
from domain.reconciliation.errors import StatementAssetMismatch
from domain.reconciliation.period import Period
from domain.reconciliation.statement import MAX_STATEMENT_LINES, Source, SourceKind
from domain.side import Side
from ports.liquidity import LpUnavailable
from ports.market import Catalogue
from ports.reconciliation import StatementListing

MAX_PAGES: Final = 300
LONGEST: Final = timedelta(minutes=2)
"""How long all pages of a listing may take."""

MILLISECOND: Final = timedelta(milliseconds=1)

_MAX_EXECUTIONS: Final = MAX_STATEMENT_LINES // 2
WORKING: Final = "LP_ORDER_WORKING"
"""Why there is no statement of a time in which something is not decided yet."""

_UNORDERED: Final = "LP_LISTING_UNORDERED"
_STUCK: Final = "LP_LISTING_STUCK"

Known = TypeVar("Known")
Config = TypeVar("Config", bound=LpConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution as a listing has it.

    Attributes:
        order_id: the venue's own id, by which the execution was told when it was made.
        client_order_id: by what else both sides know it; our own id where the venue repeats it.
    """

    order_id: str
    client_order_id: str
    side: Side
    base: Amount
    quote: Amount
    executed_at: datetime


class Page(NamedTuple):
    """Attributes:
    times: of everything on the page, executed or not, in its order.
    """

    executions: Sequence[Execution]
    times: Sequence[datetime]


Pages = AsyncGenerator[Sequence[Execution], None]


class VenueListing(StatementListing, ABC, Generic[Config]):
    """A listing, once it says how its venue is asked for all pages and how they read."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._source = Source(SourceKind.LP, config.name)

    @property
    def source(self) -> Source:
        return self._source

    @abstractmethod
    def pages(self, period: Period, catalogue: Catalogue) -> Pages:
        """Yield pages until everything of the period was on one, in any order.

        A page may tell again what an earlier one told, and what is of another time. Raises
        `NotConnected`, `NoAnswer`, or `BadAnswer` unless it is certain that nothing is missing.
        """

    async def fetch(self, period: Period, catalogue: Catalogue) -> bytes:
        try:
            async with asyncio.timeout(LONGEST.total_seconds()):
                told = await self._told(period, catalogue)
        except NotConnected as error:
            raise self._unavailable(UNREACHABLE) from error
        except (NoAnswer, BadAnswer) as error:
            raise self._unavailable(error.reason) from error
        except TimeoutError as error:
            raise self._unavailable("LP_TIMEOUT") from error
        return _written(self._source, period, told)

    async def _told(self, period: Period, catalogue: Catalogue) -> Sequence[Execution]:
        told: dict[str, Execution] = {}
        number = 0
        async with aclosing(self.pages(period, catalogue)) as pages:
            async for page in pages:
                number += 1
                for one in page:
                    if not period.has(one.executed_at):
                        continue
                    if told.setdefault(one.order_id, one) != one:
                        raise BadAnswer("LP_LISTING_CONTRADICTS", "one execution, told in two ways")
                if number >= MAX_PAGES or len(told) > _MAX_EXECUTIONS:
                    raise BadAnswer("LP_LISTING_TOO_LONG", "more pages than a day has")
        return list(told.values())

    def _unavailable(self, cause: str) -> LpUnavailable:
        name = self._source.name
        return LpUnavailable(f"no statement of {name}: {cause}", lp=name, cause=cause)


async def all_pages(ask: Callable[[int], Awaitable[Page]]) -> Pages:
    """Yield the pages of a listing that is told how many to skip, until one is empty.

    It has to be of a time in which nothing is added any more.
    """
    skip, before = 0, None
    while True:
        page = await ask(skip)
        yield page.executions
        if not page.times:
            return
        if page == before:
            raise stuck("the same page again")
        skip, before = skip + len(page.times), page


def newest_first(page: Page) -> Page:
    """Return the page, or raise `BadAnswer` where a listing is not ordered as documented.

    Who reads on until a page is old enough would else stop before a hole.
    """
    if any(earlier < later for earlier, later in pairwise(page.times)):
        raise BadAnswer(_UNORDERED, "the listing does not begin with the newest")
    return page


def stuck(detail: str) -> BadAnswer:
    """Return what to raise where asking on would not tell more."""
    return BadAnswer(_STUCK, detail)


def by_name(known: Iterable[Known], name_of: Callable[[Known], str]) -> Mapping[str, Known]:
    """Return what the venue means by its names; a name of several means none of them."""
    named: dict[str, Known] = {}
    shared: set[str] = set()
    for one in known:
        name = name_of(one)
        if name in named:
            shared.add(name)
        named[name] = one
    return {name: one for name, one in named.items() if name not in shared}


def meant(named: Mapping[str, Known], name: str, order_id: str) -> Known:
    """Return what a name means, or raise `StatementAssetMismatch`."""
    found = named.get(name)
    if found is None:
        raise StatementAssetMismatch(
            f"order {order_id} is of {name[:40]!r}, which is not exactly one thing that we trade",
            place=f"order {order_id}",
            asset=name[:40],
        )
    return found


def side_of(text: str) -> Side:
    """Return the side, or raise `BadAnswer`."""
    try:
        return Side(text)
    except ValueError as error:
        raise unreadable("unknown side") from error


def our_id(text: str) -> str:
    """Return our order's id of the UUID that the venue knows it by, or else the text itself."""
    try:
        return str(AttemptId(UUID(text)))
    except ValueError:
        return text


def _written(source: Source, period: Period, told: Sequence[Execution]) -> bytes:
    """Write the statement as docs/reconciliation.md shows it; the same listing, the same bytes."""
    trades = [
        {
            "order_id": one.order_id,
            "client_order_id": one.client_order_id,
            "side": one.side.value,
            "base_asset": one.base.asset.code,
            "base_amount": one.base.value,
            "quote_asset": one.quote.asset.code,
            "quote_amount": one.quote.value,
            "execute_time": _time(one.executed_at),
        }
        for one in sorted(told, key=lambda one: (one.executed_at, one.order_id))
    ]
    document = {
        "source": source.name,
        "start_time": _time(period.starts_at),
        "end_time": _time(period.ends_at),
        "balances": [],
        "trades": trades,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
