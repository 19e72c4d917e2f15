"""What every adapter knows of its venue before it asks anything."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class LpConfig:
    """Attributes:
    name: what we call the venue.
    url: where its API starts, such as `https://www.okx.com`.
    status_is_authoritative, visibility_window: see `LpCapabilities`; they must be what the venue
        really does.
    quote_safety_margin: taken off the venue's expiry, for the way there and its clock.
    quote_timeout, status_timeout: of a whole call.
    connect_timeout, execute_timeout: of an execution; the second counts from its start and
        ends in an unknown outcome.
    """

    name: str
    url: str
    status_is_authoritative: bool = True
    visibility_window: timedelta = timedelta(seconds=2)
    quote_safety_margin: timedelta = timedelta(seconds=1)
    quote_timeout: timedelta = timedelta(seconds=2)
    connect_timeout: timedelta = timedelta(seconds=2)
    execute_timeout: timedelta = timedelta(seconds=10)
    status_timeout: timedelta = timedelta(seconds=2)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is sent along with a call and must never be seen in evidence."""
        return ()
