"""What units of work do that are run together, whatever database is behind them.

A database joins by one more parameter of the fixture `rig`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from adapters.postgres.engine import make_engine
from adapters.postgres.ledger import AccountIdCache
from adapters.postgres.market import PostgresMarket
from adapters.postgres.unit_of_work import PostgresUnitOfWorkFactory
from adapters.system.clock import SystemClock
from domain.amount import Amount
from domain.errors import DomainError
from domain.event import Event
from domain.ids import (
    AccountId,
    CustomerId,
    EntryId,
    EventId,
    QuoteId,
    TenantId,
    TradeId,
    TransferId,
)
from domain.ledger.account import AccountKey, AccountKind
from domain.ledger.entry import Entry, EntrySource
from domain.ledger.errors import InsufficientFunds
from domain.ledger.transfer import Transfer, TransferKind
from domain.party import Party
from domain.quote.errors import QuoteAlreadyAccepted, QuoteNotFound
from domain.quote.quote import Quote
from domain.tenant.customer import Customer, CustomerState
from domain.tenant.errors import CustomerNotFound, CustomerSuspended
from domain.tenant.tenant import Tenant, TenantSettings
from ports.errors import DatabaseBusy
from ports.request import RequestKey
from ports.unit_of_work import UnitOfWork
from tests.support.builders import NGN, a_quote, an_event_of
from tests.support.locks import no_deadlock, until_waiting
from tests.support.platform import Platform

TREASURY: Final = Party(None)
FUNDS: Final = 1_000
ADA: Final = AccountKey(AccountKind.CUSTOMER, NGN, "ada")
LP: Final = AccountKey(AccountKind.LP, NGN, "alpha")
HERE, ELSEWHERE = "units run together", "units of another server"


def event_of(id: EventId, quote: Quote) -> Event:
    return an_event_of(quote, "quote.created", id=id, occurred_at=quote.created_at)


class Unwell(DomainError):
    """Something in the work itself."""

    reason = "UNWELL"


@dataclass(frozen=True)
class Rig:
    """A tenant of its own whose customer Ada has 1,000 units."""

    units_of_work: PostgresUnitOfWorkFactory
    tenant_id: TenantId
    platform: Platform
    accounts: dict[AccountKey, AccountId]

    async def run_all(self, *works: Any) -> list[Any]:
        """Run all at once; an error stands in the place of its result."""
        return await asyncio.gather(
            *(self.units_of_work.run(self.tenant_id, work) for work in works),
            return_exceptions=True,
        )

    def quote(self, **changes: Any) -> Quote:
        quote = a_quote(created_at=self.platform.ids.new(QuoteId).created_at)
        new = {"id": self.platform.ids.new(QuoteId), "tenant_id": self.tenant_id}
        return replace(quote, **{**new, "party": TREASURY, **changes})

    async def an_open_quote(self, **changes: Any) -> Quote:
        quote = self.quote(**changes)
        async with self.units_of_work.begin(self.tenant_id) as uow:
            await uow.quotes.add(quote, [])
        return quote

    async def a_customer(self, state: CustomerState) -> Customer:
        id = self.platform.ids.new(CustomerId)
        customer = Customer(id=id, tenant_id=self.tenant_id, external_id=str(id), state=state)
        async with self.units_of_work.begin(self.tenant_id) as uow:
            await uow.customers.add(customer)
        return customer

    async def stored(self, quotes: Sequence[Quote]) -> list[bool]:
        found = []
        for quote in quotes:
            async with self.units_of_work.begin(self.tenant_id) as uow:
                try:
                    found.append((await uow.quotes.get(quote.id)).id == quote.id)
                except QuoteNotFound:
                    found.append(False)
        return found

    def payment(self, units: int, debit: AccountKey = ADA, credit: AccountKey = LP) -> Entry:
        transfer = Transfer(
            id=self.platform.ids.new(TransferId),
            debit_account_id=self.accounts[debit],
            credit_account_id=self.accounts[credit],
            amount=Amount(NGN, units),
            kind=TransferKind.REGULAR,
        )
        return Entry(
            id=self.platform.ids.new(EntryId),
            transfers=(transfer,),
            source=EntrySource.TRADE,
            reference="",
        )

    def event(self, quote: Quote) -> Event:
        return event_of(self.platform.ids.new(EventId), quote)

    async def balance(self, key: AccountKey) -> int:
        async with self.units_of_work.begin(self.tenant_id) as uow:
            return (await uow.ledger.get_account(self.accounts[key])).balance

    async def transactions_of(self, quotes: Sequence[Quote]) -> set[int]:
        """Return the transactions that stored the quotes."""
        rows = await self.platform.owner.fetch(
            "SELECT DISTINCT xmin::text::bigint AS id FROM core.quotes WHERE id = ANY($1)",
            [quote.id.uuid for quote in quotes],
        )
        return {row["id"] for row in rows}


@pytest.fixture(params=["postgres"])
async def rig(platform: Platform, app_database_url: str) -> AsyncIterator[Rig]:
    engine = make_engine(app_database_url, pool_size=4, name=HERE)
    try:
        yield await a_rig(platform, units_on(engine), engine)
        await asyncio.sleep(0)
        pool = engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == 0, "no connection is kept"
    finally:
        await engine.dispose()


@pytest.fixture
async def elsewhere(app_database_url: str) -> AsyncIterator[PostgresUnitOfWorkFactory]:
    """The units of work of another process."""
    engine = make_engine(app_database_url, pool_size=4, name=ELSEWHERE)
    try:
        yield units_on(engine)
    finally:
        await engine.dispose()


def units_on(engine: AsyncEngine) -> PostgresUnitOfWorkFactory:
    market = PostgresMarket(engine, SystemClock())
    return PostgresUnitOfWorkFactory(engine, market, AccountIdCache())


async def a_rig(platform: Platform, units: PostgresUnitOfWorkFactory, engine: AsyncEngine) -> Rig:
    id = platform.ids.new(TenantId)
    async with units.begin(id) as uow:
        slug = str(id).replace("_", "-")
        await uow.tenants.add(
            Tenant(id=id, slug=slug, display_name="T", branding={}, settings=TenantSettings())
        )
        accounts = dict(await uow.ledger.open_accounts([ADA, LP]))
    rig = Rig(units, id, platform, accounts)
    async with units.begin(id) as uow:
        await uow.ledger.commit(rig.payment(FUNDS, LP, ADA))
    return rig


def storing(quote: Quote, event: Event | None = None) -> Any:
    key = RequestKey(rpc="Store", request_id=str(quote.id), fingerprint=b"f" * 32)

    async def work(uow: UnitOfWork) -> QuoteId:
        assert await uow.requests.claim(key, quote.id.uuid) is None
        await uow.quotes.add(quote, [])
        if event is not None:
            await uow.outbox.add(event)
        return quote.id

    return work


def only_adding(quote: Quote, key: RequestKey | None = None) -> Any:
    async def work(uow: UnitOfWork) -> QuoteId:
        if key is not None:
            assert await uow.requests.claim(key, quote.id.uuid) is None
        await uow.quotes.add(quote, [])
        await uow.outbox.add(event_of(EventId(quote.id.uuid), quote))
        return quote.id

    return work


def paying(entry: Entry) -> Any:
    async def work(uow: UnitOfWork) -> EntryId:
        await uow.ledger.commit(entry, is_new=True)
        return entry.id

    return work


def accepting(quote: Quote, key: RequestKey | None = None) -> Any:
    async def work(uow: UnitOfWork) -> datetime:
        if key is not None:
            assert await uow.requests.claim(key, quote.id.uuid) is None
        found = await uow.quotes.get(quote.id, lock=True)
        acting = await uow.tenants.acting(quote.party)
        acting.require_active()
        accepted = found.accept(now=found.created_at)
        trade_id = TradeId(quote.id.uuid)
        await uow.quotes.save(accepted, trade_id=trade_id)
        return acting.now

    return work


@dataclass(frozen=True)
class Gate:
    """A place at which the work stands until it is let go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


async def go_on() -> None:
    pass


def accepting_once(quote: Quote, id: TradeId, *, claimed: Any = go_on, locked: Any = go_on) -> Any:
    """Return work that accepts the quote, or says who did: one request, whoever sends it."""
    key = RequestKey(rpc="reli.test/Accept", request_id=str(quote.id), fingerprint=b"f" * 32)

    async def work(uow: UnitOfWork) -> TradeId:
        known = await uow.requests.claim(key, id.uuid)
        if known is not None:
            assert known.resource_id is not None
            return TradeId(known.resource_id)
        await claimed()
        await accepting(quote)(uow)
        await locked()
        return id

    return work


def failing(quote: Quote) -> Any:
    async def work(uow: UnitOfWork) -> None:
        await storing(quote)(uow)
        raise Unwell("the work failed after it wrote")

    return work


async def test_neighbors_are_stored_by_few_transactions(rig: Rig) -> None:
    quotes = [rig.quote() for _ in range(20)]

    results = await rig.run_all(*(storing(quote, rig.event(quote)) for quote in quotes))

    assert results == [quote.id for quote in quotes]
    assert all(await rig.stored(quotes))
    assert len(await rig.transactions_of(quotes)) <= 2


async def test_who_only_adds_is_stored_with_its_neighbors_at_once(rig: Rig) -> None:
    quotes = [rig.quote() for _ in range(20)]

    results = await rig.run_all(*map(only_adding, quotes))

    assert results == [quote.id for quote in quotes]
    assert all(await rig.stored(quotes))
    assert len(await rig.transactions_of(quotes)) <= 2


async def test_of_two_who_only_add_the_same_the_database_takes_one(rig: Rig) -> None:
    quote, others = rig.quote(), [rig.quote() for _ in range(3)]

    first = await rig.run_all(only_adding(quote))
    results = await rig.run_all(only_adding(quote), *map(only_adding, others))

    assert first == [quote.id]
    assert isinstance(results[0], Exception)
    assert results[1:] == [other.id for other in others]
    assert all(await rig.stored([quote, *others]))


async def test_who_fails_leaves_nothing_and_its_neighbors_do_not_notice(rig: Rig) -> None:
    good, bad = [rig.quote() for _ in range(5)], [rig.quote() for _ in range(5)]

    results = await rig.run_all(*map(storing, good), *map(failing, bad))

    assert results[:5] == [quote.id for quote in good]
    assert all(isinstance(result, Unwell) for result in results[5:])
    assert all(await rig.stored(good))
    assert not any(await rig.stored(bad))


async def test_funds_for_three_pay_three_of_ten(rig: Rig) -> None:
    results = await rig.run_all(*(paying(rig.payment(FUNDS // 3)) for _ in range(10)))

    assert sum(isinstance(result, EntryId) for result in results) == 3
    assert sum(isinstance(result, InsufficientFunds) for result in results) == 7
    assert await rig.balance(ADA) == FUNDS - 3 * (FUNDS // 3)


async def test_each_line_of_an_account_continues_the_one_before(rig: Rig) -> None:
    await rig.run_all(*(paying(rig.payment(1)) for _ in range(40)))

    rows = await rig.platform.owner.fetch(
        """SELECT debit_version, debit_balance_after FROM core.transfers
        WHERE tenant_id = $1 AND debit_account_id = $2 ORDER BY debit_version""",
        rig.tenant_id.uuid,
        rig.accounts[ADA].uuid,
    )
    assert [row["debit_version"] for row in rows] == list(range(2, 42))
    assert [row["debit_balance_after"] for row in rows] == list(range(999, 959, -1))


async def test_who_fails_after_it_decided_on_balances_changes_none_of_them(rig: Rig) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.ledger.commit(rig.payment(FUNDS), is_new=True)
        raise Unwell("too late")

    results = await rig.run_all(work, *(paying(rig.payment(100)) for _ in range(5)))

    assert isinstance(results[0], Unwell)
    assert all(isinstance(result, EntryId) for result in results[1:])
    assert await rig.balance(ADA) == FUNDS - 500


async def test_two_at_one_quote_take_turns(rig: Rig) -> None:
    quote = await rig.an_open_quote()

    results = await rig.run_all(accepting(quote), accepting(quote), accepting(quote))

    assert [type(result) for result in results].count(datetime) <= 1
    refused = [result for result in results if isinstance(result, QuoteAlreadyAccepted)]
    assert len(refused) >= 2, results


async def test_a_request_that_was_claimed_before_is_found(rig: Rig) -> None:
    key = RequestKey(rpc="reli.test/Test", request_id="r-1", fingerprint=b"f" * 32)
    first, second = rig.quote(), rig.quote()

    async def claim(uow: UnitOfWork, quote: Quote) -> Any:
        known = await uow.requests.claim(key, quote.id.uuid)
        return known.resource_id if known else None

    results = await rig.run_all(lambda uow: claim(uow, first), lambda uow: claim(uow, second))
    again = await rig.run_all(lambda uow: claim(uow, rig.quote()))

    assert results.count(None) == 1
    assert {*results, *again} <= {None, first.id.uuid, second.id.uuid}
    assert again != [None]


async def test_a_known_request_hears_its_outcome_and_its_neighbors_share_theirs(rig: Rig) -> None:
    key = RequestKey(rpc="reli.test/Accept", request_id="a-1", fingerprint=b"f" * 32)
    known, *others = [await rig.an_open_quote() for _ in range(4)]

    async def accept_once(uow: UnitOfWork) -> Any:
        record = await uow.requests.claim(key, known.id.uuid)
        return record.resource_id if record else await accepting(known)(uow)

    (first,) = await rig.run_all(accept_once)
    again, *results = await rig.run_all(accept_once, *map(accepting, others))

    assert isinstance(first, datetime)
    assert again == known.id.uuid
    assert [type(result) for result in results] == [datetime] * 3
    assert len(await rig.transactions_of(others)) == 1


async def test_a_request_that_comes_again_alone_waits_for_the_one_in_company(
    rig: Rig, elsewhere: PostgresUnitOfWorkFactory
) -> None:
    quote = await rig.an_open_quote()
    first, second = (rig.platform.ids.new(TradeId) for _ in range(2))
    gate = Gate()

    async def alone() -> TradeId:
        async with elsewhere.begin(rig.tenant_id) as uow:
            outcome: TradeId = await accepting_once(quote, second)(uow)
            return outcome

    in_company = asyncio.create_task(rig.run_all(accepting_once(quote, first, locked=gate)))
    await gate.reached.wait()
    coming = asyncio.create_task(alone())
    await until_waiting(rig.platform.owner, ELSEWHERE)
    async with no_deadlock(rig.platform.owner):
        gate.opened.set()
        outcomes = [*await in_company, await coming]

    assert outcomes == [first, first]


async def test_a_request_that_comes_again_in_company_waits_for_the_one_alone(
    rig: Rig, elsewhere: PostgresUnitOfWorkFactory
) -> None:
    quote, others = await rig.an_open_quote(), [rig.quote() for _ in range(3)]
    first, second = (rig.platform.ids.new(TradeId) for _ in range(2))
    gate = Gate()

    async def alone() -> TradeId:
        async with elsewhere.begin(rig.tenant_id) as uow:
            outcome: TradeId = await accepting_once(quote, first, claimed=gate)(uow)
            return outcome

    coming = asyncio.create_task(alone())
    await gate.reached.wait()
    in_company = asyncio.create_task(rig.run_all(accepting_once(quote, second)))
    await until_waiting(rig.platform.owner, HERE)
    async with no_deadlock(rig.platform.owner):
        neighbors = await rig.run_all(*map(storing, others))
        assert not in_company.done(), "it did not wait"
        gate.opened.set()
        outcomes = [await coming, *await in_company]

    assert outcomes == [first, first]
    assert neighbors == [other.id for other in others]


async def test_what_a_known_request_is_refused_for_does_not_count(rig: Rig) -> None:
    key = RequestKey(rpc="reli.test/Test", request_id="r-2", fingerprint=b"f" * 32)
    made = rig.quote()

    async def make(uow: UnitOfWork) -> Any:
        record = await uow.requests.claim(key, made.id.uuid)
        if record:
            return record.resource_id
        if made in known:
            raise Unwell("it was made before")
        await uow.quotes.add(made, [])
        return made.id

    known: list[Quote] = []
    (first,) = await rig.run_all(make)
    known.append(made)

    assert first == made.id
    assert await rig.run_all(make) == [made.id.uuid]


async def test_the_quote_of_who_may_not_act_is_not_accepted(rig: Rig) -> None:
    suspended = await rig.a_customer(CustomerState.SUSPENDED)
    quotes = [await rig.an_open_quote() for _ in range(3)]
    refused = await rig.an_open_quote(party=Party(suspended.id))

    *results, refusal = await rig.run_all(*map(accepting, [*quotes, refused]))

    assert [type(result) for result in results] == [datetime] * 3
    assert isinstance(refusal, CustomerSuspended)


async def test_who_waits_for_a_customer_does_not_hold_up_its_neighbors(rig: Rig) -> None:
    customer = await rig.a_customer(CustomerState.ACTIVE)
    locked, free = await rig.an_open_quote(party=Party(customer.id)), await rig.an_open_quote()
    async with rig.units_of_work.begin(rig.tenant_id) as uow:
        await uow.customers.get(customer.id, lock=True)
        waiting = asyncio.create_task(rig.run_all(accepting(locked)))
        (result,) = await rig.run_all(accepting(free))

        assert isinstance(result, datetime)
        assert not waiting.done()
    (late,) = await waiting
    assert isinstance(late, datetime)


async def test_who_waits_for_a_row_does_not_hold_up_its_neighbors(rig: Rig) -> None:
    locked, free = await rig.an_open_quote(), [rig.quote() for _ in range(3)]
    async with rig.units_of_work.begin(rig.tenant_id) as uow:
        await uow.quotes.get(locked.id, lock=True)
        waiting = asyncio.create_task(rig.run_all(accepting(locked)))
        results = await rig.run_all(*map(storing, free))

        assert results == [quote.id for quote in free]
        assert not waiting.done()
    (late,) = await waiting
    assert not isinstance(late, DatabaseBusy)


async def test_what_the_database_refuses_of_one_is_done_for_the_others(rig: Rig) -> None:
    known = await rig.an_open_quote()
    quotes = [rig.quote() for _ in range(4)]

    results = await rig.run_all(storing(known), *map(storing, quotes))

    assert isinstance(results[0], Exception)
    assert results[1:] == [quote.id for quote in quotes]
    assert all(await rig.stored(quotes))


async def test_what_has_no_form_for_many_is_done_all_the_same(rig: Rig) -> None:
    customer = Customer(
        id=rig.platform.ids.new(CustomerId), tenant_id=rig.tenant_id, external_id="grace"
    )
    quote = rig.quote()

    async def work(uow: UnitOfWork) -> Customer:
        await uow.customers.add(customer)
        return await uow.customers.get(customer.id)

    assert await rig.run_all(work, storing(quote)) == [customer, quote.id]
    assert await rig.stored([quote]) == [True]


async def test_what_does_not_exist_is_not_found(rig: Rig) -> None:
    nobody = Party(rig.platform.ids.new(CustomerId))

    async def act(uow: UnitOfWork) -> Any:
        return await uow.tenants.acting(nobody)

    results = await rig.run_all(act, accepting(rig.quote()))

    assert [type(result) for result in results] == [CustomerNotFound, QuoteNotFound]


@pytest.mark.parametrize("reads", [False, True], ids=["adding rows only", "in a transaction"])
async def test_who_may_not_act_is_refused_and_the_neighbors_are_not(rig: Rig, reads: bool) -> None:
    quotes, refused = [rig.quote() for _ in range(3)], rig.quote()
    suspended = await rig.a_customer(CustomerState.SUSPENDED)

    def quoting(quote: Quote, party: Party) -> Any:
        async def work(uow: UnitOfWork) -> QuoteId:
            await uow.tenants.require_active(party)
            await uow.quotes.add(quote, [])
            return quote.id

        return work

    works = [quoting(quote, TREASURY) for quote in quotes]
    if reads:
        works.append(accepting(await rig.an_open_quote()))
    results = await rig.run_all(*works, quoting(refused, Party(suspended.id)))

    assert results[:3] == [quote.id for quote in quotes]
    assert isinstance(results[-1], CustomerSuspended)
    assert await rig.stored([*quotes, refused]) == [True, True, True, False]


async def test_who_is_canceled_does_not_take_its_neighbors_along(rig: Rig) -> None:
    for steps in range(12):
        quotes = [rig.quote() for _ in range(3)]
        doomed = rig.quote()
        canceled = asyncio.create_task(rig.run_all(storing(doomed)))
        running = asyncio.create_task(rig.run_all(*map(storing, quotes)))
        for _ in range(steps):
            await asyncio.sleep(0)
        canceled.cancel()

        assert await running == [quote.id for quote in quotes]
        await asyncio.gather(canceled, return_exceptions=True)
        assert all(await rig.stored(quotes))


async def test_tenants_do_not_meet(rig: Rig) -> None:
    other_id, _ = await rig.platform.a_tenant()
    other = TenantId.parse(other_id)
    ours, theirs = rig.quote(), rig.quote(tenant_id=other)

    await asyncio.gather(
        rig.units_of_work.run(rig.tenant_id, storing(ours)),
        rig.units_of_work.run(other, storing(theirs)),
    )

    assert await rig.stored([ours, theirs]) == [True, False]


async def test_a_tenant_whose_rows_are_locked_holds_up_no_other_tenant(rig: Rig) -> None:
    other_id, _ = await rig.platform.a_tenant()
    other = TenantId.parse(other_id)
    async with rig.units_of_work.begin(rig.tenant_id) as uow:
        await uow.ledger.get_account(rig.accounts[ADA], lock=True)
        held_up = asyncio.create_task(rig.run_all(paying(rig.payment(1))))
        await asyncio.sleep(0.05)

        quotes = [rig.quote(tenant_id=other) for _ in range(5)]
        for quote in quotes:
            assert await rig.units_of_work.run(other, storing(quote)) == quote.id
        assert not held_up.done()
    assert [type(result) for result in await held_up] == [EntryId]
