"""Who may call a method, as its options in the contract say."""

from typing import Any

from google.protobuf.descriptor_pool import Default

from adapters.wire.tenant import COST_CLASS_OF, SCOPE_OF
from domain.tenant.api_key import Scope
from domain.tenant.rate_limit import CostClass
from reli.auth.v1 import access_pb2


def scope_of(method: str) -> Scope:
    """Return the scope that a method's option names; a method without one cannot be served."""
    return SCOPE_OF[_options(method).Extensions[access_pb2.scope]]


def cost_class_of(method: str) -> CostClass:
    """Return the class of limits that a method's option names."""
    return COST_CLASS_OF[_options(method).Extensions[access_pb2.cost_class]]


def is_public(method: str) -> bool:
    """Say whether everybody may call a method."""
    return bool(_options(method).Extensions[access_pb2.is_public])


def find_scope(method: str) -> Scope | None:
    """Return the scope of what may be the full name of a method, or None where it is none."""
    try:
        return SCOPE_OF.get(_options(method).Extensions[access_pb2.scope])
    except KeyError:
        return None


def _options(method: str) -> Any:
    service, _, name = method.rpartition("/")
    return Default().FindServiceByName(service).FindMethodByName(name).GetOptions()
