"""What tenants, customers and keys refuse."""

from domain.errors import DomainError, Kind


class TenantNotFound(DomainError):
    """No such tenant."""

    kind = Kind.MISSING
    reason = "TENANT_NOT_FOUND"


class TenantExists(DomainError):
    """The slug is taken."""

    kind = Kind.EXISTS
    reason = "TENANT_EXISTS"


class TenantSuspended(DomainError):
    """The tenant can neither quote nor accept nor change anything; live trades finish."""

    kind = Kind.FORBIDDEN
    reason = "TENANT_SUSPENDED"


class TenantClosed(DomainError):
    """The tenant was closed."""

    kind = Kind.FORBIDDEN
    reason = "TENANT_CLOSED"


class TenantHalted(DomainError):
    """The tenant's trading is halted, or only selling is open; wait for the operator."""

    kind = Kind.EXHAUSTED
    reason = "TENANT_HALTED"


class CustomerNotFound(DomainError):
    """No such customer of this tenant."""

    kind = Kind.MISSING
    reason = "CUSTOMER_NOT_FOUND"


class CustomerExists(DomainError):
    """The external id is taken."""

    kind = Kind.EXISTS
    reason = "CUSTOMER_EXISTS"


class CustomerSuspended(DomainError):
    """The customer can neither quote nor accept; live trades finish."""

    kind = Kind.REFUSED
    reason = "CUSTOMER_SUSPENDED"


class CustomerClosed(DomainError):
    """The customer was closed."""

    kind = Kind.REFUSED
    reason = "CUSTOMER_CLOSED"


class BalanceNotZero(DomainError):
    """Closing needs every balance and every hold to be zero."""

    kind = Kind.REFUSED
    reason = "BALANCE_NOT_ZERO"


class ApiKeyNotFound(DomainError):
    """No such key of this tenant."""

    kind = Kind.MISSING
    reason = "API_KEY_NOT_FOUND"


class ApiKeyMissing(DomainError):
    """The call carries no `Authorization: Bearer` key."""

    kind = Kind.UNAUTHENTICATED
    reason = "API_KEY_MISSING"


class ApiKeyUnknown(DomainError):
    """The key is none of ours."""

    kind = Kind.UNAUTHENTICATED
    reason = "API_KEY_UNKNOWN"


class ApiKeyRevoked(DomainError):
    """The key was revoked."""

    kind = Kind.UNAUTHENTICATED
    reason = "API_KEY_REVOKED"


class ApiKeyExpired(DomainError):
    """The key has expired."""

    kind = Kind.UNAUTHENTICATED
    reason = "API_KEY_EXPIRED"


class ApiKeyAddressRefused(DomainError):
    """The call comes from an address that is in none of the key's ranges."""

    kind = Kind.FORBIDDEN
    reason = "API_KEY_ADDRESS_REFUSED"


class ApiKeyMethodRefused(DomainError):
    """The key is a service token, and the method is none of its methods."""

    kind = Kind.FORBIDDEN
    reason = "API_KEY_METHOD_REFUSED"


class ApiKeyInternalOnly(DomainError):
    """The key is a service token, and the call came through the front door for partners."""

    kind = Kind.FORBIDDEN
    reason = "API_KEY_INTERNAL_ONLY"


class ApiKeyNotLive(DomainError):
    """The key was revoked or has expired, so it cannot be rotated."""

    kind = Kind.REFUSED
    reason = "API_KEY_NOT_LIVE"


class ApiKeyBeingRotated(DomainError):
    """The key and the one that it was rotated to or from both live."""

    kind = Kind.REFUSED
    reason = "API_KEY_BEING_ROTATED"


class ScopeMissing(DomainError):
    """The key does not carry the scope that the method needs."""

    kind = Kind.FORBIDDEN
    reason = "SCOPE_MISSING"


class OperatorOnly(DomainError):
    """Only operator keys may call this method."""

    kind = Kind.FORBIDDEN
    reason = "OPERATOR_ONLY"


class SandboxOnly(DomainError):
    """This is no sandbox: a live book can never mint deposits."""

    kind = Kind.REFUSED
    reason = "SANDBOX_ONLY"


class UnknownLp(DomainError):
    """No LP of that name is connected."""

    reason = "UNKNOWN_LP"
