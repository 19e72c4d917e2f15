"""What a customer and the tenant have, and play money to begin with."""

from collections.abc import Sequence

from app.partner.api import MOVING_TIMEOUT_S, Api, pages, told_request_id
from app.partner.outcome import moving
from app.partner.screen import (
    GOOD,
    Cell,
    Screen,
    amount,
    as_dict,
    bold,
    dim,
    grouped,
    printable,
    words_of,
)
from reli.ledger.v1.ledger_pb2 import Account, AccountKind
from reli.ledger.v1.ledger_service_pb2 import (
    ListAccountsRequest,
    ListAccountsResponse,
    ListBalancesRequest,
    ListBalancesResponse,
)
from reli.sandbox.v1.sandbox_service_pb2 import CreateDepositRequest
from reli.type.v1.amount_pb2 import Amount

_ALL: Sequence[str] = ("posted", "held", "available", "incoming")
_ACCOUNTS_SHOWN = 10_000


def show_balances(api: Api, screen: Screen, customer: str) -> None:
    """Show every asset that the customer ever had."""
    request = ListBalancesRequest(customer_id=api.customer_id(customer))
    found = list(pages(api.ledger.ListBalances, request, "accounts", _ACCOUNTS_SHOWN))
    if screen.as_json:
        screen.document(as_dict(ListBalancesResponse(accounts=found)))
        return
    rows = [(one.asset, *_balances(one)) for one in found]
    _show(screen, rows)


def show_accounts(api: Api, screen: Screen) -> None:
    """Show every account of the tenant's books."""
    found = list(pages(api.ledger.ListAccounts, ListAccountsRequest(), "accounts", _ACCOUNTS_SHOWN))
    if screen.as_json:
        screen.document(as_dict(ListAccountsResponse(accounts=found)))
        return
    rows = [
        (
            words_of(AccountKind.Name(one.kind), "ACCOUNT_KIND_"),
            printable(one.owner),
            one.asset,
            *_balances(one),
        )
        for one in sorted(found, key=lambda one: (one.kind, one.owner, one.asset))
    ]
    _show(screen, rows)


def deposit(
    api: Api,
    screen: Screen,
    value: str,
    asset: str,
    customer: str,
    request_id: str | None,
) -> None:
    """Credit a customer, or the tenant itself, with play money."""
    customer_id = api.customer_id(customer)
    request = CreateDepositRequest(
        customer_id=customer_id,
        amount=Amount(value=value, asset=asset.upper()),
        request_id=told_request_id(screen, request_id),
    )
    whose = ("--customer", customer_id) if customer_id else ()
    again = ("deposit", value, asset, *whose, "--request-id", request.request_id)
    with moving(api.command(*again)):
        answer = api.sandbox.CreateDeposit(request, timeout=MOVING_TIMEOUT_S)
    if screen.as_json:
        screen.document(as_dict(answer))
        return
    screen.say(GOOD, bold(amount(answer.deposit.amount)), "  ", answer.deposit.id)


def _show(screen: Screen, rows: Sequence[tuple[str, ...]]) -> None:
    """Show rows that end with balances."""
    if not rows:
        screen.note("nothing was ever booked")
        return
    others = len(rows[0]) - len(_ALL)
    head: list[Cell] = [*[""] * others, *map(dim, _ALL)]
    screen.table([head, *rows], right=range(others, len(head)))


def _balances(account: Account) -> list[str]:
    return [grouped(getattr(account.balance, name).value) for name in _ALL]
