"""Pages of a list, newest first."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

MAX_PAGE_SIZE: Final = 200
DEFAULT_PAGE_SIZE: Final = 50

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Attributes:
    size: how many items, 1 to 200.
    before: only items whose id, or version, is below this one.
    """

    size: int = DEFAULT_PAGE_SIZE
    before: UUID | int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Attributes:
    next_before: where the next page starts; None on the last one.
    """

    items: tuple[Item, ...]
    next_before: UUID | int | None
