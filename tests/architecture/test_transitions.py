"""States: one table per life cycle, which the API, the database and `docs/states.md` follow."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest

from domain.dead_letter import TRANSITIONS as LETTER_TRANSITIONS
from domain.dead_letter import DeadLetterState
from domain.ids import AccountId, ApiKeyId, BreakId, BreakResolutionId, EntryId, TransferId
from domain.ledger.account import AccountKind
from domain.ledger.entry import EntrySource
from domain.ledger.transfer import TransferKind
from domain.liquidity.circuit import TRANSITIONS as CIRCUIT_TRANSITIONS
from domain.liquidity.circuit import CircuitState
from domain.liquidity.lp_settlement import TRANSITIONS as LP_SETTLEMENT_TRANSITIONS
from domain.liquidity.lp_settlement import LpSettlementState
from domain.quote.quote import LpVerdict, QuoteState
from domain.reconciliation.break_ import BreakState
from domain.reconciliation.resolution import Adjustment, BreakResolution, ResolutionKind
from domain.routing import RoutingRule
from domain.side import Side
from domain.tenant.api_key import Scope
from domain.tenant.customer import TRANSITIONS as CUSTOMER_TRANSITIONS
from domain.tenant.customer import CustomerState
from domain.tenant.tenant import TRANSITIONS as TENANT_TRANSITIONS
from domain.tenant.tenant import TenantState
from domain.trade import trade as trade_module
from domain.trade.attempt import TRANSITIONS as ATTEMPT_TRANSITIONS
from domain.trade.attempt import AttemptState
from domain.trade.trade import PUBLIC_STATE, PublicTradeState, TradeState
from domain.trade.trade import TRANSITIONS as TRADE_TRANSITIONS
from domain.trading_state import TRANSITIONS as TRADING_TRANSITIONS
from domain.trading_state import TradedKind, TradingState
from domain.webhook.delivery import TRANSITIONS as DELIVERY_TRANSITIONS
from domain.webhook.delivery import DeliveryState, Failure
from domain.webhook.endpoint import TRANSITIONS as ENDPOINT_TRANSITIONS
from domain.webhook.endpoint import DisabledReason, EndpointState
from reli.auth.v1 import access_pb2
from reli.event.v1 import dead_letter_pb2
from reli.ledger.v1 import ledger_pb2
from reli.liquidity.v1 import lp_pb2, lp_settlement_pb2
from reli.quote.v1 import quote_pb2
from reli.tenant.v1 import tenant_pb2
from reli.trade.v1 import trade_pb2
from reli.type.v1 import routing_pb2, side_pb2, trading_state_pb2
from reli.webhook.v1 import webhook_pb2
from tests.support.builders import NOW, a_break, a_quote, an_id
from tests.support.golden import ROOT, assert_golden

DOCUMENT = ROOT / "docs" / "states.md"

TRADE: Mapping[StrEnum, str] = {
    TradeState.PENDING: "Accepted, funds held; no LP has been sent anything.",
    TradeState.SUBMITTED: "An LP has been, or is about to be, sent the order.",
    TradeState.FILLED: "An LP executed; the books are about to say so.",
    TradeState.SETTLED: "Booked at exactly the two amounts of the quote. The end.",
    TradeState.REJECTED: "No LP executed and none will be asked; the hold is released. The end.",
    TradeState.OUTCOME_UNKNOWN: "An LP may have executed; the hold stays until there is evidence.",
}

ATTEMPT: Mapping[StrEnum, str] = {
    AttemptState.PREPARED: "Stored with its client order id; no byte has left.",
    AttemptState.SENT: "The first byte may have left. Found so after a crash, it is lost.",
    AttemptState.FILLED: "The LP executed.",
    AttemptState.REJECTED: "The LP refused by a verdict that it is known to mean.",
    AttemptState.NOT_SENT: "Proven: no byte reached the LP.",
    AttemptState.ABSENT: "The LP has no such order, by its own word or two operators'. Looked at"
    " again; a fill that then shows is a break, and the house's.",
    AttemptState.UNKNOWN: "The LP may have executed. Asked again and again, then a person looks.",
}

QUOTE: Mapping[StrEnum, str] = {
    QuoteState.OPEN: "A promise; nothing is held.",
    QuoteState.ACCEPTED: "There is a trade, which has a life of its own. The end.",
    QuoteState.CANCELED: "Withdrawn. The end.",
    QuoteState.EXPIRED: "How an open quote reads once its time is over. The end.",
}

BREAK: Mapping[StrEnum, str] = {
    BreakState.OPEN: "Somebody is to explain it; only the note and its owner change.",
    BreakState.PROPOSED: "An adjustment waits for a second key; a link, a match or another"
    " proposal may take its place.",
    BreakState.RESOLVED: "Explained. The end.",
}

TENANT: Mapping[StrEnum, str] = {
    TenantState.ACTIVE: "Everything is open.",
    TenantState.SUSPENDED: "Every call of its keys is refused; live trades finish.",
    TenantState.CLOSED: "Gone for good; every balance was zero.",
}

CUSTOMER: Mapping[StrEnum, str] = {
    CustomerState.ACTIVE: "Everything is open.",
    CustomerState.SUSPENDED: "Can neither quote nor accept; live trades finish.",
    CustomerState.CLOSED: "Gone for good; every balance was zero.",
}

LETTER: Mapping[StrEnum, str] = {
    DeadLetterState.BURIED: "Its event had no effect; a person looks, and may ask for a replay.",
    DeadLetterState.REPLAY_REQUESTED: "A worker is about to deal with the event once more.",
    DeadLetterState.REPLAYED: "Its event has had its effect, once. The end.",
}

TRADING: Mapping[StrEnum, str] = {
    TradingState.ACTIVE: "Quotes are given and accepted.",
    TradingState.REDUCING: "Customers may sell the base and nothing else: it is wound down.",
    TradingState.HALTED: "No quote is given and none is accepted.",
}

CIRCUIT: Mapping[StrEnum, str] = {
    CircuitState.CLOSED: "The LP answers, and is asked.",
    CircuitState.OPEN: "It failed 5 times in a row, or in half of at least 20 calls within 30 s: it"
    " is asked for no price and gets no order. What became of earlier orders is still asked.",
    CircuitState.HALF_OPEN: "After 5 s: up to 3 calls a second of each process try it. 3 answers in"
    " a row close the circuit, a failure opens it.",
}

LP_SETTLEMENT: Mapping[StrEnum, str] = {
    LpSettlementState.PROPOSED: "Positions were netted; nothing is booked, a second key looks.",
    LpSettlementState.APPROVED: "Two keys agreed; it is paid outside, and nothing is booked yet.",
    LpSettlementState.SETTLED: "Paid on evidence, and booked with it. The end.",
    LpSettlementState.CANCELED: "Given up; nothing was booked. The end.",
}

ENDPOINT: Mapping[StrEnum, str] = {
    EndpointState.ENABLED: "Events are sent to it.",
    EndpointState.DISABLED: "Nothing is sent. What was on its way waits; of what happens meanwhile"
    " no delivery is made.",
    EndpointState.DELETED: "Gone, and its secrets with it. The end.",
}

DELIVERY: Mapping[StrEnum, str] = {
    DeliveryState.PENDING: "On its way: sent, or waiting for its turn or the next attempt.",
    DeliveryState.DELIVERED: "The endpoint answered 2xx.",
    DeliveryState.DEAD: "A dead letter: for 72 hours the endpoint did not take it.",
}

PUBLIC: Mapping[StrEnum, str] = {
    PublicTradeState.PENDING: "Execution is under way.",
    PublicTradeState.OUTCOME_UNKNOWN: "It is not known yet whether an LP executed.",
    PublicTradeState.SETTLED: "Done, at exactly the quoted amounts.",
    PublicTradeState.REJECTED: "Not executed; nothing is held any more.",
}

REASONS: Mapping[str, str] = {
    "EXECUTION_WINDOW_PASSED": "No LP could be sent the order within 30 s of the accept.",
    "PRICE_MOVED": "Asked again, the LP wanted more than the tolerance allows; nothing was sent.",
    "LP_QUOTE_EXPIRED": "The LP's own quote was over when the order arrived, or was to be sent.",
    "UNEXPECTED_FILL": "The LP executed something else: unknown until a person has looked.",
    "LP_ORDER_WORKING": "The LP has the order: unknown until there is a fill, a verdict, or a "
    "person has looked.",
}

SAME_NAMES: list[tuple[type[StrEnum], Any, str]] = [
    (PublicTradeState, trade_pb2.TradeState, "TRADE_STATE"),
    (AttemptState, trade_pb2.AttemptState, "ATTEMPT_STATE"),
    (TenantState, tenant_pb2.TenantState, "TENANT_STATE"),
    (CustomerState, tenant_pb2.CustomerState, "CUSTOMER_STATE"),
    (DeadLetterState, dead_letter_pb2.DeadLetterState, "DEAD_LETTER_STATE"),
    (TradingState, trading_state_pb2.TradingState, "TRADING_STATE"),
    (TradedKind, trading_state_pb2.TradedKind, "TRADED_KIND"),
    (CircuitState, lp_pb2.CircuitState, "CIRCUIT_STATE"),
    (RoutingRule, routing_pb2.RoutingRule, "ROUTING_RULE"),
    (LpSettlementState, lp_settlement_pb2.LpSettlementState, "LP_SETTLEMENT_STATE"),
    (QuoteState, quote_pb2.QuoteState, "QUOTE_STATE"),
    (LpVerdict, quote_pb2.LpVerdict, "LP_VERDICT"),
    (AccountKind, ledger_pb2.AccountKind, "ACCOUNT_KIND"),
    (TransferKind, ledger_pb2.TransferKind, "TRANSFER_KIND"),
    (EntrySource, ledger_pb2.EntrySource, "ENTRY_SOURCE"),
    (Scope, access_pb2.Scope, "SCOPE"),
    (Side, side_pb2.Side, "SIDE"),
    (EndpointState, webhook_pb2.WebhookEndpointState, "WEBHOOK_ENDPOINT_STATE"),
    (DisabledReason, webhook_pb2.DisabledReason, "DISABLED_REASON"),
    (DeliveryState, webhook_pb2.WebhookDeliveryState, "WEBHOOK_DELIVERY_STATE"),
    (Failure, webhook_pb2.WebhookFailure, "WEBHOOK_FAILURE"),
]


@pytest.mark.parametrize(
    ("domain", "message", "prefix"), SAME_NAMES, ids=[prefix for *_, prefix in SAME_NAMES]
)
def test_an_enum_of_the_api_has_the_values_of_the_domain(
    domain: type[StrEnum], message: Any, prefix: str
) -> None:
    named = {value: value.name.removeprefix(f"{prefix}_") for value in domain}

    assert message.keys() == [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{v.name}" for v in domain)]
    assert {value: name.lower() for value, name in named.items()} == {v: v.value for v in domain}


def test_every_state_is_explained() -> None:
    for states, lines in [
        (QuoteState, QUOTE),
        (BreakState, BREAK),
        (TradeState, TRADE),
        (AttemptState, ATTEMPT),
        (TenantState, TENANT),
        (CustomerState, CUSTOMER),
        (DeadLetterState, LETTER),
        (TradingState, TRADING),
        (CircuitState, CIRCUIT),
        (LpSettlementState, LP_SETTLEMENT),
        (PublicTradeState, PUBLIC),
        (EndpointState, ENDPOINT),
        (DeliveryState, DELIVERY),
    ]:
        assert list(states) == list(lines)


def test_every_reason_that_a_trade_gives_itself_is_explained() -> None:
    own = {
        value
        for name, value in vars(trade_module).items()
        if name.isupper() and isinstance(value, str)
    }

    assert own == set(REASONS)


def test_the_document_shows_the_tables_as_they_are() -> None:
    assert_golden(DOCUMENT, document())


def document() -> str:
    """Return `docs/states.md`."""
    return (
        "\n".join(
            [
                "# States",
                "",
                "Written by `make golden` from the tables in `domain/`; every other pair of state"
                " and action is refused.",
                "",
                *_life("Quote", QUOTE, _life_of_a_quote(), first=QuoteState.OPEN),
                *_life("Trade", TRADE, TRADE_TRANSITIONS, first=TradeState.PENDING),
                "What partners see:",
                "",
                "| inside | outside |",
                "| --- | --- |",
                *(f"| `{state}` | `{PUBLIC_STATE[state]}` |" for state in TradeState),
                "",
                *_lines(PUBLIC),
                "Why a trade was rejected or is unknown, beside the LPs' own words:",
                "",
                *_lines(REASONS),
                *_life("Attempt", ATTEMPT, ATTEMPT_TRANSITIONS, first=AttemptState.PREPARED),
                "Another LP is asked only when every earlier attempt is `rejected`, `not_sent` or"
                " `absent`.",
                "",
                *_life("Tenant", TENANT, TENANT_TRANSITIONS, first=TenantState.ACTIVE),
                *_life("Customer", CUSTOMER, CUSTOMER_TRANSITIONS, first=CustomerState.ACTIVE),
                *_life("Dead letter", LETTER, LETTER_TRANSITIONS, first=DeadLetterState.BURIED),
                *_life(
                    "Trading state of an instrument, a tenant or an LP",
                    TRADING,
                    TRADING_TRANSITIONS,
                    first=TradingState.ACTIVE,
                ),
                "Live trades finish in every state. A tenant that is suspended can do nothing,"
                " whatever its trading state.",
                "",
                *_life(
                    "Circuit breaker of an LP",
                    CIRCUIT,
                    CIRCUIT_TRANSITIONS,
                    first=CircuitState.CLOSED,
                ),
                *_life(
                    "Settlement with an LP",
                    LP_SETTLEMENT,
                    LP_SETTLEMENT_TRANSITIONS,
                    first=LpSettlementState.PROPOSED,
                ),
                *_life("Break", BREAK, _life_of_a_break(), first=BreakState.OPEN),
                *_life(
                    "Webhook endpoint", ENDPOINT, ENDPOINT_TRANSITIONS, first=EndpointState.ENABLED
                ),
                *_life(
                    "Webhook delivery", DELIVERY, DELIVERY_TRANSITIONS, first=DeliveryState.PENDING
                ),
            ]
        ).rstrip("\n")
        + "\n"
    )


def _life_of_a_quote() -> Mapping[tuple[QuoteState, str], QuoteState]:
    """Return what an open quote becomes; it has no table, since expiring is only read."""
    quote = a_quote()
    return {
        (QuoteState.OPEN, "accept"): quote.accept(now=NOW).state,
        (QuoteState.OPEN, "cancel"): quote.cancel(now=NOW).state,
        (QuoteState.OPEN, "its time is over"): quote.state_at(quote.expires_at),
    }


def _life_of_a_break() -> Mapping[tuple[BreakState, str], BreakState]:
    """Return what its resolutions make of a break, whose state is read from the latest."""
    adjustment = BreakResolution(
        id=an_id(BreakResolutionId),
        break_id=an_id(BreakId),
        kind=ResolutionKind.ADJUSTMENT,
        proposed_by=an_id(ApiKeyId),
        proposed_at=NOW,
        adjustment=Adjustment(counter_account_id=an_id(AccountId)),
    )
    link = replace(
        adjustment,
        kind=ResolutionKind.LINK,
        adjustment=None,
        linked_entry_id=an_id(EntryId),
    )
    match = replace(link, kind=ResolutionKind.MATCH, linked_entry_id=None, proposed_by=None)
    approved = adjustment.approve(
        by=an_id(ApiKeyId), now=NOW, entry_id=an_id(EntryId), transfer_id=an_id(TransferId)
    )
    bare = a_break()
    steps = {
        (BreakState.OPEN, "propose an adjustment"): adjustment,
        (BreakState.OPEN, "link"): link,
        (BreakState.OPEN, "match"): match,
        (BreakState.PROPOSED, "propose another"): adjustment,
        (BreakState.PROPOSED, "approve"): approved,
        (BreakState.PROPOSED, "link"): link,
        (BreakState.PROPOSED, "match"): match,
    }
    return {step: replace(bare, resolution=made).state for step, made in steps.items()}


def _life(
    title: str,
    states: Mapping[StrEnum, str],
    table: Mapping[Any, StrEnum],
    *,
    first: StrEnum,
) -> list[str]:
    left = {source for (source, _), target in table.items() if target is not source}
    final = [state for state in states if state not in left]
    return [
        f"## {title}",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {first}",
        *(f"    {source} --> {target}: {action}" for (source, action), target in table.items()),
        *(f"    {state} --> [*]" for state in final),
        "```",
        "",
        *_lines(states),
    ]


def _lines(meanings: Mapping[Any, str]) -> list[str]:
    return [*(f"- `{name}`: {meaning}" for name, meaning in meanings.items()), ""]
