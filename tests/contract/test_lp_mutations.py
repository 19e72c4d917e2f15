"""Each rule of the port notices the one mistake that it is there for, and no other rule does.

Each mistake is planted into the adapter of OKX, whose wire has nearly all that the rules are about.

All rules are played once with the adapter as it is, and all is kept that it was asked and told.
What a mistake makes of the same calls is then known without a venue: a rule that sees no difference
cannot notice it, and only the others are played with it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest

from adapters.http.connection import Answer, Connection, Limits
from adapters.lp import http, signing
from adapters.lp.listing import MAX_PAGES
from adapters.lp.okx.config import OkxLpConfig
from adapters.lp.reading import UNREADABLE, WRONG_ECHO
from adapters.lp.zero_hash.client import ZeroHashClient
from app.certify.bench import NOTHING_PLANTED, Plant, Role
from app.certify.certify import Grade, judge
from app.certify.rules import RULES
from app.certify.rules.rule import Rule
from app.certify.subject import SUBJECTS, Subject
from domain.amount import Amount, TooManyDigits
from domain.quote.pricing import AmountTooSmall
from domain.reconciliation.period import Period
from domain.reconciliation.statement import Source, SourceKind
from domain.side import Side
from domain.trade.outcome import (
    ORDER_NOT_FOUND,
    ORDER_WORKING,
    Absent,
    Filled,
    NotSent,
    Rejected,
    Unknown,
)
from ports.liquidity import (
    ExecutionOutcome,
    LiquidityProvider,
    LpCapabilities,
    LpQuote,
    LpQuoteRequest,
    LpRefused,
    LpStatus,
    LpUnavailable,
    Working,
)
from ports.market import Catalogue
from ports.reconciliation import StatementListing

Told = TypeVar("Told")
Quoting = Callable[[LpQuoteRequest, Awaitable[LpQuote]], Awaitable[LpQuote]]
Executing = Callable[[dict[str, Any], Awaitable[ExecutionOutcome]], Awaitable[ExecutionOutcome]]
Fetch = Callable[[], Awaitable[bytes]]
Listing = Callable[[Period, Fetch], Awaitable[bytes]]
Looking = Callable[[dict[str, Any], Awaitable[LpStatus]], Awaitable[LpStatus]]


async def as_it_is(asked: object, answering: Awaitable[Any]) -> Any:
    return await answering


@dataclass
class Mutant(LiquidityProvider):
    """An adapter with something in the way of its answers."""

    inner: LiquidityProvider
    quoting: Quoting = as_it_is
    executing: Executing = as_it_is
    looking: Looking = as_it_is
    ordering: Callable[[dict[str, Any]], dict[str, Any]] = dict
    declared: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> LpCapabilities:
        return replace(self.inner.capabilities, **self.declared)

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        return await self.quoting(request, self.inner.request_quote(request))

    async def execute(self, **order: Any) -> ExecutionOutcome:
        return await self.executing(order, self.inner.execute(**self.ordering(order)))

    async def get_status(self, **order: Any) -> LpStatus:
        return await self.looking(order, self.inner.get_status(**order))


@dataclass
class MutantListing(StatementListing):
    """A listing with something in the way of its statements."""

    inner: StatementListing
    listing: Listing

    @property
    def source(self) -> Source:
        return self.inner.source

    async def fetch(self, period: Period, catalogue: Catalogue) -> bytes:
        return await self.listing(period, partial(self.inner.fetch, period, catalogue))


@dataclass(frozen=True)
class Call:
    """One question of a rule to an adapter, and what came of it.

    Attributes:
        method: by which it was asked; `capabilities` has no arguments.
        told: what was returned or raised.
    """

    role: Role
    method: str
    asked: Any
    told: Any


@dataclass
class Recorder(LiquidityProvider):
    """An adapter of which all is kept that it is asked and tells."""

    inner: LiquidityProvider
    role: Role
    calls: list[Call] = field(repr=False)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def capabilities(self) -> LpCapabilities:
        capabilities = self.inner.capabilities
        self.calls.append(Call(self.role, "capabilities", None, capabilities))
        return capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        return await self._keep("request_quote", request, self.inner.request_quote(request))

    async def execute(self, **order: Any) -> ExecutionOutcome:
        return await self._keep("execute", order, self.inner.execute(**order))

    async def get_status(self, **order: Any) -> LpStatus:
        return await self._keep("get_status", order, self.inner.get_status(**order))

    async def _keep(self, method: str, asked: Any, answering: Awaitable[Told]) -> Told:
        try:
            told = await answering
        except BaseException as error:
            self.calls.append(Call(self.role, method, asked, error))
            raise
        self.calls.append(Call(self.role, method, asked, told))
        return told


@dataclass
class ListingRecorder(StatementListing):
    """A listing of which all is kept that it is asked and tells."""

    inner: StatementListing
    role: Role
    calls: list[Call] = field(repr=False)

    @property
    def source(self) -> Source:
        return self.inner.source

    async def fetch(self, period: Period, catalogue: Catalogue) -> bytes:
        try:
            told = await self.inner.fetch(period, catalogue)
        except BaseException as error:
            self.calls.append(Call(self.role, "fetch", (period, catalogue), error))
            raise
        self.calls.append(Call(self.role, "fetch", (period, catalogue), told))
        return told


class ReplayedListing(StatementListing):
    """Tells again what was told at one call, if it is asked the same."""

    call: Call

    @property
    def source(self) -> Source:
        return Source(SourceKind.LP, "replayed")

    async def fetch(self, period: Period, catalogue: Catalogue) -> bytes:
        if (period, catalogue) != self.call.asked:
            raise AssertionError("something else is asked")
        if isinstance(self.call.told, BaseException):
            raise self.call.told
        told: bytes = self.call.told
        return told


class Replayed(LiquidityProvider):
    """Tells again what was told at one call, if it is asked the same."""

    call: Call

    @property
    def name(self) -> str:
        return "replayed"

    @property
    def capabilities(self) -> LpCapabilities:
        capabilities: LpCapabilities = self.call.told
        return capabilities

    async def request_quote(self, request: LpQuoteRequest) -> LpQuote:
        quote: LpQuote = self._told(request)
        return quote

    async def execute(self, **order: Any) -> ExecutionOutcome:
        outcome: ExecutionOutcome = self._told(order)
        return outcome

    async def get_status(self, **order: Any) -> LpStatus:
        status: LpStatus = self._told(order)
        return status

    def _told(self, asked: Any) -> Any:
        if asked != self.call.asked:
            raise AssertionError("something else is asked")
        if isinstance(self.call.told, BaseException):
            raise self.call.told
        return self.call.told


async def ask_again(lp: LiquidityProvider, listing: StatementListing, call: Call) -> object:
    """Return what an adapter tells or raises when it is asked the same."""
    try:
        if call.method == "fetch":
            return await listing.fetch(*call.asked)
        if call.method == "capabilities":
            return lp.capabilities
        if call.method == "request_quote":
            return await lp.request_quote(call.asked)
        return await getattr(lp, call.method)(**call.asked)
    except BaseException as error:
        return error


@dataclass(frozen=True)
class Mutation:
    """Attributes:
    plant: what stands between the rules and the adapter.
    patched: replaces code of the adapter as long as its block lasts.
    """

    plant: Plant = NOTHING_PLANTED
    patched: Callable[[], AbstractContextManager[None]] = nullcontext
    subject: str = "okx"

    async def could_be_noticed(self, rule: Rule, calls: Sequence[Call]) -> bool:
        """Say whether anything would have been told otherwise at these calls of the rule."""
        if self.patched is not nullcontext:
            # What is patched is about clocks, credentials and slowness. Hostile answers are of the
            # true time, repeat no credential and come at once.
            return not rule.id.endswith("-hostile")
        replayed, replayed_listing = Replayed(), ReplayedListing()
        lps = {role: self.plant.lp(role, replayed) for role in Role}
        listings = {role: self.plant.listing(role, replayed_listing) for role in Role}
        for call in calls:
            replayed.call = replayed_listing.call = call
            if await ask_again(lps[call.role], listings[call.role], call) != call.told:
                return True
        return False


def of(role: Role = Role.USUAL, *, subject: str = "okx", **mutated: Any) -> Mutation:
    """Mutate who plays a role; each value makes a fresh hook, as some remember what they saw."""

    def plant(each: Role, lp: LiquidityProvider) -> LiquidityProvider:
        return (
            Mutant(lp, **{name: make() for name, make in mutated.items()}) if each is role else lp
        )

    return Mutation(Plant(lp=plant), subject=subject)


def of_listing(listing: Callable[[], Listing], role: Role = Role.USUAL) -> Mutation:
    """Mutate the statements that who plays a role is told."""

    def plant(each: Role, inner: StatementListing) -> StatementListing:
        return MutantListing(inner, listing()) if each is role else inner

    return Mutation(Plant(listing=plant))


def one_more(amount: Amount) -> Amount:
    return Amount(amount.asset, amount.units + 1)


# Prices


def drops_last_digit() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        quote = await asking
        if request.fixed.units % 10 != 1:
            return quote
        rounded = Amount(request.fixed.asset, request.fixed.units - 1)
        if request.is_base:
            return replace(quote, base=rounded)
        return replace(quote, quote=rounded)

    return quoting


def only(is_base: bool, make: Callable[[], Quoting]) -> Callable[[], Quoting]:
    def made() -> Quoting:
        inner = make()

        async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
            return await (inner if request.is_base is is_base else as_it_is)(request, asking)

        return quoting

    return made


def prices_sales_higher() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        quote = await asking
        return replace(quote, quote=one_more(quote.quote)) if request.side is Side.SELL else quote

    return quoting


def forgets_the_margin() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        quote = await asking
        return replace(quote, expires_at=quote.expires_at + timedelta(seconds=1))

    return quoting


def takes_refusal_for_failure() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        try:
            return await asking
        except LpRefused as error:
            raise LpUnavailable(error.message) from error

    return quoting


def takes_too_fine_for_too_small() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        try:
            return await asking
        except LpRefused as error:
            if error.metadata["code"] != TooManyDigits.reason:
                raise
            raise LpRefused(error.message, code=AmountTooSmall.reason) from error

    return quoting


def takes_failure_for_refusal(cause: str) -> Callable[[], Quoting]:
    def made() -> Quoting:
        async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
            try:
                return await asking
            except LpUnavailable as error:
                if error.metadata["cause"] != cause:
                    raise
                raise LpRefused(error.message) from error

        return quoting

    return made


def cannot_be_canceled() -> Quoting:
    async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
        try:
            return await asking
        except asyncio.CancelledError as error:
            raise LpUnavailable("canceled") from error

    return quoting


def prices_anyway(detail: str, factor: int) -> Callable[[], Quoting]:
    """Believe what it could not read, if that is what was wrong with it."""

    def made() -> Quoting:
        known: list[LpQuote] = []

        async def quoting(request: LpQuoteRequest, asking: Awaitable[LpQuote]) -> LpQuote:
            try:
                known.append(await asking)
                return known[-1]
            except LpUnavailable as error:
                if detail not in str(error.__cause__) or not known:
                    raise
                truth = known[-1]
                units = factor * truth.quote.units
                return replace(truth, quote=Amount(truth.quote.asset, units))

        return quoting

    return made


# Executions and states


def answers(
    instead: Callable[[Any, dict[str, Any]], Any], *, where: Callable[[Any, dict[str, Any]], bool]
) -> Callable[[], Executing]:
    """Answer something else where the answer is of a kind."""

    def made() -> Executing:
        async def executing(order: dict[str, Any], sending: Awaitable[Any]) -> Any:
            said = await sending
            return instead(said, order) if where(said, order) else said

        return executing

    return made


def unknown(*marks: str) -> Callable[[Any, dict[str, Any]], bool]:
    """Tell an unknown outcome by its reason and evidence."""
    return lambda said, _: (
        isinstance(said, Unknown)
        and all(mark in f"{said.reason}: {said.evidence}" for mark in marks)
    )


def rejected(said: Any, order: dict[str, Any]) -> Rejected:
    return Rejected(reason="LP_REJECTED", evidence=said.evidence)


def not_sent(said: Any, order: dict[str, Any]) -> NotSent:
    return NotSent(reason="LP_UNREACHABLE", evidence=said.evidence)


def absent(said: Any, order: dict[str, Any]) -> Absent:
    return Absent(evidence=said.evidence)


def lost(said: Any, order: dict[str, Any]) -> Unknown:
    return Unknown(reason=ORDER_NOT_FOUND, evidence=said.evidence)


def unreadable(said: Any, order: dict[str, Any]) -> Unknown:
    return Unknown(reason=UNREADABLE, evidence=said.evidence)


def a_unit_off(said: Any, order: dict[str, Any]) -> Any:
    return replace(said, quote=one_more(said.quote))


def a_sale(said: Any, order: dict[str, Any]) -> bool:
    return isinstance(said, Filled) and order["side"] is Side.SELL


def is_a(kind: type) -> Callable[[Any, dict[str, Any]], bool]:
    return lambda said, _: isinstance(said, kind)


def believes_any_fill() -> Executing:
    """Take another's order for ours."""
    known: dict[Any, Filled] = {}

    async def executing(order: dict[str, Any], sending: Awaitable[Any]) -> Any:
        said = await sending
        if isinstance(said, Filled):
            known[order["client_order_id"]] = said
        is_foreign = isinstance(said, Unknown) and said.reason == WRONG_ECHO
        return known.get(order["client_order_id"], said) if is_foreign else said

    return executing


def forgets_the_limit() -> Callable[[dict[str, Any]], dict[str, Any]]:
    def ordering(order: dict[str, Any]) -> dict[str, Any]:
        quantity, _, limit = order["reference"].partition("@")
        any_price = f"{limit}0" if order["side"] is Side.BUY else "1"
        return {**order, "reference": f"{quantity}@{any_price}"}

    return ordering


def swallows_cancellation() -> Executing:
    async def executing(order: dict[str, Any], sending: Awaitable[Any]) -> Any:
        try:
            return await sending
        except asyncio.CancelledError:
            return Unknown(reason="LP_TIMEOUT", evidence="canceled")

    return executing


def tells_a_fill_once() -> Looking:
    told = set()

    async def looking(order: dict[str, Any], asking: Awaitable[Any]) -> Any:
        said = await asking
        if not isinstance(said, Filled):
            return said
        if order["client_order_id"] in told:
            return lost(said, order)
        told.add(order["client_order_id"])
        return said

    return looking


def remembers_silence() -> Looking:
    silent: dict[Any, Any] = {}

    async def looking(order: dict[str, Any], asking: Awaitable[Any]) -> Any:
        said = await asking
        if isinstance(said, Unknown) and said.reason == ORDER_NOT_FOUND:
            silent[order["client_order_id"]] = said
        return silent.get(order["client_order_id"], said)

    return looking


def takes_second_silence_for_no() -> Looking:
    silent: set[Any] = set()
    found: set[Any] = set()

    async def looking(order: dict[str, Any], asking: Awaitable[Any]) -> Any:
        said = await asking
        id = order["client_order_id"]
        if isinstance(said, Filled):
            found.add(id)
        if not isinstance(said, Unknown) or said.reason != ORDER_NOT_FOUND or id in found:
            return said
        if id in silent:
            return absent(said, order)
        silent.add(id)
        return said

    return looking


def unprintable(said: Any, order: dict[str, Any]) -> Any:
    return replace(said, evidence=f"{said.evidence}\n")


# Statements

A_TRADE: Final = {
    "order_id": "nobody-s",
    "client_order_id": "nobody-s",
    "side": "buy",
    "base_asset": "BTC",
    "base_amount": "0.02",
    "quote_asset": "NGN",
    "quote_amount": "1.00",
    "execute_time": "2026-03-02T09:30:00Z",
}


def written(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def statement_of(period: Period, *trades: dict[str, Any]) -> bytes:
    return written(
        {
            "source": "okx",
            "start_time": period.starts_at.isoformat(),
            "end_time": period.ends_at.isoformat(),
            "balances": [],
            "trades": trades,
        }
    )


def says(change: Callable[[dict[str, Any]], object]) -> Callable[[], Listing]:
    """Change what a statement says, in place."""

    def made() -> Listing:
        async def listing(period: Period, fetch: Fetch) -> bytes:
            document = json.loads(await fetch())
            change(document)
            return written(document)

        return listing

    return made


def more_for_sales(document: dict[str, Any]) -> None:
    for trade in document["trades"]:
        if trade["side"] == "sell":
            trade["quote_amount"] = f"{trade['quote_amount']}".replace(".00", ".09")


def another_order_id(document: dict[str, Any]) -> None:
    for trade in document["trades"]:
        trade["order_id"] = trade["order_id"][::-1]


def one_page_only(document: dict[str, Any]) -> None:
    del document["trades"][:-100]


def nothing_of_the_last_second(document: dict[str, Any]) -> None:
    trades = document["trades"]
    document["trades"] = [one for one in trades if "T23:59:59" not in one["execute_time"]]


def the_rejected_order_too(document: dict[str, Any]) -> None:
    if [trade["execute_time"] for trade in document["trades"]] == ["2026-03-02T09:30:01Z"]:
        document["trades"].append(A_TRADE)


def other_bytes_each_time() -> Listing:
    told = 0

    async def listing(period: Period, fetch: Fetch) -> bytes:
        nonlocal told
        told += 1
        return await fetch() + told * b" "

    return listing


def refused(error: LpUnavailable, mark: str) -> bool:
    """Tell a refusal by its cause and by what was wrong."""
    return mark in f"{error.metadata['cause']}: {error.__cause__}"


def tells_anyway(
    mark: str, *trades: dict[str, Any], told_before: bool | None = None
) -> Callable[[], Listing]:
    """Make a statement of what is none; only after one that was, or only before any."""

    def made() -> Listing:
        has_told = False

        async def listing(period: Period, fetch: Fetch) -> bytes:
            nonlocal has_told
            try:
                content = await fetch()
            except LpUnavailable as error:
                if not refused(error, mark) or told_before is (not has_told):
                    raise
                return statement_of(period, *trades)
            has_told = True
            return content

        return listing

    return made


def adds_pages_up() -> Listing:
    """Tell what was on both of two pages twice."""

    async def listing(period: Period, fetch: Fetch) -> bytes:
        try:
            return await fetch()
        except LpUnavailable as error:
            if not refused(error, WRONG_ECHO):
                raise
        try:
            document = json.loads(await fetch())
        except LpUnavailable as error:
            raise LpUnavailable("not even at the second try", cause=WRONG_ECHO) from error
        return written({**document, "trades": 2 * document["trades"]})

    return listing


def never_gives_up() -> Listing:
    async def listing(period: Period, fetch: Fetch) -> bytes:
        for _ in range(MAX_PAGES):
            try:
                return await fetch()
            except LpUnavailable as error:
                if not refused(error, WRONG_ECHO):
                    raise
        raise LpUnavailable("no statement", cause="LP_TOO_OFTEN")

    return listing


# Patches


@contextmanager
def deaf_to_the_venue() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing.VenueTime, "hear", lambda self, answer: answer)
        yield


@contextmanager
def follows_any_clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "MAX_OFFSET", timedelta(days=10_000))
        yield


@contextmanager
def hides_nothing() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OkxLpConfig, "secrets", ())
        yield


@contextmanager
def asks_under_the_same_id() -> Iterator[None]:
    def request_id(self: ZeroHashClient, target: str) -> UUID:
        return uuid5(NAMESPACE_URL, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZeroHashClient, "_request_id", request_id)
        yield


def timed_out_in_the_body(error: Callable[[], Exception]) -> AbstractContextManager[None]:
    exchange = Connection.exchange

    async def exchanging(self: Connection, request: bytes, answer: Answer, limits: Limits) -> None:
        try:
            await exchange(self, request, answer, limits)
        except asyncio.CancelledError:
            if answer.status is None:
                raise
            raise error() from None

    @contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "exchange", exchanging)
            yield

    return patched()


has_order: Final = unknown(ORDER_WORKING)

FORGETS_THE_ORDER: Final = of(
    executing=answers(lost, where=has_order),
    looking=answers(
        lost, where=lambda said, order: has_order(said, order) or isinstance(said, Working)
    ),
)

MUTATIONS: Final[Mapping[str, Mutation]] = {
    "base-kept": of(quoting=only(True, drops_last_digit)),
    "base-step": of(subject="b2c2", quoting=takes_too_fine_for_too_small),
    "quote-kept": of(quoting=only(False, drops_last_digit)),
    "price-told": of(quoting=only(True, prices_sales_higher)),
    "expiry-margin": of(quoting=forgets_the_margin),
    "no-price-refused": of(quoting=takes_refusal_for_failure),
    "quote-unreachable": of(Role.CUT_OFF, quoting=takes_failure_for_refusal("LP_UNREACHABLE")),
    "quote-canceled": of(quoting=cannot_be_canceled),
    "quote-failures": of(quoting=takes_failure_for_refusal("LP_HTTP_503")),
    "quote-hostile": of(quoting=prices_anyway("baseSz is missing", 2)),
    "quote-echo": of(quoting=prices_anyway("is not what was asked", 1)),
    "quote-multiplies": of(quoting=prices_anyway("do not multiply", 2)),
    "wrong-secret": of(Role.STRANGER, executing=answers(rejected, where=is_a(Unknown))),
    "clock-followed": Mutation(patched=deaf_to_the_venue),
    "clock-bounded": Mutation(patched=follows_any_clock),
    "secrets-hidden": Mutation(patched=hides_nothing),
    "fill-told": of(executing=answers(a_unit_off, where=a_sale)),
    "fill-of-quote-amount": of(
        executing=answers(a_unit_off, where=lambda said, order: order["quote"].units % 100 == 10)
    ),
    "other-price-told": of(
        executing=answers(
            lambda said, order: replace(said, quote=order["quote"]), where=is_a(Filled)
        )
    ),
    "limit-kept": of(subject="valr", ordering=forgets_the_limit),
    "rejection-told": of(executing=answers(lost, where=is_a(Rejected))),
    "other-code-unknown": of(executing=answers(rejected, where=unknown('"50026"'))),
    "expired-told": of(executing=answers(rejected, where=unknown('"52915"', "expired"))),
    "not-sent": of(Role.CUT_OFF, executing=answers(lost, where=is_a(NotSent))),
    "lost-answer-unknown": of(
        executing=answers(not_sent, where=unknown("before there was an answer"))
    ),
    "short-answer-unknown": of(executing=answers(rejected, where=unknown("ended early"))),
    "web-page-unknown": of(executing=answers(rejected, where=unknown("HTTP 200", "<html"))),
    "server-error-unknown": of(executing=answers(not_sent, where=unknown("LP_HTTP_503"))),
    "overload-unknown": of(executing=answers(not_sent, where=unknown("LP_HTTP_429"))),
    "late-answer-unknown": Mutation(
        of(Role.IMPATIENT, executing=answers(not_sent, where=unknown("LP_TIMEOUT"))).plant,
        lambda: timed_out_in_the_body(lambda: http.NoAnswer("LP_TOO_SLOW", "it drips")),
    ),
    "drip-bounded": Mutation(
        patched=lambda: timed_out_in_the_body(lambda: http.NotConnected("drips"))
    ),
    "flood-bounded": of(executing=answers(rejected, where=unknown("LP_ANSWER_TOO_LARGE"))),
    "redirect-unknown": of(executing=answers(not_sent, where=unknown("LP_HTTP_307"))),
    "execution-hostile": of(executing=answers(rejected, where=unknown("fillBaseSz is missing"))),
    "execution-echo": of(executing=believes_any_fill),
    "execution-named": of(
        executing=answers(unreadable, where=unknown(ORDER_WORKING, "fillBaseSz"))
    ),
    "execution-multiplies": of(executing=answers(rejected, where=unknown("do not multiply"))),
    "execution-canceled": of(executing=swallows_cancellation),
    "deduplication": of(declared=lambda: {"deduplicates_client_order_id": True}),
    "status-told": of(looking=answers(a_unit_off, where=a_sale)),
    "status-of-rejection": of(looking=answers(absent, where=is_a(Rejected))),
    "lost-answer-found": of(looking=tells_a_fill_once),
    "hidden-fill-waited-for": of(looking=remembers_silence),
    "absence-not-hasty": of(looking=takes_second_silence_for_no),
    "absence-concluded": of(looking=answers(lost, where=is_a(Absent))),
    "taken-not-lost": of(
        subject="valr", executing=answers(lost, where=unknown(ORDER_WORKING, "HTTP 404"))
    ),
    "status-unreachable": of(Role.CUT_OFF, looking=answers(absent, where=is_a(Unknown))),
    "status-failures": of(looking=answers(absent, where=unknown("LP_HTTP_404"))),
    "status-hostile": of(looking=answers(absent, where=unknown("fillBaseSz is missing"))),
    "status-echo": of(looking=believes_any_fill),
    "status-named": of(looking=answers(unreadable, where=unknown(ORDER_WORKING, "fillBaseSz"))),
    "evidence-storable": of(looking=answers(unprintable, where=is_a(Filled))),
    "statement-told": of_listing(says(more_for_sales)),
    "statement-keyed": of_listing(says(another_order_id)),
    "statement-complete": of_listing(says(one_page_only)),
    "statement-once": of_listing(adds_pages_up),
    "statement-of-its-day": of_listing(says(nothing_of_the_last_second)),
    "statement-of-executions": of_listing(says(the_rejected_order_too)),
    "statement-same": of_listing(other_bytes_each_time),
    "statement-unreachable": of_listing(tells_anyway("LP_UNREACHABLE"), Role.CUT_OFF),
    "statement-wrong-secret": of_listing(tells_anyway("LP_HTTP_401"), Role.STRANGER),
    "statement-failures": of_listing(tells_anyway("LP_HTTP_503", told_before=False)),
    "statement-whole": of_listing(tells_anyway("LP_HTTP_503", told_before=True)),
    "statement-bounded": of_listing(never_gives_up),
    "statement-hostile": of_listing(tells_anyway("fillBaseSz is missing", A_TRADE)),
    "statement-multiplies": of_listing(tells_anyway("do not multiply", A_TRADE)),
}


def test_every_rule_has_a_mutation() -> None:
    assert sorted(MUTATIONS) == sorted(rule.id for rule in RULES)


@pytest.fixture(scope="module")
async def records() -> Mapping[str, Mapping[Rule, Sequence[Call]]]:
    """Play every rule with the adapters as they are, and return what was said by subject."""
    return {
        name: {rule: await recorded(SUBJECTS[name], rule) for rule in RULES}
        for name in {mutation.subject for mutation in MUTATIONS.values()}
    }


async def recorded(subject: Subject, rule: Rule) -> Sequence[Call]:
    calls: list[Call] = []
    finding = await judge(
        subject,
        rule,
        Plant(
            lp=lambda role, lp: Recorder(lp, role, calls),
            listing=lambda role, listing: ListingRecorder(listing, role, calls),
        ),
    )
    assert finding.grade is not Grade.BROKEN, finding.detail
    assert calls or finding.grade is Grade.BESIDE
    return calls


@pytest.mark.parametrize(("broken", "mutation"), MUTATIONS.items(), ids=MUTATIONS)
async def test_a_mutation_breaks_its_rule_and_no_other(
    broken: str, mutation: Mutation, records: Mapping[str, Mapping[Rule, Sequence[Call]]]
) -> None:
    found = []
    for rule, calls in records[mutation.subject].items():
        if not await mutation.could_be_noticed(rule, calls):
            continue
        with mutation.patched():
            finding = await judge(SUBJECTS[mutation.subject], rule, mutation.plant)
        if finding.grade is Grade.BROKEN:
            found.append((rule.id, finding.detail))

    assert [id for id, _ in found] == [broken], found


@pytest.mark.parametrize("id", ["taken-not-lost", "execution-named", "status-named"])
@pytest.mark.parametrize("name", SUBJECTS)
async def test_who_forgets_that_a_venue_has_an_order_is_noticed_wherever_one_says_so(
    name: str, id: str
) -> None:
    (rule,) = (rule for rule in RULES if rule.id == id)

    finding = await judge(SUBJECTS[name], rule, FORGETS_THE_ORDER.plant)

    is_beside = id == "taken-not-lost" and name in ("okx", "zero-hash", "b2c2")
    assert finding.grade is (Grade.BESIDE if is_beside else Grade.BROKEN)


async def test_a_question_under_the_id_of_an_earlier_one_is_noticed() -> None:
    (rule,) = (rule for rule in RULES if rule.id == "hidden-fill-waited-for")

    with asks_under_the_same_id():
        finding = await judge(SUBJECTS["zero-hash"], rule)

    assert finding.grade is Grade.BROKEN
