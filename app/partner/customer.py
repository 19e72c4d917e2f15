"""The tenant's end users."""

from app.partner.api import MOVING_TIMEOUT_S, Api, pages, told_request_id
from app.partner.outcome import moving
from app.partner.screen import GOOD, Screen, as_dict, bold, date_and_clock, printable, state_of
from reli.tenant.v1.tenant_pb2 import CustomerState
from reli.tenant.v1.tenant_service_pb2 import (
    CreateCustomerRequest,
    ListCustomersRequest,
    ListCustomersResponse,
)


def list_customers(api: Api, screen: Screen, limit: int) -> None:
    found = list(pages(api.customers.ListCustomers, ListCustomersRequest(), "customers", limit))
    if screen.as_json:
        screen.document(as_dict(ListCustomersResponse(customers=found)))
        return
    rows = [
        (
            printable(one.external_id),
            one.id,
            state_of(CustomerState.Name(one.state), "CUSTOMER_STATE_"),
            date_and_clock(one.create_time),
        )
        for one in found
    ]
    screen.table(rows)
    if not rows:
        screen.note("no customer yet: reli customers create EXTERNAL_ID")


def create_customer(api: Api, screen: Screen, external_id: str, request_id: str | None) -> None:
    request = CreateCustomerRequest(
        external_id=external_id, request_id=told_request_id(screen, request_id)
    )
    again = ("customers", "create", external_id, "--request-id", request.request_id)
    with moving(api.command(*again)):
        answer = api.customers.CreateCustomer(request, timeout=MOVING_TIMEOUT_S)
    if screen.as_json:
        screen.document(as_dict(answer))
        return
    screen.say(GOOD, bold(printable(answer.customer.external_id)), "  ", answer.customer.id)
