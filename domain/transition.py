"""Life cycles as tables: (state, action) gives the next state, anything else is refused."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from domain.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=StrEnum)


def advance(table: Mapping[tuple[S, A], S], state: S, action: A) -> S:
    """Return the state after `action`, or raise `IllegalTransition`."""
    try:
        return table[state, action]
    except KeyError:
        raise IllegalTransition(
            f"cannot {action} what is {state}", state=state, action=action
        ) from None
