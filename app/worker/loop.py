"""A worker's loop: work while there is some, rest when there is none, survive what goes wrong."""

import logging
from collections.abc import Awaitable, Callable

from domain.errors import DomainError
from ports.clock import Clock

_log = logging.getLogger("reli.worker")


async def run_for_ever(
    name: str, clock: Clock, work: Callable[[], Awaitable[bool]], *, rest_s: float
) -> None:
    """Call `work` until canceled; it says whether there may be more to do at once."""
    while True:
        try:
            has_more = await work()
        except DomainError as error:
            has_more = False
            _log.warning("%s: %s", name, error.message)
        except Exception:
            has_more = False
            _log.exception("%s failed", name)
        if not has_more:
            await clock.sleep(rest_s)
