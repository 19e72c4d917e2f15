"""Enums of the domain and of the API carry the same names: one rule maps them all."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from domain.errors import InvalidArgument

E = TypeVar("E", bound=StrEnum)


def enum_messages(kind: type[E], message: Any, prefix: str) -> Mapping[E, Any]:
    """Return the API's value for each value of a domain enum."""
    return {value: message.Value(f"{prefix}_{value.name}") for value in kind}


def enum_values(kind: type[E], message: Any, prefix: str) -> Mapping[int, E]:
    """Return the domain's value for each number of the API."""
    return {number: value for value, number in enum_messages(kind, message, prefix).items()}


def read_enum(values: Mapping[int, E], number: int, *, field: str) -> E:
    """Return the domain's value, or raise `InvalidArgument` for none or an unknown number."""
    found = values.get(number)
    if found is None:
        raise InvalidArgument(f"{field} has no such value", field=field)
    return found
