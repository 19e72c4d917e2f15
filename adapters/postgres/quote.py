"""Quotes and the answers behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from adapters.postgres.request import request_lock
from adapters.postgres.scope import Scope, page_of
from adapters.postgres.tenant import acting_of
from adapters.postgres.write import Write, array_literal, arrays, write_rows
from domain.amount import Amount
from domain.asset import Instrument
from domain.errors import VersionConflict
from domain.ids import CustomerId, LpQuoteRequestId, QuoteId, TradeId
from domain.party import Party
from domain.quote.errors import QuoteNotFound
from domain.quote.quote import LpAnswer, LpVerdict, Quote, QuoteState
from domain.routing import RoutingRule
from domain.side import Side
from domain.tenant.acting import Acting
from domain.waterfall import Waterfall
from ports.page import Page, PageRequest
from ports.quote import QuoteRepository
from ports.request import RequestKey

_GET = "SELECT * FROM core.quotes WHERE tenant_id = $1 AND id = $2"

# Whoever waits for a row makes all wait who share his transaction; he is better off alone. So is
# who comes with a request that is known or that somebody else is at. The look at each request is
# one by key: OFFSET keeps it from becoming a join. Between the lowest and the highest id there is
# one partition nearly always, and only those are opened.
_LOCK_FREE = f"""
WITH asked AS MATERIALIZED (
    SELECT quote_id
    FROM {arrays("quote_id uuid, rpc text, request_id text")} AS a
    WHERE rpc IS NULL OR (
        NOT EXISTS (SELECT FROM core.requests AS r
            WHERE r.tenant_id = $1 AND r.rpc = a.rpc AND r.request_id = a.request_id OFFSET 0)
        AND pg_try_advisory_xact_lock({request_lock("rpc", "request_id")}))
), locked AS MATERIALIZED (
    SELECT * FROM core.quotes
    WHERE tenant_id = $1 AND id = ANY(ARRAY(SELECT quote_id FROM asked)) AND id BETWEEN $5 AND $6
    ORDER BY id FOR UPDATE SKIP LOCKED
), free_customers AS MATERIALIZED (
    SELECT id, state FROM core.customers
    WHERE tenant_id = $1 AND id = ANY(ARRAY(SELECT customer_id FROM locked))
    ORDER BY id FOR KEY SHARE SKIP LOCKED
)
SELECT locked.*, t.state AS tenant_state, t.trading_state, c.state AS customer_state,
    core.now() AS read_at
FROM locked
JOIN core.tenants AS t ON t.tenant_id = $1
LEFT JOIN free_customers AS c ON c.id = locked.customer_id
"""

_QUOTES = arrays(
    "id uuid, customer_id uuid, side text, instrument text, base_units numeric, "
    "quote_units numeric, lp_units numeric, fee_units numeric, markup_units numeric, lp text, "
    "lp_reference text, lp_expires_at timestamptz, lp_order text, tolerance_bps int, state text, "
    "version int, created_at timestamptz, expires_at timestamptz, routing text"
)
_ANSWERS_OF_QUOTES = arrays(
    "quote_id uuid, id uuid, lp text, verdict text, latency_ms int, reference text, "
    "base_units numeric, quote_units numeric, expires_at timestamptz, reason text, score int",
    first=21,
)
_ADD = f"""
new_quotes AS (
    INSERT INTO core.quotes (tenant_id, id, customer_id, side, instrument, base_units, quote_units,
        lp_units, fee_units, markup_units, lp, lp_reference, lp_expires_at, lp_order,
        tolerance_bps, state, version, created_at, expires_at, routing)
    SELECT $1, id, customer_id, side, instrument, base_units, quote_units, lp_units, fee_units,
        markup_units, lp, lp_reference, lp_expires_at, lp_order::text[], tolerance_bps, state,
        version, created_at, expires_at, routing
    FROM {_QUOTES} AS q
), new_answers AS (
    INSERT INTO core.lp_answers (tenant_id, quote_id, id, lp, verdict, latency_ms, reference,
        base_units, quote_units, expires_at, reason, score)
    SELECT $1, a.* FROM {_ANSWERS_OF_QUOTES} AS a
)
"""

_SAVE = f"""
quotes AS (
    UPDATE core.quotes AS q SET state = g.state, trade_id = g.trade_id, version = g.version
    FROM {arrays("id uuid, version int, state text, trade_id uuid")} AS g
    WHERE q.tenant_id = $1 AND q.id = ANY($2) AND q.id BETWEEN $6 AND $7 AND q.id = g.id
        AND q.version = g.version - 1
    RETURNING q.id
)
"""
_SAVED = "SELECT array_agg(id) FROM quotes"

_GET_ALL = "SELECT * FROM core.quotes WHERE tenant_id = $1 AND id = ANY($2)"

_ANSWERS = """
SELECT * FROM core.lp_answers WHERE tenant_id = $1 AND quote_id = ANY($2)
ORDER BY quote_id, verdict <> 'used', id
"""

_INSTRUMENT = "SELECT instrument FROM core.quotes WHERE tenant_id = $1 AND id = $2"

_LIST = """
SELECT * FROM core.quotes
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::uuid IS NULL OR customer_id = $3)
ORDER BY id DESC LIMIT $4
"""


class PostgresQuotes(QuoteRepository):
    """Quotes of the tenant in scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def get(self, quote_id: QuoteId, *, lock: bool = False) -> Quote:
        row = await self._scope.driver.fetchrow(
            _GET + " FOR UPDATE" if lock else _GET, self._scope.tenant, quote_id.uuid
        )
        if row is None:
            raise QuoteNotFound("no such quote", quote_id=quote_id)
        return _quote(self._scope, row)

    async def add(self, quote: Quote, answers: Sequence[LpAnswer]) -> None:
        await write_rows(self._scope, [new_quotes([(quote, answers)])])

    async def save(self, quote: Quote, *, trade_id: TradeId | None = None) -> None:
        await write_rows(self._scope, [changed_quotes([(quote, trade_id)])])

    async def trade_of(self, quote_id: QuoteId) -> TradeId | None:
        found = await self._scope.driver.fetchval(
            "SELECT trade_id FROM core.quotes WHERE tenant_id = $1 AND id = $2",
            self._scope.tenant,
            quote_id.uuid,
        )
        return TradeId(found) if found else None

    async def answers(self, quote_id: QuoteId) -> Sequence[LpAnswer]:
        code = await self._scope.driver.fetchval(_INSTRUMENT, self._scope.tenant, quote_id.uuid)
        if code is None:
            return []
        instrument = self._scope.instrument(code)
        rows = await self._scope.driver.fetch(_ANSWERS, self._scope.tenant, [quote_id.uuid])
        return [_answer(row, instrument) for row in rows]

    async def get_with_answers(
        self, quote_ids: Sequence[QuoteId]
    ) -> Mapping[QuoteId, tuple[Quote, Sequence[LpAnswer]]]:
        ids = [id.uuid for id in quote_ids]
        rows = await self._scope.driver.fetch(_GET_ALL, self._scope.tenant, ids)
        found: dict[QuoteId, tuple[Quote, list[LpAnswer]]] = {
            quote.id: (quote, []) for quote in (_quote(self._scope, row) for row in rows)
        }
        for id in quote_ids:
            if id not in found:
                raise QuoteNotFound("no such quote", quote_id=id)
        for row in await self._scope.driver.fetch(_ANSWERS, self._scope.tenant, ids):
            quote, answers = found[QuoteId(row["quote_id"])]
            answers.append(_answer(row, quote.instrument))
        return found

    async def list(self, page: PageRequest, *, customer_id: CustomerId | None) -> Page[Quote]:
        rows = await self._scope.driver.fetch(
            _LIST,
            self._scope.tenant,
            page.before,
            customer_id.uuid if customer_id else None,
            page.size + 1,
        )
        return page_of(
            [_quote(self._scope, row) for row in rows], [row["id"] for row in rows], page
        )


@dataclass(frozen=True, slots=True)
class QuoteQuestion:
    """Asks for a quote to be locked, and with it the request that it is for."""

    quote_id: QuoteId
    request: RequestKey | None


@dataclass(frozen=True, slots=True)
class LockedQuote:
    """A quote that is locked.

    Attributes:
        acting: who acts for its party; None where somebody else has locked the customer.
    """

    quote: Quote
    acting: Acting | None


async def lock_free_quotes(
    scope: Scope, questions: Sequence[QuoteQuestion]
) -> Mapping[QuoteId, LockedQuote]:
    """Lock those quotes that exist and that nobody else has locked, and then their customers.

    A quote whose request is known, or locked by somebody else, is none of them.
    """
    ids = [question.quote_id.uuid for question in questions]
    requests = [question.request for question in questions]
    rows = await scope.driver.fetch(
        _LOCK_FREE,
        scope.tenant,
        ids,
        [request.rpc if request else None for request in requests],
        [request.request_id if request else None for request in requests],
        min(ids),
        max(ids),
    )
    locked = [_locked_quote(scope, row) for row in rows]
    return {one.quote.id: one for one in locked}


def _locked_quote(scope: Scope, row: Any) -> LockedQuote:
    quote = _quote(scope, row)
    is_free = quote.party.customer_id is None or row["customer_state"] is not None
    return LockedQuote(quote, acting_of(quote.party, row) if is_free else None)


def new_quotes(added: Sequence[tuple[Quote, Sequence[LpAnswer]]]) -> Write:
    """Store new quotes, each with its answers."""
    quotes = [quote for quote, _ in added]
    answers = [answer for _, answers in added for answer in answers]
    arguments = (
        [quote.id for quote in quotes],
        *terms_columns(quotes),
        [quote.lp for quote in quotes],
        [quote.lp_reference for quote in quotes],
        [quote.lp_expires_at for quote in quotes],
        [array_literal(quote.lp_order) for quote in quotes],
        [quote.tolerance_bps for quote in quotes],
        [quote.state for quote in quotes],
        [quote.version for quote in quotes],
        [quote.created_at for quote in quotes],
        [quote.expires_at for quote in quotes],
        [quote.routing for quote in quotes],
        [quote.id for quote, answers in added for _ in answers],
        [answer.id for answer in answers],
        [answer.lp for answer in answers],
        [answer.verdict for answer in answers],
        [answer.latency_ms for answer in answers],
        [answer.reference for answer in answers],
        [answer.base.units if answer.base else None for answer in answers],
        [answer.quote.units if answer.quote else None for answer in answers],
        [answer.expires_at for answer in answers],
        [answer.reason for answer in answers],
        [answer.score for answer in answers],
    )
    return Write(_ADD, arguments, only_adds=True)


def changed_quotes(saved: Sequence[tuple[Quote, TradeId | None]]) -> Write:
    """Replace the version before of each; the check raises `VersionConflict`."""
    quotes = [quote for quote, _ in saved]

    def check(ids: Sequence[UUID] | None) -> None:
        for quote in quotes:
            if quote.id.uuid not in (ids or ()):
                raise VersionConflict("somebody else changed the quote first", quote_id=quote.id)

    uuids = [quote.id.uuid for quote in quotes]
    arguments = (
        uuids,
        [quote.version for quote in quotes],
        [quote.state for quote in quotes],
        [trade_id for _, trade_id in saved],
        min(uuids),
        max(uuids),
    )
    return Write(_SAVE, arguments, found=_SAVED, check=check)


def _quote(scope: Scope, row: Any) -> Quote:
    instrument = scope.instrument(row["instrument"])
    base, waterfall = terms_of(row, instrument)
    return Quote(
        id=QuoteId(row["id"]),
        tenant_id=scope.tenant_id,
        party=party_of(row),
        side=Side(row["side"]),
        instrument=instrument,
        base_amount=base,
        quote_amount=waterfall.total,
        waterfall=waterfall,
        lp=row["lp"],
        lp_reference=row["lp_reference"],
        lp_expires_at=row["lp_expires_at"],
        lp_order=tuple(row["lp_order"]),
        tolerance_bps=row["tolerance_bps"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        routing=RoutingRule(row["routing"]),
        state=QuoteState(row["state"]),
        version=row["version"],
    )


def _answer(row: Any, instrument: Instrument) -> LpAnswer:
    base, quote = row["base_units"], row["quote_units"]
    return LpAnswer(
        id=LpQuoteRequestId(row["id"]),
        lp=row["lp"],
        verdict=LpVerdict(row["verdict"]),
        latency_ms=row["latency_ms"],
        reference=row["reference"],
        base=None if base is None else Amount(instrument.base, base),
        quote=None if quote is None else Amount(instrument.quote, quote),
        expires_at=row["expires_at"],
        reason=row["reason"],
        score=row["score"],
    )


def party_of(row: Any) -> Party:
    return Party(CustomerId(row["customer_id"]) if row["customer_id"] else None)


def terms_of(row: Any, instrument: Instrument) -> tuple[Amount, Waterfall]:
    """Return the base amount and the waterfall, whose columns quotes and trades share."""
    return Amount(instrument.base, row["base_units"]), Waterfall(
        side=Side(row["side"]),
        lp=Amount(instrument.quote, row["lp_units"]),
        fee=Amount(instrument.quote, row["fee_units"]),
        markup=Amount(instrument.quote, row["markup_units"]),
        total=Amount(instrument.quote, row["quote_units"]),
    )


class Terms(Protocol):
    """What a quote and the trade that it became have in common."""

    @property
    def party(self) -> Party: ...
    @property
    def side(self) -> Side: ...
    @property
    def instrument(self) -> Instrument: ...
    @property
    def base_amount(self) -> Amount: ...
    @property
    def waterfall(self) -> Waterfall: ...


def terms_columns(things: Sequence[Terms]) -> tuple[list[Any], ...]:
    """Return what goes into the columns that quotes and trades share: customer_id, side,
    instrument, base_units, quote_units, lp_units, fee_units and markup_units.
    """
    waterfalls = [thing.waterfall for thing in things]
    return (
        [thing.party.customer_id for thing in things],
        [thing.side for thing in things],
        [thing.instrument.code for thing in things],
        [thing.base_amount.units for thing in things],
        [waterfall.total.units for waterfall in waterfalls],
        [waterfall.lp.units for waterfall in waterfalls],
        [waterfall.fee.units for waterfall in waterfalls],
        [waterfall.markup.units for waterfall in waterfalls],
    )
