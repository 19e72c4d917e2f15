"""Where new ids come from."""

from typing import Protocol, TypeVar

from domain.ids import TypedId

Id = TypeVar("Id", bound=TypedId)


class IdSource(Protocol):
    """Mints UUIDv7 ids."""

    def new(self, kind: type[Id]) -> Id:
        """Return an id of `kind` that nobody else has."""
        ...
