"""What signed requests are made of: digests, and a clock that agrees with the venue's."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.lp.http import Answer
from ports.clock import Clock

MAX_OFFSET: Final = timedelta(minutes=5)
"""A venue further off than this is not followed: it is wrong, or somebody else answers for it."""


def hmac_sha256(secret: bytes, message: bytes) -> bytes:
    return hmac.digest(secret, message, hashlib.sha256)


def hmac_sha512(secret: bytes, message: bytes) -> bytes:
    return hmac.digest(secret, message, hashlib.sha512)


def base64_text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


class VenueTime:
    """Our clock, corrected by what the venue's latest answer said of its own.

    A venue refuses what is signed with a time that is seconds off, so a clock that drifts would
    shut us out; the refusal itself tells the venue's time, and the next request is right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta()

    def now(self) -> datetime:
        return self._clock.now() + self._offset

    def hear(self, answer: Answer) -> Answer:
        """Take over the venue's clock from its `Date` header, and return the answer."""
        if answer.date is not None:
            offset = answer.date - self._clock.now()
            if abs(offset) <= MAX_OFFSET:
                self._offset = offset
        return answer


def milliseconds_text(at: datetime) -> str:
    """Return milliseconds since 1970."""
    return str((at - _EPOCH) // timedelta(milliseconds=1))


def iso_text(at: datetime) -> str:
    """Return ISO 8601 with milliseconds, as in `2020-12-08T09:08:57.715Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
