"""Bugs planted from the outside, one at a time; the harness is worth what it finds of them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from ports.ids import IdSource
from ports.liquidity import LiquidityProvider


def _unchanged(lp: LiquidityProvider, _ids: IdSource) -> LiquidityProvider:
    return lp


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Attributes:
    wrap_lp: what stands between the platform and each venue.
    planted: replaces code of the platform as long as its block lasts.
    """

    name: str
    wrap_lp: Callable[[LiquidityProvider, IdSource], LiquidityProvider] = _unchanged
    planted: Callable[[], AbstractContextManager[None]] = nullcontext


NONE = Canary(name="none")


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


CANARIES = {canary.name: canary for canary in (NONE,)}
