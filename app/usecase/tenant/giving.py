"""What a key may give to another."""

from collections.abc import Iterable

from app.usecase.call import Call
from domain.tenant.api_key import Scope
from domain.tenant.errors import ScopeMissing


def require_may_give(call: Call, scopes: Iterable[Scope]) -> None:
    """Raise `ScopeMissing` unless the calling key has all of the scopes, or is an operator's."""
    if Scope.OPERATOR in call.scopes:
        return
    for scope in scopes:
        if scope not in call.scopes:
            raise ScopeMissing("a key cannot give a scope it does not have", scope=scope)
