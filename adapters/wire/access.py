"""Who may call a method, as the contract's options say."""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import MethodOptions

from adapters.wire.tenant import SCOPE_OF
from domain.tenant.api_key import Scope
from reli.auth.v1 import access_pb2

# The stubs do not say that it extends the options of a method.
_SCOPE: Final[Any] = access_pb2.scope


def scope_of(options: MethodOptions) -> Scope | None:
    """Return the scope that a key needs, or None where everybody may call."""
    return SCOPE_OF.get(options.Extensions[_SCOPE])
