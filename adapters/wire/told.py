"""Messages of things that are told more than once: to the caller, in an event, in the audit log."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

KEPT: Final = 256
"""More than are told of at once; what is no longer kept is made again."""


class Told(Generic[M]):
    """Makes one message of one thing, which must never change, and keeps the latest.

    Things are told apart by what they are in memory, because to compare all that they hold costs as
    much as a message. Nobody may change a message that others are given too.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Any, M]] = OrderedDict()

    def message(self, thing: object, make: Callable[[], M], *, as_of: Hashable = None) -> M:
        """Return the message; where it depends on more than the thing, `as_of` says on what."""
        key = id(thing), as_of
        kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        message = make()
        # The thing is kept too: until then nothing else can be where it is.
        self._kept[key] = thing, message
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return message
