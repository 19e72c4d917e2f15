"""Things to test with: valid unless told otherwise, the same on every run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, TypeVar
from uuid import UUID

from domain.amount import Amount
from domain.asset import Asset, Instrument
from domain.event import Event
from domain.ids import (
    AccountId,
    ApiKeyId,
    AttemptId,
    BreakId,
    CustomerId,
    EntryId,
    EventId,
    LpId,
    QuoteId,
    TenantId,
    TradeId,
    TransferId,
    TypedId,
    milliseconds,
)
from domain.ledger.account import Account, AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.posting import Books
from domain.ledger.transfer import Transfer, TransferKind
from domain.liquidity.circuit import Circuit, CircuitState
from domain.liquidity.lp import Lp
from domain.party import Party
from domain.quote.pricing import Rates, Terms, price
from domain.quote.quote import Quote
from domain.reconciliation.break_ import Break, BreakKind, LateFill
from domain.routing import LpRecord
from domain.side import Side
from domain.trade.attempt import Attempt, AttemptState
from domain.trade.outcome import Filled
from domain.trade.settlement import SETTLEMENT_MOVEMENTS
from domain.trade.trade import LedgerIds, Trade
from domain.trading_state import TradingState

Id = TypeVar("Id", bound=TypedId)

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
NGN: Final = Asset("NGN", 2)
USD: Final = Asset("USD", 2)
BTC: Final = Asset("BTC", 8)
ETH: Final = Asset("ETH", 18)
BTC_NGN: Final = Instrument(BTC, NGN)
ETH_NGN: Final = Instrument(ETH, NGN)

_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62
_NUMBERS = count(1)


def a_uuid(*, at: datetime = NOW, number: int | None = None) -> UUID:
    """Return a UUIDv7 of that instant; without a number, one that no other call returned."""
    tail = next(_NUMBERS) if number is None else number
    return UUID(int=milliseconds(at) << 80 | _VERSION | _VARIANT | tail)


def an_id(kind: type[Id], *, at: datetime = NOW, number: int | None = None) -> Id:
    return kind(a_uuid(at=at, number=number))


def seconds(number: int) -> timedelta:
    return timedelta(seconds=number)


def ngn(text: str) -> Amount:
    return Amount.parse(text, NGN)


def btc(text: str) -> Amount:
    return Amount.parse(text, BTC)


def an_account(
    *,
    kind: AccountKind = AccountKind.CUSTOMER,
    asset: Asset = NGN,
    owner: str = "ada",
    posted: int = 0,
    held: int = 0,
    incoming: int = 0,
    overdraft_limit: int | None = 0,
) -> Account:
    """Return an account whose posted balance is `posted`, in minor units."""
    return Account(
        id=an_id(AccountId),
        key=AccountKey(kind, asset, owner),
        debits_pending=held,
        credits_pending=incoming,
        debits_posted=max(-posted, 0),
        credits_posted=max(posted, 0),
        overdraft_limit=overdraft_limit,
    )


def a_transfer(
    debit: Account,
    credit: Account,
    units: int = 100,
    *,
    id: TransferId | None = None,
    asset: Asset | None = None,
    kind: TransferKind = TransferKind.REGULAR,
    pending_id: TransferId | None = None,
    expires_at: datetime | None = None,
    purpose: str = "",
) -> Transfer:
    return Transfer(
        id=id or an_id(TransferId),
        debit_account_id=debit.id,
        credit_account_id=credit.id,
        amount=Amount(asset or debit.asset, units),
        kind=kind,
        pending_id=pending_id,
        expires_at=expires_at,
        purpose=purpose,
    )


def an_entry(
    *transfers: Transfer,
    id: EntryId | None = None,
    source: EntrySource = EntrySource.TRADE,
    reference: str = "",
    effective_at: datetime | None = None,
) -> Entry:
    return Entry(
        id=id or an_id(EntryId),
        transfers=transfers,
        source=source,
        reference=reference,
        effective_at=effective_at,
    )


def the_books(
    *accounts: Account,
    transfers: Iterable[Transfer] = (),
    resolutions: Mapping[TransferId, TransferKind] | None = None,
    entry: Entry | None = None,
    failed: Mapping[bytes, str] | None = None,
    reversals: Mapping[EntryId, EntryId] | None = None,
    now: datetime = NOW,
) -> Books:
    return Books(
        accounts={account.id.bytes: account for account in accounts},
        transfers={transfer.id.bytes: transfer for transfer in transfers},
        resolutions={id.bytes: kind for id, kind in (resolutions or {}).items()},
        entries={entry.id.bytes: entry} if entry else {},
        failed=failed or {},
        reversals={id.bytes: by for id, by in (reversals or {}).items()},
        now=now,
    )


def some_terms(
    side: Side = Side.BUY,
    *,
    base: Amount | None = None,
    lp_quote: Amount | None = None,
    fee_bps: int = 25,
    markup_bps: int = 75,
) -> Terms:
    """Price an LP's answer to a request that fixed the base amount."""
    base = base or btc("0.01000000")
    return price(
        side,
        base,
        is_base=True,
        rates=Rates(fee_bps, markup_bps),
        lp_base=base,
        lp_quote=lp_quote or ngn("1500000.00"),
    )


def a_quote(
    *,
    side: Side = Side.BUY,
    terms: Terms | None = None,
    instrument: Instrument = BTC_NGN,
    lp_order: tuple[str, ...] = ("alpha", "beta"),
    tolerance_bps: int = 10,
    created_at: datetime = NOW,
    expires_in_s: int = 10,
) -> Quote:
    terms = terms or some_terms(side)
    return Quote(
        id=an_id(QuoteId),
        tenant_id=an_id(TenantId),
        party=Party(an_id(CustomerId)),
        side=side,
        instrument=instrument,
        base_amount=terms.base,
        quote_amount=terms.quote,
        waterfall=terms.waterfall,
        lp=lp_order[0],
        lp_reference="alpha-1",
        lp_expires_at=created_at + seconds(expires_in_s + 1),
        lp_order=lp_order,
        tolerance_bps=tolerance_bps,
        created_at=created_at,
        expires_at=created_at + seconds(expires_in_s),
    )


def some_ledger_ids() -> LedgerIds:
    return LedgerIds(
        hold_entry=an_id(EntryId),
        hold=an_id(TransferId),
        settlement_entry=an_id(EntryId),
        settlement=tuple(an_id(TransferId) for _ in range(SETTLEMENT_MOVEMENTS)),
        release_entry=an_id(EntryId),
        release=an_id(TransferId),
    )


def a_trade(quote: Quote | None = None, *, accepted_at: datetime = NOW) -> Trade:
    """Return the trade of an accepted quote, before its first attempt."""
    quote = quote or a_quote()
    return Trade(
        id=an_id(TradeId),
        tenant_id=quote.tenant_id,
        quote_id=quote.id,
        party=quote.party,
        side=quote.side,
        instrument=quote.instrument,
        base_amount=quote.base_amount,
        quote_amount=quote.quote_amount,
        waterfall=quote.waterfall,
        lp_order=quote.lp_order,
        tolerance_bps=quote.tolerance_bps,
        accepted_at=accepted_at,
        accepted_by=an_id(ApiKeyId),
        ledger_ids=some_ledger_ids(),
        correlation_id="correlation",
    )


def a_prepared_trade(quote: Quote | None = None, *, accepted_at: datetime = NOW) -> Trade:
    """Return a trade as it is stored with the accept: its first attempt is prepared."""
    return a_trade(quote, accepted_at=accepted_at).prepare(an_id(AttemptId), actor="accept")


def a_sent_trade(quote: Quote | None = None, *, accepted_at: datetime = NOW) -> Trade:
    return sent(a_prepared_trade(quote, accepted_at=accepted_at), now=accepted_at + seconds(1))


def sent(trade: Trade, *, now: datetime = NOW, lp_amount: Amount | None = None) -> Trade:
    """Return the trade with its prepared attempt on the way to the LP."""
    return trade.send(
        actor="worker",
        now=now,
        lp_reference="reference",
        lp_amount=lp_amount or trade.waterfall.lp,
        lp_expires_at=now + seconds(5),
    )


def an_attempt(state: AttemptState, *, number: int = 1, lp: str = "alpha") -> Attempt:
    return Attempt(id=an_id(AttemptId), number=number, lp=lp, state=state)


def a_fill(trade: Trade, *, base: Amount | None = None, quote: Amount | None = None) -> Filled:
    """Return the LP's word that it executed, at the quoted amounts unless told otherwise."""
    return Filled(
        base=base or trade.base_amount,
        quote=quote or trade.waterfall.lp,
        venue_order_id="venue-1",
        evidence="execution report",
    )


def an_lp(
    name: str = "alpha",
    *,
    circuit: CircuitState = CircuitState.CLOSED,
    trading_state: TradingState = TradingState.ACTIVE,
    record: LpRecord | None = None,
) -> Lp:
    return Lp(
        id=an_id(LpId),
        name=name,
        circuit=Circuit(state=circuit, since=NOW, window_began_at=NOW),
        trading_state=trading_state,
        record=record or LpRecord(),
    )


def a_late_fill(side: Side = Side.BUY) -> LateFill:
    return LateFill(
        attempt=1,
        attempt_id=an_id(AttemptId),
        lp="alpha",
        side=side,
        venue_order_id="alpha-1",
        base=btc("0.01000000"),
        quote=ngn("1500000.00"),
    )


def a_break() -> Break:
    fill = a_late_fill()
    return Break(
        id=an_id(BreakId),
        tenant_id=an_id(TenantId),
        kind=BreakKind.LATE_FILL,
        trade_id=an_id(TradeId),
        amount=fill.quote,
        detail="alpha executed after all",
        raised_at=NOW,
        late_fill=fill,
    )


def an_event_of(thing: Any, type: str, **changed: Any) -> Event:
    """Return what tells that `type` happened to a thing of a tenant's."""
    event = Event(
        id=an_id(EventId),
        tenant_id=thing.tenant_id,
        type=type,
        subject=thing.id,
        data=thing,
        correlation_id="correlation",
        occurred_at=NOW,
    )
    return replace(event, **changed)
