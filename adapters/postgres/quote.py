"""Quotes and the answers behind them."""

from collections.abc import Sequence
from typing import Any

from adapters.postgres.scope import Scope, page_of
from domain.amount import Amount
from domain.asset import Instrument
from domain.errors import VersionConflict
from domain.ids import CustomerId, LpQuoteRequestId, QuoteId, TradeId
from domain.party import Party
from domain.quote.errors import QuoteNotFound
from domain.quote.quote import LpAnswer, LpVerdict, Quote, QuoteState
from domain.side import Side
from domain.waterfall import Waterfall
from ports.page import Page, PageRequest
from ports.quote import QuoteRepository

_GET = "SELECT * FROM core.quotes WHERE tenant_id = $1 AND id = $2"

_ADD = """
WITH quote AS (
    INSERT INTO core.quotes (tenant_id, id, customer_id, side, instrument, base_units, quote_units,
        lp_units, fee_units, markup_units, lp, lp_reference, lp_expires_at, lp_order,
        tolerance_bps, state, version, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
)
INSERT INTO core.lp_answers (tenant_id, quote_id, id, lp, verdict, latency_ms, reference,
    base_units, quote_units, expires_at, reason)
SELECT $1, $2, * FROM unnest($20::uuid[], $21::text[], $22::text[], $23::int[], $24::text[],
    $25::numeric[], $26::numeric[], $27::timestamptz[], $28::text[])
"""

_SAVE = """
UPDATE core.quotes SET state = $4, trade_id = $5, version = $3
WHERE tenant_id = $1 AND id = $2 AND version = $3 - 1
RETURNING true
"""

_ANSWERS = """
SELECT a.*, q.instrument FROM core.lp_answers AS a
JOIN core.quotes AS q ON q.tenant_id = a.tenant_id AND q.id = a.quote_id
WHERE a.tenant_id = $1 AND a.quote_id = $2
ORDER BY a.verdict <> 'used', a.id
"""

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
        return self._quote(row)

    async def add(self, quote: Quote, answers: Sequence[LpAnswer]) -> None:
        waterfall = quote.waterfall
        await self._scope.driver.execute(
            _ADD,
            self._scope.tenant,
            quote.id.uuid,
            customer_uuid(quote.party),
            quote.side,
            quote.instrument.code,
            quote.base_amount.units,
            quote.quote_amount.units,
            waterfall.lp.units,
            waterfall.fee.units,
            waterfall.markup.units,
            quote.lp,
            quote.lp_reference,
            quote.lp_expires_at,
            quote.lp_order,
            quote.tolerance_bps,
            quote.state,
            quote.version,
            quote.created_at,
            quote.expires_at,
            [answer.id.uuid for answer in answers],
            [answer.lp for answer in answers],
            [answer.verdict for answer in answers],
            [answer.latency_ms for answer in answers],
            [answer.reference for answer in answers],
            [answer.base.units if answer.base else None for answer in answers],
            [answer.quote.units if answer.quote else None for answer in answers],
            [answer.expires_at for answer in answers],
            [answer.reason for answer in answers],
        )

    async def save(self, quote: Quote, *, trade_id: TradeId | None = None) -> None:
        saved = await self._scope.driver.fetchval(
            _SAVE,
            self._scope.tenant,
            quote.id.uuid,
            quote.version,
            quote.state,
            trade_id.uuid if trade_id else None,
        )
        if not saved:
            raise VersionConflict("somebody else changed the quote first", quote_id=quote.id)

    async def trade_of(self, quote_id: QuoteId) -> TradeId | None:
        found = await self._scope.driver.fetchval(
            "SELECT trade_id FROM core.quotes WHERE tenant_id = $1 AND id = $2",
            self._scope.tenant,
            quote_id.uuid,
        )
        return TradeId(found) if found else None

    async def answers(self, quote_id: QuoteId) -> Sequence[LpAnswer]:
        rows = await self._scope.driver.fetch(_ANSWERS, self._scope.tenant, quote_id.uuid)
        return [self._answer(row) for row in rows]

    async def list(self, page: PageRequest, *, customer_id: CustomerId | None) -> Page[Quote]:
        rows = await self._scope.driver.fetch(
            _LIST,
            self._scope.tenant,
            page.before,
            customer_id.uuid if customer_id else None,
            page.size + 1,
        )
        return page_of([self._quote(row) for row in rows], [row["id"] for row in rows], page)

    def _quote(self, row: Any) -> Quote:
        terms = terms_of(row, self._scope.instrument(row["instrument"]))
        return Quote(
            id=QuoteId(row["id"]),
            tenant_id=self._scope.tenant_id,
            party=party_of(row),
            side=Side(row["side"]),
            instrument=self._scope.instrument(row["instrument"]),
            base_amount=terms[0],
            quote_amount=terms[1].total,
            waterfall=terms[1],
            lp=row["lp"],
            lp_reference=row["lp_reference"],
            lp_expires_at=row["lp_expires_at"],
            lp_order=tuple(row["lp_order"]),
            tolerance_bps=row["tolerance_bps"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            state=QuoteState(row["state"]),
            version=row["version"],
        )

    def _answer(self, row: Any) -> LpAnswer:
        instrument = self._scope.instrument(row["instrument"])
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
        )


def customer_uuid(party: Party) -> Any:
    return party.customer_id.uuid if party.customer_id else None


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
