"""Pages of a list, newest first."""

from collections.abc import Sequence
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
    before: only items whose id, or version, is below this one; in a short list that is read as
        a whole, how many items come before the page.
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


def page_from(items: Sequence[Item], page: PageRequest) -> Page[Item]:
    """Return a page of a short list that is at hand as a whole."""
    start = page.before if isinstance(page.before, int) else 0
    end = start + page.size
    return Page(tuple(items[start:end]), end if end < len(items) else None)
