"""Tenants, customers and keys: three short lives."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from domain.errors import DomainError, IllegalTransition, InvalidArgument
from domain.ids import CustomerId, TenantId
from domain.tenant.api_key import TENANT_SCOPES, Scope
from domain.tenant.customer import Customer, CustomerAction, CustomerState
from domain.tenant.errors import CustomerClosed, CustomerSuspended, TenantClosed, TenantSuspended
from domain.tenant.tenant import Tenant, TenantAction, TenantSettings, TenantState
from tests.support.builders import an_id

LIFE: Mapping[tuple[str, str], str] = {
    ("active", "suspend"): "suspended",
    ("active", "close"): "closed",
    ("suspended", "activate"): "active",
    ("suspended", "close"): "closed",
}


@pytest.mark.parametrize("action", TenantAction)
@pytest.mark.parametrize("state", TenantState)
def test_a_tenant_lives_by_its_table(state: TenantState, action: TenantAction) -> None:
    tenant = _tenant(state)

    _assert_move(LIFE.get((state, action)), lambda: tenant.advance(action))


@pytest.mark.parametrize("action", CustomerAction)
@pytest.mark.parametrize("state", CustomerState)
def test_a_customer_lives_by_its_table(state: CustomerState, action: CustomerAction) -> None:
    customer = _customer(state)

    _assert_move(LIFE.get((state, action)), lambda: customer.advance(action))


def test_only_an_active_tenant_passes() -> None:
    TenantState.ACTIVE.require_active()
    with pytest.raises(TenantSuspended):
        TenantState.SUSPENDED.require_active()
    with pytest.raises(TenantClosed):
        TenantState.CLOSED.require_active()


def test_only_an_active_customer_passes() -> None:
    customer_id = _customer(CustomerState.ACTIVE).id
    CustomerState.ACTIVE.require_active(customer_id)
    for state, refusal in [
        (CustomerState.SUSPENDED, CustomerSuspended),
        (CustomerState.CLOSED, CustomerClosed),
    ]:
        with pytest.raises(refusal) as caught:
            state.require_active(customer_id)
        assert isinstance(caught.value, DomainError)
        assert caught.value.metadata == {"customer_id": str(customer_id)}


def test_a_quote_lives_half_a_minute_and_nobody_takes_a_share_unless_somebody_said_so() -> None:
    settings = TenantSettings()

    assert (settings.quote_ttl_ms, settings.platform_fee_bps) == (30_000, 0)
    assert (settings.markup_bps, settings.lp_order) == ({}, ())


@pytest.mark.parametrize(
    "settings",
    [
        {"quote_ttl_ms": 1_000},
        {"quote_ttl_ms": 900_000},
        {"markup_bps": {"BTC-NGN": 0, "ETH-NGN": 1_000}},
        {"platform_fee_bps": 0},
        {"platform_fee_bps": 1_000},
        {"lp_order": ("alpha", "beta")},
    ],
)
def test_settings_within_their_limits_are_taken(settings: dict[str, Any]) -> None:
    made = TenantSettings(**settings)

    assert {name: getattr(made, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"quote_ttl_ms": 999}, "quote_ttl"),
        ({"quote_ttl_ms": 900_001}, "quote_ttl"),
        ({"markup_bps": {"BTC-NGN": -1}}, "markup_bps"),
        ({"markup_bps": {"ETH-NGN": 5, "BTC-NGN": 1_001}}, "markup_bps"),
        ({"platform_fee_bps": -1}, "platform_fee_bps"),
        ({"platform_fee_bps": 1_001}, "platform_fee_bps"),
        ({"lp_order": ("alpha", "beta", "alpha")}, "lp_order"),
    ],
)
def test_settings_out_of_their_limits_are_refused_by_field(
    settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        TenantSettings(**settings)

    assert caught.value.metadata["field"] == field


def test_a_tenant_can_be_given_every_scope_but_the_operators() -> None:
    assert {*TENANT_SCOPES, Scope.OPERATOR} == set(Scope)
    assert Scope.OPERATOR not in TENANT_SCOPES


def _tenant(state: TenantState) -> Tenant:
    return Tenant(id=an_id(TenantId), slug="kuda", display_name="Kuda", state=state)


def _customer(state: CustomerState) -> Customer:
    return Customer(id=an_id(CustomerId), tenant_id=an_id(TenantId), external_id="ada", state=state)


def _assert_move(expected: str | None, move: Any) -> None:
    if expected is None:
        with pytest.raises(IllegalTransition):
            move()
        return
    moved = move()
    assert isinstance(moved.state, StrEnum)
    assert (moved.state, moved.version) == (expected, 2)
