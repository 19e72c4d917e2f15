"""Enums of the domain and of the API carry the same names: one rule maps them all."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from domain.errors import InvalidArgument

E = TypeVar("E", bound=StrEnum)


def enum_messages(kind: type[E], message: Any, prefix: str) -> Mapping[E, Any]:
    """Return the API's value for each value of a domain enum."""
    return {value: message.Value(f"{prefix}_{value.name}") for value in kind}


def read_enum(kind: type[E], message: Any, prefix: str, number: int, *, field: str) -> E:
    """Return the domain's value, or raise `InvalidArgument` for none or an unknown number."""
    name = message.Name(number) if number in message.values() else ""
    found = kind.__members__.get(name.removeprefix(f"{prefix}_"))
    if found is None:
        raise InvalidArgument(f"{field} has no such value", field=field)
    return found
