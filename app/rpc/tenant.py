"""The services of tenants, customers and keys: decode, call one use case, encode."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from google.protobuf.json_format import Error as JsonError
from google.protobuf.struct_pb2 import Struct

from adapters.wire.amount import read_optional_time
from adapters.wire.routing import read_routing_rule
from adapters.wire.tenant import (
    api_key_message,
    customer_message,
    read_branding,
    read_duration,
    read_milliseconds,
    read_public_key,
    read_rate_limits,
    read_scopes,
    read_signature_algorithm,
    request_signing_key_message,
    tenant_message,
)
from adapters.wire.trading_state import read_trading_state, trading_state_change_message
from app.rpc.access import find_scope
from app.rpc.caller import current_caller
from app.rpc.context import Context
from app.rpc.request import call_of, named_tenant, next_token, page_of, reason_of, text_of
from app.usecase.market.change_trading_state import ChangeTradingState
from app.usecase.tenant.change_customer_state import ChangeCustomerState
from app.usecase.tenant.change_tenant_state import ChangeTenantState
from app.usecase.tenant.create_api_key import CreateApiKey
from app.usecase.tenant.create_customer import CreateCustomer
from app.usecase.tenant.create_request_signing_key import CreateRequestSigningKey
from app.usecase.tenant.create_tenant import CreateTenant
from app.usecase.tenant.read_tenants import (
    ReadApiKeys,
    ReadCustomers,
    ReadRequestSigningKeys,
    ReadTenants,
)
from app.usecase.tenant.revoke_api_key import RevokeApiKey
from app.usecase.tenant.revoke_request_signing_key import RevokeRequestSigningKey
from app.usecase.tenant.rotate_api_key import RotateApiKey
from app.usecase.tenant.update_tenant import UpdateTenant
from domain.errors import InvalidArgument
from domain.ids import ApiKeyId, CustomerId, RequestSigningKeyId
from domain.routing import RoutingRule
from domain.tenant.api_key import MAX_OVERLAP
from domain.tenant.customer import CustomerAction
from domain.tenant.ip_range import read_ip_ranges
from domain.tenant.tenant import Tenant, TenantAction, TenantSettings
from reli.tenant.v1 import tenant_pb2
from reli.tenant.v1 import tenant_service_pb2 as pb
from reli.tenant.v1.tenant_service_pb2_grpc import (
    ApiKeyServiceServicer,
    CustomerServiceServicer,
    RequestSigningKeyServiceServicer,
    TenantAdminServiceServicer,
    TenantServiceServicer,
)

MAX_DISPLAY_NAME: Final = 100
MAX_KEY_NAME: Final = 64
MAX_METHODS: Final = 64
MAX_EXTERNAL_ID: Final = 64
MAX_BRANDING_BYTES: Final = 8_192
MAX_BRANDING_DEPTH: Final = 16
"""Objects and lists inside of each other; from 32 on no REST answer could carry the tenant."""
MAX_LIST: Final = 100
SLUG: Final = r"[a-z0-9][a-z0-9-]{0,38}[a-z0-9]"
PRINTABLE: Final = r"[\x20-\x7e]+"

MAKE_KEYS: Final = {
    *(f"reli.tenant.v1.ApiKeyService/{step}ApiKey" for step in ("Create", "Rotate")),
    *(f"reli.tenant.v1.TenantAdminService/{step}TenantApiKey" for step in ("Create", "Rotate")),
}
"""What would give a service token a key that may do more than itself."""


class TenantServicer(TenantServiceServicer):
    def __init__(self, *, read_tenants: ReadTenants, update_tenant: UpdateTenant) -> None:
        self._read_tenants = read_tenants
        self._update_tenant = update_tenant

    async def GetCurrentTenant(
        self, request: pb.GetCurrentTenantRequest, context: Context
    ) -> pb.GetCurrentTenantResponse:
        tenant = await self._read_tenants.get(current_caller().tenant_id)
        return pb.GetCurrentTenantResponse(tenant=tenant_message(tenant))

    async def UpdateCurrentTenant(
        self, request: pb.UpdateCurrentTenantRequest, context: Context
    ) -> pb.UpdateCurrentTenantResponse:
        name = (
            text_of(request.display_name, field="display_name", maximum=MAX_DISPLAY_NAME)
            if request.HasField("display_name")
            else None
        )
        branding = _branding(request.branding) if request.HasField("branding") else None
        ttl_ms = (
            read_milliseconds(request.quote_ttl, field="quote_ttl")
            if request.HasField("quote_ttl")
            else None
        )
        markups = _markups(request.markups)
        signing_required = _signing_required(request)

        def change(tenant: Tenant) -> Tenant:
            settings = replace(
                tenant.settings,
                quote_ttl_ms=ttl_ms or tenant.settings.quote_ttl_ms,
                markup_bps={**tenant.settings.markup_bps, **markups},
                signing_required=(
                    tenant.settings.signing_required
                    if signing_required is None
                    else signing_required
                ),
            )
            return replace(
                tenant,
                display_name=name or tenant.display_name,
                branding=tenant.branding if branding is None else branding,
                settings=settings,
            )

        tenant = await self._update_tenant(call_of(request), change)
        return pb.UpdateCurrentTenantResponse(tenant=tenant_message(tenant))


class ApiKeyServicer(ApiKeyServiceServicer):
    def __init__(
        self,
        *,
        create_api_key: CreateApiKey,
        rotate_api_key: RotateApiKey,
        revoke_api_key: RevokeApiKey,
        read_api_keys: ReadApiKeys,
    ) -> None:
        self._create_api_key = create_api_key
        self._rotate_api_key = rotate_api_key
        self._revoke_api_key = revoke_api_key
        self._read_api_keys = read_api_keys

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: Context
    ) -> pb.CreateApiKeyResponse:
        if not request.scopes:
            raise InvalidArgument("scopes must name at least one scope", field="scopes")
        made = await self._create_api_key(
            call_of(request),
            name=text_of(request.name, field="name", maximum=MAX_KEY_NAME),
            scopes=read_scopes(request.scopes),
            expires_at=read_optional_time(request, "expire_time"),
            allowed_ip_ranges=read_ip_ranges(request.allowed_ip_ranges, field="allowed_ip_ranges"),
        )
        return pb.CreateApiKeyResponse(api_key=api_key_message(made.api_key), secret=made.secret)

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: Context
    ) -> pb.ListApiKeysResponse:
        page = await self._read_api_keys.list(current_caller().tenant_id, page_of(request))
        return pb.ListApiKeysResponse(
            api_keys=[api_key_message(key) for key in page.items],
            next_page_token=next_token(page),
        )

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: Context
    ) -> pb.RevokeApiKeyResponse:
        api_key = await self._revoke_api_key(
            call_of(request), ApiKeyId.parse(request.api_key_id, field="api_key_id")
        )
        return pb.RevokeApiKeyResponse(api_key=api_key_message(api_key))

    async def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: Context
    ) -> pb.RotateApiKeyResponse:
        made = await self._rotate_api_key(
            call_of(request),
            ApiKeyId.parse(request.api_key_id, field="api_key_id"),
            overlap=_overlap(request),
            expires_at=read_optional_time(request, "expire_time"),
        )
        return pb.RotateApiKeyResponse(
            api_key=api_key_message(made.successor),
            secret=made.secret,
            rotated_api_key=api_key_message(made.rotated),
        )


class RequestSigningKeyServicer(RequestSigningKeyServiceServicer):
    def __init__(
        self,
        *,
        create_request_signing_key: CreateRequestSigningKey,
        revoke_request_signing_key: RevokeRequestSigningKey,
        read_request_signing_keys: ReadRequestSigningKeys,
    ) -> None:
        self._create = create_request_signing_key
        self._revoke = revoke_request_signing_key
        self._read = read_request_signing_keys

    async def CreateRequestSigningKey(
        self, request: pb.CreateRequestSigningKeyRequest, context: Context
    ) -> pb.CreateRequestSigningKeyResponse:
        algorithm = read_signature_algorithm(request.algorithm)
        made = await self._create(
            call_of(request),
            name=text_of(request.name, field="name", maximum=MAX_KEY_NAME),
            algorithm=algorithm,
            public_key=read_public_key(request.public_key, algorithm),
        )
        return pb.CreateRequestSigningKeyResponse(
            request_signing_key=request_signing_key_message(made.key), secret=made.secret
        )

    async def ListRequestSigningKeys(
        self, request: pb.ListRequestSigningKeysRequest, context: Context
    ) -> pb.ListRequestSigningKeysResponse:
        page = await self._read.list(current_caller().tenant_id, page_of(request))
        return pb.ListRequestSigningKeysResponse(
            request_signing_keys=[request_signing_key_message(key) for key in page.items],
            next_page_token=next_token(page),
        )

    async def RevokeRequestSigningKey(
        self, request: pb.RevokeRequestSigningKeyRequest, context: Context
    ) -> pb.RevokeRequestSigningKeyResponse:
        key = await self._revoke(
            call_of(request),
            RequestSigningKeyId.parse(
                request.request_signing_key_id, field="request_signing_key_id"
            ),
        )
        return pb.RevokeRequestSigningKeyResponse(
            request_signing_key=request_signing_key_message(key)
        )


class CustomerServicer(CustomerServiceServicer):
    def __init__(
        self,
        *,
        create_customer: CreateCustomer,
        change_customer_state: ChangeCustomerState,
        read_customers: ReadCustomers,
    ) -> None:
        self._create_customer = create_customer
        self._change_customer_state = change_customer_state
        self._read_customers = read_customers

    async def CreateCustomer(
        self, request: pb.CreateCustomerRequest, context: Context
    ) -> pb.CreateCustomerResponse:
        customer = await self._create_customer(
            call_of(request),
            external_id=text_of(
                request.external_id,
                field="external_id",
                maximum=MAX_EXTERNAL_ID,
                pattern=PRINTABLE,
            ),
        )
        return pb.CreateCustomerResponse(customer=customer_message(customer))

    async def GetCustomer(
        self, request: pb.GetCustomerRequest, context: Context
    ) -> pb.GetCustomerResponse:
        customer = await self._read_customers.get(current_caller().tenant_id, _customer_id(request))
        return pb.GetCustomerResponse(customer=customer_message(customer))

    async def ListCustomers(
        self, request: pb.ListCustomersRequest, context: Context
    ) -> pb.ListCustomersResponse:
        page = await self._read_customers.list(current_caller().tenant_id, page_of(request))
        return pb.ListCustomersResponse(
            customers=[customer_message(customer) for customer in page.items],
            next_page_token=next_token(page),
        )

    async def SuspendCustomer(
        self, request: pb.SuspendCustomerRequest, context: Context
    ) -> pb.SuspendCustomerResponse:
        return pb.SuspendCustomerResponse(
            customer=await self._change(request, CustomerAction.SUSPEND)
        )

    async def ActivateCustomer(
        self, request: pb.ActivateCustomerRequest, context: Context
    ) -> pb.ActivateCustomerResponse:
        return pb.ActivateCustomerResponse(
            customer=await self._change(request, CustomerAction.ACTIVATE)
        )

    async def CloseCustomer(
        self, request: pb.CloseCustomerRequest, context: Context
    ) -> pb.CloseCustomerResponse:
        return pb.CloseCustomerResponse(customer=await self._change(request, CustomerAction.CLOSE))

    async def _change(
        self,
        request: pb.SuspendCustomerRequest | pb.ActivateCustomerRequest | pb.CloseCustomerRequest,
        action: CustomerAction,
    ) -> tenant_pb2.Customer:
        customer = await self._change_customer_state(
            call_of(request), _customer_id(request), action
        )
        return customer_message(customer)


class TenantAdminServicer(TenantAdminServiceServicer):
    def __init__(
        self,
        *,
        create_tenant: CreateTenant,
        update_tenant: UpdateTenant,
        change_tenant_state: ChangeTenantState,
        change_trading_state: ChangeTradingState,
        create_api_key: CreateApiKey,
        rotate_api_key: RotateApiKey,
        revoke_api_key: RevokeApiKey,
        read_tenants: ReadTenants,
    ) -> None:
        self._create_tenant = create_tenant
        self._update_tenant = update_tenant
        self._change_tenant_state = change_tenant_state
        self._change_trading_state = change_trading_state
        self._create_api_key = create_api_key
        self._rotate_api_key = rotate_api_key
        self._revoke_api_key = revoke_api_key
        self._read_tenants = read_tenants

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: Context
    ) -> pb.CreateTenantResponse:
        tenant = await self._create_tenant(
            call_of(request),
            slug=text_of(request.slug, field="slug", maximum=40, pattern=SLUG),
            display_name=text_of(
                request.display_name, field="display_name", maximum=MAX_DISPLAY_NAME
            ),
            branding=_branding(request.branding),
            settings=_settings(request.settings),
        )
        return pb.CreateTenantResponse(tenant=tenant_message(tenant))

    async def GetTenant(
        self, request: pb.GetTenantRequest, context: Context
    ) -> pb.GetTenantResponse:
        tenant = await self._read_tenants.get(named_tenant(request))
        return pb.GetTenantResponse(tenant=tenant_message(tenant))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: Context
    ) -> pb.ListTenantsResponse:
        page = await self._read_tenants.list(page_of(request))
        return pb.ListTenantsResponse(
            tenants=[tenant_message(tenant) for tenant in page.items],
            next_page_token=next_token(page),
        )

    async def UpdateTenantTerms(
        self, request: pb.UpdateTenantTermsRequest, context: Context
    ) -> pb.UpdateTenantTermsResponse:
        fee_bps = request.platform_fee_bps if request.HasField("platform_fee_bps") else None
        lp_order = _lp_order(request.lp_order)
        routing = _routing(request.routings)
        rate_limits = read_rate_limits(request.rate_limits)
        signing_required = _signing_required(request)

        def change(tenant: Tenant) -> Tenant:
            settings = replace(
                tenant.settings,
                platform_fee_bps=(tenant.settings.platform_fee_bps if fee_bps is None else fee_bps),
                lp_order=lp_order or tenant.settings.lp_order,
                routing={**tenant.settings.routing, **routing},
                rate_limits={**tenant.settings.rate_limits, **rate_limits},
                signing_required=(
                    tenant.settings.signing_required
                    if signing_required is None
                    else signing_required
                ),
            )
            return replace(tenant, settings=settings)

        tenant = await self._update_tenant(call_of(request).on(named_tenant(request)), change)
        return pb.UpdateTenantTermsResponse(tenant=tenant_message(tenant))

    async def SuspendTenant(
        self, request: pb.SuspendTenantRequest, context: Context
    ) -> pb.SuspendTenantResponse:
        return pb.SuspendTenantResponse(tenant=await self._change(request, TenantAction.SUSPEND))

    async def ActivateTenant(
        self, request: pb.ActivateTenantRequest, context: Context
    ) -> pb.ActivateTenantResponse:
        return pb.ActivateTenantResponse(tenant=await self._change(request, TenantAction.ACTIVATE))

    async def SetTenantTradingState(
        self, request: pb.SetTenantTradingStateRequest, context: Context
    ) -> pb.SetTenantTradingStateResponse:
        change = await self._change_trading_state.of_tenant(
            call_of(request),
            named_tenant(request),
            read_trading_state(request.trading_state),
            reason_of(request),
        )
        return pb.SetTenantTradingStateResponse(change=trading_state_change_message(change))

    async def CloseTenant(
        self, request: pb.CloseTenantRequest, context: Context
    ) -> pb.CloseTenantResponse:
        return pb.CloseTenantResponse(tenant=await self._change(request, TenantAction.CLOSE))

    async def CreateTenantApiKey(
        self, request: pb.CreateTenantApiKeyRequest, context: Context
    ) -> pb.CreateTenantApiKeyResponse:
        made = await self._create_api_key(
            call_of(request).on(named_tenant(request)),
            name=text_of(request.name, field="name", maximum=MAX_KEY_NAME),
            scopes=read_scopes(request.scopes),
            expires_at=read_optional_time(request, "expire_time"),
            allowed_ip_ranges=read_ip_ranges(request.allowed_ip_ranges, field="allowed_ip_ranges"),
            methods=_methods(request),
        )
        return pb.CreateTenantApiKeyResponse(
            api_key=api_key_message(made.api_key), secret=made.secret
        )

    async def RevokeTenantApiKey(
        self, request: pb.RevokeTenantApiKeyRequest, context: Context
    ) -> pb.RevokeTenantApiKeyResponse:
        api_key = await self._revoke_api_key(
            call_of(request).on(named_tenant(request)),
            ApiKeyId.parse(request.api_key_id, field="api_key_id"),
        )
        return pb.RevokeTenantApiKeyResponse(api_key=api_key_message(api_key))

    async def RotateTenantApiKey(
        self, request: pb.RotateTenantApiKeyRequest, context: Context
    ) -> pb.RotateTenantApiKeyResponse:
        made = await self._rotate_api_key(
            call_of(request).on(named_tenant(request)),
            ApiKeyId.parse(request.api_key_id, field="api_key_id"),
            overlap=_overlap(request),
            expires_at=read_optional_time(request, "expire_time"),
        )
        return pb.RotateTenantApiKeyResponse(
            api_key=api_key_message(made.successor),
            secret=made.secret,
            rotated_api_key=api_key_message(made.rotated),
        )

    async def _change(
        self,
        request: pb.SuspendTenantRequest | pb.ActivateTenantRequest | pb.CloseTenantRequest,
        action: TenantAction,
    ) -> tenant_pb2.Tenant:
        tenant = await self._change_tenant_state(call_of(request).on(named_tenant(request)), action)
        return tenant_message(tenant)


def _customer_id(
    request: pb.GetCustomerRequest
    | pb.SuspendCustomerRequest
    | pb.ActivateCustomerRequest
    | pb.CloseCustomerRequest,
) -> CustomerId:
    return CustomerId.parse(request.customer_id, field="customer_id")


def _methods(request: pb.CreateTenantApiKeyRequest) -> tuple[str, ...]:
    """Return the methods of a service token in the order of their names."""
    if len(request.methods) > MAX_METHODS:
        raise InvalidArgument(f"at most {MAX_METHODS} methods", field="methods")
    scopes = read_scopes(request.scopes)
    for method in request.methods:
        if method in MAKE_KEYS or find_scope(method) not in scopes:
            raise InvalidArgument(
                "methods must be full names of methods whose scopes are given, and make no keys",
                field="methods",
            )
    return tuple(sorted(set(request.methods)))


def _overlap(request: pb.RotateApiKeyRequest | pb.RotateTenantApiKeyRequest) -> timedelta:
    if not request.HasField("overlap"):
        raise InvalidArgument("overlap is required", field="overlap")
    return read_duration(request.overlap, field="overlap", longest=MAX_OVERLAP)


def _branding(message: Struct) -> dict[str, object]:
    try:
        branding = read_branding(message)
    except (JsonError, ValueError):
        raise InvalidArgument("branding holds what JSON cannot", field="branding") from None
    text = json.dumps(branding)
    if len(text) > MAX_BRANDING_BYTES:
        raise InvalidArgument(
            f"branding must be at most {MAX_BRANDING_BYTES} bytes as JSON", field="branding"
        )
    if _depth(branding) > MAX_BRANDING_DEPTH:
        raise InvalidArgument(
            f"branding must be at most {MAX_BRANDING_DEPTH} levels deep", field="branding"
        )
    if "\\u0000" in text:
        raise InvalidArgument("branding must have no NUL character", field="branding")
    return branding


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0


def _markups(messages: Sequence[tenant_pb2.InstrumentMarkup]) -> dict[str, int]:
    if len(messages) > MAX_LIST:
        raise InvalidArgument(f"at most {MAX_LIST} markups at once", field="markups")
    return {markup.instrument: markup.bps for markup in messages}


def _routing(messages: Sequence[tenant_pb2.InstrumentRouting]) -> dict[str, RoutingRule]:
    if len(messages) > MAX_LIST:
        raise InvalidArgument(f"at most {MAX_LIST} routings at once", field="routings")
    return {routing.instrument: read_routing_rule(routing.rule) for routing in messages}


def _lp_order(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) > MAX_LIST:
        raise InvalidArgument(f"at most {MAX_LIST} liquidity providers", field="lp_order")
    return tuple(names)


def _signing_required(
    request: pb.UpdateCurrentTenantRequest | pb.UpdateTenantTermsRequest,
) -> bool | None:
    return request.signing_required if request.HasField("signing_required") else None


def _settings(message: tenant_pb2.TenantSettings) -> TenantSettings:
    defaults = TenantSettings()
    return TenantSettings(
        quote_ttl_ms=(
            read_milliseconds(message.quote_ttl, field="settings.quote_ttl")
            if message.HasField("quote_ttl")
            else defaults.quote_ttl_ms
        ),
        markup_bps=_markups(message.markups),
        lp_order=_lp_order(message.lp_order),
        platform_fee_bps=message.platform_fee_bps,
        routing=_routing(message.routings),
        rate_limits=read_rate_limits(message.rate_limits),
    )
