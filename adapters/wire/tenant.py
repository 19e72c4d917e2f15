"""Tenants, customers and keys."""

from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from adapters.system.signer import is_public_key
from adapters.wire.amount import time_message
from adapters.wire.enum import enum_messages, enum_values, read_enum
from adapters.wire.routing import ROUTING_RULE_MESSAGE
from adapters.wire.trading_state import TRADING_STATE_MESSAGE
from domain.errors import InvalidArgument
from domain.tenant.api_key import ApiKey, Scope
from domain.tenant.customer import Customer, CustomerState
from domain.tenant.rate_limit import DEFAULT_KEY_PERCENT, CostClass, RateLimit
from domain.tenant.request_signing import RequestSigningKey, SignatureAlgorithm
from domain.tenant.tenant import Tenant, TenantState
from reli.auth.v1 import access_pb2
from reli.tenant.v1 import tenant_pb2

_TENANT_STATE = enum_messages(TenantState, tenant_pb2.TenantState, "TENANT_STATE")
_CUSTOMER_STATE = enum_messages(CustomerState, tenant_pb2.CustomerState, "CUSTOMER_STATE")
_SCOPE = enum_messages(Scope, access_pb2.Scope, "SCOPE")
SCOPE_OF = enum_values(Scope, access_pb2.Scope, "SCOPE")
_COST_CLASS = enum_messages(CostClass, access_pb2.CostClass, "COST_CLASS")
COST_CLASS_OF = enum_values(CostClass, access_pb2.CostClass, "COST_CLASS")
_SIGNATURE_ALGORITHM = enum_messages(
    SignatureAlgorithm, tenant_pb2.SignatureAlgorithm, "SIGNATURE_ALGORITHM"
)
_SIGNATURE_ALGORITHM_OF = enum_values(
    SignatureAlgorithm, tenant_pb2.SignatureAlgorithm, "SIGNATURE_ALGORITHM"
)


def tenant_message(tenant: Tenant) -> tenant_pb2.Tenant:
    settings = tenant.settings
    branding = Struct()
    branding.update(dict(tenant.branding))
    return tenant_pb2.Tenant(
        id=str(tenant.id),
        slug=tenant.slug,
        display_name=tenant.display_name,
        branding=branding,
        state=_TENANT_STATE[tenant.state],
        settings=tenant_pb2.TenantSettings(
            quote_ttl=duration_message(settings.quote_ttl_ms),
            markups=[
                tenant_pb2.InstrumentMarkup(instrument=instrument, bps=bps)
                for instrument, bps in sorted(settings.markup_bps.items())
            ],
            lp_order=settings.lp_order,
            platform_fee_bps=settings.platform_fee_bps,
            routings=[
                tenant_pb2.InstrumentRouting(instrument=instrument, rule=ROUTING_RULE_MESSAGE[rule])
                for instrument, rule in sorted(settings.routing.items())
            ],
            rate_limits=[
                rate_limit_message(cost_class, settings.rate_limit(cost_class))
                for cost_class in CostClass
            ],
            signing_required=settings.signing_required,
        ),
        create_time=time_message(tenant.id.created_at),
        trading_state=TRADING_STATE_MESSAGE[tenant.trading_state],
    )


def customer_message(customer: Customer) -> tenant_pb2.Customer:
    return tenant_pb2.Customer(
        id=str(customer.id),
        external_id=customer.external_id,
        state=_CUSTOMER_STATE[customer.state],
        create_time=time_message(customer.id.created_at),
    )


def api_key_message(api_key: ApiKey) -> tenant_pb2.ApiKey:
    return tenant_pb2.ApiKey(
        id=str(api_key.id),
        name=api_key.name,
        hint=api_key.hint,
        scopes=[_SCOPE[scope] for scope in api_key.scopes],
        create_time=time_message(api_key.created_at),
        revoke_time=time_message(api_key.revoked_at),
        expire_time=time_message(api_key.expires_at),
        allowed_ip_ranges=map(str, api_key.allowed_ip_ranges),
        last_use_time=time_message(api_key.last_used_at),
        rotated_from_api_key_id=str(api_key.rotated_from_id or ""),
        methods=api_key.methods,
    )


def rate_limit_message(cost_class: CostClass, limit: RateLimit) -> tenant_pb2.RateLimit:
    return tenant_pb2.RateLimit(
        cost_class=_COST_CLASS[cost_class],
        per_second=limit.per_second,
        burst=limit.burst,
        key_percent=limit.key_percent,
    )


def read_rate_limits(messages: Iterable[tenant_pb2.RateLimit]) -> dict[CostClass, RateLimit]:
    """Return limits by class, of which none may be named twice."""
    limits: dict[CostClass, RateLimit] = {}
    for message in messages:
        cost_class = read_enum(COST_CLASS_OF, message.cost_class, field="rate_limits.cost_class")
        if cost_class in limits:
            raise InvalidArgument("a cost class appears twice", field="rate_limits.cost_class")
        limits[cost_class] = RateLimit(
            per_second=message.per_second,
            burst=message.burst,
            key_percent=message.key_percent or DEFAULT_KEY_PERCENT,
        )
    return limits


def request_signing_key_message(key: RequestSigningKey) -> tenant_pb2.RequestSigningKey:
    return tenant_pb2.RequestSigningKey(
        id=str(key.id),
        name=key.name,
        algorithm=_SIGNATURE_ALGORITHM[key.algorithm],
        public_key=key.public_key,
        create_time=time_message(key.created_at),
        revoke_time=time_message(key.revoked_at),
    )


def read_public_key(value: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """Return the public key that an algorithm takes, if it does, or raise `InvalidArgument`."""
    if algorithm is not SignatureAlgorithm.ED25519:
        if value:
            raise InvalidArgument(
                f"{algorithm} has a secret that we make, and no public_key", field="public_key"
            )
        return b""
    if not is_public_key(value):
        raise InvalidArgument(
            "public_key must be the 32 bytes of an Ed25519 public key", field="public_key"
        )
    return value


def read_signature_algorithm(number: int) -> SignatureAlgorithm:
    return read_enum(_SIGNATURE_ALGORITHM_OF, number, field="algorithm")


def read_scopes(numbers: Iterable[int]) -> tuple[Scope, ...]:
    """Return the scopes without repetition, in the order of the enum."""
    scopes = {read_enum(SCOPE_OF, number, field="scopes") for number in numbers}
    return tuple(scope for scope in Scope if scope in scopes)


def duration_message(milliseconds: int) -> Duration:
    message = Duration()
    message.FromMilliseconds(milliseconds)
    return message


def read_milliseconds(message: Duration, *, field: str) -> int:
    """Return a positive duration in whole milliseconds, or raise `InvalidArgument`."""
    length = _length_of(message)
    if length is None or length < timedelta(milliseconds=1):
        raise InvalidArgument(f"{field} must be a positive duration", field=field)
    return length // timedelta(milliseconds=1)


def read_duration(message: Duration, *, field: str, longest: timedelta) -> timedelta:
    """Return a duration from zero to `longest`, in whole microseconds, or raise
    `InvalidArgument`."""
    length = _length_of(message)
    if length is None or not timedelta() <= length <= longest:
        raise InvalidArgument(
            f"{field} must be 0 s to {longest.total_seconds():.0f} s", field=field
        )
    return length


def _length_of(message: Duration) -> timedelta | None:
    """Return how long that is, or None for what is no duration of less than twelve days."""
    if abs(message.nanos) >= 10**9 or abs(message.seconds) > 10**6:
        return None
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def read_branding(message: Struct) -> dict[str, object]:
    branding: dict[str, object] = MessageToDict(message)
    return branding
